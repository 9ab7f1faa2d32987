"""Collects what every case did in a run, and writes the campaign's table between the page's markers.

``pytest -p tests.campaign.table --campaign-table docs/reliability.md``. Tests name their cases by
``@pytest.mark.case``, count by ``record_property("count <what>", n)`` and speak by ``("said", text)``.
"""

import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

TOTALS = {
    "faults injected": ("faults ", "kill"),
    "bad inputs tried (tests of files; what walks and storms drop again and again is not in it)": (
        "tests of bad input",
    ),
    "deliveries": ("deliveries to",),
    "trainings": ("trainings",),
    "requests while the champion was swapped (without the pauses between)": ("requests while",),
    "failed requests, those of the pauses too (while challengers were killed: or wrong answers)": (
        "failed ",
    ),
}
"""What the run must show → how the names of its parts begin."""
BEGIN, END = "<!-- campaign: written by make campaign -->", "<!-- campaign: end -->"


@dataclass
class Case:
    """What became of one case: its tests, its seconds, and what its tests said of their size."""

    passed: int = 0
    failed: int = 0
    seconds: float = 0.0
    said: list[str] = field(default_factory=list)

    def result(self) -> str:
        """The word in the table."""
        return f"{self.failed} of {self.failed + self.passed} failed" if self.failed else "passed"


class Collector:
    """One session's outcomes, from every worker's reports."""

    def __init__(self, page: Path) -> None:
        self._page = page
        self._began = time.monotonic()
        self._outcomes: dict[str, str] = {}
        self._seconds: Counter[str] = Counter()
        self._properties: dict[str, list[tuple[str, object]]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the worst phase of each test and all its seconds."""
        self._seconds[report.nodeid] += report.duration
        self._properties[report.nodeid] = list(report.user_properties)
        if report.failed or self._outcomes.get(report.nodeid) == "failed":
            self._outcomes[report.nodeid] = "failed"
        elif report.when == "call" or report.skipped:
            self._outcomes[report.nodeid] = report.outcome

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Write the page; a session that was cut short writes nothing."""
        if self._outcomes and exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
            text = self._page.read_text(encoding="utf-8")
            before, _, rest = text.partition(BEGIN)
            _, _, after = rest.partition(END)
            self._page.write_text(f"{before}{BEGIN}\n\n{self._written()}\n\n{END}{after}", encoding="utf-8")

    def cases(self) -> dict[str, Case]:
        """Gather the tests by case."""
        found: dict[str, Case] = defaultdict(Case)
        for nodeid, outcome in self._outcomes.items():
            properties = self._properties[nodeid]
            for case in {str(value) for name, value in properties if name == "case"}:
                found[case].seconds += self._seconds[nodeid]
                found[case].passed += outcome == "passed"
                found[case].failed += outcome != "passed"
                found[case].said += [str(value) for name, value in properties if name == "said"]
        return found

    def counts(self) -> Counter[str]:
        """Add up what the tests counted."""
        total: Counter[str] = Counter()
        for nodeid, properties in self._properties.items():
            for name, value in properties:
                if name.startswith("count "):
                    total[name.removeprefix("count ")] += int(str(value))
            if any(name == "case" and str(value).startswith("DA-") for name, value in properties):
                total["tests of bad input"] += nodeid in self._outcomes
        return total

    def totals(self) -> dict[str, int]:
        """Add the counts up to what the run must show."""
        counts = self.counts()
        return {
            name: sum(count for part, count in counts.items() if part.startswith(parts))
            for name, parts in TOTALS.items()
        }

    def _written(self) -> str:
        from tests.faults.cases import BAD_INPUT, CASES, LATER, LOAD, PARTLY, UNTRIED

        found = self.cases()
        passed = sum(case.failed == 0 for case in found.values())
        tests, took = len(self._outcomes), f"{(time.monotonic() - self._began) / 60:.0f} minutes"
        head = (
            f"`make campaign` on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} processors, {took}"
        )
        without = len((CASES | LOAD | BAD_INPUT | LATER | UNTRIED).keys() - found.keys())
        sizes = f"{passed} of {len(found)} cases passed in {tests} tests; {without} have no test"
        note = "A test may stand for several cases; each then has all its seconds."
        lines = [
            f"{head}: {sizes}. {note}",
            "",
            *_table(("In all", "In this run"), self.totals().items()),
            "",
            *_table(("Of which", "In this run"), sorted(self.counts().items())),
            "",
            *_table(("Case", "What", "Result", "Tests", "Seconds"), _rows(CASES | LOAD, found, PARTLY)),
            "",
            "Priority 2, and bad input:",
            "",
            *_table(
                ("Case", "What", "Result", "Tests", "Seconds"),
                _rows(BAD_INPUT | LATER | UNTRIED, found, PARTLY),
            ),
        ]
        return "\n".join(lines)


def _rows(
    cases: dict[str, str], found: dict[str, Case], partly: dict[str, str]
) -> Iterable[tuple[object, ...]]:
    for name, what in sorted(cases.items()):
        case = found.get(name, Case())
        said = "; ".join(dict.fromkeys([*case.said, *filter(None, [partly.get(name)])]))
        result = case.result() if name in found else "no test"
        yield (
            name,
            what,
            f"{result}: {said}" if said else result,
            case.passed + case.failed,
            f"{case.seconds:.1f}",
        )


def _table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> list[str]:
    lines = [head, tuple("---" for _ in head), *rows]
    return ["| " + " | ".join(_cell(value) for value in line) + " |" for line in lines]


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the page's name."""
    parser.addoption("--campaign-table", metavar="PAGE", help="Write the campaign's table into PAGE.")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let every report say which cases its test stands for."""
    for item in items:
        item.user_properties += [("case", mark.args[0]) for mark in item.iter_markers("case")]


def pytest_configure(config: pytest.Config) -> None:
    """Collect where the reports come together: not in xdist's workers."""
    page = config.getoption("--campaign-table")
    if page and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Collector(Path(page)), "campaign-collector")
