"""The page of one run: what was decided, on which numbers, from which data."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from driftwheel.aws.objects import Objects
from driftwheel.drift.figures import digits, share
from driftwheel.drift.page import found_in, style
from driftwheel_cli.report import drawings
from driftwheel_cli.report.artifacts import Artifacts, read_artifacts
from driftwheel_cli.sections import refusal_sentence, refusals

GAPS = (
    *("missing", "bad_literal", "outside_range", "outliers", "filled"),
    *("trimmed", "folded", "canonical", "unlisted"),
)
MOST_COLUMNS = 40
"""Drawn; a table of a thousand columns is no report."""

FLOW = {
    "read": "read",
    "captured": "of them captured",
    "rejected": "rejected",
    "unlabelled": "unlabelled",
    "outside_window": "outside the window",
    "duplicates": "duplicates",
    "train": "train",
    "validation": "validation",
    "holdout": "holdout",
}
"""Counts of a profile in the order rows meet them, and how they read."""

State = tuple[str, float, str]


def write_report(
    reader: Objects,
    artifact_bucket: str,
    model: str,
    run_id: str,
    path: Path,
    *,
    states: Sequence[State] = (),
) -> Path:
    """Write a run's page; ``states`` are name, seconds and what each left behind.

    Raises ArtifactInvalid when the run has no ``run.json``; any other missing part is named on the page.
    """
    path.write_text(page_of(read_artifacts(reader, artifact_bucket, model, run_id), states), encoding="utf-8")
    return path


def page_of(found: Artifacts, states: Sequence[State] = ()) -> str:
    """Lay a run out as HTML: every value escaped, no script, nothing fetched."""
    verdict, profile = found.verdict, found.profile
    return (
        environment()
        .get_template("run.html")
        .render(
            run=found.run,
            headline=headline(found),
            verdict=verdict,
            forest=Markup(drawings.comparison(verdict)) if verdict else "",  # noqa: S704  # drawn here, escaped there
            flow=[(words, profile["rows"].get(name, 0)) for name, words in FLOW.items()] if profile else [],
            columns=[_column(name, column) for name, column in _columns(profile)],
            unshown=max(0, len((profile or {}).get("columns", {})) - MOST_COLUMNS),
            timeline=Markup(drawings.timeline((profile or {}).get("time") or {})),  # noqa: S704
            profile=profile,
            training=found.training,
            drift=found.drift,
            drifted=Markup(found_in(found.drift)) if found.drift else "",  # noqa: S704  # escaped there
            aside=[refusal_sentence(refusal) for refusal in refusals(found.run)],
            states=states,
        )
    )


def environment() -> Environment:
    """Open the templates: whatever they show is escaped."""
    found = Environment(
        loader=PackageLoader("driftwheel_cli.report", "."), autoescape=True, undefined=StrictUndefined
    )
    found.filters |= {"digits": digits, "share": share}
    found.globals["style"] = Markup(style())  # noqa: S704  # our own file
    return found


def headline(found: Artifacts) -> str:
    """Say in a sentence how the run ended and which numbers decided."""
    outcome = found.run.get("record_outcome") or {}
    reasons = [str(reason.get("sentence", "")) for reason in (found.verdict or {}).get("reasons", [])]
    sentence = str(outcome.get("sentence", "its end was not recorded"))
    return f"{reasons[0]}; {sentence}" if reasons and reasons[0] not in sentence else sentence


def _columns(profile: dict[str, Any] | None) -> list[tuple[str, dict[str, Any]]]:
    return list((profile or {}).get("columns", {}).items())[:MOST_COLUMNS]


def _column(name: str, column: dict[str, Any]) -> dict[str, Any]:
    picture = words = ""
    if column.get("histogram"):
        picture = drawings.histogram(column["histogram"]["edges"], column["histogram"]["counts"], name)
    elif column.get("top"):
        picture = drawings.frequencies(column["top"], name)
    elif column.get("first"):
        words = f"{column['first']} to {column['last']}"
    elif column.get("distinct"):
        words = f"{column['distinct']:,} different values, not shown: such values may name somebody"
    rows = column["given"] + column["missing"]
    gaps = {word: column.get(word, 0) for word in GAPS}
    return {
        "name": name,
        "type": column["type"],
        "picture": Markup(picture),  # noqa: S704
        "words": words or "no value",
        "gaps": [(word.replace("_", " "), count / rows) for word, count in gaps.items() if count and rows],
    }
