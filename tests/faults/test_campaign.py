"""The fault campaign's closed list of priority-1 cases: each has at least one test that names it."""

import re
from pathlib import Path

import pytest

from .cases import CASES, LATER, MISSING, PARTLY

TESTS = Path(__file__).parents[1]
MARK = re.compile(r"pytest\.mark\.case\(\"([A-Z]{2}-\d\d)\"\)")

BAD_INPUT = {
    "DA-01": "no bytes",
    "DA-02": "a header only, one row, fewer rows than the minimum",
    "DA-03": "one class, or too few rows of a class",
    "DA-04": "labels missing, their column absent or renamed",
    "DA-05": "columns added, removed, reordered, retyped",
    "DA-06": "byte order mark, CRLF, quoted newlines and commas",
    "DA-07": "UTF-16, Latin-1, mixed encodings, NUL",
    "DA-08": "an unclosed quote near the end of a large file",
    "DA-09": "ragged rows, another delimiter",
    "DA-10": "a column name twice",
    "DA-11": "NaN, inf, 1e400, 1,234, twenty digits, 0x10",
    "DA-12": "NA, NULL, None and nan as words",
    "DA-13": "one country in six spellings",
    "DA-14": "duplicate rows, the same row in two splits",
    "DA-15": "a feature that is the label",
    "DA-16": "ten thousand columns, cells of ten megabytes",
    "DA-17": "a gzip bomb, gzip inside gzip",
    "DA-18": "a Parquet bomb whose metadata lies",
    "DA-19": "truncated Parquet, wrong magic, Parquet named .csv",
    "DA-21": "duplicate keys, NaN, deep nesting, a line of a gigabyte",
    "DA-22": "constant and collinear features, a word at row 999,999",
    "DA-23": "another class balance or unit",
    "DA-24": "flipped labels in a new file",
}


def marked() -> set[str]:
    texts = (path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py"))
    return {case for text in texts for case in MARK.findall(text)}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_every_case_of_bad_input_has_a_test(case: str) -> None:
    assert case in marked(), BAD_INPUT[case]


@pytest.mark.parametrize("case", CASES)
def test_every_case_has_a_test_or_is_owned_up_to(case: str) -> None:
    assert case in marked() or case in MISSING, CASES[case]


def test_the_lists_name_no_other_cases_and_no_test_invents_one() -> None:
    known = CASES.keys() | LATER.keys() | BAD_INPUT.keys()

    assert MISSING.keys() | PARTLY.keys() <= CASES.keys()
    assert not MISSING.keys() & PARTLY.keys()
    assert {case for case in marked() if not case.startswith("OR-")} <= known


def test_no_case_is_skipped_or_expected_to_fail() -> None:
    for path in TESTS.rglob("test_*.py"):
        text = path.read_text(encoding="utf-8")
        if MARK.search(text):
            assert not re.search(r"pytest\.(mark\.)?(skip|xfail|skipif)\b", text), path
