"""Parts of a drift page: a table, a column's picture, quality over time, the decision."""

from collections.abc import Mapping, Sequence
from typing import Any

from driftwheel.drift import pictures
from driftwheel.drift.feature import CORRELATIONS, LABEL, PREDICTION
from driftwheel.drift.figures import counted, digits, moment, safe, sentence, share
from driftwheel.drift.quality_loss import QUALITY

TITLES = {
    PREDICTION: "what the model answers",
    LABEL: "the labels that came",
    CORRELATIONS: "how columns go together",
    QUALITY: "quality",
}
"""Things that are no columns, by the names no column can have."""

Document = Mapping[str, Any]


def titled(name: str) -> str:
    """Name a column, or what stands beside the columns, as a reader would."""
    return TITLES.get(name, name)


def table(label: str, heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Lay out rows of texts that are not escaped yet; a head that begins with # is of numbers."""
    numeric = [head.startswith("#") for head in heads]
    cells = [
        _head(head.removeprefix("#"), number=number) for head, number in zip(heads, numeric, strict=True)
    ]
    lines = [
        "<tr>"
        + "".join(_cell(value, place, number=numeric[place]) for place, value in enumerate(row))
        + "</tr>\n"
        for row in rows
    ]
    return (
        f'<div class="box" tabindex="0" role="region" aria-label="{safe(label)}"><table>\n'
        f"<thead><tr>{''.join(cells)}</tr></thead><tbody>\n{''.join(lines)}</tbody></table></div>\n"
    )


def strongest(feature: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Choose the test that speaks for a column: one that found something, then the furthest."""
    tests: Sequence[Mapping[str, Any]] = feature["tests"]
    order = {"strong": 2, "slight": 1}
    return max(
        tests,
        key=lambda test: (order.get(test["magnitude"], 0), test["effect"] / test["strong"]),
        default=None,
    )


def picture(feature: Mapping[str, Any]) -> str:
    """Draw a column then and now, and say how it stands."""
    shape, name = feature["shape"], titled(feature["name"])
    if shape["names"]:
        drawn = pictures.bars(shape["names"], shape["before"], shape["now"], f"{name}: commonest values")
    else:
        drawn = pictures.histogram(shape, f"{name}: histogram")
    status = str(feature["status"])
    mark = f' <span class="rejected">{safe(status)}</span>' if status in {"drifted", "fault"} else ""
    caption = f"<strong>{safe(name)}</strong>{mark}{_middle(feature)}"
    return f"<figure>{drawn}<figcaption>{caption}</figcaption></figure>\n"


def quality_over_time(document: Document) -> str:
    """Draw what labels said of the champion's answers, check by check, and how many answers had a label."""
    quality: Mapping[str, Any] = document.get("quality") or {}
    history: Sequence[Mapping[str, Any]] = document.get("history") or []
    text = _windows(document)
    if any("value" in point for point in history):
        metric = safe(quality.get("metric", "quality"))
        drawn = pictures.course(history, quality.get("before"), f"{metric} over the last checks")
        text += (
            f"<figure>{drawn}<figcaption>{metric} with its 95 % interval at "
            f"{counted(len(history), 'check')}, "
            f"{moment(history[0]['at'])} to {moment(history[-1]['at'])}; dashed: when the model was made; "
            "below: the share of rows whose label has come.</figcaption></figure>\n"
        )
    if quality:
        text += (
            f"<p>{safe(quality['metric'])} {digits(quality['value'])} "
            f"[{digits(quality['low'])}, {digits(quality['high'])}], "
            f"{digits(quality.get('before'))} when the model was made; "
            f"{digits(quality['labelled'])} of {digits(quality.get('predicted'))} rows have a label"
            f"{_coverage(quality)}.</p>\n"
        )
    elif "at" in document:
        text += "<p>No label has come for this window: its quality is not known.</p>\n"
    return text + _estimated(document.get("estimate"))


def decision(document: Document) -> str:
    """Say what the policy answers to this finding, and with which reason."""
    found: Mapping[str, Any] = document.get("decision") or {}
    if not found:
        return ""
    code = safe(str(found["code"]).replace("_", " "))
    return (
        f"<p><strong>{safe(found['outcome'])}</strong> ({code}): {sentence(found['sentence'])}.</p>\n"
        '<p class="quiet">The trigger decides again from state whenever something changes; '
        f"<code>driftwheel decisions {safe(document.get('model', ''))}</code> lists what it did.</p>\n"
    )


def _windows(document: Document) -> str:
    windows = [str(window).partition(" ") for window in document.get("windows") or []]
    if not windows:
        return ""
    drawn = pictures.windows([severity for _, _, severity in windows], "verdicts of the last windows")
    worst = sum(severity != "none" for _, _, severity in windows)
    return (
        f"<figure>{drawn}<figcaption>The last {counted(len(windows), 'window')}, {moment(windows[0][0])} to "
        f"{moment(windows[-1][0])}: {worst} with a finding (the taller, the worse).</figcaption></figure>\n"
    )


def _estimated(estimate: Mapping[str, Any] | None) -> str:
    """Say what labels will probably show, and on what that rests; nothing where nothing was estimated."""
    if not estimate or estimate["value"] is None:
        return ""
    between = (
        f" [{digits(estimate['low'])}, {digits(estimate['high'])}]" if estimate["low"] is not None else ""
    )
    return (
        f"<p>Estimated from the scores of all {digits(estimate['rows'])} rows: {safe(estimate['metric'])} "
        f"{digits(estimate['value'])}{between}, if a score means what it meant when the model was made. "
        "The verdict does not use it.</p>\n"
    )


def _coverage(quality: Mapping[str, Any]) -> str:
    return f" ({share(float(quality['coverage']))})" if quality.get("coverage") is not None else ""


def _middle(feature: Mapping[str, Any]) -> str:
    """Write the mean, or the missing share, before and now: whichever a person would look at."""
    statistics = feature.get("statistics") or {}
    before, now = statistics.get("before") or {}, statistics.get("now") or {}
    said = []
    if before.get("mean") is not None and now.get("mean") is not None:
        said.append(f"mean {digits(before['mean'])} → {digits(now['mean'])}")
    if before.get("missing") or now.get("missing"):
        said.append(f"missing {before.get('missing') or 0.0:.2%} → {now.get('missing') or 0.0:.2%}")
    return f' <span class="quiet">{"; ".join(said)}</span>' if said else ""


def _head(name: str, *, number: bool) -> str:
    kind = ' class="number"' if number else ""
    return f'<th scope="col"{kind}>{safe(name)}</th>'


def _cell(value: Any, place: int, *, number: bool) -> str:
    kind = ' class="number"' if number else ""
    return f"<td{kind}>{safe(value)}</td>" if place else f'<th scope="row">{safe(value)}</th>'
