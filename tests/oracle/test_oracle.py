"""The oracle can turn red: each invariant, by evidence that is sound but for one thing."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from driftwheel.ledger.champions import ChampionRow
from driftwheel.ledger.leases import Lease
from driftwheel.ledger.objects import ObjectRow
from driftwheel.ledger.runs import RunRow
from driftwheel.ledger.tokens import Parked

from .evidence import Evidence
from .invariants import violations

NOW = 1_000.0
CANARY = "AKIA" + "PLANTEDHERE00001"


def run(run_id: str, status: str = "promoted", outcome: str = "said so") -> RunRow:
    named = {"model": "m", "kind": "arrival", "reason": "new", "started_at": "t", "fence": 1}
    return RunRow(
        run_id=run_id,
        status=status,  # type: ignore[arg-type]
        execution_arn=f"arn:{run_id}",
        ended_at="t",
        outcome=outcome,
        **named,  # type: ignore[arg-type]
    )


def champion(run_id: str, sequence: int) -> ChampionRow:
    where = {"endpoint": "e", "endpoint_config": f"e-{run_id}", "model_data_url": f"s3://b/{run_id}"}
    rest = dict.fromkeys(("model_package_arn", "baseline_uri", "promoted_at", "reason"), "x")
    return ChampionRow(model="m", sequence=sequence, run_id=run_id, **where, **rest)


def file(key: str, state: str, reason: str = "", run_id: str = "r2") -> ObjectRow:
    return ObjectRow(
        "m",
        "source",
        "b",
        key,
        "v1",
        "etag",
        1,
        "01",
        "t",
        state=state,  # type: ignore[arg-type]
        reason=reason,
        run_id=run_id,
    )


def sound() -> Evidence:
    """Two champions, a refused run, a quarantined file: all as it should be."""
    history = [champion("r2", 2), champion("r1", 1)]
    return Evidence(
        model="m",
        now=NOW,
        delivered={("a", "v1"): "etag", ("bad", "v1"): "etag"},
        objects=[file("a", "used"), file("bad", "quarantined", "empty-file: no bytes", "r3")],
        runs=[run("r3", "refused"), run("r2"), run("r1")],
        champion=history[0],
        history=history,
        lease=Lease("m", "r2", 2, 999),
        executions={"m-r1": ("SUCCEEDED", ""), "m-r3": ("FAILED", "TrainingFailed")},
        jobs={"e-r1": ("r1", "Completed"), "e-r2": ("r2", "Completed")},
        digests={"r1": "one", "r2": "two"},
        prepared={"a, model.yaml": {"one"}},
        endpoint={"EndpointConfigName": "e-r2"},
        serving="s3://b/r2",
        endpoints={"e"},
        configs={"e-r1", "e-r2"},
        models={"e-r1", "e-r2"},
        alerts=Counter(r3=1),
        tellings=Counter(r1=1, r2=1, r3=1),
        largest_payload=1_000,
        longest_history=100,
        quarantined={("bad", "v1"): (b"x", b"x")},
        outputs={"a log": "a line"},
        canaries=(CANARY,),
        model_digests={"s3://b/r2": {"d"}},
    )


def parked() -> Parked:
    return Parked("arn", "training_job", "token", "m", "r2", 1, "arn:r2", "t", {})


def changed(index: int, **fields: object) -> Callable[[Evidence], list[RunRow]]:
    return lambda sound: [
        replace(row, **fields) if n == index else row  # type: ignore[arg-type]
        for n, row in enumerate(sound.runs)
    ]


BROKEN: dict[str, tuple[str, Callable[[Evidence], dict[str, object]]]] = {
    "a delivery nobody entered": ("I1", lambda e: {"delivered": {**e.delivered, ("c", "v1"): "x"}}),
    "an entry nobody delivered": ("I1", lambda e: {"delivered": {("a", "v1"): "etag"}}),
    "an object that stays pending": ("I1", lambda e: {"objects": [file("a", "pending"), e.objects[1]]}),
    "an object left out in silence": ("I1", lambda e: {"objects": [file("a", "ignored"), e.objects[1]]}),
    "a dead letter": ("I1", lambda e: {"dead_letters": 1}),
    "two jobs that learned the same": ("I2", lambda e: {"digests": {"r1": "one", "r2": "one"}}),
    "two jobs of one run": ("I2", lambda e: {"jobs": {**e.jobs, "e-r2-again": ("r2", "Completed")}}),
    "two jobs of one run, the other of which found a machine": (
        "I2",
        lambda e: {
            "jobs": {**e.jobs, "e-r2-2": ("r2", "Completed"), "e-r2-3": ("r2", "Failed")},
            "machineless": {"e-r2-3"},
        },
    ),
    "a failed request": ("I3", lambda e: {"wrong_answers": 1}),
    "no endpoint": ("I3", lambda e: {"endpoint": None}),
    "another config": ("I4", lambda e: {"endpoint": {"EndpointConfigName": "e-r1"}}),
    "another model answers": ("I4", lambda e: {"serving": "s3://b/r1"}),
    "history behind the pointer": ("I4", lambda e: {"history": e.history[1:]}),
    "a sequence left out": (
        "I5",
        lambda e: {"history": [champion("r2", 3), champion("r1", 1)], "champion": champion("r2", 3)},
    ),
    "a way back nobody recorded": (
        "I5",
        lambda e: {
            "history": [champion("r1", 3), *e.history],
            "champion": champion("r1", 3),
            "endpoint": {"EndpointConfigName": "e-r1"},
            "serving": "s3://b/r1",
        },
    ),
    "a champion of a rejected run": ("I5", lambda e: {"runs": changed(1, status="unchanged")(e)}),
    "a job of nobody": ("I6", lambda e: {"jobs": {**e.jobs, "e-r9": ("r9", "Completed")}}),
    "a job that runs on": ("I6", lambda e: {"jobs": {**e.jobs, "e-r2": ("r2", "InProgress")}}),
    "a config of nobody": ("I6", lambda e: {"configs": {*e.configs, "e-r9"}}),
    "a model of nobody": ("I6", lambda e: {"models": {*e.models, "e-r9"}}),
    "an endpoint of nobody": ("I6", lambda e: {"endpoints": {"e", "e-2"}}),
    "a process of nobody": ("I6", lambda e: {"strays": ["process 7 serves nothing"]}),
    "an end without a sentence": ("I7", lambda e: {"runs": changed(0, outcome="")(e)}),
    "a failure nobody heard of": ("I7", lambda e: {"alerts": Counter()}),
    "a failure told twice": ("I7", lambda e: {"alerts": Counter(r3=2)}),
    "a code nobody knows": ("I7", lambda e: {"objects": [e.objects[0], file("bad", "quarantined", "eh: x")]}),
    "a quarantine by nobody": (
        "I7",
        lambda e: {"objects": [e.objects[0], replace(e.objects[1], run_id="")]},
    ),
    "a secret in a log": ("I8", lambda e: {"outputs": {"a log": f"row: {CANARY}"}}),
    "an execution at work": ("I9", lambda e: {"executions": {"m-r1": ("RUNNING", "")}}),
    "an accident of the language": (
        "I9",
        lambda e: {"executions": {"m-r1": ("FAILED", "States.Runtime")}},
    ),
    "a run that never ended": ("I9", lambda e: {"runs": [run("r4", "running"), *e.runs]}),
    "a lease that is held": ("I9", lambda e: {"lease": Lease("m", "r2", 2, 1_001)}),
    "a token in its place": ("I9", lambda e: {"tokens": [parked()]}),
    "a large payload": ("I10", lambda e: {"largest_payload": 200_001}),
    "a long history": ("I10", lambda e: {"longest_history": 20_001}),
    "another digest of the same bytes": ("I11", lambda e: {"prepared": {"a, model.yaml": {"one", "two"}}}),
    "quarantined bytes that changed": ("I12", lambda e: {"quarantined": {("bad", "v1"): (b"x", b"y")}}),
    "a champion's artifact rewritten": ("I12", lambda e: {"model_digests": {"s3://b/r2": {"d", "e"}}}),
}


def test_sound_evidence_breaks_nothing() -> None:
    assert [*violations(sound())] == []


@pytest.mark.parametrize("what", BROKEN)
def test_one_thing_wrong_turns_its_invariant_red_and_no_other(what: str) -> None:
    invariant, broken = BROKEN[what]
    evidence = sound()

    found = [*violations(replace(evidence, **broken(evidence)))]  # type: ignore[arg-type]

    assert found
    assert {line.split()[0] for line in found} == {invariant}


def test_every_invariant_is_proven_to_turn_red() -> None:
    assert {invariant for invariant, _ in BROKEN.values()} == {f"I{number}" for number in range(1, 13)}
