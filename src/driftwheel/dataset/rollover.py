"""Which rows judge: the champion's pinned holdout, or a new one that it was never trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from driftwheel.dataset import splits
from driftwheel.dataset.workspace import Workspace

if TYPE_CHECKING:
    from driftwheel.dataset.finish import Inputs, Pinned


@dataclass(frozen=True)
class Judges:
    """The holdout that stays, or None and what a new one leaves out (``splits.assign``)."""

    pinned: "Pinned | None" = None
    seen: str | None = None
    taught: Sequence[Path] = ()
    notes: tuple[str, ...] = ()


def choose(space: Workspace, inputs: "Inputs", asked: str) -> Judges:
    """Keep the pinned holdout unless a new one is allowed, or its rows no longer answer what is ``asked``.

    A new one needs ``evaluation.minimum_rows`` rows that the champion does not know. Without them the old one
    stays; where it cannot, the new one is as declared, and known rows in it can only favour the champion.
    """
    pinned, least = inputs.pinned, space.spec.evaluation.minimum_rows
    changed = pinned is not None and pinned.question != asked
    if pinned is None or not (inputs.rollover or changed):
        return Judges(pinned)
    seen = splits.seen_until(space, inputs.baseline)
    if space.spec.split.by == "time":
        taught: Sequence[Path] = ()
        new = splits.newer(space, seen)
        told = f"{new} rows are newer than {seen}, up to which the champion was trained"
    else:
        taught = inputs.taught
        new = splits.judges(space, seen, taught)
        told = f"a new one would have {new} rows that the champion was not trained on"
    if new >= least:
        return Judges(None, seen, taught)
    needed = f"{told}; {least} (evaluation.minimum_rows) are needed to judge on"
    if changed:
        return Judges(notes=(f"the new holdout may hold rows that the champion was trained on: {needed}",))
    return Judges(pinned, notes=(f"the holdout stays: {needed}",))
