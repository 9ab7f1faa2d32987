"""A data set from files: what is joined, kept, set aside, split, and that it is the same every time."""

import gzip
import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from driftwheel.dataset import CaptureFile, DataFile, Inputs, LabelFile, Pinned, Prepared, numbers, prepare
from driftwheel.dataset.duck import open_workspace
from driftwheel.jobs.tables import read_table
from driftwheel.recipe.declare import declare
from driftwheel.recipe.row import load_recipe
from driftwheel.spec import ModelSpec

BASE: dict[str, Any] = {
    "model": "parcels",
    "source": {"prefix": "data/parcels/", "key": ["id"]},
    "columns": {
        "id": {"type": "category", "feature": False},
        "at": {"type": "timestamp", "feature": False},
        "depot": {"type": "category", "canonical": {"North": ["N", "north end"]}},
        "weight": {"type": "number", "range": [0, 100], "missing": "median"},
        "late": {"type": "boolean", "feature": False},
    },
    "features": {"heavy": "weight > 40"},
    "target": {"column": "late"},
    "split": {"by": "time", "column": "at"},
    "quality": {"minimum_rows": 20, "minimum_class_rows": 3},
}
HEADER = "id,at,depot,weight,late"


def spec(**changes: Any) -> ModelSpec:
    return ModelSpec.model_validate(BASE | changes)


def row(n: int, *, late: object = None, weight: object = None, depot: str = "N") -> str:
    answer = n % 3 == 0 if late is None else late
    at = f"2024-01-{1 + n // 24:02d} {n % 24:02d}:00"
    return f"p{n},{at},{depot},{n % 50 if weight is None else weight},{answer}"


def csv_of(*rows: str, header: str = HEADER) -> str:
    return "\n".join([header, *rows, ""])


class Desk:
    """Prepares data sets in folders of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.turns = folder, 0

    def files(self, **texts: str) -> Iterator[DataFile]:
        for name, text in sorted(texts.items()):
            role, _, key = name.rpartition("__")
            path = self.folder / f"{self.turns}-{name}"
            path.write_bytes(text.encode())
            yield DataFile(role.replace("_", "-") or "source", f"data/{key}.csv", path)

    def prepare(self, spec_: ModelSpec, inputs: dict[str, Any] | None = None, **texts: str) -> Prepared:
        self.turns += 1
        self.out = self.folder / f"out-{self.turns}"
        self.out.mkdir()
        return prepare(spec_, Inputs(files=self.files(**texts), **(inputs or {})), self.out, memory_mb=500)

    def table(self, split: str, *columns: str) -> list[tuple[Any, ...]]:
        names = ", ".join(f'"{name}"' for name in columns)
        return duckdb.sql(f"SELECT {names} FROM '{self.out / split}.parquet' ORDER BY ALL").fetchall()

    def holdout(self) -> list[dict[str, Any]]:
        with gzip.open(self.out / "holdout.jsonl.gz", "rt", encoding="utf-8") as stream:
            return [json.loads(line) for line in stream]

    def json(self, name: str) -> Any:
        return json.loads((self.out / name).read_text(encoding="utf-8"))

    def pin(self, prepared: Prepared) -> Pinned:
        path = self.out / "holdout.jsonl.gz"
        return Pinned(path, prepared.holdout_digest, "s3://a/holdout", prepared.question)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_rows_become_typed_features_beside_their_cleaned_columns(desk: Desk) -> None:
    found = desk.prepare(spec(), a=csv_of(*map(row, range(100))))

    assert found.outcome == "ready"
    assert {name: found.rows[name] for name in ("read", "train", "validation", "holdout")} == {
        "read": 100,
        "train": 70,
        "validation": 15,
        "holdout": 15,
    }
    rows = desk.table("train", "x.depot", "x.weight", "x.heavy", "raw.depot", "__label", "__origin")
    assert (0.0, 0.0, 0.0, "North", 1.0, "data") in rows
    assert found.positives == pytest.approx(0.34)


@pytest.mark.case("DA-14")
def test_the_latest_rows_judge_and_no_key_stands_in_two_splits(desk: Desk) -> None:
    desk.prepare(spec(), a=csv_of(*map(row, range(100))))

    train = desk.table("train", "__time", "__key")
    validation = desk.table("validation", "__time", "__key")
    judges = {line["key"] for line in desk.holdout()}
    assert max(time for time, _ in train) < min(time for time, _ in validation)
    assert len({key for _, key in train} | {key for _, key in validation} | judges) == 100


def test_a_burst_of_rows_in_one_second_judges_whole_and_leaves_the_others_to_learn_from(desk: Desk) -> None:
    burst = [f"q{n},2024-02-01 00:00,N,{n % 50},{n % 3 == 0}" for n in range(60)]

    found = desk.prepare(spec(), a=csv_of(*map(row, range(100)), *burst))

    assert {name: found.rows[name] for name in ("train", "validation", "holdout")} == {
        "train": 82,
        "validation": 18,
        "holdout": 60,
    }


def test_a_split_by_key_keeps_its_rows_when_others_arrive(desk: Desk) -> None:
    by_key = spec(split={"by": "key"})
    desk.prepare(by_key, a=csv_of(*map(row, range(200))))
    before = {line["key"] for line in desk.holdout()}

    desk.prepare(by_key, a=csv_of(*map(row, range(400))))

    assert before < {line["key"] for line in desk.holdout()}
    assert 40 <= len(desk.holdout()) <= 80


@pytest.mark.case("DA-14")
def test_of_rows_with_one_key_the_last_of_the_latest_file_counts(desk: Desk) -> None:
    rows = [row(n) for n in range(100)]
    found = desk.prepare(
        spec(), a=csv_of(*rows, row(5, weight=11)), b=csv_of(row(5, weight=12), row(5, weight=13))
    )

    assert found.rows["duplicates"] == 3
    assert (13.0,) in desk.table("train", "x.weight")
    assert len(desk.table("train", "__key")) == 70


@pytest.mark.case("DA-06")
def test_the_same_rows_in_other_files_and_order_are_the_same_data_set(desk: Desk) -> None:
    rows = [row(n) for n in range(100)]
    one = desk.prepare(spec(), a=csv_of(*rows))
    kept = {name: (desk.out / name).read_bytes() for name in ("train.parquet", "holdout.jsonl.gz")}

    other = desk.prepare(spec(), a=csv_of(*rows[50:][::-1]), b=csv_of(*rows[:50]))

    assert other.data_digest == one.data_digest
    assert {name: (desk.out / name).read_bytes() for name in kept} == kept
    assert desk.prepare(spec(), a=csv_of(*rows[1:])).data_digest != one.data_digest


def test_a_second_source_is_joined_without_multiplying_rows(desk: Desk) -> None:
    weather = {"depot": {"type": "category"}, "rain": {"type": "number"}}
    wide = spec(
        columns=BASE["columns"] | {"rain": weather["rain"]},
        enrich=[{"prefix": "data/weather/", "on": ["depot"]}],
    )
    rows = [row(n, depot="N" if n % 2 else " north  end ") for n in range(99)] + [row(99, depot="South")]

    found = desk.prepare(wide, a=csv_of(*rows), enrich_0__w="depot,rain\nnorth end,1\nNorth,2.5\n")

    assert found.outcome == "ready"
    assert found.rows["read"] == 100
    assert set(desk.table("train", "x.rain")) == {(2.5,)}  # the last row of the key, compared after cleaning
    assert desk.json("profile.json")["unmatched"] == 1


def test_a_column_that_later_files_add_is_taken_where_that_is_declared(desk: Desk) -> None:
    before = csv_of(*map(row, range(60)))
    after = csv_of(*(f"{row(n)},{n}.5" for n in range(60, 120)), header=f"{HEADER},extra")
    columns = BASE["columns"] | {"extra": {"type": "number", "optional": True}}

    found = desk.prepare(spec(columns=columns), a=before, b=after)

    assert (found.outcome, found.refused) == ("ready", [])
    extra = dict(desk.table("train", "__time", "raw.extra"))
    assert [extra[f"2024-01-0{day} 00:00:00"] for day in (1, 3, 4)] == [None, None, 72.5]

    strict = desk.prepare(spec(columns=columns | {"extra": {"type": "number"}}), a=before, b=after)
    [(key, refusal)] = strict.refused
    assert (key, refusal.code, refusal.column) == ("data/a.csv", "missing-column", "extra")


def test_an_inner_join_leaves_out_rows_without_a_match(desk: Desk) -> None:
    wide = spec(
        columns=BASE["columns"] | {"rain": {"type": "number"}},
        enrich=[{"prefix": "data/weather/", "on": ["depot"], "how": "inner"}],
    )
    rows = [row(n, depot="N" if n % 2 else "South") for n in range(100)]

    assert desk.prepare(wide, a=csv_of(*rows), enrich_0__w="depot,rain\nNorth,1\n").rows["read"] == 50


def test_files_wait_while_a_whole_source_is_still_to_come(desk: Desk) -> None:
    wide = spec(
        columns=BASE["columns"] | {"rain": {"type": "number"}},
        enrich=[{"prefix": "data/weather/", "on": ["depot"]}],
    )

    found = desk.prepare(wide, a=csv_of(*map(row, range(100))))

    assert (found.outcome, found.refused) == ("refused", [])
    assert found.problem is not None
    assert "data/weather/" in found.problem.message


@pytest.mark.case("DA-05")
def test_a_file_without_a_declared_column_is_refused_alone(desk: Desk) -> None:
    renamed = csv_of(row(200), header="id,at,depot,wieght,late")

    found = desk.prepare(spec(), a=csv_of(*map(row, range(100))), b=renamed)

    assert found.outcome == "ready"
    [(key, refusal)] = found.refused
    assert (key, refusal.code, refusal.column) == ("data/b.csv", "missing-column", "weight")
    assert "wieght" in str(refusal.hint)


@pytest.mark.case("DA-04")
def test_a_file_without_the_label_column_is_refused_by_that_name(desk: Desk) -> None:
    found = desk.prepare(spec(), a=csv_of(*map(row, range(100)), header="id,at,depot,weight,lateness"))

    assert found.outcome == "refused"
    assert [(refusal.code, refusal.column) for _, refusal in found.refused] == [("label-missing", "late")]


@pytest.mark.case("DA-05")
def test_a_retyped_column_is_a_broken_schema_and_names_its_first_line(desk: Desk) -> None:
    words = csv_of(*(row(n, weight="heavy" if n > 210 else 1) for n in range(200, 300)))

    found = desk.prepare(spec(), a=csv_of(*map(row, range(100))), b=words)

    [(key, refusal)] = found.refused
    assert (key, refusal.code, refusal.column, refusal.line) == ("data/b.csv", "schema-break", "weight", 13)
    assert found.rows["train"] == 70


def test_a_file_with_too_many_rejected_rows_is_refused_and_names_the_rule(desk: Desk) -> None:
    strict = spec(columns=BASE["columns"] | {"weight": {"type": "number", "missing": "reject"}})
    holes = csv_of(*(row(n, weight="" if n % 5 == 0 else 1) for n in range(200, 300)))

    found = desk.prepare(strict, a=csv_of(*map(row, range(100))), b=holes)

    [(_, refusal)] = found.refused
    assert refusal.code == "too-many-rejected"
    assert "20 of 100 rows" in refusal.message
    assert "weight: missing" in refusal.message


def test_rejected_rows_are_written_down_with_place_rule_and_value(desk: Desk) -> None:
    ranged = {"type": "number", "range": [0, 100], "outside": "reject"}
    strict = spec(columns=BASE["columns"] | {"weight": ranged})
    rows = [row(n) for n in range(100)]

    found = desk.prepare(strict, a=csv_of(*rows, row(100, weight=1048), ",2024-01-01,N,1,true"))

    with gzip.open(desk.out / "rejected.jsonl.gz", "rt", encoding="utf-8") as stream:
        lines = [json.loads(line) for line in stream]
    assert found.rows["rejected"] == 2
    assert lines == [
        {"key": "data/a.csv", "line": 102, "column": "weight", "reason": "outside range", "value": "1048"},
        {"key": "data/a.csv", "line": 103, "column": "id", "reason": "key missing", "value": None},
    ]


@pytest.mark.case("DA-03")
def test_one_class_refuses_the_file_that_brings_it(desk: Desk) -> None:
    alone = desk.prepare(spec(), a=csv_of(*(row(n, late=False) for n in range(100))))
    assert [refusal.code for _, refusal in alone.refused] == ["label-single-class"]

    beside = desk.prepare(
        spec(), a=csv_of(*map(row, range(100))), b=csv_of(*(row(n, late=True) for n in range(200, 240)))
    )
    [(key, refusal)] = beside.refused
    assert (beside.outcome, key, refusal.code) == ("ready", "data/b.csv", "label-single-class")
    assert "34.0%" in refusal.message


def test_a_small_file_of_the_common_class_is_no_accident(desk: Desk) -> None:
    found = desk.prepare(
        spec(), a=csv_of(*map(row, range(100))), b=csv_of(*(row(n, late=False) for n in range(200, 210)))
    )

    assert found.refused == []


@pytest.mark.case("DA-02")
def test_too_few_rows_say_how_many_are_needed_and_blame_no_file(desk: Desk) -> None:
    found = desk.prepare(spec(), a=csv_of(*map(row, range(12))))

    assert (found.outcome, found.refused) == ("refused", [])
    assert found.problem is not None
    assert "12 usable rows, 20 are needed" in found.problem.message


def test_a_sliding_window_forgets_old_rows(desk: Desk) -> None:
    window = {"policy": "sliding", "days": 2}

    found = desk.prepare(spec(window=window), a=csv_of(*map(row, range(96))))

    assert found.rows["outside_window"] == 48
    assert min(time for (time,) in desk.table("train", "__time")) == "2024-01-03 00:00:00"


def test_a_weighted_window_keeps_old_rows_and_their_times_for_the_training_job(desk: Desk) -> None:
    window = {"policy": "weighted", "half_life_days": 1}

    found = desk.prepare(spec(window=window), a=csv_of(*map(row, range(96))))

    assert found.rows["outside_window"] == 0
    times = read_table(desk.out / "train.parquet", ["weight"], timed=True).times
    assert times is not None
    told = [np.datetime64(time, "us") for (time,) in desk.table("train", "__time")]
    expected = [(at - np.datetime64(0, "us")) / np.timedelta64(1, "D") for at in told]
    assert sorted(times.tolist()) == pytest.approx(expected, abs=1e-6)


def test_the_profile_says_how_many_rows_of_each_file_are_in_each_split(desk: Desk) -> None:
    capture = CaptureFile("c", [captured("X", {"depot": "N", "weight": 7.5}, at="2024-01-01T05:30:00Z")])
    inputs = {"captures": [capture], "labels": [told(("X/0", 1))]}

    found = desk.prepare(spec(), inputs, b=csv_of(*map(row, range(48, 100))), a=csv_of(*map(row, range(48))))

    document = desk.json("profile.json")
    assert {source["key"]: source["used"] for source in document["sources"]} == {
        "data/a.csv": {"train": 48},
        "data/b.csv": {"train": 21, "validation": 15, "holdout": 16},
    }
    assert document["captured"]["used"] == {"train": 1}
    assert found.rows["train"] == 70


@pytest.mark.case("DA-15")
def test_a_feature_that_tells_the_label_alone_is_named(desk: Desk) -> None:
    rows = [row(n, weight=90 if n % 3 == 0 else 1) for n in range(100)]

    assert desk.prepare(spec(), a=csv_of(*rows)).leakage == ["weight", "heavy"]


def captured(
    inference_id: str, *records: dict[str, Any], plain: bool = False, at: str = "2024-02-01T00:00:00Z"
) -> bytes:
    data = json.dumps(records[0] if plain else {"records": records})
    scores = json.dumps({"predictions": [{"score": 0.5}] * len(records)})
    sides = {
        "endpointInput": {"data": data, "encoding": "JSON", "mode": "INPUT"},
        "endpointOutput": {"data": scores, "encoding": "JSON", "mode": "OUTPUT"},
    }
    metadata = {"eventId": "e", "inferenceId": inference_id, "inferenceTime": at}
    return json.dumps({"captureData": sides, "eventMetadata": metadata}).encode() + b"\n"


def told(*labels: tuple[str, object]) -> LabelFile:
    text = "".join(f"{row_id},{label}\n" for row_id, label in labels)
    return LabelFile("labels/parcels/l.csv", [b"inference_id,label\n" + text.encode()])


def test_captured_requests_become_rows_once_their_labels_arrive(desk: Desk) -> None:
    record = {"depot": "N", "weight": 7.5}
    capture = CaptureFile("c", [captured("X", record, record), captured("Y", record, plain=True)])
    inputs = {"captures": [capture], "labels": [told(("X/0", 1), ("Y", 0))]}

    found = desk.prepare(spec(), inputs, a=csv_of(*map(row, range(100))))

    assert found.rows["captured"] == 2
    newest = [line for line in desk.holdout() if line["record"]["weight"] == 7.5]
    assert sorted(line["label"] for line in newest) == [0.0, 1.0]
    assert desk.json("profile.json")["captured"]["rows"] == 3


def test_odd_characters_in_a_request_cost_no_run(desk: Desk) -> None:
    records = [
        {"depot": text, "weight": 7.5} for text in ("a\nb", "a\r\nb", "a\rb", 'q"u,o', "n\x00l", "ﬁ", "")
    ]
    labels = [(f"X\n/{n}", 1) for n in range(len(records))]

    found = desk.prepare(
        spec(),
        {"captures": [CaptureFile("c", [captured("X\n", *records)])], "labels": [labels_of(labels)]},
        a=csv_of(*map(row, range(100))),
    )

    assert found.rows["captured"] == len(records)


def labels_of(labels: list[tuple[str, object]]) -> LabelFile:
    lines = [
        json.dumps(
            {
                "groundTruthData": {"data": str(label), "encoding": "CSV"},
                "eventMetadata": {"eventId": row_id},
                "eventVersion": "0",
            }
        )
        for row_id, label in labels
    ]
    return LabelFile("labels/parcels/l.jsonl", ["\n".join(lines).encode()])


@pytest.mark.parametrize(
    "name", ["n", "i", "line", "key", "rows", "before", "reason", "select", "x", "v", "c0", "f", "rowid"]
)
def test_a_column_may_be_called_anything(desk: Desk, name: str) -> None:
    columns = BASE["columns"] | {name: {"type": "category"}}
    lines = [f"{row(n)},é{n % 3}" for n in range(100)]

    found = desk.prepare(spec(columns=columns), a=csv_of(*lines, "short,line", header=f"{HEADER},{name}"))

    assert (found.rows["read"], found.rows["rejected"]) == (101, 1)
    assert len(set(desk.table("train", f"x.{name}"))) == 3


def test_rows_keep_their_places_in_a_table_that_others_were_deleted_from(tmp_path: Path) -> None:
    places = "SELECT f, min(rowid), max(rowid) FROM t GROUP BY f ORDER BY f"
    with open_workspace(tmp_path, spec(), declare(spec()), 300) as space:
        space.execute("CREATE TABLE t (f INTEGER, k VARCHAR)")
        for number in range(10):
            space.execute(f"INSERT INTO t SELECT {number}, md5(CAST(i AS VARCHAR)) FROM range(5000) r(i)")
        space.execute("CHECKPOINT")
        space.execute("DELETE FROM t WHERE f IN (1, 2, 3, 4, 6, 7)")
        before = space.rows(places)

        space.execute("CHECKPOINT")

        assert space.rows(places) == before


def test_of_rows_with_one_key_one_counts_also_where_a_column_is_called_rowid(desk: Desk) -> None:
    columns = BASE["columns"] | {"RowID": {"type": "integer"}}
    rows = [f"{row(n)},7" for n in range(100)]

    found = desk.prepare(spec(columns=columns), a=csv_of(*rows, *rows[:9], header=f"{HEADER},RowID"))

    assert (found.rows["duplicates"], found.rows["train"]) == (9, 70)


def test_a_prediction_never_becomes_a_label(desk: Desk) -> None:
    capture = CaptureFile("c", [captured("X", {"depot": "N", "weight": 7.5, "late": True})])

    found = desk.prepare(spec(), {"captures": [capture]}, a=csv_of(*map(row, range(100))))

    assert found.rows["captured"] == 0


def test_a_dropped_row_wins_over_the_captured_one_of_the_same_key(desk: Desk) -> None:
    record = {"id": "p7", "depot": "N", "weight": 7.5}
    inputs = {"captures": [CaptureFile("c", [captured("X", record)])], "labels": [told(("X/0", 1))]}

    found = desk.prepare(spec(), inputs, a=csv_of(*map(row, range(100))))

    assert (found.rows["captured"], found.rows["duplicates"]) == (1, 1)
    assert {origin for (origin,) in desk.table("train", "__origin")} == {"data"}


def test_whoever_floods_an_hour_fills_no_more_than_its_share_of_the_next_data_set(desk: Desk) -> None:
    quiet, flood = "2024-02-01T00:00:00Z", "2024-02-01T01:30:00Z"
    captures = [
        CaptureFile(name, [captured(f"{name}{n}", record, plain=True, at=at) for n in range(rows)])
        for name, record, at, rows in (
            ("Q", {"depot": "N", "weight": 7.5}, quiet, 30),
            ("F", {"depot": '"a, b"', "weight": 9.5}, flood, 900),
        )
    ]
    labels = [told(*[(f"Q{n}", n % 2) for n in range(30)], *[(f"F{n}", n % 2) for n in range(900)])]
    bounded = spec(window={"captured_per_hour": 40}, split={"by": "key"})

    def weights() -> list[float]:
        found = desk.prepare(
            bounded, {"captures": captures, "labels": labels}, a=csv_of(*map(row, range(100)))
        )
        assert found.rows["captured"] == 70
        judged = [(line["key"], line["record"]["weight"]) for line in desk.holdout()]
        trained = desk.table("train", "__key", "raw.weight") + desk.table("validation", "__key", "raw.weight")
        return sorted(pair for pair in [*judged, *trained] if pair[1] in {7.5, 9.5})

    first = weights()
    assert [weight for _, weight in first].count(7.5) == 30
    assert (
        desk.json("profile.json")["captured"] | {"labelled": 70, "flooded": 860}
        == (desk.json("profile.json")["captured"])
    )
    captures.reverse()
    assert weights() == first


def test_what_was_asked_in_a_held_hour_is_left_out_and_counted(desk: Desk) -> None:
    record, hours = {"depot": "N", "weight": 7.5}, ("2024-02-01T08", "2024-02-01T09", "2024-02-01T10")
    lines = [
        captured(f"{hour}/{n}", record, plain=True, at=f"{hour}:59:59Z") for hour in hours for n in "abc"
    ]
    labels = [told(*[(f"{hour}/{n}", 1) for hour in hours for n in "ab"])]
    inputs = {"captures": [CaptureFile("c", lines)], "labels": labels}
    rows = csv_of(*map(row, range(100)))

    found = desk.prepare(spec(), inputs | {"held_hours": [hours[1], "2024-02-01T11"]}, a=rows)

    counts = desk.json("profile.json")["captured"]
    assert (found.rows["captured"], found.rows["held"]) == (4, 2)
    assert (counts["rows"], counts["labelled"], counts["held"], counts["held_hours"]) == (9, 4, 2, 1)
    whole = desk.prepare(spec(), inputs, a=rows)
    assert (whole.rows["captured"], whole.rows["held"]) == (6, 0)
    assert whole.data_digest != found.data_digest


def test_the_champions_holdout_stays_and_none_of_its_rows_trains(desk: Desk) -> None:
    first = desk.prepare(spec(), a=csv_of(*map(row, range(100))))
    pinned = desk.pin(first)
    judges = {line["key"] for line in desk.holdout()}

    second = desk.prepare(spec(), {"pinned": pinned}, a=csv_of(*map(row, range(200))))

    assert second.holdout_digest == first.holdout_digest
    assert (second.holdout_uri, second.rolled_over) == ("s3://a/holdout", False)
    assert not (desk.out / "holdout.jsonl.gz").exists()
    trained = {key for split in ("train", "validation") for (key,) in desk.table(split, "__key")}
    assert len(trained) == 185
    assert not trained & judges


def test_the_holdout_rolls_over_when_it_may_or_when_the_question_changed(desk: Desk) -> None:
    first = desk.prepare(spec(), a=csv_of(*map(row, range(100))))
    pinned = desk.pin(first)

    allowed = desk.prepare(spec(), {"pinned": pinned, "rollover": True}, a=csv_of(*map(row, range(200))))
    assert (allowed.rolled_over, allowed.holdout_digest == first.holdout_digest) == (True, False)

    other = spec(target={"column": "slow", "expression": "late = false"})
    assert desk.prepare(other, {"pinned": pinned}, a=csv_of(*map(row, range(100)))).rolled_over


def test_a_new_holdout_begins_after_what_the_champion_was_trained_on_or_waits(desk: Desk) -> None:
    judged = spec(evaluation={"minimum_rows": 20})
    pinned = desk.pin(desk.prepare(judged, a=csv_of(*map(row, range(100)))))
    champion = desk.prepare(judged, {"pinned": pinned}, a=csv_of(*map(row, range(200))))
    baseline = desk.json("profile.json")
    assert champion.holdout_uri, "it was trained on rows that are newer than its holdout"
    given = {"pinned": pinned, "rollover": True, "baseline": baseline}

    early = desk.prepare(judged, given, a=csv_of(*map(row, range(219))))
    assert (early.rolled_over, early.holdout_digest) == (False, pinned.sha256)
    assert "19 rows are newer than 2024-01-09 07:00:00" in desk.json("profile.json")["notes"][0]

    late = desk.prepare(judged, given, a=csv_of(*map(row, range(220))))
    assert (late.rolled_over, late.rows["holdout"]) == (True, 20), "33 rows would be 15 %"
    assert {line["label"] for line in desk.holdout()} == {0.0, 1.0}
    assert desk.json("profile.json")["time"]["holdout"] == ["2024-01-09 08:00:00", "2024-01-10 03:00:00"]


def test_golden_records_give_their_features_on_the_server_too(desk: Desk) -> None:
    desk.prepare(spec(), a=csv_of(*map(row, range(300))))

    recipe = load_recipe(desk.json("recipe.json"), desk.json("params.json"))
    lines = (desk.out / "golden.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 100
    for line in map(json.loads, lines):
        found = recipe.features(line["record"])
        assert dict(zip(recipe.feature_names, found, strict=True)) == line["features"]


def test_the_profile_accounts_for_every_row(desk: Desk) -> None:
    rows = [row(n) for n in range(100)]
    found = desk.prepare(spec(), a=csv_of(*rows, row(1), row(500, late=""), ",,,,"))

    counts = found.rows
    assert counts["read"] == 103
    kept = sum(counts[name] for name in ("train", "validation", "holdout"))
    assert counts["read"] == kept + counts["rejected"] + counts["unlabelled"] + counts["duplicates"]
    profile = desk.json("profile.json")
    assert sum(profile["columns"]["weight"]["histogram"]["counts"]) == 100
    assert profile["columns"]["depot"]["top"] == [["North", 100]]
    assert "top" not in profile["columns"]["id"]  # a key may name a person


def test_what_the_fitted_rules_did_is_counted_column_by_column(desk: Desk) -> None:
    columns = BASE["columns"] | {
        "weight": {"type": "number", "missing": "median", "outliers": {"action": "null", "fence": 3}},
        "depot": {"type": "category", "missing": "constant", "fill": "Web"},
    }
    rows = [row(n) for n in range(100)]
    rows += [row(200, weight=1e6), row(201, weight=-1e6), row(202, weight="x"), row(203, depot="")]
    desk.prepare(spec(columns=columns), a=csv_of(*rows))

    found = desk.json("profile.json")["columns"]
    weight, depot = found["weight"], found["depot"]
    assert (weight["outliers"], weight["bad_literal"], weight["filled"]) == (2, 1, 3)
    assert (depot["missing"], depot["filled"]) == (1, 1)
    assert "filled" not in found["late"], "nothing is declared for it"


def test_what_cleaning_rewrote_is_counted_column_by_column_and_rule(desk: Desk) -> None:
    columns = BASE["columns"] | {"region": {"type": "category"}}
    joined = {"enrich": [{"prefix": "data/depots/", "on": ["depot"]}], "columns": columns}
    rows = [row(n) for n in range(100)]
    rows += [
        row(200, depot=" \uff2e"),
        row(201, depot="north  end"),
        row(202, depot="North"),
        row(203, weight=" 7 "),
    ]
    rows += [row(204, depot="S"), row(204, depot="South ")]  # the latest of one key counts
    depots = csv_of("North,a  b", "\uff33outh,c", header="depot,region")

    for texts in ({"a": csv_of(*rows)}, {"a": csv_of(*rows), "enrich_0__d": depots}):
        declared = spec(**joined) if len(texts) == 2 else spec()
        desk.prepare(declared, **texts)
        found = desk.json("profile.json")["columns"]
        assert [found["depot"][rule] for rule in ("trimmed", "folded", "canonical")] == [3, 1, 103]
        assert (found["weight"]["trimmed"], found["at"]["trimmed"]) == (1, 0)
        assert "folded" not in found["weight"]
        assert "canonical" not in found["id"]
    assert found["region"]["trimmed"] == 104, "every row of North got the region that was rewritten"


@pytest.mark.case("DA-05")
def test_columns_that_came_and_optional_ones_that_went_are_told_of_once(desk: Desk) -> None:
    columns = BASE["columns"] | {"fragile": {"type": "boolean", "optional": True}}
    declared = spec(columns=columns)
    usual = csv_of(*(f"{row(n)},false,x" for n in range(100)), header=f"{HEADER},fragile,extra")
    desk.prepare(declared, a=usual)
    baseline = desk.json("profile.json")
    later = csv_of(*(f"{row(n)},x,1" for n in range(100, 200)), header=f"{HEADER},extra,new")

    desk.prepare(declared, {"baseline": baseline}, a=usual, b=later)

    first = "data/a.csv has column 'extra' that model.yaml does not declare: left out"
    assert [note for note in baseline["notes"] if "declare" in note] == [first]
    assert [note for note in desk.json("profile.json")["notes"] if "data/" in note] == [
        "data/b.csv has column 'new' that model.yaml does not declare, new since the champion: left out",
        "data/b.csv lacks column 'fragile', optional, which the champion's files had",
    ]
    assert desk.json("profile.json")["undeclared"] == {"extra": "data/a.csv", "new": "data/b.csv"}

    desk.prepare(declared, {"baseline": desk.json("profile.json")}, a=usual, b=later)
    assert [note for note in desk.json("profile.json")["notes"] if "data/" in note] == []


def jumped(desk: Desk, now: list[str], spec_: ModelSpec | None = None) -> list[str]:
    usual = csv_of(*[row(n, weight=20 + n % 13) for n in range(400)])
    assert desk.prepare(spec_ or spec(), __a=usual).outcome == "ready"
    baseline = desk.json("profile.json")
    prepared = desk.prepare(spec_ or spec(), {"baseline": baseline}, __a=usual, __b=csv_of(*now))
    assert prepared.outcome == "ready", prepared.problem
    assert desk.json("profile.json")["suspected_shift"] == prepared.shifts
    return prepared.shifts


@pytest.mark.case("DA-23")
def test_another_unit_a_dead_sensor_and_swapped_labels_are_named(desk: Desk) -> None:
    grams = BASE["columns"] | {"weight": {"type": "number", "unit": "kg"}}

    converted = [row(n, weight=1000 * (20 + n % 13)) for n in range(400, 700)]
    assert jumped(desk, converted, spec(columns=grams)) == ["data/b.csv: weight looks converted (kg to g)"]
    assert jumped(desk, [row(n, weight=7) for n in range(400, 700)]) == [
        "data/b.csv: weight is 7 in every row: a dead sensor or a default value"
    ]
    assert jumped(desk, [row(n, late=n % 50 != 0, weight=20 + n % 13) for n in range(400, 700)]) == [
        "data/b.csv: 98% of its labels are positive, 34% before"
    ]
    far = [row(n, weight=n * 17) for n in range(400, 700)]
    assert "far outside 20 to 32" in jumped(desk, far, spec(columns=grams))[0]


@pytest.mark.case("DA-23")
def test_sudden_gaps_hold_a_model_and_new_categories_are_noted(desk: Desk) -> None:
    usual = [row(n, depot="N" if n % 10 else "S", weight=20 + n % 13) for n in range(400)]
    desk.prepare(spec(), __a=csv_of(*usual))
    baseline = desk.json("profile.json")

    def told(rows: list[str]) -> list[str]:
        found = desk.prepare(spec(), {"baseline": baseline}, __a=csv_of(*usual), __b=csv_of(*rows))
        assert found.outcome == "ready", found.problem
        return found.shifts

    assert told([row(n, weight="" if n % 10 < 3 else 20 + n % 13) for n in range(400, 700)]) == [
        "data/b.csv: weight is missing in 30% of its rows, 0% before"
    ]
    new = "data/b.csv: 100% of the values of depot are new since the champion"
    assert told([row(n, depot="01", weight=20 + n % 13) for n in range(400, 700)]) == []
    assert new in desk.json("profile.json")["notes"]
    replaced = {"key": "data/b.csv", "version": "1"}  # the file has the version ""
    baseline["sources"] += [replaced]
    assert told([row(n, weight="" if n % 2 else 20 + n % 13) for n in range(400, 700)]) != []
    baseline["sources"][-1] = {"key": "data/b.csv"}  # what the champion learned from is no news
    assert told([row(n, depot="01", weight="" if n % 2 else 20 + n % 13) for n in range(400, 700)]) == []
    assert new not in desk.json("profile.json")["notes"]
    baseline["sources"].pop()
    calm = [
        row(
            n,
            depot="S" if n % 10 < 3 else "W" if n % 10 < 5 else "N",
            weight="" if n % 9 == 0 else 20 + n % 13,
        )
        for n in range(400, 700)
    ]
    assert told(calm) == [], "a tenth missing"
    assert [note for note in desk.json("profile.json")["notes"] if "new since" in note] == []


@pytest.mark.case("DA-23")
def test_a_season_is_no_jump_and_few_rows_accuse_nobody(desk: Desk) -> None:
    assert jumped(desk, [row(n, weight=40 + n % 20) for n in range(400, 700)]) == []
    assert jumped(desk, [row(n, weight=90) for n in range(400, 500)]) == []


def test_quantiles_of_many_values_are_those_of_the_rows_whose_keys_come_first(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = csv_of(*(row(n, weight="" if n % 4 == 0 else n / 10) for n in range(400)))
    desk.prepare(spec(), a=text)
    exact = desk.json("profile.json")["columns"]["weight"]
    monkeypatch.setattr(numbers, "SORTED", 100)

    desk.prepare(spec(), a=text)

    sampled = desk.json("profile.json")["columns"]["weight"]
    keyed = {hashlib.md5(f"{len(f'p{n}')}:p{n}".encode()).hexdigest(): n / 10 for n in range(400) if n % 4}
    first = sorted(value for key, value in keyed.items() if key < f"{100 * 2**32 // 300:08x}")
    assert sampled["quantiles"]["p50"] == first[math.ceil(len(first) / 2) - 1] != exact["quantiles"]["p50"]
    assert sampled | {"quantiles": None} == exact | {"quantiles": None}
    assert sum(exact["histogram"]["counts"]) == exact["given"] == 300
