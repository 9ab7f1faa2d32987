# ruff: noqa: S608  # every name below is quoted by literals.identifier
"""Features that tell a model nothing: the same value in every row, or another feature written differently."""

import itertools
from typing import Any

from driftwheel.dataset.workspace import Workspace
from driftwheel.recipe.encodings import output_names
from driftwheel.recipe.literals import identifier

COMPARED = 40
"""Features compared pair by pair: 780 pairs cost a tenth of a second, 5,000 would cost a run its patience."""

LINE = 1 - 1e-9


def redundant(space: Workspace, params: dict[str, Any]) -> list[str]:
    """Say which features of ``sample`` are constant, and which pairs lie on one line.

    A note for people: trees ignore both, so nothing is dropped and no run fails of it. Pairs are looked for
    among the first 40 features that vary.
    """
    names = [output for output, _, _ in output_names(space.recipe, params)]
    columns = [identifier(f"x.{name}") for name in names]
    spread = space.one("SELECT " + ", ".join(f"min({x}), max({x})" for x in columns) + " FROM sample")
    notes: list[str] = []
    scaled: dict[int, str] = {}
    for place, name in enumerate(names):
        low, high = spread[2 * place : 2 * place + 2]
        if low == high:
            notes.append(f"{name} is {'missing' if low is None else 'the same'} in every row")
        elif width := high / 2 - low / 2:
            # Between 0 and 1: the square of a value near 1e200 is no number any more.
            scaled[place] = f"({columns[place]} / 2 - {low / 2!r}) / {width!r}"
    pairs = list(itertools.combinations(list(scaled)[:COMPARED], 2))
    if pairs:
        asked = ", ".join(
            f"CASE WHEN count({columns[a]}) = count({columns[b]}) THEN corr({scaled[a]}, {scaled[b]}) END"
            for a, b in pairs
        )
        found = space.one(f"SELECT {asked} FROM sample")
        notes += [
            f"{names[b]} follows from {names[a]}: they lie on one line"
            for (a, b), value in zip(pairs, found, strict=True)
            if value is not None and abs(value) > LINE
        ]
    return notes
