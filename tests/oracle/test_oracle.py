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

DAY = 86_400.0
NOW = 100 * DAY
CANARY = "AKIA" + "PLANTEDHERE00001"


def run(
    run_id: str, status: str = "promoted", outcome: str = "said so", kind: str = "arrival", fence: int = 0
) -> RunRow:
    """A run that ended; the number in its name says when it began, unless ``fence`` does."""
    named = {
        "model": "m",
        "kind": kind,
        "reason": "new",
        "started_at": "t",
        "fence": fence or int(run_id[1:]),
    }
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
    """Two champions, a refused run that left its config, a quarantined file: all as it should be."""
    history = [champion("r2", 2), champion("r1", 1)]
    return Evidence(
        model="m",
        now=NOW,
        delivered={("a", "v1"): "etag", ("bad", "v1"): "etag"},
        objects=[file("a", "used"), file("bad", "quarantined", "empty-file: no bytes", "r3")],
        runs=[run("r3", "refused"), run("r2"), run("r1")],
        champion=history[0],
        history=history,
        lease=Lease("m", "r2", 2, int(NOW) - 1),
        executions={"m-r1": ("SUCCEEDED", ""), "m-r3": ("FAILED", "TrainingFailed")},
        jobs={"e-r1": ("r1", "Completed"), "e-r2": ("r2", "Completed")},
        frozen={"r1": "a", "r2": "a, b", "r3": "a, bad"},
        digests={"r1": "one", "r2": "two"},
        prepared={"a, model.yaml": {"one"}},
        endpoint={"EndpointConfigName": "e-r2"},
        serving="s3://b/r2",
        endpoints={"e": NOW - 90 * DAY},
        configs={"e-r1": NOW - 90 * DAY, "e-r2": NOW - 80 * DAY, "e-r3": NOW - DAY},
        models={"e-r1": NOW - 90 * DAY, "e-r2": NOW - 80 * DAY, "e-r3": NOW - DAY},
        alerts=Counter(r3=1),
        messages={"r3": ["m: run r3 refused. Empty.\nYou: drop it mended"]},
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


def failed_on(content: str, sound: Evidence) -> dict[str, object]:
    """Two failed runs after all others, each of which completed a training on this content."""
    return {
        "runs": [run("r5", "failed"), run("r4", "failed"), *sound.runs],
        "jobs": {**sound.jobs, "e-r4": ("r4", "Completed"), "e-r5": ("r5", "Completed")},
        "digests": {**sound.digests, "r4": content, "r5": content},
        "alerts": Counter(("r3", "r4", "r5")),
    }


def champions(count: int) -> dict[str, object]:
    """So many champions, one after the other, whose configs and models all are there."""
    history = [champion(f"r{n}", n) for n in range(count, 0, -1)]
    made = {row.endpoint_config: NOW - 90 * DAY for row in history}
    return {
        "runs": [run("r9", "refused"), *(run(row.run_id) for row in history)],
        "objects": [file("a", "used"), file("bad", "quarantined", "empty-file: no bytes", "r9")],
        "alerts": Counter(r9=1),
        "champion": history[0],
        "history": history,
        "endpoint": {"EndpointConfigName": history[0].endpoint_config},
        "serving": history[0].model_data_url,
        "configs": made,
        "models": made,
    }


def unchampioned(sound: Evidence) -> dict[str, object]:
    """The same runs, none of which came to a champion."""
    return {
        "runs": [run("r3", "refused"), run("r2", "rejected"), run("r1", "rejected")],
        "alerts": Counter(("r1", "r2", "r3")),
        "champion": None,
        "history": [],
        "endpoint": None,
        "endpoints": {},
        "configs": {},
        "models": {},
    }


ALLOWED: dict[str, Callable[[Evidence], dict[str, object]]] = {
    "two repeats of what was cut off": lambda e: {
        "runs": [*(run(f"r{n}", "aborted") for n in range(4, 7)), *e.runs],
        "jobs": {**e.jobs, **{f"e-r{n}": (f"r{n}", "Completed") for n in range(4, 7)}},
        "frozen": {**e.frozen, "r4": "c", "r5": "c", "r6": "c"},
        "digests": {**e.digests, "r4": "new", "r5": "new", "r6": "new"},
        "alerts": Counter(("r3", "r4", "r5", "r6")),
    },
    "a repeat a person asked for": lambda e: {
        **failed_on("new", e),
        "runs": [run("r5", "failed", kind="manual"), run("r4", "failed"), *e.runs],
        "frozen": {**e.frozen, "r4": "c", "r5": "c"},
    },
    "other files that hold what a failed run had learned": lambda e: {
        **failed_on("new", e),
        "frozen": {**e.frozen, "r4": "c", "r5": "d"},
    },
    "no champion and what the sweep will still take": lambda e: {
        **unchampioned(e),
        "configs": {"e-r1": NOW - 30 * DAY},
        "models": {"e-r1": NOW - 30 * DAY},
        "endpoints": {"e": NOW - 60},
    },
    "three champions whose configs are kept": lambda e: champions(3),
    "what drift tries after people heard that it cannot improve": lambda e: {
        "runs": [*(run(f"r{n}", "failed", kind="drift") for n in range(7, 3, -1)), *e.runs],
        "alerts": Counter(("r3", "r4", "r5", "r6")),
    },
    "a way back that was recorded": lambda e: {
        "history": [champion("r1", 3), *e.history],
        "champion": champion("r1", 3),
        "endpoint": {"EndpointConfigName": "e-r1"},
        "serving": "s3://b/r1",
        "rolled_back": {3},
    },
}
"""What looks odd and is as it should be: the oracle is no stricter than the product's own words."""


BROKEN: dict[str, tuple[str, Callable[[Evidence], dict[str, object]]]] = {
    "a delivery nobody entered": ("I1", lambda e: {"delivered": {**e.delivered, ("c", "v1"): "x"}}),
    "an entry nobody delivered": ("I1", lambda e: {"delivered": {("a", "v1"): "etag"}}),
    "an object that stays pending": ("I1", lambda e: {"objects": [file("a", "pending"), e.objects[1]]}),
    "an object left out in silence": ("I1", lambda e: {"objects": [file("a", "ignored"), e.objects[1]]}),
    "a dead letter": ("I1", lambda e: {"dead_letters": 1}),
    "two jobs that learned the same": ("I2", lambda e: {"digests": {"r1": "one", "r2": "one"}}),
    "two failed runs that learned what a champion had learned": (
        "I2",
        lambda e: {**failed_on("two", e), "frozen": {**e.frozen, "r4": "c", "r5": "d"}},
    ),
    "a failed run that learned again from the same objects, unasked": (
        "I2",
        lambda e: {**failed_on("new", e), "frozen": {**e.frozen, "r4": "c", "r5": "c"}},
    ),
    "runs that learned the same and nobody knows from what": ("I2", lambda e: failed_on("new", e)),
    "a third repeat of what was cut off": (
        "I2",
        lambda e: {
            "runs": [*(run(f"r{n}", "aborted") for n in range(4, 8)), *e.runs],
            "frozen": {**e.frozen, **dict.fromkeys(("r4", "r5", "r6", "r7"), "c")},
            "alerts": Counter(("r3", "r4", "r5", "r6", "r7")),
        },
    ),
    "a job that learned in vain and was thrown away": (
        "I2",
        lambda e: {
            "runs": [run("r4", "aborted"), *e.runs],
            "jobs": {**e.jobs, "e-r4": ("r4", "Stopped")},
            "digests": {**e.digests, "r4": "one"},
            "alerts": Counter(("r3", "r4")),
        },
    ),
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
    "a config of nobody": ("I6", lambda e: {"configs": {**e.configs, "e-r9": NOW}}),
    "a model of nobody": ("I6", lambda e: {"models": {**e.models, "e-r9": NOW}}),
    "an endpoint of nobody": ("I6", lambda e: {"endpoints": {**e.endpoints, "e-2": NOW}}),
    "a refused run's config that no sweep took": (
        "I6",
        lambda e: {"configs": {**e.configs, "e-r3": NOW - 32 * DAY}},
    ),
    "a refused run's model that no sweep took": (
        "I6",
        lambda e: {"models": {**e.models, "e-r3": NOW - 32 * DAY}},
    ),
    "a fourth champion's config that no sweep took": ("I6", lambda e: champions(4)),
    "an endpoint left to stand where there is no champion": (
        "I6",
        lambda e: {**unchampioned(e), "endpoints": {"e": NOW - 3_600}},
    ),
    "config and model left for good where there is no champion": (
        "I6",
        lambda e: {**unchampioned(e), "configs": e.configs, "models": e.models},
    ),
    "a process of nobody": ("I6", lambda e: {"strays": ["process 7 serves nothing"]}),
    "an end without a sentence": ("I7", lambda e: {"runs": changed(0, outcome="")(e)}),
    "a failure nobody heard of": ("I7", lambda e: {"alerts": Counter()}),
    "an aborted run nobody heard of": ("I7", lambda e: {"runs": [run("r4", "aborted"), *e.runs]}),
    "a run that timed out and nobody heard of": (
        "I7",
        lambda e: {
            "runs": [run("r4", "failed", "the execution ended TIMED_OUT before it could say why"), *e.runs]
        },
    ),
    "a failure of drift nobody heard of": (
        "I7",
        lambda e: {"runs": [run("r4", "failed", kind="drift"), *e.runs]},
    ),
    "an alert that says nothing to do": (
        "I7",
        lambda e: {"messages": {"r3": ["m: run r3 refused. Empty."]}},
    ),
    "an end the command answers with exit code 0": ("I7", lambda e: {"bad_ends": frozenset({"failed"})}),
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
    "a lease that is held": ("I9", lambda e: {"lease": Lease("m", "r2", 2, int(NOW) + 1)}),
    "a token in its place": ("I9", lambda e: {"tokens": [parked()]}),
    "a large payload": ("I10", lambda e: {"largest_payload": 200_001}),
    "a long history": ("I10", lambda e: {"longest_history": 20_001}),
    "another digest of the same bytes": ("I11", lambda e: {"prepared": {"a, model.yaml": {"one", "two"}}}),
    "quarantined bytes that changed": ("I12", lambda e: {"quarantined": {("bad", "v1"): (b"x", b"y")}}),
    "a champion's artifact rewritten": ("I12", lambda e: {"model_digests": {"s3://b/r2": {"d", "e"}}}),
}


def test_sound_evidence_breaks_nothing() -> None:
    assert [*violations(sound())] == []


@pytest.mark.parametrize("what", ALLOWED)
def test_what_is_allowed_breaks_nothing(what: str) -> None:
    evidence = sound()

    assert [*violations(replace(evidence, **ALLOWED[what](evidence)))] == []  # type: ignore[arg-type]


@pytest.mark.parametrize("what", BROKEN)
def test_one_thing_wrong_turns_its_invariant_red_and_no_other(what: str) -> None:
    invariant, broken = BROKEN[what]
    evidence = sound()

    found = [*violations(replace(evidence, **broken(evidence)))]  # type: ignore[arg-type]

    assert found
    assert {line.split()[0] for line in found} == {invariant}


def test_every_invariant_is_proven_to_turn_red() -> None:
    assert {invariant for invariant, _ in BROKEN.values()} == {f"I{number}" for number in range(1, 13)}
