"""Trigger: enter what arrived in the ledger, decide by the one policy, freeze a data set, start its run."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from driftwheel.aws import executions
from driftwheel.aws.objects import Objects
from driftwheel.digest import digest
from driftwheel.errors import ObjectGone, SpecInvalid
from driftwheel.hooks import reached
from driftwheel.hours import DAY
from driftwheel.layout import DATA, LABELS, MODELS, RunLayout, capture_prefix
from driftwheel.ledger.champions import ChampionRow, Champions
from driftwheel.ledger.decisions import Decision, Decisions
from driftwheel.ledger.findings import Finding, Findings
from driftwheel.ledger.hours import Hours
from driftwheel.ledger.leases import Leases
from driftwheel.ledger.models import Models, owner_of
from driftwheel.ledger.objects import Delivered, ObjectRow, current
from driftwheel.ledger.objects import Objects as ObjectLedger
from driftwheel.ledger.runs import ENDED_WITHOUT_MODEL, RunRow, Runs, losses
from driftwheel.ledger.table import Table
from driftwheel.run import MAXIMUM_BYTES, Champion, Limits, Run, Started, payload
from driftwheel.spec import ModelSpec
from driftwheel.triggers.messages import (
    DriftDetected,
    Message,
    Notification,
    NotificationTest,
    ObjectCreated,
    ignored,
)
from driftwheel.triggers.policy import decide
from driftwheel.triggers.state import Answer, Refuse, Severity, Situation, Start, Wait
from driftwheel.triggers.windows import drifted

NOBODY = "nobody"
"""Owner of objects no registered model watches; they are adopted when a model.yaml names their prefix."""

STARTING_SECONDS = 300
"""The lease while a run is being started: a crash here blocks the model no longer than this."""

MOST_REPEATS = 2
"""Runs on the same objects after one that was aborted."""

BESIDE_THE_SPEC = 10_000
"""Bytes a run may need beside its model.yaml: names, URIs, the champion."""

LONGEST_DELAY = 900
"""SQS delays a message at most this long; a longer wait is ended by the tick."""


@dataclass(frozen=True)
class Ledger:
    """Every part of the ledger: the trigger decides from all of it."""

    models: Models
    objects: ObjectLedger
    runs: Runs
    leases: Leases
    champions: Champions
    findings: Findings
    decisions: Decisions
    hours: Hours

    @classmethod
    def of(cls, table: Table) -> "Ledger":
        """Open all parts of one table."""
        rooms = (Models, ObjectLedger, Runs, Leases, Champions, Findings, Decisions, Hours)
        return cls(*(room(table) for room in rooms))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Wheel:
    """What starts runs: where artifacts go, which state machine, which code, how long a person may take."""

    artifact_bucket: str
    state_machine_arn: str
    code_sha256: str
    approval_hours: int
    stepfunctions: Any
    objects: Objects


@dataclass(frozen=True)
class Decided:
    """The answer for one model, and after how many seconds to look again (None: a tick or an event will)."""

    model: str
    answer: Answer
    look_again: int | None


def take(message: Message, ledger: Ledger, objects: Objects, now: str) -> list[str]:
    """Enter a message in the ledger and name the models it concerns, each once."""
    if isinstance(message, ObjectCreated):
        return _take_object(message, ledger, objects, now)
    if isinstance(message, Notification):
        events = (record.created() for record in message.records)
        return list(dict.fromkeys(model for e in events for model in _take_object(e, ledger, objects, now)))
    if isinstance(message, NotificationTest):
        return []
    model = message.detail.model if isinstance(message, DriftDetected) else message.model
    return [model] if model else [spec.model for spec in ledger.models.all()]


def reconsider(model: str, ledger: Ledger, wheel: Wheel, now: datetime, *, manual: bool = False) -> Decided:
    """Decide for one model from state, write down why, and start the run if that is the answer."""
    spec = ledger.models.get(model)
    if spec is None:
        return Decided(model, Refuse("unknown_model", f"no model.yaml is registered for {model}"), None)
    situation = situation_of(spec, ledger, now)
    answer = decide(situation, spec, manual=manual)
    if isinstance(answer, Start):
        answer = start(spec, answer, situation, ledger, wheel, now)
    _write_down(model, answer, situation, ledger, now, manual=manual)
    wait = answer.until - now.timestamp() if isinstance(answer, Wait) and answer.until else None
    return Decided(
        model, answer, min(LONGEST_DELAY, int(wait) + 1) if wait is not None and wait > 0 else None
    )


def situation_of(spec: ModelSpec, ledger: Ledger, now: datetime, finding: Finding | None = None) -> Situation:
    """Read what the policy looks at; ``finding`` stands for the latest one while it is being written."""
    pending = ledger.objects.pending(spec.model)
    runs = ledger.runs.of_model(spec.model)
    ended = [run for run in runs if run.ended_at]
    lease = ledger.leases.get(spec.model)
    champion = ledger.champions.get(spec.model)
    finding = finding or ledger.findings.get(spec.model)
    fresh = finding is not None and champion is not None and finding.champion_sequence == champion.sequence
    today = [run for run in runs if run.started_at[:10] == now.isoformat()[:10]]
    labelled = _labelled(finding, ledger.hours) if fresh and finding else {}
    billed = next((run.billed_seconds for run in runs if run.billed_seconds), None)
    hourly = spec.triggers.cost_per_training_hour or 0.0
    return Situation(
        now=now.timestamp(),
        pending=len(pending),
        sourceless=all(row.role != "source" for row in pending)
        and all(run.status == "refused" for run in runs),
        newest_arrival=max((_epoch(row.received) for row in pending), default=0.0),
        lease_run=lease.run_id if lease else "",
        lease_until=lease.expires_at if lease else 0.0,
        last_ended=max((_epoch(run.ended_at) for run in ended), default=None),
        runs_today=len(today),
        losses=losses(runs),
        cost_today=hourly / 3_600 * sum(run.billed_seconds for run in today),
        cost_next=hourly / 3_600 * (spec.training.max_runtime_seconds if billed is None else billed),
        drift=_severity(finding) if fresh else None,
        drifted_windows=_drifted_windows(finding, spec) if fresh and finding else 0,
        labelled_rows=_newly_labelled(finding, labelled, champion, runs)
        if fresh and finding and champion
        else 0,
        labelled_days=labelled,
        fault=finding.fault if fresh and finding else "",
    )


def start(
    spec: ModelSpec, answer: Start, situation: Situation, ledger: Ledger, wheel: Wheel, now: datetime
) -> Answer:
    """Freeze the data set, take the lease, start the execution named after the data set's digest.

    Every step may be repeated after a crash: the name stays the same, and so does the fencing token.
    """
    frozen = freeze(spec, ledger, wheel, rollover=answer.kind == "drift")
    identity = (spec.model, frozen, spec.model_dump(mode="json"), wheel.code_sha256)
    run_id, known, attempt = digest(*identity), None, 0
    while (known := ledger.runs.get(spec.model, run_id)) is not None and known.ended_at:
        attempt += 1
        if not _again(known, answer, attempt):
            sentence = f"run {run_id} on exactly these objects ended {known.status}: {known.outcome}"
            return Refuse("already_decided", sentence)
        run_id = digest(*identity, attempt)
    lease = ledger.leases.acquire(spec.model, run_id, now=int(situation.now), seconds=STARTING_SECONDS)
    if lease is None:
        return Wait(situation.now + 1, "run_in_flight", "another run took the lease just now")
    reached("after_lease")
    # Another trigger may have started this run after we looked, and it may have ended: a lease that was given
    # back is free, and held by a run that ended it would be given back by nobody.
    known = ledger.runs.get(spec.model, run_id)
    if known is not None and known.ended_at:
        ledger.leases.release(spec.model, run_id, lease.fence)
        return Wait(
            situation.now + 1, "run_in_flight", f"run {run_id} on exactly these objects ended just now"
        )
    started_at = known.started_at if known else now.isoformat()
    layout = RunLayout(wheel.artifact_bucket, spec.model, run_id)
    wheel.objects.write_json(layout.data_manifest, {"model": spec.model, "run_id": run_id} | frozen)
    limits = _limits(spec, wheel)
    run = Run(
        model=spec.model,
        run_id=run_id,
        fence=lease.fence,
        started=Started(kind=answer.kind, reason=answer.sentence, at=started_at),
        spec=spec,
        limits=limits,
        data_uri=str(layout.data_manifest),
        champion=_champion(ledger.champions.get(spec.model)),
    )
    name = f"{spec.model}-{run_id}"
    row = RunRow(
        spec.model,
        run_id,
        "running",
        answer.kind,
        answer.sentence,
        started_at,
        _arn(wheel, name),
        lease.fence,
        labelled_days=dict(situation.labelled_days),
    )
    ledger.runs.start(row)
    executions.start(wheel.stepfunctions, wheel.state_machine_arn, name, payload(run))
    ledger.leases.extend(lease, now=int(situation.now), seconds=longest_seconds(spec, limits))
    return replace(answer, run_id=run_id)


def _again(ended: RunRow, answer: Start, attempt: int) -> bool:
    """Tell whether objects whose run ended without a model get another run, under a name of its own.

    A person may always ask. By itself only a run that was cut off is repeated, and not for ever: what failed
    by its own fault would fail again.
    """
    if ended.status not in ENDED_WITHOUT_MODEL:
        return False
    return answer.kind == "manual" or (ended.status == "aborted" and attempt <= MOST_REPEATS)


def freeze(spec: ModelSpec, ledger: Ledger, wheel: Wheel, *, rollover: bool) -> dict[str, Any]:
    """List exactly what the run may read: object versions, captured traffic, and whether the holdout moves.

    Captured traffic belongs to the data set once its model has a champion; it needs labels to become rows.
    What was asked in a held hour stays out (``dataset/captured.py``).
    """
    rows = current(ledger.objects.of_model(spec.model))
    captures: list[dict[str, Any]] = []
    if ledger.champions.get(spec.model) is not None and any(row.role == "labels" for row in rows):
        listed = wheel.objects.list(wheel.artifact_bucket, f"{capture_prefix(spec.model)}/")
        captures = [
            {
                "bucket": wheel.artifact_bucket,
                "key": e["Key"],
                "etag": e["ETag"].strip('"'),
                "size": e["Size"],
            }
            for e in listed
        ]
    wanted = spec.split.rollover == "always" or (spec.split.rollover == "drift" and rollover)
    frozen = {"objects": [_entry(row) for row in rows], "captures": captures, "rollover": wanted}
    held = ledger.hours.held_names(spec.model) if captures else []
    return frozen | ({"held_hours": held} if held else {})


def _take_object(event: ObjectCreated, ledger: Ledger, objects: Objects, now: str) -> list[str]:
    found, key = event.detail.object, event.detail.object.key
    if key.startswith(MODELS):
        return _register(event, ledger, objects, now)
    owner = owner_of(key, ledger.models.all())
    delivered = Delivered(
        model=owner.model if owner else NOBODY,
        role=owner.role if owner else "unknown",
        bucket=event.detail.bucket.name,
        key=key,
        version=found.version_id or f"{found.etag}.{found.sequencer}",
        etag=found.etag,
        size=found.size,
        sequencer=found.sequencer,
        received=now,
    )
    entered = ledger.objects.deliver(delivered)
    elsewhere = not key.startswith((DATA, LABELS))
    if elsewhere or ignored(key):
        marker = "a marker, a folder or a half-written file"
        ledger.objects.settle(delivered, "ignored", f"not under {DATA} or {LABELS}" if elsewhere else marker)
        return []
    if owner is None:
        # Its model may have been registered meanwhile, and have looked for orphans before this one was there.
        owner = owner_of(key, ledger.models.all())
        if owner and (spec := ledger.models.get(owner.model)):
            adopt(spec, ledger.objects, [entered])
    return [owner.model] if owner else []


def _register(event: ObjectCreated, ledger: Ledger, objects: Objects, now: str) -> list[str]:
    found = event.detail.object
    if not found.key.endswith("/model.yaml"):
        return []
    name = found.key.removeprefix(MODELS).removesuffix("/model.yaml")
    try:
        body = objects.read_version(event.detail.bucket.name, found.key, found.version_id)
        spec = _small(_of_its_own_name(_read_model(body, found.key), name, found.key), found.key)
    except (SpecInvalid, ObjectGone) as error:
        decision = Decision(name, now, f"spec-{found.version_id}", "trigger", "spec_refused", str(error), {})
        ledger.decisions.record(decision)
        return []
    ledger.models.register(spec, version=found.version_id, at=now)
    adopt(spec, ledger.objects, ledger.objects.of_model(NOBODY))
    return [spec.model]


def _read_model(body: bytes, key: str) -> ModelSpec:
    # Registering is rare: only it pays for the parsers of YAML and SQL, not every cold start.
    from driftwheel.recipe.declare import read_model  # noqa: PLC0415

    return read_model(body, key)


def _of_its_own_name(spec: ModelSpec, name: str, key: str) -> ModelSpec:
    if spec.model != name:
        raise SpecInvalid(f"{key} declares model '{spec.model}': it must lie under models/{spec.model}/")
    return spec


def _small(spec: ModelSpec, key: str) -> ModelSpec:
    """Refuse at once what no run could carry."""
    size = len(spec.model_dump_json(exclude_none=True).encode())
    if size > MAXIMUM_BYTES - BESIDE_THE_SPEC:
        limit = MAXIMUM_BYTES - BESIDE_THE_SPEC
        raise SpecInvalid(f"{key} is {size:,} bytes in a run, the limit is {limit:,}: declare fewer columns")
    return spec


def adopt(spec: ModelSpec, ledger: ObjectLedger, orphans: Iterable[ObjectRow]) -> None:
    """Give a new model the objects that lay under its prefixes before it was registered."""
    names = ("bucket", "key", "version", "etag", "size", "sequencer", "received")
    for row in orphans:
        owner = owner_of(row.key, [spec])
        if row.state != "pending" or owner is None or owner.model != spec.model:
            continue
        fields = {name: getattr(row, name) for name in names}
        ledger.deliver(Delivered(model=spec.model, role=owner.role, **fields))
        orphan = Delivered(model=row.model, role=row.role, **fields)
        ledger.settle(orphan, "superseded", f"now watched by model {spec.model}")


def _write_down(
    model: str, answer: Answer, situation: Situation, ledger: Ledger, now: datetime, *, manual: bool
) -> None:
    if answer.code == "nothing_new":
        return
    numbers = {
        name: value for name, value in vars(situation).items() if name != "now" and value not in ("", None)
    }
    run_id = answer.run_id if isinstance(answer, Start) else ""
    # A run's start is one row, however often it is tried, and so is the same answer to the same situation,
    # however often a tick asks. A person is answered anew.
    same = run_id or digest(
        answer.code,
        situation.pending,
        situation.newest_arrival,
        situation.lease_run,
        situation.last_ended,
        situation.drift,
        now.isoformat() if manual else "",
    )
    ledger.decisions.record(
        Decision(
            model=model,
            at=now.isoformat()[:10],
            id=f"{answer.code}-{same}",
            step="trigger",
            outcome=type(answer).__name__.lower(),
            reason=answer.sentence,
            numbers=numbers | {"at": now.isoformat()},
            run_id=run_id,
        )
    )


def _limits(spec: ModelSpec, wheel: Wheel) -> Limits:
    training = spec.training.max_runtime_seconds * (2 if spec.training.spot else 1)
    return Limits(
        preprocessing_seconds=spec.preprocessing.max_runtime_seconds + 3_600,
        training_seconds=training + 3_600,
        approval_seconds=wheel.approval_hours * 3_600,
        deployment_seconds=spec.deployment.limit_seconds + 900,
    )


def longest_seconds(spec: ModelSpec, limits: Limits) -> int:
    """Bound how long a run may take: every wait to its end, and a training on each instance type."""
    waits: int = sum(limits.model_dump().values())
    again = (len(spec.training.instances) - 1) * limits.training_seconds
    return waits + again + 7_200


def _champion(row: ChampionRow | None) -> Champion | None:
    if row is None:
        return None
    return Champion(
        sequence=row.sequence,
        run_id=row.run_id,
        model_data_url=row.model_data_url,
        endpoint_config=row.endpoint_config,
        model_package_arn=row.model_package_arn,
        manifest_sha256=row.manifest_sha256,
    )


def _severity(finding: Finding | None) -> Severity | None:
    if finding is None or finding.severity in {"none", "insufficient_data"}:
        return None
    return "major" if finding.severity == "major" else "minor"


def _labelled(finding: Finding, hours: Hours) -> dict[str, int]:
    """Count by day the labelled rows a data set may learn from: those of held hours it may not."""
    days = Counter(finding.labelled_days)
    if finding.held_labelled:
        held = set(hours.held_names(finding.model))
        for hour, rows in finding.held_labelled.items():
            days[hour[:DAY]] -= rows if hour in held else 0
    return dict(+days)


def _newly_labelled(
    finding: Finding, labelled: Mapping[str, int], champion: ChampionRow, runs: Iterable[RunRow]
) -> int:
    """Count the champion's labelled rows that no challenger of its time was trained on."""
    if not finding.labelled_days:
        return finding.labelled_rows
    learned: Counter[str] = Counter()
    for run in runs:
        if run.status in {"rejected", "unchanged"} and _epoch(run.started_at) >= _epoch(champion.promoted_at):
            learned |= Counter(run.labelled_days)
    return (Counter(labelled) - learned).total()


def _drifted_windows(finding: Finding, spec: ModelSpec) -> int:
    """Count them; a finding that remembers no windows speaks for its own."""
    if not finding.windows:
        return 1
    return drifted(finding.windows, spec.drift.retrain_at, spec.triggers.of_windows)


def _entry(row: ObjectRow) -> dict[str, Any]:
    names = ("role", "bucket", "key", "version", "etag", "size", "received")
    return {name: getattr(row, name) for name in names}


def _arn(wheel: Wheel, name: str) -> str:
    return wheel.state_machine_arn.replace(":stateMachine:", ":execution:") + f":{name}"


def _epoch(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=datetime.fromisoformat(text).tzinfo or UTC).timestamp()
