"""Values as people write them: each column's rule decides, every one is counted, and no infinity trains."""

import datetime as dt
import gzip
import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driftwheel.dataset import DataFile, Inputs, Prepared, prepare
from driftwheel.spec import ModelSpec

BASE: dict[str, Any] = {
    "model": "parcels",
    "source": {"prefix": "data/parcels/", "key": ["id"]},
    "columns": {
        "id": {"type": "category", "feature": False},
        "country": {
            "type": "category",
            "canonical": {"United States": ["US", "U.S.", "usa", "Estados Unidos"]},
        },
        "weight": {"type": "number"},
        "late": {"type": "boolean", "feature": False},
    },
    "target": {"column": "late"},
    "split": {"by": "key"},
    "quality": {"minimum_rows": 20, "minimum_class_rows": 3, "maximum_rejected_share": 0.9},
}
HEADER = "id,country,weight,late"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def prepared(folder: Path, *lines: str, header: str = HEADER, **changes: Any) -> tuple[Prepared, Path]:
    """Prepare one file of these lines after a hundred ordinary ones (ids p0 … p99, weights 0 … 49)."""
    out = folder / f"out-{sum(1 for _ in folder.iterdir())}"
    out.mkdir()
    extra = "," * (header.count(",") - HEADER.count(","))
    usual = [f"p{n},Norway,{n % 50},{n % 3 == 0}{extra}" for n in range(100)]
    path = out / "a.csv"
    path.write_text("\n".join([header, *usual, *lines, ""]), encoding="utf-8")
    spec = ModelSpec.model_validate(BASE | changes)
    return prepare(spec, Inputs(files=[DataFile("source", "data/a.csv", path)]), out, memory_mb=400), out


def rows(out: Path, *columns: str) -> list[tuple[Any, ...]]:
    names = ", ".join(f'"{name}"' for name in columns)
    files = f"['{out / 'train.parquet'}', '{out / 'validation.parquet'}']"
    return duckdb.sql(f"SELECT {names} FROM read_parquet({files}) ORDER BY ALL").fetchall()


def profile(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "profile.json").read_text(encoding="utf-8"))
    return found


ODD = [
    "NaN",
    "inf",
    "-inf",
    "Infinity",
    "1e400",
    "-1e400",
    '"1,234"',
    "0x10",
    "١٢",
    "1_000",
    "2024-01-01",
    "1.2.3",
]


@pytest.mark.case("DA-11")
def test_odd_numbers_are_counted_missing_or_refused_by_rule_and_none_is_infinite(folder: Path) -> None:
    lines = [f"q{n},Norway,{text},true" for n, text in enumerate(ODD)]

    _, out = prepared(folder, *lines)
    assert profile(out)["columns"]["weight"]["bad_literal"] == len(ODD)
    assert all(x is None or math.isfinite(x) for (x,) in rows(out, "x.weight"))

    strict = BASE["columns"] | {"weight": {"type": "number", "missing": "reject"}}
    found, out = prepared(folder, *lines, columns=strict)
    assert found.rows["rejected"] == len(ODD)
    assert profile(out)["rejected_by_rule"] == {"weight: bad literal": len(ODD)}
    with gzip.open(out / "rejected.jsonl.gz", "rt", encoding="utf-8") as stream:
        kept = [json.loads(line) for line in stream]
    assert [(entry["line"], entry["value"]) for entry in kept] == [
        (102 + n, text.strip('"')) for n, text in enumerate(ODD)
    ]


@pytest.mark.case("DA-11")
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(
        st.one_of(st.sampled_from(ODD), st.floats().map(repr), st.integers().map(str)), max_size=30
    )
)
def test_whatever_is_written_in_a_number_column_trains_finite_or_missing(
    folder: Path, texts: list[str]
) -> None:
    found, out = prepared(folder, *(f"q{n},Norway,{text},false" for n, text in enumerate(texts)))

    if found.outcome == "ready":
        assert all(x is None or math.isfinite(x) for (x,) in rows(out, "x.weight"))
        counts = found.rows
        told = sum(counts[name] for name in ("train", "validation", "holdout", "rejected", "duplicates"))
        assert counts["read"] == 100 + len(texts) == told
    else:
        assert [refusal.code for _, refusal in found.refused] == ["schema-break"]


@pytest.mark.case("DA-11")
def test_identifiers_of_twenty_digits_stay_exact(folder: Path) -> None:
    ids = [str(10**20 - 1 - n) for n in range(60)]

    _, out = prepared(folder, *(f"{name},{name},1,true" for name in ids))

    kept = {text for (text,) in rows(out, "raw.country") if text != "Norway"}
    assert kept <= set(ids)
    assert len(kept) > 40


@pytest.mark.case("DA-12")
def test_namibia_and_words_that_look_missing_are_categories(folder: Path) -> None:
    words = ["NA", "NULL", "None", "nan", "N/A", "-"]

    _, out = prepared(folder, *(f"q{n},{words[n % 6]},1,true" for n in range(60)))

    assert dict(profile(out)["columns"]["country"]["top"]) == {"Norway": 100} | dict.fromkeys(words, 10)
    assert profile(out)["columns"]["country"]["missing"] == 0


def wide(text: str) -> str:
    """Write a text in full-width letters."""
    return "".join(chr(ord(letter) + 0xFEE0) if letter != " " else letter for letter in text)


@pytest.mark.case("DA-13")
def test_spellings_of_a_country_become_one_and_unknown_ones_are_listed_never_guessed(folder: Path) -> None:
    spellings = ["US", "U.S.", "usa", "United  States ", wide("UNITED STATES"), "Estados Unidos"]
    unknown = ["U.S.A.", "Untied States"]
    lines = [f"q{n},{text},1,true" for n, text in enumerate([*spellings * 5, *unknown])]

    _, out = prepared(folder, *lines)

    found = dict(profile(out)["columns"]["country"]["top"])
    assert found == {"Norway": 100, "United States": 30, "U.S.A.": 1, "Untied States": 1}
    country = profile(out)["columns"]["country"]
    assert (country["unlisted"], country["unlisted_distinct"]) == (102, 3)
    [note] = [note for note in profile(out)["notes"] if note.startswith("country: ")]
    assert "102 values are not under canonical" in note
    assert "'Norway', 'U.S.A.', 'Untied States'" in note


@pytest.mark.case("DA-14")
@pytest.mark.parametrize("share", [0, 50, 100])
def test_doubled_rows_are_counted_once_and_stand_in_one_split(folder: Path, share: int) -> None:
    twice = [f"p{n},Norway,{n % 50},{n % 3 == 0}" for n in range(share)]

    plain, _ = prepared(folder)
    found, out = prepared(folder, *twice)

    assert found.rows["duplicates"] == share
    assert found.data_digest == plain.data_digest
    with gzip.open(out / "holdout.jsonl.gz", "rt", encoding="utf-8") as stream:
        judges = [json.loads(line)["key"] for line in stream]
    learned = [key for (key,) in rows(out, "__key")]
    assert sorted({*judges, *learned}) == sorted([*judges, *learned])
    assert len(judges) + len(learned) == 100


@pytest.mark.case("DA-22")
def test_constant_and_collinear_features_are_noted_and_cost_no_run(folder: Path) -> None:
    columns = BASE["columns"] | {
        "flag": {"type": "number", "missing": "constant", "fill": 7},
        "hole": {"type": "number"},
    }
    features = {"grams": "weight * 1000 + 5", "square": "weight * weight"}

    found, out = prepared(folder, header=f"{HEADER},flag,hole", columns=columns, features=features)

    assert found.outcome == "ready"
    notes = profile(out)["notes"]
    assert "hole is missing in every row" in notes
    assert "flag is the same in every row" in notes
    assert "grams follows from weight: they lie on one line" in notes
    assert not [note for note in notes if "square" in note]


@pytest.mark.case("DA-22")
def test_when_every_feature_is_constant_the_data_set_is_still_made(folder: Path) -> None:
    columns = BASE["columns"] | {"weight": {"type": "number", "range": [7, 7], "outside": "clip"}}

    found, out = prepared(folder, columns=columns)

    assert found.outcome == "ready"
    assert "weight is the same in every row" in profile(out)["notes"]


@pytest.mark.case("DA-22")
def test_numbers_too_large_to_be_squared_are_no_crash(folder: Path) -> None:
    columns = BASE["columns"] | {"big": {"type": "number"}}
    lines = [f"q{n},Norway,{n % 50},{n % 3 == 0},{n % 9 - 4}e307" for n in range(200)]

    found, out = prepared(folder, *lines, header=f"{HEADER},big", columns=columns)

    assert found.outcome == "ready"
    assert isinstance(profile(out)["notes"], list)


@pytest.mark.case("DA-22")
def test_a_word_that_a_column_keeps_as_missing_is_named_by_its_row_too(folder: Path) -> None:
    lines = [f"q{n},Norway,{'heavy' if n in {40, 60} else n},{n % 3 == 0}" for n in range(100)]

    found, out = prepared(folder, *lines)

    assert found.rows["rejected"] == 0
    assert "data/a.csv line 142: 'weight' is no number (2 such values)" in profile(out)["notes"]


@pytest.mark.case("DA-22")
def test_a_word_among_a_million_numbers_is_named_by_its_row(folder: Path) -> None:
    columns = BASE["columns"] | {"weight": {"type": "number", "missing": "reject"}}
    lines = [f"q{n},Norway,{n % 50 if n != 999_899 else 'heavy'},{n % 3 == 0}" for n in range(1_000_000)]

    found, out = prepared(folder, *lines, columns=columns)

    with gzip.open(out / "rejected.jsonl.gz", "rt", encoding="utf-8") as stream:
        [entry] = [json.loads(line) for line in stream]
    assert (entry["line"], entry["column"], entry["value"]) == (1_000_001, "weight", "heavy")
    assert found.rows["train"] > 600_000


@pytest.mark.case("DA-20")
@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_decimals_and_moments_of_parquet_keep_their_values_wherever_they_are_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    at = [dt.datetime(2024, 2, 29, 5, tzinfo=dt.UTC) + dt.timedelta(hours=n) for n in range(60)]
    table = pa.table(
        {
            "id": pa.array([10**17 + n for n in range(60)]),
            "price": pa.array([Decimal(n) / 4 for n in range(60)], pa.decimal128(20, 2)),
            "told": pa.array(at, pa.timestamp("us", tz=zone)),
            "old": pa.array(at, pa.timestamp("ns")),
            "late": [n % 3 == 0 for n in range(60)],
        }
    )
    pq.write_table(table.select(["id", "price", "told", "late"]), folder / "zoned.parquet")
    pq.write_table(table, folder / "int96.parquet", use_deprecated_int96_timestamps=True)
    columns = {name: {"type": "timestamp", "feature": False} for name in ("told", "old")}
    columns |= {"id": {"type": "category", "feature": False}, "price": {"type": "number"}}
    columns |= {"late": {"type": "boolean", "feature": False}}
    columns["old"]["optional"] = True
    hours = {"told_hour": "extract(hour from told)", "old_hour": "extract(hour from old)"}
    spec = ModelSpec.model_validate(
        BASE | {"columns": columns, "features": hours, "source": BASE["source"] | {"format": "parquet"}}
    )

    for name in ("zoned.parquet", "int96.parquet"):
        out = folder / name.partition(".")[0]
        out.mkdir()
        found = prepare(
            spec, Inputs(files=[DataFile("source", f"data/{name}", folder / name)]), out, memory_mb=400
        )

        assert (found.outcome, found.rows["rejected"]) == ("ready", 0), found.refused or found.problem
        profile_ = profile(out)["columns"]
        assert [profile_[name]["bad_literal"] for name in columns] == [0] * len(columns)
        assert (profile_["told"]["first"], profile_["told"]["last"]) == (
            "2024-02-29 05:00:00",
            "2024-03-02 16:00:00",
        )
        assert profile_["price"]["maximum"] == 14.75
        got = rows(out, "raw.price", "x.told_hour")
        assert all(price * 4 % 24 == (hour - 5) % 24 for price, hour in got)


@pytest.mark.case("DA-20")
@pytest.mark.parametrize("value", [[1, 2], {"a": 1}, b"x"], ids=["list", "struct", "binary"])
def test_a_column_that_is_no_single_value_is_refused_by_name(folder: Path, value: object) -> None:
    pq.write_table(
        pa.table({"id": [1], "country": ["NO"], "weight": [value], "late": [True]}), folder / "n.parquet"
    )
    spec = ModelSpec.model_validate(BASE | {"source": BASE["source"] | {"format": "parquet"}})
    (folder / "out").mkdir()

    found = prepare(
        spec,
        Inputs(files=[DataFile("source", "data/n.parquet", folder / "n.parquet")]),
        folder / "out",
        memory_mb=400,
    )

    [(_, refusal)] = found.refused
    assert (refusal.code, refusal.column) == ("unsupported-type", "weight")
