"""Names of hours and days (UTC), as the times of captured requests begin: ``2026-11-29T09``."""

from datetime import datetime

HOUR, DAY = 13, 10
"""Characters of an ISO 8601 time that name its UTC hour and its day."""


def is_hour(name: str) -> bool:
    """Tell whether a text names an hour: a request's time is what its caller wrote."""
    try:
        return datetime.strptime(name, "%Y-%m-%dT%H").strftime("%Y-%m-%dT%H") == name  # noqa: DTZ007  # a name
    except ValueError:
        return False
