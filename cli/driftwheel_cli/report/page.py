"""The page of one run: what was decided, on which numbers, from which data."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from driftwheel.aws.objects import Objects
from driftwheel.layout import RunLayout, S3Uri


def write_report(reader: Objects, artifact_bucket: str, model: str, run_id: str, path: Path) -> Path:
    """Write the run's page; what the run did not record is named there, a missing ``run.json`` raises."""
    place = RunLayout(artifact_bucket, model, run_id)
    page = page_of(
        reader.read_json(place.record),
        _read(reader, place.step("evaluation_gate") / "evaluation.json"),
        _read(reader, place.step("preprocessing") / "profile.json"),
    )
    path.write_text(page, encoding="utf-8")
    return path


def page_of(run: dict[str, Any], verdict: dict[str, Any] | None, profile: dict[str, Any] | None) -> str:
    """Lay a run out as HTML: every value escaped, no script, nothing fetched."""
    environment = Environment(
        loader=PackageLoader("driftwheel_cli.report", "."), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["digits"] = digits
    return environment.get_template("run.html").render(run=run, verdict=verdict, profile=profile)


def digits(value: Any) -> str:
    """Write a number as people read it.

    >>> digits(0.73861), digits(10996), digits(None)
    ('0.7386', '10,996', 'not recorded')
    """
    if value is None:
        return "not recorded"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _read(reader: Objects, uri: S3Uri) -> dict[str, Any] | None:
    if not reader.exists(uri):
        return None
    document: dict[str, Any] = reader.read_json(uri)
    return document
