"""SE-05: damaged models are clean errors of a process that lives on."""

import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import xgboost as xgb

from driftwheel.errors import ArtifactInvalid
from driftwheel.jobs.artifact import MANIFEST, REQUIRED, check, describe

FEATURES = 6
LOADER = Path(__file__).with_name("loading.py")


@pytest.fixture(scope="module")
def whole() -> bytes:
    generator = np.random.default_rng(1)
    rows = generator.normal(size=(400, FEATURES))
    data = xgb.DMatrix(rows, label=(rows[:, 0] + rows[:, 1] ** 2 > 1).astype(float))
    booster = xgb.train({"objective": "binary:logistic", "max_depth": 4, "nthread": 1}, data, 12)
    return bytes(booster.save_raw("json"))


def damaged(whole: bytes, dice: random.Random) -> bytes:
    """Bytes changed, cut off, doubled, or numbers made absurd: what disks, networks and attackers do."""
    kind = dice.randrange(5)
    if kind == 0:
        return whole[: dice.randrange(len(whole))]
    if kind == 1:
        place = dice.randrange(len(whole))
        return whole[:place] + whole[place - dice.randrange(1, 500) :]
    if kind == 2:
        digits = [place for place, byte in enumerate(whole) if chr(byte).isdigit()]
        place = dice.choice(digits)
        return whole[:place] + dice.choice([b"-1", b"99999999999", b"1e400", b"NaN"]) + whole[place + 1 :]
    found = bytearray(whole)
    for _ in range(dice.randrange(1, 40)):
        found[dice.randrange(len(found))] = dice.randrange(256)
    return bytes(found)


def loaded(folder: Path) -> dict[str, str]:
    ended = subprocess.run(
        [sys.executable, str(LOADER), str(folder), str(FEATURES)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return {said["name"]: said["outcome"] for said in map(json.loads, ended.stdout.splitlines())}


@pytest.mark.case("SE-05")
def test_two_hundred_damaged_models_end_no_process_that_loads_the_next(whole: bytes, tmp_path: Path) -> None:
    dice = random.Random(5)
    for number in range(200):
        (tmp_path / f"{number:03d}.json").write_bytes(damaged(whole, dice))
    (tmp_path / "whole.json").write_bytes(whole)

    outcomes = loaded(tmp_path)

    assert len(outcomes) == 201
    assert outcomes.pop("whole.json") == "loaded"
    counted = Counter(outcomes.values())
    assert set(counted) == {"refused", "loaded"}, counted  # "died with …" is neither: no crash, no time-out
    assert counted["refused"] >= 150, counted


@pytest.mark.case("SE-05")
def test_every_damaged_model_is_refused_by_its_digest_before_anything_is_parsed(
    whole: bytes, tmp_path: Path
) -> None:
    dice = random.Random(5)
    for name in REQUIRED - {MANIFEST}:
        (tmp_path / name).write_text("{}")
    model = tmp_path / "model.json"
    model.write_bytes(whole)
    (tmp_path / MANIFEST).write_text(json.dumps({"files": describe(tmp_path, REQUIRED - {MANIFEST})}))
    check(tmp_path)

    for _ in range(200):
        model.write_bytes(damaged(whole, dice))
        with pytest.raises(ArtifactInvalid, match="the sha256 differs"):
            check(tmp_path)
