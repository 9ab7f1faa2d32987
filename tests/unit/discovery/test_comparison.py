"""Two files compared: drift, faults and silence, from the command line, with bounded answers."""

import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from driftwheel.discovery import comparison
from driftwheel.discovery.comparison import _File, _total, compare
from driftwheel.recipe.column_rule import declare_column
from driftwheel.spec import load_spec
from driftwheel_cli import rendering
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


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_values_of_another_type_are_not_called_missing(tmp_path: Path, kind: str) -> None:
    def written(name: str, distance: list[str], when: str) -> Path:
        columns = {"distance": distance, "when": [when] * len(distance)}
        path = tmp_path / f"{name}.{kind}"
        if kind == "parquet":
            pq.write_table(pa.table(columns), path)
        else:
            path.write_text("\n".join(["distance,when", *(f"{one},{when}" for one in distance), ""]))
        return path

    before = written("before", [str(80 + n) for n in range(600)], "2024-01-01")
    texts = written("texts", [f"{80 + n} mi" for n in range(600)], "1 May")
    km = written("km", [f"{80 + n}.5" for n in range(600)], "2024-01-01")

    result = CliRunner().invoke(cli, ["compare", str(before), str(texts)])
    place = "row 1" if kind == "parquet" else "line 2"
    assert f"600 of 600 values of distance are no number, first '80 mi', {place}" in result.stdout
    assert f"600 of 600 values of when are no timestamp, first '1 May', {place}" in result.stdout
    assert "retraining" not in result.stdout
    assert "training" not in result.stdout
    assert CliRunner().invoke(cli, ["compare", str(before), str(km)]).exit_code == 0


def test_what_makes_a_comparison_vain_is_said_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, empty = write(tmp_path / "a.csv", 1), tmp_path / "empty.csv"
    empty.write_text("id,temp,shop,when\n")
    monkeypatch.setattr(comparison, "learn", lambda *_: pytest.fail("the baseline was learned first"))

    answer = CliRunner().invoke(cli, ["compare", str(before), str(empty)])
    assert (answer.exit_code, "header-only" in answer.stderr) == (1, True)
    page = tmp_path / "nowhere" / "page.html"
    answer = CliRunner().invoke(cli, ["compare", str(before), str(before), "--html", str(page)])
    assert (answer.exit_code, f"{page} cannot be written" in answer.stderr) == (1, True)


def test_a_long_comparison_says_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "QUIET_SECONDS", -1.0)
    before = write(tmp_path / "a.csv", 1)

    answer = CliRunner().invoke(cli, ["compare", str(before), str(before)])

    assert "reading a.csv" in answer.stderr


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


TYPED = """
model: m
source: {prefix: data/m/, key: [whole]}
columns:
  real: {type: number, range: [-50, 1.0e+300], null_tokens: ["", "7"]}
  clipped: {type: number, range: [0, 1], outside: clip}
  refusing: {type: number, range: [0, 1], outside: reject, missing: reject}
  whole: {type: integer}
  told: {type: boolean}
  coded: {type: boolean}
  digit: {type: category}
  code: {type: category}
  nowhere: {type: category}
  open: {type: number}
  shop: {type: category, canonical: {New York: [ny]}, null_tokens: ["", NA]}
  warm: {type: number}
  note: {type: text}
  day: {type: timestamp}
  absent: {type: number}
  gone: {type: category}
  y: {type: boolean}
target: {column: y}
features: {hour: extract(hour from day)}
split: {by: key, validation: 0.15, holdout: 0.15}
"""


def test_a_typed_parquet_file_is_summarised_as_its_texts_are(tmp_path: Path) -> None:
    dice = random.Random(5)
    rows = 700
    some = [0.1, -0.0, 7.0, None, float("nan"), float("inf"), 1e308, -1e308, 5e-324, 1 / 3, 1e22]
    texts = ["a", " a ", "ny", "NY", "", "NA", None, "b  c", "\ufb01", "ü", "1.0"]
    table = pa.table(
        {
            "real": pa.array([dice.choice(some) for _ in range(rows)], pa.float64()),
            "clipped": pa.array([dice.gauss(0.5, 1) for _ in range(rows)], pa.float64()),
            "refusing": pa.array(
                [dice.choice([dice.gauss(0.5, 1), None]) for _ in range(rows)], pa.float64()
            ),
            "whole": pa.array([dice.choice([None, -3, 2**52]) for _ in range(rows)], pa.int64()),
            "told": pa.array([dice.choice([None, True, False]) for _ in range(rows)], pa.bool_()),
            "coded": pa.array([dice.choice([None, 0, 1, 2]) for _ in range(rows)], pa.int32()),
            "digit": pa.array([dice.choice([None, 0, 1, 2]) for _ in range(rows)], pa.int8()),
            "code": pa.array([dice.choice([None, -3, 10**12]) for _ in range(rows)], pa.int64()),
            "nowhere": pa.array([None] * rows, pa.int64()),
            "open": pa.array([dice.choice(some) for _ in range(rows)], pa.float64()),
            "shop": pa.array([dice.choice(texts) for _ in range(rows)], pa.string()),
            "warm": pa.array([dice.choice(["1.5", " 2 ", "x", "1e400", "-0", None]) for _ in range(rows)]),
            "note": pa.array([dice.choice(["one", "", None]) for _ in range(rows)]),
            "day": pa.array([dice.choice(["2024-01-02", "?", None]) for _ in range(rows)]),
        }
    )
    path = tmp_path / "typed.parquet"
    pq.write_table(table, path, row_group_size=300)
    columns = load_spec(TYPED).columns
    kinds = {name: column.type for name, column in columns.items()}
    rules = {name: declare_column(name, column) for name, column in columns.items()}

    with _File(path, tmp_path / "text") as file:
        through_text = _total(file._texts.batches(rules), kinds, None)
    with _File(path, tmp_path / "typed") as file:
        typed = file.summary(rules, through_text)
    for name in columns:
        assert (name, typed.columns[name].to_json()) == (name, through_text.columns[name].to_json())
    assert typed.dumps() == through_text.dumps()
    assert not (tmp_path / "typed").exists(), "the file was loaded as text"


@pytest.mark.parametrize(
    "array", [pa.array([1.5, None], pa.float32()), pa.array([2**53, 1], pa.int64())], ids=["float32", "large"]
)
def test_what_float64_does_not_hold_exactly_goes_through_text(tmp_path: Path, array: pa.Array) -> None:
    path = tmp_path / "other.parquet"
    pq.write_table(pa.table({"whole": array}), path)
    rules = {"whole": declare_column("whole", load_spec(TYPED).columns["whole"])}

    with _File(path, tmp_path / "work") as file:
        assert file.summary(rules).rows == 2
    assert (tmp_path / "work").exists()


def test_a_damaged_parquet_file_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "damaged.parquet"
    pq.write_table(pa.table({"whole": list(range(50_000))}), path)
    path.write_bytes(path.read_bytes()[:-5_000])

    answer = CliRunner().invoke(cli, ["compare", str(path), str(path)])

    assert answer.exit_code == 1
    assert "damaged or cut off" in answer.output
