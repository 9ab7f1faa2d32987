"""Splits by group and by stratum: no group in two, every class with its share, the pinned holdout kept."""

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from driftwheel.dataset import DataFile, Inputs, Pinned, Prepared, prepare
from driftwheel.dataset.outputs import holdout_keys
from driftwheel.spec import ModelSpec

BASE: dict[str, Any] = {
    "model": "visits",
    "source": {"prefix": "data/visits/", "key": ["id"]},
    "columns": {
        "id": {"type": "category", "feature": False},
        "patient": {"type": "category", "feature": False},
        "age": {"type": "number"},
        "ill": {"type": "boolean", "feature": False},
    },
    "target": {"column": "ill"},
    "quality": {"minimum_rows": 20, "minimum_class_rows": 3},
}


def run(
    folder: Path, split: dict[str, Any], rows: Iterable[int], pinned: Pinned | None = None, **more: Any
) -> Prepared:
    folder.mkdir()
    path = folder / "rows.csv"
    lines = [f"v{n},{'' if n % 50 == 0 else f'p{n % 97}'},{n % 60},{int(n % 10 == 0)}" for n in rows]
    path.write_text("\n".join(["id,patient,age,ill", *lines, ""]), encoding="utf-8")
    inputs = Inputs(files=[DataFile("source", "data/visits/rows.csv", path)], pinned=pinned, **more)
    spec = ModelSpec.model_validate(BASE | {"split": split})
    prepared = prepare(spec, inputs, folder, memory_mb=300)
    assert prepared.outcome == "ready", prepared.problem
    return prepared


def splits_of(folder: Path) -> dict[str, set[str]]:
    found = {
        split: {key for (key,) in duckdb.sql(f"SELECT __key FROM '{folder / split}.parquet'").fetchall()}
        for split in ("train", "validation")
    }
    holdout = folder / "holdout.jsonl.gz"
    return found | ({"holdout": set(holdout_keys(holdout))} if holdout.exists() else {})


def key_of(number: int) -> str:
    """Compute a row's key as the recipe does."""
    ((key,),) = duckdb.execute("SELECT md5(?)", [f"{len(f'v{number}')}:v{number}"]).fetchall()
    return str(key)


def patients(folder: Path, keys: dict[str, set[str]], rows: range) -> dict[str, set[str]]:
    by_key = {key_of(n): n % 97 for n in rows}
    return {split: {f"p{by_key[key]}" for key in found} for split, found in keys.items()}


BY_GROUP = {"by": "group", "columns": ["patient"], "validation": 0.2, "holdout": 0.2}


def test_no_group_stands_in_two_splits(tmp_path: Path) -> None:
    rows = range(1, 2_000, 3)
    rows = range(rows.start, rows.stop, rows.step)
    run(tmp_path / "a", BY_GROUP, rows)

    keys = splits_of(tmp_path / "a")
    nameless = {key_of(n) for n in rows if n % 50 == 0}
    groups = patients(tmp_path / "a", {split: found - nameless for split, found in keys.items()}, rows)

    assert not groups["train"] & groups["holdout"]
    assert not groups["train"] & groups["validation"]
    assert not groups["validation"] & groups["holdout"]
    assert sum(bool(found & nameless) for found in keys.values()) == 1, "rows without a group are one group"
    assert 0.05 < len(keys["holdout"]) / len(rows) < 0.4


def test_a_group_of_the_pinned_holdout_never_trains_later(tmp_path: Path) -> None:
    first = run(tmp_path / "a", BY_GROUP | {"by": "key", "columns": []}, range(1, 400))
    pinned = Pinned(tmp_path / "a/holdout.jsonl.gz", first.holdout_digest, "s3://x/y", first.question)
    later = range(1, 1_500)
    run(tmp_path / "b", BY_GROUP, later, pinned)

    judged = patients(tmp_path, {"holdout": set(holdout_keys(pinned.path))}, later)["holdout"]
    taught = patients(tmp_path, splits_of(tmp_path / "b"), later)

    assert taught["train"]
    # rows without a patient are one group, filed under the arithmetic name of their number
    unnamed = {f"p{n % 97}" for n in later if n % 50 == 0}
    assert not (taught["train"] - unnamed) & (judged - unnamed)


def test_every_class_gets_its_share_exactly(tmp_path: Path) -> None:
    run(tmp_path / "a", {"by": "stratified", "validation": 0.2, "holdout": 0.1}, range(1_000))

    counts: dict[str, dict[float, int]] = defaultdict(dict)
    for split in ("train", "validation"):
        for label, n in duckdb.sql(
            f"SELECT __label, count(*) FROM '{tmp_path / 'a' / split}.parquet' GROUP BY 1"
        ).fetchall():
            counts[split][label] = n

    assert counts["train"] == {0.0: 630, 1.0: 70}
    assert counts["validation"] == {0.0: 180, 1.0: 20}
    assert len(splits_of(tmp_path / "a")["holdout"]) == 100


def test_a_stratified_split_keeps_the_pinned_holdout(tmp_path: Path) -> None:
    split = {"by": "stratified", "columns": ["patient"], "validation": 0.2, "holdout": 0.1}
    first = run(tmp_path / "a", split, range(1_000))
    pinned = Pinned(tmp_path / "a/holdout.jsonl.gz", first.holdout_digest, "s3://x/y", first.question)

    second = run(tmp_path / "b", split, range(2_000), pinned)

    keys = splits_of(tmp_path / "b")
    judged = set(holdout_keys(pinned.path))
    assert second.holdout_digest == first.holdout_digest
    assert not judged & (keys["train"] | keys["validation"])
    assert len(keys["train"]) + len(keys["validation"]) == 2_000 - len(judged)


SHARES = {"validation": 0.2, "holdout": 0.1}
BY_PATIENT = {"by": "stratified", "columns": ["patient"], **SHARES}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"by": "stratified", **SHARES}, {"by": "stratified", **SHARES}),
        (BY_PATIENT, BY_PATIENT),
        ({"by": "key", **SHARES}, {"by": "key", "validation": 0.2, "holdout": 0.3}),
        ({"by": "key", **SHARES}, BY_GROUP),
    ],
)
def test_a_new_holdout_leaves_out_what_the_champion_was_trained_on(
    tmp_path: Path, before: dict[str, Any], after: dict[str, Any]
) -> None:
    known = [n for n in range(2_000) if after["by"] != "group" or n % 97 < 50]
    first = run(tmp_path / "a", before, known)
    pinned = Pinned(tmp_path / "a/holdout.jsonl.gz", first.holdout_digest, "s3://x/y", first.question)
    taught = [tmp_path / "a" / f"{split}.parquet" for split in ("train", "validation")]
    champion = splits_of(tmp_path / "a")

    # two thirds of the champion's rows are still there, and as many new ones
    second = run(tmp_path / "b", after, range(700, 4_000), pinned, rollover=True, taught=taught)

    keys = splits_of(tmp_path / "b")
    assert second.rolled_over
    assert len(keys["holdout"]) == second.rows["holdout"] >= 200
    assert not keys["holdout"] & (champion["train"] | champion["validation"])
    assert sum(map(len, keys.values())) == 3_300 == len(set().union(*keys.values()))
    if after["by"] == "stratified":
        assert second.rows["holdout"] == pytest.approx(330, abs=40), "a tenth of every stratum"
    if after["by"] == "group":
        assert not patients(tmp_path, keys, range(700, 4_000))["holdout"] & {f"p{n}" for n in range(50)}


def test_a_holdout_stays_while_too_few_rows_are_new_to_the_champion(tmp_path: Path) -> None:
    split = {"by": "stratified", **SHARES}
    first = run(tmp_path / "a", split, range(1_000))
    pinned = Pinned(tmp_path / "a/holdout.jsonl.gz", first.holdout_digest, "s3://x/y", first.question)
    taught = [tmp_path / "a" / f"{split}.parquet" for split in ("train", "validation")]

    second = run(tmp_path / "b", split, range(1_500), pinned, rollover=True, taught=taught)

    assert (second.rolled_over, second.holdout_digest) == (False, first.holdout_digest)
    note = json.loads((tmp_path / "b/profile.json").read_text())["notes"][0]
    assert note.startswith(
        "the holdout stays: a new one would have 150 rows that the champion was not trained on"
    )


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"by": "group"}, "name the columns that make one group"),
        ({"by": "key", "columns": ["patient"]}, "write by: group or by: stratified"),
        ({"by": "group", "columns": ["nurse"]}, "'nurse' is not declared"),
    ],
)
def test_a_split_that_cannot_be_made_is_refused(split: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ModelSpec.model_validate(BASE | {"split": split})
