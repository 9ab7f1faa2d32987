"""The campaign's page is written by the run: outcomes by case, counts, and failures shown as failures."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.cases import PARTLY

from .table import BEGIN, END

ROOT = Path(__file__).parents[2]
CASES = """
import pytest

@pytest.mark.case("LD-01")
@pytest.mark.case("SF-11")
def test_good(record_property):
    record_property("count kills", 2)
    record_property("said", "two kills")

@pytest.mark.case("DA-01")
@pytest.mark.parametrize("body", ["", " "])
def test_file(body, record_property):
    record_property("count drops of one and the same empty file, in memory", 50)

@pytest.mark.case("LD-07")
def test_load(record_property):
    record_property("count requests while models were exchanged under load", 7)
    record_property("count requests in the pauses between exchanges", 900)

@pytest.mark.case("SF-11")
def test_bad(record_property):
    record_property("count kills", 1)
    assert False
"""


def written(tmp_path: Path, *more: str, ends: int = pytest.ExitCode.TESTS_FAILED, cases: str = CASES) -> str:
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{BEGIN}\nof an earlier run\n{END}\n\nafter\n", encoding="utf-8")
    (tmp_path / "test_cases.py").write_text(cases, encoding="utf-8")
    options = ["-p", "tests.campaign.table", "--campaign-table", str(page), "-p", "no:cacheprovider"]
    markers = ["-c", "/dev/null", "--rootdir", str(tmp_path), "-W", "ignore", *more]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *markers, str(tmp_path / "test_cases.py")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == ends, ended.stdout + ended.stderr
    return page.read_text(encoding="utf-8")


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["alone", "by a worker"])
def test_a_session_that_is_cut_short_writes_nothing(tmp_path: Path, workers: tuple[str, ...]) -> None:
    cut = CASES + "\n\ndef test_last():\n    pytest.exit('by hand', returncode=2)\n"

    page = written(tmp_path, *workers, ends=pytest.ExitCode.INTERRUPTED, cases=cut)

    assert page == f"before\n\n{BEGIN}\nof an earlier run\n{END}\n\nafter\n"


def test_every_case_has_its_row_and_a_failure_is_said(tmp_path: Path) -> None:
    page = written(tmp_path)

    assert page.startswith(f"before\n\n{BEGIN}\n")
    assert page.endswith(f"{END}\n\nafter\n")
    assert "of an earlier run" not in page
    assert "3 of 4 cases passed in 5 tests; " in page
    assert " have no test. " in page
    lines = {line.split(" | ")[0]: line for line in page.splitlines()}
    assert f"passed: two kills; {PARTLY['LD-01']} | 1 |" in lines["| LD-01"]
    assert "1 of 2 failed: two kills | 2 |" in lines["| SF-11"]
    assert f"| no test: {PARTLY['LD-02']} | 0 |" in lines["| LD-02"]
    assert "| no test | 0 |" in lines["| LD-03"]
    assert lines["| kills"] == "| kills | 3 |"
    assert lines["| faults injected"] == "| faults injected | 3 |"
    assert lines["| trainings"] == "| trainings | 0 |"
    totals = {line.split(" (")[0]: line for line in lines.values()}
    assert totals["| bad inputs tried"].endswith(" | 2 |"), "tests of files, not drops of one file"
    assert totals["| requests while the champion was swapped"].endswith(" | 7 |"), "without the pauses"


def test_workers_reports_are_counted_once(tmp_path: Path) -> None:
    page = written(tmp_path, "--numprocesses", "2")

    assert "| kills | 3 |" in page
    assert "1 of 2 failed: two kills | 2 |" in page
