"""Names made of content."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def digest(*parts: object) -> str:
    """Name content: 16 hex digits of the SHA-256 of canonical JSON.

    >>> digest("flights", [1, 2]) == digest("flights", [1, 2])
    True
    """
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def recipe_digest(recipe: Mapping[str, Any]) -> str:
    """Give the sha256 of a recipe's canonical JSON."""
    text = json.dumps(recipe, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
