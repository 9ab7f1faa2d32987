"""Evidence of the wheel in memory."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from driftwheel.digest import digest
from driftwheel.layout import S3Uri, quarantine_key
from driftwheel.ledger.champions import ChampionRow
from driftwheel.ledger.objects import ObjectRow
from driftwheel.ledger.tokens import Tokens
from tests.bench.sagemaker import StrictSageMaker
from tests.bench.world import ARTIFACTS, CANARY, LANDING, SWEPT_AFTER_DAYS, TOLD, World

from .evidence import Evidence, found_no_machine
from .invariants import assert_invariants


def evidence_of(world: World, model: str) -> Evidence:
    with world.calm():
        champion = world.ledger.champions.get(model)
        runs = world.ledger.runs.of_model(model)
        objects = world.ledger.objects.of_model(model)
        sagemaker: StrictSageMaker = world.sagemaker
        endpoint = sagemaker.endpoints.get(f"driftwheel-{model}")
        held_back = set()
        for run in runs:
            if run.status in {"failed", "aborted", "refused"}:
                body = world.s3.versions[ARTIFACTS, f"runs/{model}/{run.run_id}/data.json"][-1][1]
                held_back |= {(row.key, row.version) for row in objects if row.version.encode() in body}
        spec = world.ledger.models.get(model)
        decided = world.ledger.decisions.of_model(model, 10_000)
        prefix = f"driftwheel-{model}-"
        history = world.ledger.champions.history(model)
        return Evidence(
            model=model,
            now=world.now.timestamp(),
            delivered={(k, v): etag for (owner, k, v), etag in world.delivered.items() if owner == model},
            objects=objects,
            held_back=held_back,
            runs=runs,
            champion=champion,
            history=history,
            rolled_back={int(one.numbers["sequence"]) for one in decided if one.outcome == "rolled_back"},
            lease=world.ledger.leases.get(model),
            tokens=[parked for parked in Tokens(world.table).all() if parked.model == model],
            executions={
                name: (one.status, one.error)
                for name, one in world.machine.executions.items()
                if name.startswith(f"{model}-")
            },
            jobs={
                name: (name.removeprefix(prefix).partition("-")[0], job["TrainingJobStatus"])
                for name, job in sagemaker.jobs.items()
                if name.startswith(prefix)
            },
            machineless={name for name, job in sagemaker.jobs.items() if found_no_machine(job)},
            frozen=dict(frozen(world, model)),
            digests=world.digests,
            prepared=world.prepared,
            endpoint=dict(endpoint) if endpoint and endpoint["EndpointStatus"] == "InService" else None,
            serving=sagemaker.serving(endpoint["EndpointName"]) if endpoint else "",
            endpoints={
                name: one["LastModifiedTime"].timestamp()
                for name, one in sagemaker.endpoints.items()
                if f"{name}-" == prefix
            },
            configs=made(sagemaker.configs, prefix),
            models=made(sagemaker.models, prefix),
            swept_after_days=SWEPT_AFTER_DAYS,
            dead_letters=len(world.dead),
            wrong_answers=world.wrong_answers[model],
            alerts=Counter({run: n for (owner, run), n in world.alerts.items() if owner == model}),
            tellings=Counter({run: n for (owner, run), n in world.tellings.items() if owner == model}),
            messages={
                run.run_id: [text for text in world.said if TOLD.findall(text)[:1] == [run.run_id]]
                for run in runs
            },
            patience=spec.triggers.give_up_after if spec else 3,
            largest_payload=world.machine.largest_payload,
            longest_history=max((one.events for one in world.machine.executions.values()), default=0),
            quarantined=quarantined(world, objects),
            outputs=outputs(world),
            canaries=(CANARY.decode(),),
            model_digests=model_digests(world, history),
        )


def frozen(world: World, model: str) -> Iterator[tuple[str, str]]:
    """What each run was started on: its data set as it was frozen, and its model.yaml."""
    for one in world.machine.executions.values():
        if one.data["model"] == model:
            listed = world.objects.read_json(S3Uri.parse(one.data["data_uri"]))
            yield one.data["run_id"], digest(listed | {"run_id": ""}, one.data["spec"])


def made(room: dict[str, Any], prefix: str) -> dict[str, float]:
    """When each resource of a model was made."""
    return {name: one["CreationTime"].timestamp() for name, one in room.items() if name.startswith(prefix)}


def quarantined(world: World, objects: list[ObjectRow]) -> dict[tuple[str, str], tuple[bytes, bytes]]:
    """Pair what was received with what is kept; bytes that are kept nowhere count as none."""
    found = {}
    for row in objects:
        if row.state == "quarantined":
            received = dict(world.s3.versions[LANDING, row.key])[row.version]
            name = quarantine_key(row.model, row.version, row.key.rpartition("/")[2])
            kept = {body for _, body in world.s3.versions.get((ARTIFACTS, name), [])}
            found[row.key, row.version] = (received, kept.pop() if len(kept) == 1 else b"not kept once")
    return found


def outputs(world: World) -> dict[str, str]:
    """Everything that leaves as text: the ledger, what executions carried and ended with, what was told."""
    carried = {one.name: f"{json.dumps(one.data)} {one.cause}" for one in world.machine.executions.values()}
    return {"the ledger": str(world.store.items), "alerts": " ".join(world.said)} | carried


def model_digests(world: World, history: list[ChampionRow]) -> dict[str, set[str]]:
    """Take the digest of every version a champion's artifact ever had."""
    found = {}
    for row in history:
        where = S3Uri.parse(row.model_data_url)
        bodies = [body for _, body in world.s3.versions.get((where.bucket, where.key), [])]
        found[row.model_data_url] = {hashlib.sha256(body).hexdigest() for body in bodies} or {"", "missing"}
    return found


def assert_world(world: World) -> None:
    """Hold every model of a world to the invariants."""
    for model in world.models:
        assert_invariants(evidence_of(world, model))
