"""Incidents on the running stack: throttled for long, harmed artifacts, a canary that breaks down, poison."""

import gzip
import io
import itertools
import json
import re
import tarfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from click.testing import CliRunner

from driftwheel.layout import S3Uri
from driftwheel.ledger.champions import ChampionRow
from driftwheel.ledger.runs import RunRow
from driftwheel.steps.trigger import NOBODY
from driftwheel_cli.main import cli
from tests.contract.proxy import Always, FaultProxy, Plan
from tests.loop.conftest import Parcels

from .bench import QUIET, VISIBILITY_SECONDS, Bench, through
from .clients import Prober
from .conftest import Record
from .flood import kept_events, tell_trigger
from .stack import TIME_SCALE

FIRST_ROWS, ROWS = 1_000, 300
CREATE = "sagemaker.CreateTrainingJob"
THROTTLED_SECONDS = 600
BAKE_SECONDS, BREAKS_AFTER_SECONDS = 600, 150
CANARY_PERCENT, REQUESTS_A_SECOND = 25, 20
PATIENCE_SECONDS = 90
CALLS_PER_ATTEMPT = 3
"""The SDK's."""
MOST_CALLS_A_SECOND = 0.2
"""The campaign allows one."""
FIRST_WAIT_SECONDS, LATE_SECONDS = 60, 200
"""The state machine's first wait may be as long; how late the next attempt may start: two real seconds."""
JITTERED = 0.9
MOST_RECEIVES = 5
"""The arrival queue's."""


@dataclass
class Incidents:
    """A stack whose functions talk through a proxy, and one model on it."""

    bench: Bench
    proxy: FaultProxy
    parcels: Parcels
    model: str = ""

    def drop(self, name: str, rows: int = ROWS) -> str:
        body = self.parcels.csv(self.parcels.rows(rows))
        return self.bench.drop(f"data/{self.model}/{name}.csv", body)

    def runs(self) -> list[RunRow]:
        return self.bench.ledger.runs.of_model(self.model)

    def champion(self) -> ChampionRow | None:
        return self.bench.ledger.champions.get(self.model)

    def serving(self) -> ChampionRow:
        """Give the champion; make the first one if no test before has."""
        if self.champion() is None:
            self.drop("first", FIRST_ROWS)
            assert self.ended(len(self.runs())).status == "promoted"
        return self.bench.champion(self.model)

    def ended(self, before: int) -> RunRow:
        """Wait until the run after so many has ended, and give it."""

        def is_over() -> bool:
            found = self.runs()
            return len(found) > before and bool(found[0].ended_at)

        self.bench.until(is_over, PATIENCE_SECONDS, "the run has ended")
        return self.runs()[0]


@pytest.fixture(scope="module")
def incidents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Incidents]:
    with FaultProxy() as proxy:
        bench = Bench(tmp_path_factory.mktemp("incidents"), through(proxy.url))
        bench.up()
        proxy.target = bench.state["endpoint_url"]
        yield Incidents(bench, proxy, Parcels(), bench.model())
        bench.down()


@pytest.fixture(autouse=True)
def _mended(incidents: Incidents) -> Iterator[None]:
    """Nothing is harmed any more when a test has ended, and what it left behind is judged."""
    incidents.bench.newest, incidents.bench.wrong_answers = [incidents.model], 0
    yield
    incidents.proxy.plan = Plan()
    incidents.bench.judge()


def asked(bench: Bench, *arguments: str) -> str:
    result = CliRunner().invoke(cli, ["--local", str(bench.folder), *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def attempts(bench: Bench, run: RunRow, state: str) -> list[tuple[float, float | None]]:
    """When each attempt of a task was scheduled, and when it failed, by its execution's history."""
    pages = bench.client("stepfunctions").get_paginator("get_execution_history")
    found: list[tuple[float, float | None]] = []
    inside = False
    for page in pages.paginate(executionArn=run.execution_arn):
        for event in page["events"]:
            kind, at = event["type"], event["timestamp"].timestamp()
            if kind == "TaskStateEntered":
                inside = event["stateEnteredEventDetails"]["name"] == state
            elif inside and kind == "TaskScheduled":
                found.append((at, None))
            elif inside and kind == "TaskFailed":
                found[-1] = (found[-1][0], at)
    return found


@pytest.mark.case("SM-02")
def test_ten_minutes_of_throttling_are_waited_out_and_the_run_goes_on(
    incidents: Incidents, record_property: Record
) -> None:
    """Of the waits between attempts a hundredth passes, of everything else all: so they are counted."""
    bench, before, first = incidents.bench, len(incidents.runs()), incidents.champion()
    storm = incidents.proxy.plan = Plan(always=[Always(CREATE, "throttle")])
    incidents.drop("throttled", FIRST_ROWS)
    bench.until(lambda: storm.calls[CREATE], PATIENCE_SECONDS, "a job is asked for")
    run = incidents.runs()[0]

    def pauses() -> list[float]:
        """Seconds of each wait between a failed attempt and the next, as the state machine meant them."""
        tries = attempts(bench, run, "TrainingLaunch")
        pairs = itertools.pairwise(tries)
        return [(later - (failed or later)) / TIME_SCALE for (_, failed), (later, _) in pairs]

    bench.until(lambda: sum(pauses()) > THROTTLED_SECONDS, PATIENCE_SECONDS, "ten minutes have passed")
    calls, waits = storm.calls[CREATE], pauses()
    assert storm.injected == {(CREATE, "throttle"): calls}
    assert calls <= CALLS_PER_ATTEMPT * (len(waits) + 1)
    assert calls / sum(waits) < MOST_CALLS_A_SECOND
    longest = [FIRST_WAIT_SECONDS * 2**turn for turn in range(len(waits))]
    assert all(0 <= wait <= most + LATE_SECONDS for wait, most in zip(waits, longest, strict=True))
    assert min(wait / most for wait, most in zip(waits, longest, strict=True)) < JITTERED, waits
    assert incidents.runs()[0].status == "running"
    assert incidents.champion() == first
    assert f"{run.run_id}, TrainingLaunch" in asked(bench, "status", incidents.model)

    incidents.proxy.plan = Plan()
    run = incidents.ended(before)

    assert run.status == "promoted", run.outcome
    assert bench.champion(incidents.model).sequence == (first.sequence if first else 0) + 1
    record_property("count calls of CreateTrainingJob in ten minutes of throttling", calls)
    record_property(
        "said", f"{calls} calls of CreateTrainingJob in {sum(waits):.0f} s of throttling, then a champion"
    )


def without(packed: bytes, name: str) -> bytes:
    """The archive without one of its members."""
    return rewritten(packed, lambda member, body: None if member == name else body)


def no_numbers(packed: bytes) -> bytes:
    """The archive with NaN for every score of the challenger."""

    def harmed(member: str, body: bytes) -> bytes:
        if member != "predictions.csv.gz":
            return body
        header, *lines = gzip.decompress(body).decode().splitlines()
        column = header.split(",").index("challenger")
        rows = [line.split(",") for line in lines]
        told = [",".join([*row[:column], "nan", *row[column + 1 :]]) for row in rows]
        return gzip.compress("\n".join([header, *told, ""]).encode())

    return rewritten(packed, harmed)


def rewritten(packed: bytes, change: Callable[[str, bytes], bytes | None]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(packed)) as old, tarfile.open(fileobj=target, mode="w:gz") as new:
        for info in old:
            file = old.extractfile(info)
            assert file is not None
            body = change(info.name, file.read())
            if body is not None:
                info.size = len(body)
                new.addfile(info, io.BytesIO(body))
    return target.getvalue()


HARMS: dict[str, tuple[str, Callable[[bytes], bytes | None], str, str]] = {
    "no model": ("model.tar.gz", lambda _: None, "failed", "model.tar.gz is missing"),
    "an empty model": ("model.tar.gz", lambda _: b"", "failed", "model.tar.gz cannot be unpacked"),
    "half a model": (
        "model.tar.gz",
        lambda packed: packed[: len(packed) // 2],
        "failed",
        "model.tar.gz cannot be unpacked",
    ),
    "no metrics": (
        "output.tar.gz",
        lambda packed: without(packed, "metrics.json"),
        "failed",
        "lacks metrics.json",
    ),
    "scores that are no numbers": ("output.tar.gz", no_numbers, "rejected", "no usable score"),
}
"""Harm → which object of the job, how it is harmed, how the run ends, and by which words."""


@pytest.mark.case("SM-07")
def test_what_a_completed_job_left_harmed_becomes_no_champion(
    incidents: Incidents, record_property: Record
) -> None:
    bench, first, s3 = incidents.bench, incidents.serving(), incidents.bench.client("s3")
    sagemaker, versions = bench.client("sagemaker"), len(packages(bench))
    with Prober(bench, first) as prober:
        for name, (harmed, harm, status, words) in HARMS.items():
            before = len(incidents.runs())
            with bench.held("begin_evaluation_gate") as come:
                incidents.drop(name.replace(" ", "-"))
                come()
                job = job_of(bench, incidents.runs()[0])
                model = S3Uri.parse(job["ModelArtifacts"]["S3ModelArtifacts"])
                key = model.key.replace("model.tar.gz", harmed)
                whole = s3.get_object(Bucket=model.bucket, Key=key)["Body"].read()
                body = harm(whole)
                if body is None:
                    s3.delete_object(Bucket=model.bucket, Key=key)
                else:
                    s3.put_object(Bucket=model.bucket, Key=key, Body=body)
            run = incidents.ended(before)

            assert job["TrainingJobStatus"] == "Completed", name
            assert run.status == status, (name, run.outcome)
            assert words in run.outcome, (name, run.outcome)
            assert ("ArtifactInvalid" in run.outcome) == (status == "failed"), (name, run.outcome)
            assert incidents.champion() == first, name
    bench.wrong_answers = prober.failures.total() + prober.wrong()
    assert prober.asked
    assert bench.wrong_answers == 0, prober.failures
    new = packages(bench)[: len(packages(bench)) - versions]
    assert [each["ModelApprovalStatus"] for each in new] == ["Rejected"]
    endpoint = sagemaker.describe_endpoint(EndpointName=first.endpoint)
    assert endpoint["EndpointConfigName"] == first.endpoint_config
    record_property("count runs on the running stack whose trained artifact was harmed", len(HARMS))


def packages(bench: Bench) -> list[dict[str, Any]]:
    """Every version of the model, the newest first."""
    group = bench.client("sagemaker").list_model_packages
    listed = group(SortBy="CreationTime", SortOrder="Descending")["ModelPackageSummaryList"]
    found: list[dict[str, Any]] = listed
    return found


def job_of(bench: Bench, run: RunRow) -> dict[str, Any]:
    sagemaker = bench.client("sagemaker")
    (listed,) = sagemaker.list_training_jobs(NameContains=run.run_id)["TrainingJobSummaries"]
    job: dict[str, Any] = sagemaker.describe_training_job(TrainingJobName=listed["TrainingJobName"])
    return job


@pytest.mark.case("DE-06")
def test_a_challenger_that_breaks_down_in_its_third_minute_of_baking_is_rolled_back(
    incidents: Incidents, record_property: Record
) -> None:
    bench, first = incidents.bench, incidents.serving()
    before = len(incidents.runs())
    spec = QUIET.replace(
        "size: 10, bake_seconds: 60", f"size: {CANARY_PERCENT}, bake_seconds: {BAKE_SECONDS}"
    )
    bench.drop(f"models/{first.model}/model.yaml", spec.replace("parcels", first.model).encode())

    def is_registered() -> bool:
        found = bench.ledger.models.get(first.model)
        return found is not None and found.deployment.bake_seconds == BAKE_SECONDS

    bench.until(is_registered, PATIENCE_SECONDS, "the longer baking is registered")
    with (
        bench.spoiled(BREAKS_AFTER_SECONDS * TIME_SCALE),
        Prober(bench, first, REQUESTS_A_SECOND) as prober,
    ):
        incidents.drop("spoiled")
        bench.until(lambda: bench.answered("well"), PATIENCE_SECONDS, "the canary is asked")
        began, healthy = time.monotonic(), prober.failures.total()
        run = incidents.ended(before)
        took = (time.monotonic() - began) / TIME_SCALE
        failed, so_far = prober.failures.total(), prober.asked
        bench.until(lambda: prober.asked > so_far + 20, PATIENCE_SECONDS, "the champion answers on")

    assert healthy == 0
    assert run.status == "failed", run.outcome
    assert "DeploymentFailed" in run.outcome
    assert f"serves {first.endpoint_config}, not" in run.outcome
    assert failed == prober.failures.total() == bench.answered("failed") > 0, prober.failures
    asked_of_canary = bench.answered("well") + bench.answered("failed")
    assert bench.answered("well") >= BREAKS_AFTER_SECONDS * TIME_SCALE * REQUESTS_A_SECOND * 0.1
    assert asked_of_canary <= CANARY_PERCENT / 100 * prober.asked + 1
    assert took > BREAKS_AFTER_SECONDS
    assert incidents.champion() == first
    endpoint = bench.client("sagemaker").describe_endpoint(EndpointName=first.endpoint)
    assert (endpoint["EndpointStatus"], endpoint["EndpointConfigName"]) == (
        "InService",
        first.endpoint_config,
    )
    record_property("count requests while a challenger broke down in its baking", prober.asked)
    record_property("count requests the broken challenger failed", failed)


def arrivals(bench: Bench) -> tuple[int, int]:
    """How many messages are visible in the trigger's queue, and how many in flight."""
    names = [f"ApproximateNumberOfMessages{each}" for each in ("", "NotVisible")]
    told = bench.client("sqs").get_queue_attributes(
        QueueUrl=bench.names["arrival_queue_url"], AttributeNames=names
    )["Attributes"]
    return int(told[names[0]]), int(told[names[1]])


def came_back(bench: Bench) -> Counter[tuple[str, str]]:
    """What the trigger said of messages it could not handle: their id and the reason."""
    log = bench.folder / "logs" / f"{bench.names['stack']}-trigger.log"
    lines = [line[line.index("{") :] for line in log.read_text(encoding="utf-8").splitlines() if "{" in line]
    told = [json.loads(line) for line in lines if '"message comes back"' in line]
    return Counter((each["message_id"], each["reason"]) for each in told)


@pytest.mark.case("EV-11")
def test_two_poison_messages_of_ten_are_set_aside_with_their_reason_and_done_once_they_are_sent_back(
    incidents: Incidents, record_property: Record
) -> None:
    """The trigger may not read two model.yaml for a while, whose files come in the same batch."""
    bench, sqs, functions = incidents.bench, incidents.bench.client("sqs"), incidents.bench.client("lambda")
    names = ["poisoned-1", "poisoned-2"]
    data = [f"data/{names[0]}/{number}.csv" for number in range(8)]
    order = [
        *data[:2],
        f"models/{names[0]}/model.yaml",
        *data[2:5],
        f"models/{names[1]}/model.yaml",
        *data[5:],
    ]
    poison = [order[2], order[6]]
    specs = {key: QUIET.replace("parcels", name).encode() for key, name in zip(poison, names, strict=True)}
    with kept_events(bench) as keep:
        for key in order:
            bench.drop(key, specs.get(key) or incidents.parcels.csv(incidents.parcels.rows(ROWS)))
        told = {json.loads(body)["detail"]["object"]["key"]: body for body in keep(len(order), 60)}
    mapping = next(
        each["UUID"]
        for each in functions.list_event_source_mappings()["EventSourceMappings"]
        if "ArrivalQueue" in each["EventSourceArn"]
    )
    incidents.proxy.plan = Plan(always=[Always("s3.GetObject", "forbid", key) for key in poison])

    functions.update_event_source_mapping(UUID=mapping, Enabled=False)
    ids = dict(zip(order, tell_trigger(bench, [told[key] for key in order]), strict=True))
    functions.update_event_source_mapping(UUID=mapping, Enabled=True)  # so that it is given all ten at once
    reason = "AccessDenied at GetObject"
    for receives in range(1, MOST_RECEIVES + 1):
        said = {(ids[key], reason): receives for key in poison}
        bench.until(lambda said=said: came_back(bench) == said, 60, f"both come back {receives} times")
        bench.until(lambda: arrivals(bench) == (0, 2) and not bench.at_work_on_messages(), 60, "they wait")
        entered = {row.key: row.deliveries for row in bench.ledger.objects.of_model(NOBODY)}
        assert entered == dict.fromkeys(data, 1)
        bench.pass_time(VISIBILITY_SECONDS)
    bench.until(lambda: arrivals(bench) == (0, 0), 60, "nobody is given them again")
    found = " ".join(asked(bench, "status").split())
    way = re.search(r"start-message-move-task --source-arn (\S+ArrivalDeadLetterQueue\S*)", found)
    assert way is not None, found
    assert "dead-letter queues: 2 in" in found
    dead = sqs.get_queue_url(QueueName=way[1].rpartition(":")[2])["QueueUrl"]
    left = sqs.receive_message(QueueUrl=dead, MaxNumberOfMessages=10, VisibilityTimeout=0)["Messages"]
    assert {each["MessageId"]: each["Body"] for each in left} == {ids[key]: told[key] for key in poison}

    incidents.proxy.plan = Plan()
    sqs.start_message_move_task(SourceArn=way[1])
    bench.newest = [*names, incidents.model]
    bench.until(lambda: all(map(bench.ledger.models.get, names)), 60, "both are registered")
    bench.settle(PATIENCE_SECONDS, pending=False)

    rows = bench.ledger.objects.of_model(names[0])
    assert {row.key: (row.state, row.deliveries) for row in rows} == dict.fromkeys(data, ("used", 1))
    assert bench.champion(names[0]).sequence == 1
    assert "dead-letter" not in asked(bench, "status")
    record_property("count poison messages of a batch that were sent back and done", len(poison))
