"""The page of one drift check, or of two files compared: one self-contained HTML text that opens offline.

It is written by ``drift_check`` beside ``report.json`` at every check, and by the command from that file: the
same document gives the same bytes. Every value is escaped, there is no script, and nothing is fetched.
"""

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from driftwheel.drift.feature import CORRELATIONS, LABEL, PREDICTION
from driftwheel.drift.figures import digits, moment, p_value, safe, sentence, share
from driftwheel.drift.page_parts import decision, picture, strongest, table, titled, told_apart
from driftwheel.drift.page_quality import quality_by_slice, quality_over_time

MOST_BYTES = 200_000
"""A page that opens at once on a phone; fewer pictures are drawn where names would make it larger."""

MOST = (120, 60, 30, 10, 0)
"""Pictures, tried one after the other; of sentences and rows there are ``LEAST`` in any case."""

LEAST = 20
MOST_ROWS = 400
CHIPS = {"fault": "rejected", "major": "rejected", "none": "promoted"}
COMMAND = re.compile("`([^`]+)`")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
SPECIAL = frozenset({PREDICTION, LABEL, CORRELATIONS})
Document = Mapping[str, Any]


def style() -> str:
    """Read the style sheet that every page of ours has in it."""
    return files("driftwheel.drift").joinpath("page.css").read_text(encoding="utf-8")


def page_of(document: Document, title: str = "", about: Sequence[str] = ()) -> str:
    """Lay out a drift report (``DriftReport.to_json``, and what ``drift_check`` adds to it).

    ``title`` stands for the model's name where there is none. The page is at most ``MOST_BYTES`` long: where
    many columns or long names would make it longer, the less important pictures are left out, and it says so.
    """
    for most in MOST:
        page = _page(document, title or str(document.get("model", "")), about, most)
        if len(page.encode()) <= MOST_BYTES:
            break
    return page


def _page(document: Document, title: str, about: Sequence[str], most: int) -> str:
    name, severity = safe(title, 120), str(document["severity"])
    features = sorted(document["features"], key=_rank)
    columns = [feature for feature in features if feature["name"] not in SPECIAL]
    answers = [feature for feature in features if feature["name"] in {PREDICTION, LABEL}]
    parts = [
        _section("What was found", _findings(document, max(most, LEAST))),
        _section("Drifted columns", found_in(document, lead=False, most=max(most, LEAST))),
        _section("What the model answers", _pictures(answers, most)),
        _section("Quality over time", quality_over_time(document)),
        _section("Quality by slice", quality_by_slice(document)),
        _section("What Driftwheel decided", decision(document)),
        _section("Can rows be told apart?", told_apart(document)),
        _section("Columns, baseline and now", _pictures(columns, most)),
        _section("Every column", _every(features, most)),
    ]
    chip = f'<span class="status {CHIPS.get(severity, "")}">{safe(severity.replace("_", " "))}</span>'
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<title>Drift: {name}</title>\n<style>\n{style()}</style>\n</head>\n<body>\n<main>\n"
        f"<header>\n<h1>{name} {chip}</h1>\n{_verdict(document)}"
        + "".join(f'<p class="quiet">{sentence(line)}</p>\n' for line in about)
        + "</header>\n"
        + "".join(parts)
        + "</main>\n</body>\n</html>\n"
    )


def found_in(document: Document, *, lead: bool = True, most: int = MOST[0]) -> str:
    """Lay out the columns that moved, the most important first: how much, how sure, since when."""
    text = f"<p>{sentence(document['sentence'])}</p>\n" if lead else ""
    text += (
        f'<p class="quiet">{digits(document["rows"])} rows beside {digits(document["baseline_rows"])} of the '
        f"baseline; {digits(document['tests_made'])} tests, significance {digits(document['significance'])} "
        f"after correction (Benjamini and Hochberg).{_quality_line(document.get('quality'))}</p>\n"
    )
    since: Mapping[str, str] = document.get("since") or {}
    rows = []
    for feature in sorted(document["features"], key=_rank):
        best = strongest(feature)
        if best is None or best["magnitude"] == "none":
            continue
        row = [
            titled(feature["name"]),
            best["magnitude"],
            share(feature["weight"]) if feature["weight"] else "",
            str(best["kind"]).replace("_", " "),
            digits(best["effect"]),
            digits(best["strong"]),
            p_value(best["adjusted"]),
        ]
        at = moment(since[feature["name"]]).removesuffix(" UTC") if feature["name"] in since else ""
        rows.append([*row, at] if since else row)
    if not rows:
        return text + "<p>No column is both surely and noticeably different.</p>\n"
    heads = ("column", "drift", "#importance", "test", "#effect", "#strong from", "#corrected p")
    return (
        text
        + table("drifted columns", (*heads, "since (UTC)") if since else heads, rows[:most])
        + _more(len(rows) - most)
    )


def _verdict(document: Document) -> str:
    """Say in one sentence what was found, then since when, what happens next and what a person should do."""
    notice: Mapping[str, Any] = document.get("notice") or {}
    text = f'<p class="lead">{sentence(document["sentence"])}</p>\n'
    lines = [("Since", "since"), ("Next", "next"), ("You", "do")]
    said = [
        (name, COMMAND.sub(r"<code>\1</code>", sentence(notice[key])))
        for name, key in lines
        if notice.get(key)
    ]
    if said:
        text += "<dl>" + "".join(f"<dt>{name}</dt><dd>{words}</dd>" for name, words in said) + "</dl>\n"
    if "at" in document:
        text += f'<p class="quiet">Checked {moment(document["at"])}{_reference(document)}</p>\n'
    return text + _passed_over(document.get("window") or {})


def _passed_over(window: Mapping[str, Any]) -> str:
    """Say what of the traffic and of the labels could not be read, and why."""
    told = []
    for what, count in (("captures", window.get("requests", 0)), ("labels", None)):
        reasons = sorted((window.get("malformed") or {}).get(what, {}).items(), key=lambda one: -one[1])
        if not reasons:
            continue
        lines = sum(n for _, n in reasons)
        of = (
            f"{digits(lines)} of {digits(count)} captured requests"
            if count
            else f"{digits(lines)} lines of labels"
        )
        words = "; ".join(f"{reason} ({digits(n)})" for reason, n in reasons[:LEAST])
        told.append(f"{of} cannot be read: {words}")
    if refused := window.get("refused_rows"):
        told.append(f"{digits(refused)} rows lack a required value")
    return "".join(f'<p class="quiet">{sentence(one)}.</p>\n' for one in told)


def _reference(document: Document) -> str:
    used = str((document.get("reference") or {}).get("used", "training")).replace("_", " ")
    run = f" of champion <code>{safe(document['champion'])}</code>" if "champion" in document else ""
    window = document.get("window") or {}
    span = f": {moment(window['first'])} to {moment(window['last'])}" if window.get("first") else ""
    return f", live traffic{run}{span}, beside {safe(used)}."


def _findings(document: Document, most: int) -> str:
    found = document["findings"]
    faults = [f for f in found if f["kind"] == "fault"]
    others = [f for f in found if f["kind"] != "fault"]
    text = ""
    if faults:
        text += "<h3>Data faults and their likely causes</h3>\n" + _sentences(faults, document, most)
    if others:
        text += ("<h3>Drift</h3>\n" if faults else "") + _sentences(others, document, most)
    return text or "<p>Nothing was found.</p>\n"


def _sentences(found: Sequence[Mapping[str, Any]], document: Document, most: int) -> str:
    since: Mapping[str, str] = document.get("since") or {}
    items = []
    for one in found[:most]:
        at = since.get(one["feature"])
        began = f' <span class="quiet">since {moment(at)}</span>' if at else ""
        items.append(f"<li>{sentence(one['sentence'])}{began}</li>")
    return f"<ul>{''.join(items)}</ul>\n{_more(len(found) - most)}"


def _more(left: int) -> str:
    return f'<p class="quiet">and {left} more in report.json</p>\n' if left > 0 else ""


def _pictures(features: Sequence[Mapping[str, Any]], most: int) -> str:
    drawn = [feature for feature in features if feature.get("shape")]
    if not drawn:
        return ""
    figures = "".join(picture(feature) for feature in drawn[:most])
    key = (
        '<p class="quiet"><span class="key" style="--swatch:var(--soft)"></span>baseline (a line over bins)'
        '<span class="key" style="--swatch:var(--accent)"></span>this window</p>\n'
    )
    left = len(drawn) - len(drawn[:most])
    more = (
        f'<p class="quiet">{left} further pictures are left out; report.json has them.</p>\n' if left else ""
    )
    return f'{key}<div class="many">{figures}</div>\n{more}'


def _every(features: Sequence[Mapping[str, Any]], most: int) -> str:
    shown = features[: MOST_ROWS if most else 5 * LEAST]
    rows = []
    for feature in shown:
        best = strongest(feature)
        ratio = best["effect"] / best["strong"] if best else None
        rows.append(
            [
                titled(feature["name"]),
                str(feature["status"]).replace("_", " "),
                share(feature["weight"]) if feature["weight"] else "",
                "" if ratio is None else digits(ratio),
            ]
        )
    heads = ("column", "state", "#importance", "#largest effect : strong")
    return table("every column", heads, rows) + _more(len(features) - len(shown))


def _quality_line(quality: Mapping[str, Any] | None) -> str:
    if not quality:
        return ""
    return (
        f" The champion's {safe(quality['metric'])} on {digits(quality['labelled'])} labelled rows: "
        f"{digits(quality['value'])} [{digits(quality['low'])}, {digits(quality['high'])}]."
    )


def _rank(feature: Mapping[str, Any]) -> tuple[bool, bool, bool, float, float, str]:
    """Order by what a reader looks for: faults, what drifted, and then the closest to drifting."""
    best = strongest(feature)
    ratio = best["effect"] / best["strong"] if best else 0.0
    drifted = feature.get("status") == "drifted" or bool(best and best["magnitude"] != "none")
    weight = float(feature["weight"]) if drifted else 0.0
    strong = bool(best and best["magnitude"] == "strong")
    return feature.get("status") != "fault", not strong, not drifted, -weight, -ratio, str(feature["name"])


def _section(title: str, inside: str) -> str:
    if not inside:
        return ""
    name = title.lower().replace(" ", "-").replace(",", "").replace("?", "")
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{title}</h2>\n{inside}</section>\n'
