"""Two files compared: drift, faults and silence, from the command line, with bounded answers."""

import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner

from driftwheel.discovery.comparison import compare
from driftwheel_cli.main import cli


def write(
    path: Path, seed: int, *, warmer: float = 0.0, scale: float = 1.0, new: str = "", gaps: float = 0.0
) -> Path:
    dice = random.Random(seed)
    lines = ["id,temp,shop,when"]
    for n in range(3_000):
        temp = (dice.gauss(50, 10) + warmer) * scale
        cell = "" if dice.random() < gaps else f"{temp:.3f}"
        shop = new if new and dice.random() < 0.2 else dice.choice("ABC")
        lines.append(f"r{seed}-{n},{cell},{shop},2024-01-{1 + n % 28:02d}")
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path


def verdict(tmp_path: Path, current: Path) -> tuple[str, dict[str, str]]:
    folder = tmp_path / "work"
    folder.mkdir(exist_ok=True)
    for old in sorted(folder.rglob("*"), reverse=True):
        old.rmdir() if old.is_dir() else old.unlink()
    report = compare(write(tmp_path / "before.csv", 1), current, folder)
    return report.severity, {finding.feature: finding.code for finding in report.findings}


def test_the_same_world_is_no_drift_and_a_warmer_one_is(tmp_path: Path) -> None:
    assert verdict(tmp_path, write(tmp_path / "same.csv", 2)) == ("none", {})
    severity, found = verdict(tmp_path, write(tmp_path / "warm.csv", 3, warmer=10))
    assert (severity, set(found)) == ("major", {"temp"})


def test_another_unit_and_bursting_gaps_are_faults(tmp_path: Path) -> None:
    severity, found = verdict(tmp_path, write(tmp_path / "unit.csv", 4, scale=1000))
    assert (severity, list(found)) == ("fault", ["temp"])
    severity, found = verdict(tmp_path, write(tmp_path / "gaps.csv", 5, gaps=0.9))
    assert (severity, found) == ("fault", {"temp": "null_burst"})


def test_a_new_category_is_drift(tmp_path: Path) -> None:
    severity, found = verdict(tmp_path, write(tmp_path / "new.csv", 6, new="D"))
    assert severity in {"minor", "major"}
    assert "shop" in found


def test_a_column_that_is_gone_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "gone.csv"
    path.write_text("id,shop\n" + "".join(f"r{n},{'ABC'[n % 3]}\n" for n in range(3_000)), encoding="utf-8")

    severity, found = verdict(tmp_path, path)

    assert severity == "fault"
    assert "temp" in found


@pytest.mark.parametrize(
    ("changes", "code"),
    [({}, 0), ({"warmer": 10.0}, 3), ({"scale": 1000.0}, 4)],
    ids=["same", "drift", "fault"],
)
def test_the_exit_code_is_the_answer_and_the_pages_are_written(
    tmp_path: Path, changes: dict[str, float], code: int
) -> None:
    before, now = write(tmp_path / "a.csv", 1), write(tmp_path / "<b>.csv", 2, **changes)
    written = [f"--{name}={tmp_path / name}.out" for name in ("json", "html", "violations")]

    answer = CliRunner().invoke(cli, ["compare", str(before), str(now), *written])

    assert answer.exit_code == code, answer.output
    page = (tmp_path / "html.out").read_text(encoding="utf-8")
    assert "<b>.csv" not in page
    assert "default-src 'none'" in page
    assert len(page) < 200_000
    report = json.loads((tmp_path / "json.out").read_text())
    violations = json.loads((tmp_path / "violations.out").read_text())["violations"]
    assert len(violations) == len(report["findings"]) == (0 if code == 0 else 1)


def test_few_rows_and_other_files_get_an_answer_of_their_own(tmp_path: Path) -> None:
    before = write(tmp_path / "a.csv", 1)
    few, other = tmp_path / "few.csv", tmp_path / "other.csv"
    few.write_text("\n".join(before.read_text().splitlines()[:100]) + "\n")
    other.write_text("x,y\n1,2\n3,4\n")

    assert CliRunner().invoke(cli, ["compare", str(before), str(few)]).exit_code == 5
    answer = CliRunner().invoke(cli, ["compare", str(before), str(other)])
    assert answer.exit_code == 1
    assert "no column of" in answer.output
