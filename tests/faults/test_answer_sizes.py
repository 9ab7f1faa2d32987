"""SF-07: whatever there is to say of a run, what travels through the state machine stays small."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftwheel.deployment.registry import approval_request
from driftwheel.gate.verdict import Measured, Reason, Slice, Verdict
from driftwheel.layout import S3Uri
from driftwheel.ledger.objects import Objects as ObjectLedger
from driftwheel.ledger.table import Table
from driftwheel.refusal import Refusal
from driftwheel.run import MAXIMUM_BYTES, Run
from driftwheel.steps import preprocessing
from driftwheel.steps.evaluation_gate import section_of
from driftwheel.steps.shortened import (
    LEAKAGE_BYTES,
    REASONS_BYTES,
    REFUSED_BYTES,
    SHIFT_BYTES,
    all_refused,
    few_of,
    few_reasons,
)
from tests.bench.faults import Faults
from tests.bench.table import MemoryTable
from tests.bench.world import ARTIFACTS, World
from tests.oracle.in_memory import assert_world

STEP_FUNCTIONS_BYTES, LAMBDA_CAUSE_BYTES, OTHER_BYTES = 262_144, 32_768, 6_000
FILES = 400
"""Refused ones; each is named twice, by some 800 bytes: 600 KB in one answer, were it not shortened."""


def size(value: Any) -> int:
    return len(json.dumps(value).encode())


@pytest.mark.case("SF-07")
def test_what_a_run_may_gather_fits_into_a_payload() -> None:
    sections = 2 * REFUSED_BYTES + LEAKAGE_BYTES + SHIFT_BYTES + REASONS_BYTES + OTHER_BYTES

    assert MAXIMUM_BYTES + sections + LAMBDA_CAUSE_BYTES < STEP_FUNCTIONS_BYTES


@pytest.mark.case("SF-07")
def test_a_run_of_four_hundred_refused_files_carries_a_few_and_points_to_all() -> None:
    world = World()
    with world.hooked():
        world.register()
        for number in range(FILES):
            world.drop("parcels", f"{number}-{'x' * 700}.csv", b"")
        world.drop("parcels", "good.csv", b"1")
        world.settle()

    assert_world(world)
    (run,) = world.ledger.runs.of_model("parcels")
    assert run.status == "promoted"
    assert world.machine.largest_payload < 40_000
    (execution,) = world.machine.executions.values()
    section = Run.model_validate(execution.data | {"record_outcome": None}).data_arrival
    assert section is not None
    assert section.more_refused == FILES - len(section.refused)
    named = all_refused(section, world.objects)
    assert {refusal.code for refusal in named} == {"empty-file"}
    assert len({refusal.key for refusal in named}) == FILES
    states = [row.state for row in world.ledger.objects.of_model("parcels")]
    assert (states.count("quarantined"), states.count("used")) == (FILES, 1)


@pytest.mark.case("SF-07")
def test_a_run_all_of_whose_files_are_refused_says_where_the_others_are_named() -> None:
    world = World()
    with world.hooked():
        world.register()
        for number in range(FILES):
            world.drop("parcels", f"{number}-{'x' * 700}.csv", b"")
        world.settle()

    (run,) = world.ledger.runs.of_model("parcels")
    assert run.status == "refused"
    assert len(run.outcome) < 2 * REFUSED_BYTES
    said, _, uri = run.outcome.rpartition(" more in ")
    assert int(said.rpartition(" ")[2]) + run.outcome.count("has no bytes") == FILES
    assert len(world.objects.read_json(S3Uri.parse(uri))) == FILES
    assert_world(world)


@pytest.mark.case("SF-07")
@pytest.mark.parametrize("outcome", ["ready", "refused"])
def test_two_thousand_columns_and_as_many_refused_files_stay_small(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, outcome: str
) -> None:
    columns = [f"a column of a wide model, number {number}" for number in range(2_000)]
    world = World()
    with world.hooked():
        world.register()
        world.drop("parcels", "a.csv", b"1")
        world.settle()
    (execution,) = world.machine.executions.values()
    whole = Run.model_validate(execution.data | {"record_outcome": None})
    run = whole.model_copy(update={"preprocessing": None, "run_id": "w" * 16})
    key = "data/parcels/a.csv"
    refused = [
        (key, Refusal(code="schema-break", message=f"{column}: no number", key=key)) for column in columns
    ]
    found = preprocessing.Prepared(
        outcome=outcome,  # type: ignore[arg-type]
        rows={"train": 1},
        refused=refused,
        data_digest="d",
        holdout_uri="s3://h",
        leakage=columns,
        shifts=[f"{column} has jumped from 1 to 2" for column in columns],
    )
    monkeypatch.setattr(preprocessing, "_prepare", lambda *_: found)
    monkeypatch.setattr(preprocessing.Folder, "publish", lambda *_: None)
    monkeypatch.setattr(preprocessing, "_manifest", lambda *_: {})
    table = Table(MemoryTable(Faults()))
    ledger = preprocessing.Ledger(ObjectLedger(table), world.ledger.runs)
    monkeypatch.setattr(preprocessing, "set_aside", lambda *_: None)

    section = preprocessing.preprocess(
        run, world.objects, ledger, preprocessing.Place(ARTIFACTS, tmp_path, 100)
    )

    assert section.outcome == outcome
    assert size(section.model_dump(mode="json", exclude_none=True)) < 15_000
    assert len(all_refused(section, world.objects)) == len(columns)
    if outcome == "ready":
        assert section.suspected_leakage[-1].startswith("and 1,9")
        assert section.suspected_shift[-1].startswith("and 1,9")


@pytest.mark.case("SF-07")
def test_an_evaluation_of_five_megabytes_travels_as_its_address_and_a_few_reasons() -> None:
    gain = Measured(value=-0.1, low=-0.2, high=-0.06)
    names = [f"a depot far away, number {number}" for number in range(20_000)]
    lost = [
        Slice(column="depot", value=name, rows=300, challenger=0.7, champion=0.8, gain=gain, worse=True)
        for name in names
    ]
    verdict = Verdict(
        decision="reject",
        reasons=[Reason(code="slice_loss", sentence=f"on depot = {name} auc is worse") for name in names],
        metric="auc",
        confidence=0.95,
        rows=300 * len(lost),
        positives=1,
        holdout_digest="d",
        slices=lost,
    )

    section = section_of(verdict, "arn", S3Uri("artifacts", "evaluation.json"), "0" * 64)
    said = approval_request(package_arn="arn", approval="Rejected", reason=verdict.sentence)

    assert size(verdict.model_dump(mode="json")) > 5_000_000
    assert size(section.model_dump(mode="json")) < 15_000
    assert section.evaluation_uri == "s3://artifacts/evaluation.json"
    assert "19,9" in section.reasons[-1]["sentence"], "those left out are counted"
    assert len(said["ApprovalDescription"]) <= 1_024


@pytest.mark.case("SF-07")
@given(st.lists(st.text(max_size=3_000), max_size=40))
@settings(max_examples=50, deadline=None)
def test_texts_and_reasons_are_cut_and_those_left_out_are_counted(texts: list[str]) -> None:
    few = few_of(texts, SHIFT_BYTES)
    reasons = few_reasons([{"code": "c", "sentence": text, "numbers": {"t": text, "n": 1}} for text in texts])

    assert size(few) < SHIFT_BYTES + 100
    assert size(reasons) < REASONS_BYTES + 200
    for shown in (few, [reason["sentence"] for reason in reasons]):
        more = int(shown[-1].split()[1]) if shown and len(shown) <= len(texts) and more_of(shown) else 0
        assert len(shown) - bool(more) + more == len(texts)


def more_of(shown: list[str]) -> bool:
    return shown[-1].startswith("and ") and " more" in shown[-1]
