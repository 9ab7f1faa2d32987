"""The page of ``driftwheel profile``: every column with its picture, its gaps and what to look at."""

from markupsafe import Markup

from driftwheel.discovery.column import Found, worth_showing
from driftwheel.discovery.survey import Survey
from driftwheel_cli.report import drawings
from driftwheel_cli.report.page import environment

MOST_PICTURES = 100


def page_of(found: Survey, model: str) -> str:
    """Lay a survey out as HTML: every value escaped, no script, nothing fetched."""
    return (
        environment()
        .get_template("profile.html")
        .render(
            model=model,
            found=found,
            columns=[
                {
                    "found": column,
                    "picture": Markup(_picture(column)) if place < MOST_PICTURES else "",  # noqa: S704  # drawn here
                    "notes": worth_showing(column.notes),
                    "leaking": found.leaking.get(column.name),
                    "alike": column.alike[:12],
                }
                for place, column in enumerate(found.columns)
            ],
        )
    )


def _picture(column: Found) -> str:
    if column.histogram:
        ends = [moment[:10] for moment in column.moments] if column.moments else None
        return drawings.histogram(column.histogram["edges"], column.histogram["counts"], column.name, ends)
    return drawings.frequencies(column.top[:6], column.name) if column.top and not column.identifier else ""
