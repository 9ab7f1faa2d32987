"""Parts of a drift page: a table, a column's picture, the decision."""

from collections.abc import Mapping, Sequence
from typing import Any

from driftwheel.drift import pictures
from driftwheel.drift.feature import CORRELATIONS, LABEL, PREDICTION
from driftwheel.drift.figures import digits, moment, safe, sentence, share
from driftwheel.drift.quality_loss import QUALITY

TITLES = {
    PREDICTION: "what the model answers",
    LABEL: "the labels that came",
    CORRELATIONS: "how columns go together",
    QUALITY: "quality",
}
"""Things that are no columns, by the names no column can have."""

MOST_NAMED = 10

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


def told_apart(document: Document) -> str:
    """Say what the domain classifier's last job found, and of which check's window."""
    found: Mapping[str, Any] = document.get("domain_classifier") or {}
    if not found:
        return ""
    about = f"job <code>{safe(found['job'], 63)}</code>, on the window of the check of {moment(found['at'])}"
    if found["state"] == "asked":
        return f"<p>The domain classifier is at work: {about}.</p>\n"
    if found["state"] == "failed":
        return f"<p>The domain classifier gave no answer: {sentence(found['reason'])} ({about}).</p>\n"
    rows = [[one["name"], share(float(one["share"]))] for one in found["importances"][:MOST_NAMED]]
    named = table("columns the classifier went by", ("column", "#share of gain"), rows) if rows else ""
    return f'<p>{sentence(found["sentence"])}.</p>\n{named}<p class="quiet">{about}</p>\n'


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
