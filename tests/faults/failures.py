"""Failures of the campaign while they are active: each brings a world in memory into one, by the product."""

import json
from collections.abc import Callable, Sequence
from datetime import timedelta

import numpy as np

from driftwheel.capture.record import Exchange, capture_key, capture_line
from driftwheel.drift.baseline import build_baseline
from driftwheel.layout import RunLayout, S3Uri, capture_prefix
from driftwheel.recipe.declare import declare
from driftwheel.steps import drift_check
from tests.bench.faults import Faults
from tests.bench.world import ARTIFACTS, ASKING, TOPIC, Queued, World

from .test_states import Broken

Fail = Callable[[], World]

ACTIVE: dict[str, tuple[tuple[str, ...], Fail]] = {}
"""What is wrong → the cases that meet it, and how to bring it about."""

TRIGGERS = (
    "triggers: {{quiet_seconds: 5, cooldown_minutes: {cooldown}, runs_per_day: {runs}, give_up_after: 2}}\n"
)
SPOT = "training: {algorithm: xgboost, spot: true}\n"
REDEPLOY = "deployment: {mode: canary, size: 10, bake_seconds: 60, when_deleted: redeploy}\n"
CALLERS = "deployment: {mode: canary, size: 10, bake_seconds: 60, captured_by: writer}\n"
ENDPOINT = "driftwheel-parcels"
CALM = [20 + row % 40 for row in range(1_000)]
"""Weights of live rows as in training."""
HEAVY = [60 + row % 40 for row in range(1_000)]
"""Weights of live rows, of which no training row had one."""


def failure(sentence: str, *cases: str) -> Callable[[Fail], Fail]:
    def enter(fail: Fail) -> Fail:
        ACTIVE[sentence] = (cases, fail)
        return fail

    return enter


# How far a world goes before it fails


def dropped(world: World, *names: str, body: bytes = b"1", more: str = "") -> World:
    """Register the model once, drop files, and let their run start."""
    if world.ledger.models.get("parcels") is None:
        world.register(more)
    for name in names or ("a.csv",):
        world.drop("parcels", name, body)
    while world.arrivals:
        world.receive(world.arrivals)
        if all(message.due > world.now for message in world.arrivals):
            break
    world.tick(10)
    return world


def until(world: World, reached: Callable[[], object]) -> World:
    for _ in range(1_000):
        if reached():
            return world
        assert world.work(), f"never reached; {[one.state for one in world.machine.running()]}"
    raise AssertionError("never reached")


def at_work(world: World, state: str) -> World:
    """Let the run come to a state and wait in it."""
    return until(world, lambda: any(one.state == state and one.token for one in world.machine.running()))


def served(more: str = "", world: World | None = None) -> World:
    world = dropped(world or World(), more=more)
    world.drain()
    assert world.ledger.champions.get("parcels") is not None
    return world


def moving(world: World | None = None) -> World:
    """A world whose endpoint is being moved to a second model."""
    return at_work(dropped(world or served(), "b.csv", body=b"2"), "Deployment")


def ended(world: World) -> World:
    world.drain()
    return world


def job(world: World) -> str:
    return list(world.sagemaker.jobs)[-1]


def watched(world: World, weights: Sequence[float | None], *, labels: int = 0, windows: int = 2) -> World:
    """Let the drift check find what live rows of such weights are; the champion learned 20 to 59."""
    champion, spec = world.ledger.champions.get("parcels"), world.ledger.models.get("parcels")
    assert champion is not None
    assert spec is not None
    with world.calm():
        learned = RunLayout(ARTIFACTS, "parcels", champion.run_id).step("preprocessing")
        world.objects.write_json(learned / "recipe.json", declare(spec))
        world.objects.write_json(learned / "params.json", {"medians": {}, "modes": {}, "categories": {}})
        known = np.arange(4_000)
        baseline = build_baseline(
            {"w": (20 + known % 40).tolist()},
            {"w": "number"},
            0.2 + 0.6 * known / 4_000,
            (known % 2).astype(float),
            {"w": 1.0},
        )
        world.objects.write_json(S3Uri.parse(champion.baseline_uri), baseline)
        if labels:
            rows = "".join(f"r0/{row},1\n" for row in range(labels))
            event = world.event("labels/parcels/late.csv", b"inference_id,label\n" + rows.encode())
            world.arrivals.append(Queued(event, world.now))
            world.drain()
        for window in range(windows):
            if weights:
                captured(world, weights, window)
            checked(world)
    return world


def captured(world: World, weights: Sequence[float | None], window: int) -> None:
    """Write one request of so many records as the endpoint's data capture does."""
    records = [{"id": f"{window}-{row}", "w": weight} for row, weight in enumerate(weights)]
    scores = [{"score": 0.2 + 0.6 * row / len(weights)} for row in range(len(weights))]
    request, answer = (json.dumps(each).encode() for each in ({"records": records}, {"predictions": scores}))
    line = capture_line(
        Exchange(request, "application/json", answer, "application/json", f"r{window}", world.now)
    )
    key = capture_key(capture_prefix("parcels"), ENDPOINT, "serving", world.now, str(window))
    world.s3.put_object(Bucket=ARTIFACTS, Key=key, Body=line)


def checked(world: World) -> None:
    """Let an hour pass and its scheduled check come, which tells people and the trigger what it found."""
    world.now += timedelta(hours=1)
    event = {"kind": "scheduled", "schedule": "s", "scheduled_time": world.now.isoformat()}
    ledger = drift_check.Ledger.of(world.table)
    with world.acting("drift_check"):
        survey = drift_check.survey(event, ledger, world.objects, ARTIFACTS, world.now)
    assert not survey.failed
    for found in survey.checked:
        told = drift_check.drift_event(found, "driftwheel")
        if told is None:
            continue
        event = {"source": told["Source"], "detail-type": told["DetailType"]}
        event |= {"detail": json.loads(told["Detail"])}
        world.arrivals.append(Queued(event, world.now))
        if found.news:
            said = drift_check.message_of(found)
            world.publish(TopicArn=TOPIC, Subject=found.notice.subject, Message=said)
            ledger.findings.told("parcels")
    world.drain()


# Events


@failure("a message that nobody understands lies in the dead-letter queue", "EV-11", "EV-13", "SF-07")
def poison() -> World:
    world = served()
    world.arrivals.append(Queued({"detail-type": "Object Creted\x1b[2J"}, world.now))
    while not world.dead:
        world.now += timedelta(seconds=31)
        world.drain()
    return world


@failure("a file lies where no model watches", "EV-12")
def nobodys() -> World:
    world = served()
    world.drop("strangers", "x.csv", b"1")
    return ended(world)


@failure("the only file was deleted before it was read", "EV-08")
def gone() -> World:
    world = World()
    world.register()
    world.drop("parcels", "a.csv", b"1")
    world.drain()
    world.s3.versions = {place: held for place, held in world.s3.versions.items() if "a.csv" not in place[1]}
    world.tick(10)
    return ended(world)


@failure("one of two files has no bytes")
def empty() -> World:
    return ended(dropped(dropped(World(), "bad.csv", body=b""), "good.csv"))


@failure("the model.yaml of a registered model is refused")
def refused_again() -> World:
    world = served()
    world.now += timedelta(seconds=1)
    world.arrivals.append(Queued(world.event("models/parcels/model.yaml", b"model: parcels"), world.now))
    return ended(world)


@failure("the model.yaml of a new model is refused")
def refused() -> World:
    world = World()
    world.arrivals.append(Queued(world.event("models/parcels/model.yaml", b"model: parcels"), world.now))
    return ended(world)


@failure("files wait and nobody looks at them")
def unseen() -> World:
    world = World()
    world.register()
    world.drop("parcels", "a.csv", b"1")
    world.drain()
    world.now += timedelta(hours=1)
    return world


@failure("the trigger was cut off while it started a run", "EV-10")
def never_started() -> World:
    world = World(Faults(plan={"StartExecution": ["throttle"] * 3}))
    dropped(world)
    until(world, lambda: world.ledger.runs.of_model("parcels"))
    world.now += timedelta(minutes=6)
    return world


# States and functions


@failure("a function fails and is tried again", "EV-09", "SF-01", "SF-08", "SF-11")
def retried() -> World:
    world = Broken("TrainingLaunch")
    world.errors["training_launch"] = ["Lambda.Unknown", "Lambda.ServiceException", "Lambda.ServiceException"]
    return until(dropped(world), lambda: not world.errors["training_launch"])


@failure("a run failed by a fault of its own", "SF-02", "SF-05", "SM-07", "DE-14")
def fault_of_its_own() -> World:
    world = Broken("EvaluationGate")
    world.errors["evaluation_gate"] = ["ArtifactInvalid"]
    return ended(dropped(world))


@failure("the champion's holdout was changed")
def holdout_changed() -> World:
    world = served()
    champion = world.ledger.champions.get("parcels")
    assert champion is not None
    learned = RunLayout(ARTIFACTS, "parcels", champion.run_id).step("preprocessing")
    world.objects.write(learned / "holdout.jsonl.gz", b"chosen by somebody")
    return ended(dropped(world, "b.csv", body=b"2"))


@failure("a run failed after its last retry, and the same files still wait", "SF-04")
def given_up() -> World:
    world = Broken("Preprocessing")
    world.errors["preprocessing"] = ["Lambda.ServiceException"] * 6
    dropped(world)
    world.drain()
    world.tick(1_200)
    return ended(world)


@failure("the failure handler failed as well", "SF-06")
def handler_failed() -> World:
    world = Broken("Preprocessing")
    world.errors["preprocessing"] = ["ArtifactInvalid"]
    world.errors["record_outcome"] = ["ValueError"]
    until(dropped(world), world.machine.running)
    return until(world, lambda: not world.machine.running())


@failure("SNS refuses the alert about a run", "SF-06")
def untold() -> World:
    world = Broken("Preprocessing")
    world.sns_refuses = True
    world.errors["preprocessing"] = ["ArtifactInvalid"]
    return ended(dropped(world))


@failure("somebody aborted the execution, and the ledger has not heard of it", "SF-10")
def aborted() -> World:
    world = at_work(dropped(World()), "TrainingLaunch")
    world.machine.abort(world.machine.running()[0])
    return world


@failure("a run has outlived its lease", "SF-12")
def slow() -> World:
    world = at_work(dropped(World()), "TrainingLaunch")
    lease = world.ledger.leases.get("parcels")
    assert lease is not None
    world.now += timedelta(seconds=lease.expires_at - world.now.timestamp() + 60)
    return world


# Jobs


@failure("SageMaker has no room for another job", "SM-03")
def no_room() -> World:
    world = World(quota=0)
    attempts = world.counts
    return until(dropped(world), lambda: attempts["invoked training_launch"] >= 3)


@failure("SageMaker has no room for a second fleet of an endpoint", "SM-03", "DE-04")
def no_room_beside() -> World:
    world = served(world=World(Faults(plan={"update_endpoint": ["limit"] * 9})))
    dropped(world, "b.csv", body=b"2")
    return until(world, lambda: world.counts["invoked deployment"] >= 4)


@failure("SageMaker refuses whoever asks so often", "SM-01", "SM-02")
def throttled() -> World:
    world = World(Faults(plan={"create_training_job": ["throttle"] * 6}))
    return until(dropped(world), lambda: world.counts["invoked training_launch"] >= 2)


@failure("a training job failed", "SM-04", "SM-13")
def job_failed() -> World:
    world = at_work(dropped(World()), "TrainingLaunch")
    world.end_job(job(world), "Failed", "AlgorithmError: MemoryError\nin line 7 of train.py, exit code: 1")
    return ended(world)


@failure("a spot machine was taken away", "SM-05")
def interrupted() -> World:
    world = at_work(dropped(World(), more=SPOT), "TrainingLaunch")
    world.sagemaker.jobs[job(world)]["SecondaryStatus"] = "Interrupted"
    return world


@failure("a training job hangs", "SM-06")
def hangs() -> World:
    world = at_work(dropped(World()), "TrainingLaunch")
    world.now += timedelta(minutes=61)
    return world


@failure("a training job ended and nobody heard of it")
def unheard() -> World:
    world = at_work(dropped(World()), "TrainingLaunch")
    world.sagemaker.end_job(job(world))
    world.now += timedelta(minutes=20)
    return world


@failure("somebody else's job has our name", "SM-10")
def taken() -> World:
    world = dropped(World())
    until(world, lambda: world.machine.executions)
    (execution,) = world.machine.running()
    name = f"driftwheel-parcels-{execution.data['run_id']}"
    world.sagemaker.jobs[name] = {
        "TrainingJobStatus": "Completed",
        "RoleArn": "another",
        "HyperParameters": {},
    }
    return ended(world)


# Deployments


@failure("a challenger was worse than the champion", "DE-01")
def worse() -> World:
    return ended(dropped(served(), "b.csv", body=b"worse"))


@failure("a person is asked")
def asked() -> World:
    return at_work(dropped(World(), more=ASKING), "Approval")


@failure("the endpoint went back to the old config and says nothing", "DE-02", "DE-03")
def silent() -> World:
    world = moving()
    world.sagemaker.settle_endpoint(ENDPOINT, rolled_back=True)
    return world


@failure("a deployment was rolled back", "DE-02", "DE-03", "DE-05", "DE-06")
def rolled_back() -> World:
    world = moving()
    world.end_endpoint(ENDPOINT, rolled_back=True)
    return ended(world)


@failure("an alarm rolls the endpoint back", "DE-05", "DE-06", "DE-15")
def rolling() -> World:
    world = moving()
    world.sagemaker.endpoints[ENDPOINT]["EndpointStatus"] = "RollingBack"
    world.ringing = [f"{ENDPOINT}-5xx"]
    return world


@failure("an endpoint is updated for longer than a deployment may take", "DE-04")
def stuck() -> World:
    world = moving()
    world.now += timedelta(hours=3)
    return world


@failure("AWS is at work on the endpoint and does not end", "DE-04")
def system_updating() -> World:
    world = served()
    world.sagemaker.endpoints[ENDPOINT]["EndpointStatus"] = "SystemUpdating"
    world.now += timedelta(hours=1)
    return world


@failure("the endpoint is out of service", "DE-04")
def out_of_service() -> World:
    world = served()
    world.sagemaker.endpoints[ENDPOINT] |= {"EndpointStatus": "OutOfService", "FailureReason": "no instance"}
    return world


@failure("the endpoint serves a config that no champion has", "DE-07", "DE-12")
def other_config() -> World:
    world = moving()
    world.sagemaker.settle_endpoint(ENDPOINT)
    world.machine.abort(world.machine.running()[0])
    return until(world, lambda: world.ledger.leases.get("parcels") is None)


@failure("the champion moved while a run was at work", "DE-08")
def outrun() -> World:
    world = Broken("Deployment")
    world.errors["deployment"] = ["ChampionMoved"]
    return ended(dropped(world))


@failure("the first deployment ever failed", "DE-11")
def first_failed() -> World:
    world = at_work(dropped(World()), "Deployment")
    world.end_endpoint(ENDPOINT, rolled_back=True)
    return ended(world)


@failure("somebody deleted the endpoint", "DE-12")
def deleted() -> World:
    world = served()
    del world.sagemaker.endpoints[ENDPOINT]
    return world


@failure("somebody deleted the endpoint and its config, where it is to be deployed again", "DE-12")
def deleted_for_good() -> World:
    world = served(REDEPLOY)
    del world.sagemaker.endpoints[ENDPOINT]
    world.sagemaker.configs.clear()
    return world


@failure("the endpoint has stopped capturing")
def uncaptured() -> World:
    world = served()
    world.sagemaker.endpoints[ENDPOINT]["DataCaptureConfig"] = {"CaptureStatus": "Stopped"}
    return world


# Drift and retraining


@failure("drift, and no labels to learn from", "DR-02", "DR-03")
def unlabelled() -> World:
    return watched(served(), HEAVY, labels=12)


@failure("drift just after a run", "DR-04")
def cooling() -> World:
    return watched(served(TRIGGERS.format(cooldown=600, runs=9)), HEAVY, labels=900)


@failure("challengers keep losing", "DR-05")
def losing() -> World:
    world = served(TRIGGERS.format(cooldown=0, runs=9))
    for name in ("b.csv", "c.csv"):
        dropped(world, name, body=b"worse " + name.encode()).drain()
    return watched(world, HEAVY, labels=900)


@failure("the day's runs are spent", "DR-05")
def spent() -> World:
    return ended(dropped(served(TRIGGERS.format(cooldown=0, runs=1)), "b.csv", body=b"2"))


@failure("live data is broken")
def broken_data() -> World:
    return watched(served(), [None if row % 3 else weight for row, weight in enumerate(CALM)])


@failure("the champion's baseline is gone", "DR-07")
def no_baseline() -> World:
    world = served()
    world.now += timedelta(minutes=5)
    event = {"kind": "scheduled", "schedule": "s", "scheduled_time": world.now.isoformat()}
    with world.calm(), world.acting("drift_check"):
        drift_check.survey(event, drift_check.Ledger.of(world.table), world.objects, ARTIFACTS, world.now)
    return world


@failure("nobody asks the endpoint, or nothing is captured")
def unasked() -> World:
    return watched(served(), [], windows=25)


@failure("callers are to capture, and do not")
def uncaptured_by_callers() -> World:
    return watched(served(CALLERS), [], windows=25)


@failure("drift is not checked any more")
def unchecked() -> World:
    world = served()
    world.now += timedelta(hours=5)
    return world


NOTHING = {
    "EV-01": "a second delivery leaves a count in the file's row and nothing to do",
    "EV-02": "as EV-01",
    "EV-03": "the older version is superseded, which is right: driftwheel objects lists it",
    "EV-04": "as EV-03",
    "EV-05": "the run ends as unchanged, which is right: nothing new to learn",
    "EV-06": "the file is a duplicate, which is right: driftwheel objects lists it",
    "EV-07": "such a key is read like any other",
    "SF-03": "a property of the state machine, not an event",
    "SF-09": "the second start is answered with the first execution",
    "SF-14": "walks through the failures of the other cases",
    "SM-08": "a job that is not seen yet is waited for: in flight, waits for",
    "SM-09": "the run goes on with the job that is there",
    "SM-11": "the run goes on with the job that was made",
    "SM-12": "names are made so, nothing happens",
    "DE-09": "old configs stay; what refuses to delete one is the sweep, in its own log",
    "DE-10": "the rollback command itself says how it ended",
    "DE-13": "the caller is told by a 4xx that names the field; the model has no fault",
    "DR-01": "no drift, nothing to do",
    "DR-08": "the old champion's finding counts no more: last drift check, of an earlier champion",
}
"""Cases in which status has nothing wrong to show, and why."""
