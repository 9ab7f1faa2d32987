"""The rule by which a challenger is promoted, rejected, or shown to a person."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from driftwheel.gate.comparison import Comparison, Interval, compare
from driftwheel.gate.metrics import METRICS, Floats, Metric
from driftwheel.gate.predictions import Predictions, read_predictions
from driftwheel.gate.slices import SliceTable, compare_slices, measured
from driftwheel.gate.verdict import Reason, Verdict, decision_of
from driftwheel.spec import Evaluation

Kind = Literal["binary", "regression"]

LARGEST = 1e100
"""A number beyond it is no measurement, and its square would overflow."""


def evaluate(
    predictions: Path | bytes,
    evaluation: Evaluation,
    kind: Kind,
    *,
    seed: int,
    champion_expected: bool = False,
    champion_fault: str = "",
    suspected_leakage: Sequence[str] = (),
    suspected_shift: Sequence[str] = (),
    request_change: str = "",
) -> Verdict:
    """Decide from both models' predictions on the same rows; an outcome is a value, never an exception.

    - **Promote** a challenger whose paired gain over the champion is above ``minimum_gain`` with the declared
      confidence: the lower bound of the gain, one-sided, lies above it. One-sided, because only one error
      matters here: replacing a champion by a model that is no better happens then in at most 1 - confidence
      of the cases. Equal models are not promoted.
    - **Floor**: the challenger's own value, as measured, must reach it, champion or not.
    - **Without a champion** there is nothing to compare: floor, and better than the best constant answer.
    - **Slices**: ``compare_slices``.
    - **A person decides** when the metric is too good to be true, a column is suspected to hold the answer, a
      file to hold another unit, the champion could not score the rows, its clients would be refused
      (``request_change``), or the spec says so; rejection comes first.

    ``champion_expected`` says that a champion was mounted: an empty column then means that it could not
    score, and ``champion_fault`` says why, for the person who decides. Raises ArtifactInvalid when the
    predictions cannot be read at all.
    """
    rows = read_predictions(predictions)
    metric = METRICS[evaluation.metric]
    base = Verdict(
        decision="reject",
        reasons=[],
        metric=metric.name,
        confidence=evaluation.confidence,
        rows=len(rows.keys),
        positives=int((rows.labels == 1).sum()) if kind == "binary" else None,
        holdout_digest=rows.digest,
    )
    if unusable := _unusable(rows, metric, evaluation, kind):
        return base.model_copy(update={"reasons": unusable})
    reasons = _champion(rows, kind, champion_fault, expected=champion_expected)
    alone = rows.champion is None or bool(reasons)
    if alone:
        rows = Predictions(rows.keys, rows.labels, rows.challenger, None, rows.slices)
    first = alone and not reasons
    found = compare(
        metric, rows.labels, rows.challenger, rows.champion, tail=1 - evaluation.confidence, seed=seed
    )
    table = compare_slices(
        metric,
        rows,
        minimum_rows=evaluation.minimum_rows,
        tolerance=evaluation.slice_tolerance,
        confidence=evaluation.confidence,
        seed=seed,
    )
    reasons += _quality(metric, found, rows.labels, evaluation)
    reasons += _gain(metric, found, rows.labels, evaluation, first=first)
    reasons += _slices(metric, table, evaluation)
    reasons += _approvals(evaluation, suspected_leakage, suspected_shift, request_change)
    return base.model_copy(
        update={
            "decision": decision_of(reasons),
            "reasons": reasons,
            "challenger": measured(found.challenger),
            "champion": measured(found.champion) if found.champion else None,
            "gain": measured(found.gain) if found.gain else None,
            "also": _other_metrics(rows, kind),
            "slices": table.slices,
            "slices_too_small": table.too_small,
        }
    )


def _unusable(rows: Predictions, metric: Metric, evaluation: Evaluation, kind: Kind) -> list[Reason]:
    """Reasons for which no metric can be trusted at all."""
    n = len(rows.keys)
    labels, scores = rows.labels, rows.challenger
    if metric.kind != kind:
        return [
            Reason(code="metric_unfit", sentence=f"{metric.name} does not measure a {kind} target; change it")
        ]
    if n < evaluation.minimum_rows:
        return [
            Reason(
                code="too_few_rows",
                sentence=f"the holdout has {n} rows, {evaluation.minimum_rows} are needed",
                numbers={"rows": n, "minimum": evaluation.minimum_rows},
            )
        ]
    known = np.isin(labels, (0.0, 1.0)) if kind == "binary" else _usable(labels, kind)
    if not known.all():
        wrong = int((~known).sum())
        return [
            Reason(
                code="labels_unusable",
                sentence=f"{wrong} of {n} labels are not {'0 or 1' if kind == 'binary' else 'numbers'}",
                numbers={"rows": n, "wrong": wrong},
            )
        ]
    if kind == "binary" and len(np.unique(labels)) < 2:
        return [
            Reason(
                code="one_class",
                sentence=f"all {n} rows of the holdout have the label {labels[0]:g}",
                numbers={"rows": n},
            )
        ]
    if not (usable := _usable(scores, kind)).all():
        wrong = int((~usable).sum())
        return [
            Reason(
                code="predictions_unusable",
                sentence=f"the challenger has no usable score for {wrong} of {n} rows",
                numbers={"rows": n, "wrong": wrong},
            )
        ]
    if np.ptp(scores) == 0:
        return [
            Reason(
                code="predictions_constant",
                sentence=f"the challenger answers {scores[0]:g} to everything",
                numbers={"rows": n, "score": float(scores[0])},
            )
        ]
    return []


def _usable(scores: Floats, kind: Kind) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    lowest, highest = (0.0, 1.0) if kind == "binary" else (-LARGEST, LARGEST)
    return np.isfinite(scores) & (scores >= lowest) & (scores <= highest)


def _champion(rows: Predictions, kind: Kind, fault: str, *, expected: bool) -> list[Reason]:
    """Why the champion cannot be compared with, if it cannot."""
    n = len(rows.keys)
    if rows.champion is None and not expected:
        return []
    unscored = n if rows.champion is None else int((~_usable(rows.champion, kind)).sum())
    if not unscored:
        return []
    return [
        Reason(
            code="champion_unusable",
            sentence=f"the champion has no usable score for {unscored} of {n} rows: "
            f"a person must decide without the comparison{f' ({fault})' if fault else ''}",
            numbers={"rows": n, "unscored": unscored},
        )
    ]


def _quality(metric: Metric, found: Comparison, labels: Floats, evaluation: Evaluation) -> list[Reason]:
    """Say whether the challenger is good at all, and believably so."""
    value, name = found.challenger.value, metric.name
    reasons = []
    if evaluation.floor is not None and metric.gain(value, evaluation.floor) < 0:
        side = "below" if metric.higher_is_better else "above"
        reasons.append(
            Reason(
                code="below_floor",
                sentence=f"{name} {value:.4f} {_bounds(found.challenger)} is {side} the floor "
                f"{evaluation.floor:g}",
                numbers={"challenger": value, "floor": evaluation.floor},
            )
        )
    if metric.skill(value, labels) > evaluation.suspicious:
        reasons.append(
            Reason(
                code="suspicious_metric",
                sentence=f"{name} {value:.5f} is too good to be true: does a feature hold the answer?",
                numbers={"challenger": value, "suspicious": evaluation.suspicious},
            )
        )
    return reasons


def _gain(
    metric: Metric, found: Comparison, labels: Floats, evaluation: Evaluation, *, first: bool
) -> list[Reason]:
    """Say whether it is better than what serves now or, with nothing to compare, than a constant."""
    name, wanted, value = metric.name, evaluation.minimum_gain, found.challenger.value
    if found.gain is None or found.champion is None:
        trivial = metric.trivial(labels)
        numbers = {"challenger": value, "constant": trivial}
        reached = f"{name} {value:.4f} {_bounds(found.challenger)}"
        if metric.gain(value, trivial) <= 0:
            sentence = f"{reached} is no better than always answering the same ({trivial:.4f})"
            return [Reason(code="nothing_learned", sentence=sentence, numbers=numbers)]
        sentence = f"there is no champion yet; {reached}"
        return [Reason(code="first_model", sentence=sentence, numbers=numbers)] if first else []
    shown = found.gain.low > wanted
    numbers = {
        "challenger": value,
        "champion": found.champion.value,
        "gain": found.gain.value,
        "gain_low": found.gain.low,
        "minimum_gain": wanted,
        "confidence": evaluation.confidence,
    }
    return [
        Reason(
            code="gain_shown" if shown else "gain_not_shown",
            sentence=f"{name} {value:.4f} against the champion's {found.champion.value:.4f} on the same "
            f"{len(labels)} rows: gain {found.gain.value:+.4f} {_bounds(found.gain)}, "
            f"{'above' if shown else 'not surely above'} {wanted:g} at {100 * evaluation.confidence:g} %",
            numbers={key: number for key, number in numbers.items() if np.isfinite(number)},
        )
    ]


def _slices(metric: Metric, table: SliceTable, evaluation: Evaluation) -> list[Reason]:
    reasons = []
    for part in table.slices:
        if not part.worse or part.gain is None or part.champion is None:
            continue
        reasons.append(
            Reason(
                code="slice_loss",
                sentence=f"on {part.column} = {part.value} ({part.rows} rows) {metric.name} goes from "
                f"{part.champion:.4f} to {part.challenger:.4f}: worse by more than "
                f"{evaluation.slice_tolerance:g}",
                numbers={"rows": part.rows, "champion": part.champion, "challenger": part.challenger},
            )
        )
    return reasons


def _approvals(
    evaluation: Evaluation,
    suspected_leakage: Sequence[str],
    suspected_shift: Sequence[str],
    request_change: str,
) -> list[Reason]:
    reasons = []
    if suspected_leakage:
        columns = ", ".join(suspected_leakage)
        reasons.append(
            Reason(
                code="suspected_leakage",
                sentence=f"may hold the answer: {columns}",
                numbers={"columns": columns},
            )
        )
    if suspected_shift:
        reasons.append(
            Reason(
                code="distribution_shift",
                sentence=f"its data has jumped: {'; '.join(suspected_shift[:5])}",
                numbers={"jumps": len(suspected_shift)},
            )
        )
    if request_change:
        reasons.append(
            Reason(
                code="request_change",
                sentence=f"it takes other requests than the champion: {request_change}; "
                "approve it when that suits the clients",
            )
        )
    if evaluation.approval == "required":
        reasons.append(Reason(code="approval_required", sentence="model.yaml asks for a person's approval"))
    return reasons


def _other_metrics(rows: Predictions, kind: Kind) -> dict[str, dict[str, float | None]]:
    """Every metric that fits the target, for the reader; only the declared one decides."""
    return {
        metric.name: {
            "challenger": metric.value(rows.labels, rows.challenger),
            "champion": metric.value(rows.labels, rows.champion) if rows.champion is not None else None,
        }
        for metric in METRICS.values()
        if metric.kind == kind
    }


def _bounds(interval: Interval) -> str:
    return f"[{interval.low:.4f}, {interval.high:.4f}]"
