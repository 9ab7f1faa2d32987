"""What ``driftwheel drift`` prints of a report: the verdict, the tests, the quality that labels showed."""

from typing import Any

from driftwheel_cli.rendering import (
    measured,
    number,
    print_facts,
    print_line,
    print_table,
    printable,
    several,
    when,
)

ORDER = {"strong": 0, "slight": 1, "none": 2}

LATEST = 14
"""Hours or days printed; the page draws them all."""


def print_drift(model: str, report: dict[str, Any], uri: str, *, every: bool = False) -> None:
    """Print a drift report: the verdict, then the tests that found something, or every one."""
    baseline = f"{report['baseline_rows']:,}"
    facts = {
        "verdict": report["severity"],
        "says": report["sentence"],
        "rows": f"{report['rows']:,} (baseline {baseline}, minimum {report['minimum_rows']:,})",
        "tests": f"{report['tests_made']}, corrected significance {report['significance']}",
        "next": (report.get("notice") or {}).get("next", ""),
        "page": page_beside(uri),
        "report": uri,
    }
    if not facts["next"]:
        del facts["next"]
    print_facts(f"drift of {model}", facts)
    tests = [(feature, test) for feature in report["features"] for test in feature["tests"]]
    tests.sort(key=lambda pair: (ORDER[pair[1]["magnitude"]], -pair[0]["weight"], pair[0]["name"]))
    shown = [(f, t) for f, t in tests if every or t["magnitude"] != "none"]
    if shown:
        columns = (
            "feature",
            "importance",
            "test",
            "effect",
            "slight / strong from",
            "corrected p",
            "verdict",
        )
        print_table("tests", columns, [_test_row(feature, test) for feature, test in shown])
    if len(shown) < len(tests):
        print_line(f"{len(tests) - len(shown)} further tests found nothing; --all shows them")
    faults = [f for f in report["findings"] if f["kind"] == "fault"]
    if faults:
        rows = [(f["feature"], f["code"], f["sentence"]) for f in faults]
        print_table("faults", ("feature", "code", "why"), rows)
    print_unread(report)
    print_quality(report)
    print_told_apart(report)
    guess = report.get("estimate") or {}
    if guess.get("value") is not None:
        print_line(
            f"{guess['metric']} estimated from the scores of {guess['rows']:,} rows: {measured(guess)}, "
            "if a score means what it meant when the model was made"
        )


def print_unread(report: dict[str, Any]) -> None:
    """Print how many captured requests and labels could not be read, and why."""
    for what, reasons in ((report.get("window") or {}).get("malformed") or {}).items():
        if reasons:
            ranked = sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))
            why = several(f"{reason} ({times:,})" for reason, times in ranked)
            print_line(printable(f"{sum(reasons.values()):,} lines of {what} could not be read: {why}"))


def print_quality(report: dict[str, Any]) -> None:
    """Print what labels say: of the window by every metric, of its slices, and of each hour or day."""
    quality = report.get("quality")
    if quality:
        of = f" answered from {quality['since']} to {quality['until']}" if quality.get("since") else ""
        said = [f"{one['metric']} {measured(one)}" for one in (quality, *quality.get("beside", []))]
        print_line(
            f"{quality['labelled']:,} labelled rows{of} ({quality['coverage']:.0%}): {'; '.join(said)}"
        )
    labels = (report.get("window") or {}).get("labels") or {}
    if labels.get("known"):
        print_line(
            f"{labels['known']:,} labels known: {labels['corrected']:,} corrected by a later one, "
            f"{labels['repeated']:,} came again unchanged"
        )
    slices = report.get("slices") or {"measured": [], "few": 0, "not_captured": []}
    if slices["measured"]:
        columns = ("slice", "rows", "labelled", slices["metric"])
        rows = [
            (f"{one['column']} = {one['slice']}", f"{one['rows']:,}", f"{one['coverage']:.0%}", measured(one))
            for one in slices["measured"]
        ]
        print_table("quality by slice", columns, rows)
    if slices["few"]:
        print_line(f"{slices['few']:,} further slices: too few labels to measure, or beyond the largest")
    if slices["not_captured"]:
        print_line(f"no request carries {', '.join(slices['not_captured'])}: no slices by it")
    course = report.get("course") or {"periods": []}
    shown = [one for one in course["periods"] if "value" in one][-LATEST:]
    if shown:
        columns = (course["by"], "rows", "labelled", course["metric"])
        rows = [(one["at"], f"{one['rows']:,}", f"{one['coverage']:.0%}", measured(one)) for one in shown]
        print_table("quality over time, by all labels known now", columns, rows)


def print_told_apart(report: dict[str, Any]) -> None:
    """Print what the domain classifier's last job said."""
    found = report.get("domain_classifier")
    if found:
        said = found.get("sentence") or f"domain classifier: {found['state']} {found['reason']}".strip()
        print_line(f"{said} (job {found['job']}, window of the check of {when(found['at'])})")


def page_beside(report_uri: str) -> str:
    """Name the page of a drift report: drift_check writes it under the same prefix."""
    return f"{report_uri.rpartition('/')[0]}/drift.html"


def _test_row(feature: dict[str, Any], test: dict[str, Any]) -> tuple[str, ...]:
    return (
        feature["name"],
        f"{feature['weight']:.0%}" if feature["weight"] else "",
        test["kind"],
        number(float(test["effect"])),
        f"{number(test['slight'])} / {number(test['strong'])}",
        f"{test['adjusted']:.2g}" if test["adjusted"] else "< 1e-300",
        test["magnitude"],
    )
