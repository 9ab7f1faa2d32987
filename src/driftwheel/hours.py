"""Names of hours and days (UTC), as the times of captured requests begin: ``2026-11-29T09``."""

import re

HOUR, DAY = 13, 10
"""Characters of an ISO 8601 time that name its UTC hour and its day."""

_NAME = re.compile(r"\d{4}-\d\d-\d\dT\d\d")


def is_hour(name: str) -> bool:
    """Tell whether a text names an hour: a request's time is what its caller wrote."""
    return _NAME.fullmatch(name) is not None
