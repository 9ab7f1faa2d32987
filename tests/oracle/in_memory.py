"""Evidence of the wheel in memory."""

from collections import Counter

from driftwheel.ledger.tokens import Tokens
from tests.bench.sagemaker import StrictSageMaker
from tests.bench.world import World

from .evidence import Evidence
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
                body = world.s3.versions["artifacts", f"runs/{model}/{run.run_id}/data.json"][-1][1]
                held_back |= {(row.key, row.version) for row in objects if row.version.encode() in body}
        prefix = f"driftwheel-{model}-"
        return Evidence(
            model=model,
            now=world.now.timestamp(),
            delivered={(k, v): etag for (owner, k, v), etag in world.delivered.items() if owner == model},
            objects=objects,
            held_back=held_back,
            runs=runs,
            champion=champion,
            history=world.ledger.champions.history(model),
            lease=world.ledger.leases.get(model),
            tokens=[parked for parked in Tokens(world.table).all() if parked.model == model],
            executions={
                name: (one.status, one.error)
                for name, one in world.machine.executions.items()
                if name.startswith(f"{model}-")
            },
            jobs={
                name: (name.removeprefix(prefix), job["TrainingJobStatus"])
                for name, job in sagemaker.jobs.items()
                if name.startswith(prefix)
            },
            digests=world.digests,
            endpoint=dict(endpoint) if endpoint and endpoint["EndpointStatus"] == "InService" else None,
            serving=sagemaker.serving(endpoint["EndpointName"]) if endpoint else "",
            configs={name for name in sagemaker.configs if name.startswith(prefix)},
            alerts=Counter({run: n for (owner, run), n in world.alerts.items() if owner == model}),
            largest_payload=world.machine.largest_payload,
        )


def assert_world(world: World) -> None:
    """Hold every model of a world to the invariants."""
    for model in world.models:
        assert_invariants(evidence_of(world, model))
