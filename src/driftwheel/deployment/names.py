"""Names SageMaker accepts: letters, digits and single hyphens inside, at most 63 characters."""

import hashlib
import re

LONGEST = 63

PATTERN = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
"""The strictest of SageMaker's name patterns: jobs, endpoints, endpoint configs, package groups."""


def resource_name(*parts: str) -> str:
    """Join parts with hyphens; the same parts always give the same name, so a retry never invents a new one.

    Too long a name keeps its beginning and ends with a digest of the whole. Raises ValueError when a part
    holds characters SageMaker refuses.

    >>> resource_name("driftwheel", "flights", "ab12")
    'driftwheel-flights-ab12'
    >>> len(resource_name("driftwheel", "x" * 80))
    63
    """
    name = "-".join(parts)
    if len(name) > LONGEST:
        digest = hashlib.sha256(name.encode()).hexdigest()[:12]
        name = f"{name[: LONGEST - 13].rstrip('-')}-{digest}"
    if not PATTERN.fullmatch(name):
        raise ValueError(f"{name!r} is not a SageMaker name: letters, digits and inner hyphens only")
    return name
