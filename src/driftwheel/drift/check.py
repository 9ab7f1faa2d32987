"""The verdict over a window: what drifted, what broke, how sure, and what it means for the model."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from driftwheel.drift.battery import battery
from driftwheel.drift.column import column_from_json
from driftwheel.drift.correlation import Correlation, changes
from driftwheel.drift.estimate import estimate
from driftwheel.drift.faults import find_fault, unusable_traffic
from driftwheel.drift.feature import CORRELATIONS, LABEL, PREDICTION, drift_finding, report_feature
from driftwheel.drift.finding import (
    DriftReport,
    FeatureReport,
    Finding,
    Magnitude,
    Severity,
    Tested,
)
from driftwheel.drift.l_infinity import LInfinity
from driftwheel.drift.limits import Limits
from driftwheel.drift.pair import Pair
from driftwheel.drift.quality_loss import QUALITY, quality_loss
from driftwheel.drift.score import DriftTest, Score
from driftwheel.drift.significance import benjamini_hochberg
from driftwheel.drift.summaries import Summary, summary_from_json
from driftwheel.drift.window import Window


@dataclass(frozen=True)
class _Scored:
    name: str
    test: DriftTest
    pair: Pair
    score: Score


def check(
    baseline: Mapping[str, Any],
    window: Window,
    limits: Limits,
    units: Mapping[str, str] | None = None,
    whole: str = "the model's importance",
    before: Summary | None = None,
) -> DriftReport:
    """Compare a window with the baseline of the model that answered it.

    A feature has drifted when an effect reaches the test's ``slight`` *and* its Benjamini-Hochberg corrected
    p-value over all tests made lies below ``limits.significance``: in a window where nothing changed, the
    chance of any finding is at most that, whatever the number of rows. Faults are looked for first and leave
    the tests: broken data says nothing about the world.

    Severity: ``fault`` when data is broken, ``major`` when strongly drifted columns carry at least
    ``limits.major_share`` of the model's importance or labels show a clear loss of quality, ``minor`` for any
    other finding, ``none``, or ``insufficient_data`` below ``limits.minimum_rows``.

    ``units`` are the columns' declared units; they sharpen the search for a changed unit. ``whole`` names
    what the baseline's weights are shares of; ``before`` is the baseline's summary where it was read already.
    """
    before = before or summary_from_json(baseline)
    unusable = unusable_traffic(window.about)
    if window.summary.rows < limits.minimum_rows:
        little = _too_little(window, before.rows, limits)
        if unusable:
            little = _verdict(window, before.rows, limits, 0, [unusable], [], whole)
        return replace(
            little, quality=_quality(baseline, window), estimate=_estimate(baseline, window, limits)
        )
    weights: Mapping[str, float] = baseline["weights"]
    known, now = before.columns, window.summary.columns
    pairs = {name: Pair(known[name], now[name]) for name in sorted(known)}
    faults = {
        name: fault
        for name, pair in pairs.items()
        if (fault := find_fault(name, pair, weights.get(name, 0.0), (units or {}).get(name)))
    }
    tests = battery(limits)
    least = limits.minimum_rows / 2
    scored = [
        one for name, pair in pairs.items() if name not in faults for one in _score(name, pair, tests, least)
    ]
    together = _together(before, window.summary, set(faults))
    for name, pair in together.items():
        scored += _score(name, pair, tests, least)
    answers = _answers(baseline, window)
    for name, pair in answers.items():
        scored += _score(name, pair, tests if name == PREDICTION else _label_tests(tests), least)
    loss = quality_loss(baseline["quality"], window.quality)
    p_values = [one.score.p_value for one in scored] + ([loss.p_value] if loss else [])
    adjusted = benjamini_hochberg(p_values)
    tested = _judge(scored, adjusted, limits.significance)
    features = [
        report_feature(name, pair, weights.get(name, 0.0), tested.get(name, []), faulty=name in faults)
        for name, pair in (pairs | answers).items()
    ]
    alone = {f.name for f in features if any(test.magnitude == "strong" for test in f.tests)}
    features += [
        report_feature(
            name,
            pair,
            _rests_on(pair, weights, alone, limits.significance),
            tested.get(name, []),
            faulty=False,
        )
        for name, pair in together.items()
    ]
    findings = [
        *([unusable] if unusable else []),
        *faults.values(),
        *(drift_finding(feature) for feature in features if feature.status == "drifted"),
    ]
    if loss and loss.magnitude != "none" and adjusted[-1] < limits.significance:
        findings.append(loss.finding())
    findings.sort(key=_importance)
    verdict = _verdict(window, before.rows, limits, len(p_values), findings, features, whole)
    return replace(verdict, quality=_quality(baseline, window), estimate=_estimate(baseline, window, limits))


def _answers(baseline: Mapping[str, Any], window: Window) -> dict[str, Pair]:
    """Pair what the model said and, where labels came, what was true."""
    pairs = {}
    if window.prediction is not None:
        pairs[PREDICTION] = Pair(column_from_json(baseline["prediction"]), window.prediction)
    if window.label is not None:
        pairs[LABEL] = Pair(column_from_json(baseline["label"]["summary"]), window.label)
    return pairs


def _together(before: Summary, window: Summary, faulty: set[str]) -> dict[str, Pair]:
    """Pair how columns went together; a broken column says nothing of its company."""
    if before.joint is None or window.joint is None:
        return {}
    one, other = before.joint.without(faulty), window.joint.without(faulty)
    return {CORRELATIONS: Pair(one, other)} if one.pairs and one.pairs == other.pairs else {}


def _rests_on(pair: Pair, weights: Mapping[str, float], alone: set[str], significance: float) -> float:
    """Say how much of the model rests on columns whose company changed strongly, not counting any twice."""
    changed = [
        change
        for change in changes(pair)
        if change.p_value < significance and change.effect >= Correlation().strong
    ]
    return sum(
        weights.get(name, 0.0) for name in {name for change in changed for name in change.pair} - alone
    )


def _score(name: str, pair: Pair, tests: list[DriftTest], least: float) -> list[_Scored]:
    enough = min(pair.baseline.count, pair.window.count) >= least
    return [
        _Scored(name, test, pair, test.score(pair))
        for test in tests
        if pair.baseline.kind in test.kinds and (enough or test.kind == "missingness")
    ]


def _label_tests(tests: list[DriftTest]) -> list[DriftTest]:
    """Of a label rate the plain difference of shares matters, whatever other tests were asked for."""
    return [LInfinity(), *(test for test in tests if test.kind not in {"l_infinity", "missingness"})]


def _judge(scored: list[_Scored], adjusted: list[float], significance: float) -> dict[str, list[Tested]]:
    """Ask of each test whether it is both sure, every other considered, and large enough to matter."""
    judged: dict[str, list[Tested]] = {}
    for one, p_value in zip(scored, adjusted, strict=False):
        effect = one.score.effect
        magnitude: Magnitude = "none"
        if p_value < significance and effect >= one.test.slight:
            magnitude = "strong" if effect >= one.test.strong else "slight"
        judged.setdefault(one.name, []).append(
            Tested(
                kind=one.test.kind,
                effect=effect,
                p_value=one.score.p_value,
                adjusted=p_value,
                slight=one.test.slight,
                strong=one.test.strong,
                noise=one.test.noise(one.pair, significance / len(adjusted)),
                magnitude=magnitude,
            )
        )
    return judged


def _importance(finding: Finding) -> tuple[bool, bool, float, str]:
    return (finding.kind != "fault", finding.magnitude != "strong", -finding.weight, finding.feature)


def _verdict(
    window: Window,
    baseline_rows: int,
    limits: Limits,
    tests_made: int,
    findings: list[Finding],
    features: list[FeatureReport],
    whole: str,
) -> DriftReport:
    strong = [f for f in findings if f.kind == "drift" and f.magnitude == "strong"]
    weight = sum(f.weight for f in strong)
    faults = [f for f in findings if f.kind == "fault"]
    if faults:
        severity: Severity = "fault"
        sentence = f"Broken data in {_names(faults)}: retraining waits until it is mended."
    elif weight >= limits.major_share or any(f.feature == QUALITY for f in strong):
        severity = "major"
        sentence = (
            f"Major drift: {_names(strong)}; strongly drifted columns carry {weight:.0%} of {whole} "
            f"(major from {limits.major_share:.0%})."
        )
    elif findings:
        severity = "minor"
        sentence = (
            f"Minor drift: {_names(findings)}; strongly drifted columns carry {weight:.0%} of {whole} "
            f"(major from {limits.major_share:.0%})."
        )
    else:
        severity = "none"
        sentence = (
            f"No drift in {window.summary.rows:,} rows: {tests_made} tests, none both sure and large enough."
        )
    return DriftReport(
        severity=severity,
        blocks_retraining=bool(faults),
        sentence=sentence,
        rows=window.summary.rows,
        baseline_rows=baseline_rows,
        minimum_rows=limits.minimum_rows,
        significance=limits.significance,
        tests_made=tests_made,
        drifted_weight=weight,
        major_share=limits.major_share,
        findings=findings,
        features=features,
        window=window.about,
    )


def _estimate(baseline: Mapping[str, Any], window: Window, limits: Limits) -> dict[str, Any]:
    """Estimate the window's quality from its scores alone; models of before have no calibration."""
    metric, known = baseline["quality"]["metric"], baseline.get("calibration")
    return estimate(known, window.answers, metric, minimum_rows=limits.minimum_rows).to_json()


def _quality(baseline: Mapping[str, Any], window: Window) -> dict[str, Any] | None:
    """Give what labels say of the window, and ``before``: the same metric when the model was made."""
    if window.quality is None:
        return None
    known = {one["metric"]: one["value"] for one in (baseline["quality"], *baseline.get("beside", []))}
    main, *others = [
        one.to_json() | {"before": known.get(one.metric)} for one in (window.quality, *window.beside)
    ]
    return main | {"beside": others}


def _too_little(window: Window, baseline_rows: int, limits: Limits) -> DriftReport:
    return DriftReport(
        severity="insufficient_data",
        blocks_retraining=False,
        sentence=f"Not enough data: {window.summary.rows:,} rows, a verdict needs {limits.minimum_rows:,}.",
        rows=window.summary.rows,
        baseline_rows=baseline_rows,
        minimum_rows=limits.minimum_rows,
        significance=limits.significance,
        tests_made=0,
        drifted_weight=0.0,
        major_share=limits.major_share,
        findings=[],
        features=[],
        window=window.about,
    )


def _names(findings: list[Finding], at_most: int = 5) -> str:
    names = [finding.feature for finding in findings]
    more = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return ", ".join(names[:at_most]) + more
