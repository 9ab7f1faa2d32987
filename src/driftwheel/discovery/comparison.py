"""Two files beside each other: has the second drifted from the first, or is it broken?"""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from driftwheel.discovery.typed import NotTyped, batches, names_of
from driftwheel.drift.baseline import column_weights
from driftwheel.drift.check import check
from driftwheel.drift.finding import DriftReport
from driftwheel.drift.limits import Limits
from driftwheel.drift.summaries import Summariser, Summary
from driftwheel.drift.window import Window
from driftwheel.errors import SpecInvalid
from driftwheel.recipe.column_rule import declare_column
from driftwheel.recipe.notation import Rule

if TYPE_CHECKING:
    from driftwheel.spec import Column, ModelSpec

NO_QUALITY = {"metric": "auc", "value": None, "error": None}


@dataclass(frozen=True)
class Learned:
    """What is remembered of a baseline: the rules its columns are cleaned by, their units, their summary."""

    name: str
    rules: Mapping[str, Rule]
    units: Mapping[str, str]
    summary: Summary

    @property
    def kinds(self) -> dict[str, str]:
        """Column → its type."""
        return {name: rule["type"] for name, rule in self.rules.items()}


def compare(
    baseline: Path,
    current: Path,
    folder: Path,
    spec: "ModelSpec | None" = None,
    limits: Limits | None = None,
) -> DriftReport:
    """Compare two files column by column with the tests of a drift check.

    Columns are those of ``spec``, else inferred from the baseline; both files are cleaned alike. A column the
    current file lacks is missing in all its rows. Rows are read in batches: memory does not grow with them.
    Raises Unreadable for a file that cannot be read, SpecInvalid when the two share no column.
    """
    learned = learn(baseline, folder, spec)
    return judge(learned, current, folder, limits or (spec.drift.limits if spec else Limits()))


def learn(baseline: Path, folder: Path, spec: "ModelSpec | None" = None) -> Learned:
    """Summarise a baseline, once for any number of files; see ``compare``."""
    with _File(baseline, folder / "baseline") as file:
        if spec:
            columns = {name: column for name, column in spec.columns.items() if name in file.names}
        else:
            columns = file.declared()
        if not columns:
            raise SpecInvalid(f"{baseline} has none of the declared columns; it has {', '.join(file.names)}")
        rules = {name: declare_column(name, column) for name, column in columns.items()}
        units = {name: column.unit for name, column in columns.items() if column.unit}
        return Learned(baseline.name, rules, units, file.summary(rules))


def judge(learned: Learned, current: Path, folder: Path, limits: Limits) -> DriftReport:
    """Say whether a file has drifted from what was learned; see ``compare``."""
    with _File(current, folder / "current") as file:
        if not set(file.names) & set(learned.rules):
            raise SpecInvalid(f"{current} has no column of {learned.name}: are these the same kind of file?")
        now = file.summary(learned.rules, learned.summary)
    known = {"weights": column_weights(learned.kinds, {}, {}), "quality": NO_QUALITY}
    window = Window(summary=now, about={"baseline": learned.name, "current": current.name})
    return check(known, window, limits, learned.units, whole="all columns", before=learned.summary)


class _File:
    """One file; it is loaded as text only when its own types do not say enough."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.path, self.folder, self._open = path, folder, ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @cached_property
    def _texts(self) -> Any:
        # DuckDB takes as long to import as a million typed rows to compare, which do without it.
        from driftwheel.discovery.texts import Texts  # noqa: PLC0415

        return self._open.enter_context(Texts.of(self.path, self.folder))

    def declared(self) -> "dict[str, Column]":
        """Infer what the columns are."""
        found: dict[str, Column] = self._texts.declared()
        return found

    @cached_property
    def names(self) -> list[str]:
        try:
            return names_of(self.path)
        except NotTyped:
            found: list[str] = self._texts.columns
            return found

    def summary(self, rules: Mapping[str, Rule], like: Summary | None = None) -> Summary:
        kinds = {name: rule["type"] for name, rule in rules.items()}
        try:
            return _total(batches(self.path, rules), kinds, like)
        except NotTyped:
            return _total(self._texts.batches(rules), kinds, like)


def _total(parts: Iterable[Mapping[str, Any]], kinds: Mapping[str, str], like: Summary | None) -> Summary:
    total = Summariser(kinds, like)
    for columns in parts:
        total.add(columns)
    return total.build()
