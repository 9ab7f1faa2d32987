"""Two files beside each other: has the second drifted from the first, or is it broken?"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from driftwheel.discovery.typed import NotTyped, batches, names_of
from driftwheel.drift.baseline import column_weights
from driftwheel.drift.check import check
from driftwheel.drift.column import NumberSummary
from driftwheel.drift.faults import WRONG_TYPE
from driftwheel.drift.finding import DriftReport, Finding
from driftwheel.drift.limits import Limits
from driftwheel.drift.summaries import Summariser, Summary
from driftwheel.drift.window import Window
from driftwheel.errors import SpecInvalid
from driftwheel.recipe.column_rule import declare_column
from driftwheel.recipe.notation import Rule

if TYPE_CHECKING:
    from driftwheel.discovery.texts import Misfits
    from driftwheel.spec import Column, ModelSpec

FILES_WORDS = {
    ": retraining waits until it is mended": "",
    "the training rows": "the baseline's rows",
    "the training data": "the baseline",
    "in training": "in the baseline",
}
"""What a check says of a model's training, and what it is between two files."""

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
    progress: Callable[[str], None] = lambda _: None,
) -> DriftReport:
    """Compare two files column by column with the tests of a drift check.

    Columns are those of ``spec``, else inferred from the baseline; both files are cleaned alike. A column the
    current file lacks is missing in all its rows. Rows are read in batches: memory does not grow with them.
    Raises Unreadable for a file that cannot be read, SpecInvalid when the two share no column.
    """
    with _File(current, folder / "glance") as file:
        file.glance()  # nobody waits for the baseline to hear that the other file is empty
    progress(f"reading {baseline.name}")
    learned = learn(baseline, folder, spec)
    progress(f"reading {current.name}")
    return judge(learned, current, folder, limits or (spec.drift.limits if spec else Limits()))


def learn(baseline: Path, folder: Path, spec: "ModelSpec | None" = None) -> Learned:
    """Summarise a baseline, once for any number of files; see ``compare``."""
    with _File(baseline, folder / "baseline") as file:
        if spec:
            columns = {name: column for name, column in spec.columns.items() if name in file.names}
        else:
            columns = {name: _widened(column) for name, column in file.declared().items()}
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
        now, misfits = _misfits(file, learned, now)
    known = {"weights": column_weights(learned.kinds, {}, {}), "quality": NO_QUALITY}
    window = Window(summary=now, about={"baseline": learned.name, "current": current.name})
    report = check(known, window, limits, learned.units, whole="all columns", before=learned.summary)
    findings = [_told(finding, misfits, learned.kinds, report.rows) for finding in report.findings]
    return replace(report, findings=findings, sentence=_beside_a_file(report.sentence))


def _widened(column: "Column") -> "Column":
    """Take whole numbers that nobody declared for numbers: another unit has decimals."""
    return column.model_copy(update={"type": "number"}) if column.type == "integer" else column


def _misfits(file: "_File", learned: Learned, now: Summary) -> "tuple[Summary, dict[str, Misfits]]":
    """Find the values of another type among what went missing, and count numbers' as invalid."""
    found: dict[str, Misfits] = {}
    columns = dict(now.columns)
    for name, column in now.columns.items():
        before = learned.summary.columns[name]
        usual = now.rows * before.nulls / before.rows if before.rows else 0
        if name not in file.names or column.nulls - usual < WRONG_TYPE * now.rows:
            continue
        misfits = file.misfits(learned.rules[name])
        if misfits is None:
            continue
        found[name] = misfits
        if isinstance(column, NumberSummary):
            invalid = min(misfits.count, int(column.nulls - usual))
            columns[name] = replace(column, nulls=column.nulls - invalid, invalid=column.invalid + invalid)
    return replace(now, columns=columns), found


def _told(finding: Finding, misfits: "Mapping[str, Misfits]", kinds: Mapping[str, str], rows: int) -> Finding:
    """Name the cause where values only seem to be missing, and speak of files."""
    wrong = misfits.get(finding.feature)
    if wrong is None or finding.code not in {"wrong_type", "null_burst", "missing_column"}:
        return replace(finding, sentence=_beside_a_file(finding.sentence))
    kind = kinds[finding.feature]
    sentence = (
        f"{wrong.count:,} of {rows:,} values of {finding.feature} are no {kind}, first {wrong.first[:40]!r}, "
        f"{wrong.place}: another type, or another way to write it."
    )
    numbers = {"count": wrong.count, "share": wrong.count / rows, "first": wrong.first, "place": wrong.place}
    return replace(finding, code="wrong_type", sentence=sentence, numbers=finding.numbers | numbers)


def _beside_a_file(sentence: str) -> str:
    """Reword what a check says of a model's training: here there are two files."""
    for model, file in FILES_WORDS.items():
        sentence = sentence.replace(model, file)
    return sentence


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

    def glance(self) -> None:
        """Refuse a file that its first bytes show to be none of rows and columns."""
        try:
            names_of(self.path)
        except NotTyped:
            from driftwheel.discovery.reading import glance  # noqa: PLC0415  # DuckDB, as above

            glance(self.path)

    def misfits(self, rule: Rule) -> "Misfits | None":
        """Count the values of a column that are not of its type."""
        found: Misfits | None = self._texts.misfits(rule)
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
