"""The fault campaign's closed list of priority-1 cases: each has at least one test that names it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from .cases import BAD_INPUT, CASES, LATER, LOAD, MISSING, PARTLY, UNTRIED

TESTS = Path(__file__).parents[1]
QUOTES_CASES = TESTS / "campaign" / "test_table.py"
"""Its tests write a small test file, whose marks prove nothing."""
MARK = re.compile(r"pytest\.mark\.case\(\"([A-Z]{2}-\d\d)\"\)")
LEFT_OUT = {"skip", "skipif", "xfail", "importorskip", "skipTest", "SkipTest", "skipIf", "skipUnless"}
"""What pytest and unittest call a test that does not run, or may fail."""


def marked() -> set[str]:
    paths = (path for path in TESTS.rglob("test_*.py") if path != QUOTES_CASES)
    texts = (path.read_text(encoding="utf-8") for path in paths)
    return {case for text in texts for case in MARK.findall(text)}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_every_case_of_bad_input_has_a_test(case: str) -> None:
    assert case in marked(), BAD_INPUT[case]


@pytest.mark.parametrize("case", LOAD)
def test_every_case_of_load_that_we_run_has_a_test(case: str) -> None:
    assert case in marked(), LOAD[case]


@pytest.mark.parametrize("case", CASES)
def test_every_case_has_a_test_or_is_owned_up_to(case: str) -> None:
    assert case in marked() or case in MISSING, CASES[case]


def test_the_lists_name_no_other_cases_and_no_test_invents_one() -> None:
    known = CASES.keys() | LATER.keys() | BAD_INPUT.keys() | LOAD.keys()

    assert MISSING.keys() <= CASES.keys()
    assert PARTLY.keys() <= known
    assert not MISSING.keys() & PARTLY.keys()
    assert not UNTRIED.keys() & marked()
    assert {case for case in marked() if not case.startswith("OR-")} <= known


def left_out(text: str) -> Iterator[str]:
    """Name whatever in a module lets a test be left out, however it was imported."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and node.attr in LEFT_OUT:
            yield node.attr
        elif isinstance(node, ast.Name) and node.id in LEFT_OUT:
            yield node.id
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names if alias.name in LEFT_OUT)


def test_no_case_is_skipped_or_expected_to_fail() -> None:
    for path in TESTS.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if MARK.search(text) or not path.name.startswith("test_"):  # cases, and what they build on
            assert not list(left_out(text)), path


@pytest.mark.parametrize(
    "line",
    [
        "stats = pytest.importorskip('scipy.stats')",
        "pytestmark = pytest.mark.skipif(True, reason='')",
        "from pytest import importorskip as needed",
        "from pytest import skip; skip('not today')",
        "raise unittest.SkipTest",
        "@pytest.mark.xfail\ndef test_one(): ...",
    ],
)
def test_every_way_to_leave_a_test_out_is_seen(line: str) -> None:
    assert list(left_out(line))
