"""Lists that travel with a run: what is long lies in S3, and the state machine carries its begin."""

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from driftwheel.aws.objects import Objects
from driftwheel.layout import S3Uri
from driftwheel.refusal import Refusal

REFUSED_BYTES = 6_000
LEAKAGE_BYTES = 2_000
SHIFT_BYTES = 4_000
REASONS_BYTES = 8_000
"""With a run of ``run.MAXIMUM_BYTES`` and a failure's cause (32 KB at most) they stay below 262,144."""

LONGEST_TEXT = 1_000
Entry = TypeVar("Entry")


def refused_fields(refused: Sequence[Refusal], whole: S3Uri, objects: Objects) -> dict[str, Any]:
    """Word a section's refusals; where they are many, all of them are written to ``whole`` first."""
    few = begin_of(refused, REFUSED_BYTES, Refusal.facts)
    if len(few) == len(refused):
        return {"refused": list(refused)}
    objects.write_json(whole, [refusal.facts() for refusal in refused])
    return {"refused": few, "more_refused": len(refused) - len(few), "refused_uri": str(whole)}


def all_refused(section: Any, objects: Objects) -> list[Refusal]:
    """Read what a section refused, all of it."""
    if section.refused_uri is None:
        return list(section.refused)
    return [Refusal(**facts) for facts in objects.read_json(S3Uri.parse(section.refused_uri))]


def few_of(texts: Sequence[str], most: int) -> list[str]:
    """Give the first texts that fit, each cut at its end where it is long, and a last one for the others.

    >>> few_of(["a" * 30, "b" * 30, "c"], 40)
    ['aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'and 2 more']
    """
    few = begin_of([cut(text) for text in texts], most, str)
    more = len(texts) - len(few)
    return [*few, f"and {more:,} more"] if more else few


def few_reasons(reasons: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give a verdict's first reasons that fit; the evaluation holds all of them."""
    short = [
        reason | {"sentence": cut(reason["sentence"]), "numbers": _short(reason["numbers"])}
        for reason in reasons
    ]
    few = begin_of(short, REASONS_BYTES, lambda reason: reason)
    more = len(reasons) - len(few)
    last = {"code": "more", "sentence": f"and {more:,} more reasons in evaluation.json", "numbers": {}}
    return [*few, last] if more else few


def cut(text: str) -> str:
    """Cut a text of more than a thousand characters, and say so."""
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} …"


def begin_of(entries: Sequence[Entry], most: int, plain: Callable[[Entry], Any]) -> list[Entry]:
    """Give the first entries whose JSON is at most so many bytes together."""
    few, size = [], 0
    for entry in entries:
        size += len(json.dumps(plain(entry), default=str)) + 1
        if size > most:
            break
        few.append(entry)
    return few


def _short(numbers: dict[str, Any]) -> dict[str, Any]:
    return {name: cut(value) if isinstance(value, str) else value for name, value in numbers.items()}
