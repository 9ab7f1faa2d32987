"""SE-10: jobs that fail on planted values, through to what people read: failure file, log, ledger, status."""

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.bench.world import World
from tests.faults.failures import at_work, dropped
from tests.faults.failures import job as newest_job
from tests.faults.test_status import asked
from tests.oracle.in_memory import outputs

SECRET = "AKIAIOSFODNN7CANARY"  # the oracle's form of a key, of no account
CARD = 4111111111111111.0
PLANTED = re.compile(rf"{SECRET}|4\.?111111|-?7654321")


def in_every_row(folder):
    """Plant a text and a number in columns that are carried along, not learned from."""
    for name in ("train.parquet", "validation.parquet"):
        table = pq.read_table(folder / name)
        for column, value in (("raw.carrier", SECRET), ("raw.humid", CARD)):
            place = table.column_names.index(column)
            planted = pa.array([value] * len(table), table.schema.field(column).type)
            table = table.set_column(place, column, planted)
        pq.write_table(table, folder / name)


def in_column(column, value):
    def plant(folder):
        table = pq.read_table(folder / "train.parquet")
        values = table.column(column).to_numpy().copy()
        values[7] = value
        place = table.column_names.index(column)
        pq.write_table(table.set_column(place, column, pa.array(values)), folder / "train.parquet")

    return plant


def in_parameters(change):
    def plant(folder):
        params = json.loads((folder / "params.json").read_text())
        change(params)
        (folder / "params.json").write_text(json.dumps(params))

    return plant


def in_golden(folder):
    first, *rest = (folder / "golden.jsonl").read_text().splitlines()
    changed = json.loads(first)
    changed["record"] |= {"carrier": SECRET, "temp": SECRET}
    (folder / "golden.jsonl").write_text("\n".join([json.dumps(changed), *rest]) + "\n")


FAILURES = {
    "XGBoost: a label": (in_column("__label", CARD), {}, "XGBoostError: Check failed: is_valid: base_score"),
    "XGBoost: a category": (in_column("x.origin", -7654321.0), {}, "XGBoostError: Invalid categorical"),
    "XGBoost: a parameter": (
        None,
        {"gamma": SECRET},
        "XGBoostError: Invalid Parameter format for min_split_loss",
    ),
    "XGBoost: a quoted parameter": (None, {"gamma": f"O'Brien {SECRET}"}, "expect float but value=…"),
    "XGBoost: a constraint": (None, {"interaction_constraints": f'[["{SECRET}"]]'}, "XGBoostError: "),
    "ours: a label": (in_column("__label", np.nan), {}, "has rows without a label"),
    "ours: a median": (in_parameters(lambda p: p["medians"].update(humid=SECRET)), {}, " in "),
    "ours: categories": (in_parameters(lambda p: p.update(categories=[SECRET])), {}, " in "),
    "ours: a golden record": (in_golden, {}, "golden record 0"),
}
"""Who fails on what → how it is planted, what the job is asked, what its reason holds."""


@pytest.mark.case("SE-10")
@pytest.mark.parametrize("name", FAILURES)
def test_a_job_that_fails_on_planted_values_repeats_none_anywhere(
    name, tmp_path, job, write_prepared, write_manifest, monkeypatch
):
    plant, given, reason = FAILURES[name]
    job.prepared = write_prepared(tmp_path / "planted", seed=1)
    in_every_row(job.prepared)
    if plant:
        plant(job.prepared)
    write_manifest(job.prepared)

    ended = job.run(**given)

    assert ended.returncode == 1
    assert reason in job.failure
    assert not PLANTED.search(job.failure + ended.stdout + ended.stderr)
    told = told_of(job.failure, monkeypatch)
    assert reason in told
    assert not PLANTED.search(told)


def told_of(failure, monkeypatch):
    """Let a run's job end so, and give all that leaves as text, and what status says."""
    world = at_work(dropped(World()), "TrainingLaunch")
    world.end_job(newest_job(world), "Failed", f"AlgorithmError: {failure}")
    world.drain()
    (run,) = world.ledger.runs.of_model("parcels")
    assert (
        run.outcome
        == f"TrainingFailed: training job {newest_job(world)} ended Failed: AlgorithmError: {failure}"
    )
    return " ".join([*outputs(world).values(), asked(world, monkeypatch, "parcels")])
