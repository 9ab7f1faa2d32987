"""LD-01 and LD-11 on the running stack: many files of many data sets, told twice and out of order."""

import random
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.bench.size import SIZE
from tests.loop.conftest import Parcels
from tests.oracle.on_stack import Scene

from .bench import PATIENCE_SECONDS, QUIET, Bench
from .conftest import Record, tell

SIZES = {"": (2, 5, 3, 1), "full": (5, 10, 15, 1), "whole": (20, 25, 60, 12)}
"""Models, keys of each (written twice), seconds of quiet, and how many times as long it may take."""
MODELS, KEYS, QUIET_SECONDS, LONGER = SIZES[SIZE]
PATIENCE = PATIENCE_SECONDS * LONGER
ROWS = 200
SPEC = QUIET.replace("quiet_seconds: 1", f"quiet_seconds: {QUIET_SECONDS}")
INSTANCES = ("ml.m5.large", "ml.c5.large")
"""By turns: an account has room for twenty of one type, and a deployment needs a second one for a while."""
CUTS = (False, True) if SIZE else (True,)
REPEATED = 0.3
BATCH = 10
"""Messages in a request: SQS's most."""


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A stack of its own: its rule is off for a while, and everything on it is judged."""
    bench = Bench(tmp_path_factory.mktemp("flood"))
    bench.up()
    yield bench
    bench.down()


def flood(bench: Bench, models: list[str]) -> dict[str, dict[str, str]]:
    """Write every key of every model twice, in turns, and tell the trigger of it all at once.

    The stack's own rule is off meanwhile and a rule of the test's keeps the events; then three of ten are
    told twice, and all in any order. Answers the newest version of each key, by model.
    """
    events, sqs = bench.client("events"), bench.client("sqs")
    rule = next(each for each in events.list_rules()["Rules"] if each["Name"].endswith("object-created"))
    kept = sqs.create_queue(QueueName="kept-events")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=kept, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name="kept", EventPattern=rule["EventPattern"])
    events.put_targets(Rule="kept", Targets=[{"Id": "kept", "Arn": arn}])
    events.disable_rule(Name=rule["Name"])

    parcels, newest = {model: Parcels() for model in models}, {model: {} for model in models}
    for _ in range(2):
        for number in range(KEYS):
            for model in models:
                key = f"data/{model}/{number}.csv"
                newest[model][key] = bench.drop(key, parcels[model].csv(parcels[model].rows(ROWS)))
    told: list[str] = []

    def all_kept() -> bool:
        told.extend(bench.taken(kept))
        return len(told) >= 2 * KEYS * len(models)

    bench.until(all_kept, PATIENCE, "the events of the flood are kept")
    events.enable_rule(Name=rule["Name"])
    events.remove_targets(Rule="kept", Ids=["kept"])
    events.delete_rule(Name="kept")
    sqs.delete_queue(QueueUrl=kept)

    dice, arrivals = random.Random(4), bench.names["arrival_queue_url"]
    told += dice.sample(told, round(REPEATED * len(told)))
    dice.shuffle(told)
    for first in range(0, len(told), BATCH):
        batch = enumerate(told[first : first + BATCH])
        entries = [{"Id": str(number), "MessageBody": body} for number, body in batch]
        assert not sqs.send_message_batch(QueueUrl=arrivals, Entries=entries).get("Failed")
    return newest


def learned(bench: Bench, model: str) -> dict[str, str]:
    """Name the versions the champion of a model was trained on, by key."""
    spec = bench.ledger.models.get(model)
    assert spec is not None
    frozen = Scene(bench, spec).documents[bench.champion(model).run_id]["frozen"]
    return {each["key"]: each["version"] for each in frozen["objects"]}


def power_cut(bench: Bench) -> int:
    """Kill everything once half of the models have a run, start it again; give the trainings in flight."""
    peak = "half of the models have a run"
    bench.until(lambda: len(bench.running()) >= MODELS / 2, PATIENCE, peak)
    jobs = bench.client("sagemaker").list_training_jobs(StatusEquals="InProgress", MaxResults=100)
    bench.kill()
    bench.up()
    return len(jobs["TrainingJobSummaries"])


@pytest.mark.case("LD-01")
@pytest.mark.case("LD-11")
@pytest.mark.timeout(900 * LONGER)
@pytest.mark.parametrize("cut", CUTS, ids=lambda cut: "killed at the peak" if cut else "undisturbed")
def test_a_flood_ends_with_each_champion_on_the_newest_complete_set(
    own: Bench, cut: bool, record_property: Record
) -> None:
    specs = [SPEC.replace("{mode:", f"{{instance: {instance}, mode:") for instance in INSTANCES]
    models = [own.model(specs[number % len(specs)]) for number in range(MODELS)]
    newest = flood(own, models)
    in_flight = power_cut(own) if cut else 0

    own.newest = models
    own.settle(PATIENCE)

    counts = sum((own.counted(model) for model in models), Counter[str]())
    for model in models:
        assert learned(own, model) == newest[model]
        rows = own.ledger.objects.of_model(model)
        assert len(rows) == 2 * KEYS
        used = {row.version: row.run_id for row in rows if row.state == "used"}
        # Where the events of a model come minutes apart, a first run has used what was the newest then.
        earlier = used.keys() - set(newest[model].values())
        assert used.keys() - earlier == set(newest[model].values())
        assert not {used[version] for version in earlier} & {own.champion(model).run_id}
        assert {row.state for row in rows} == {"used", "superseded"}
    assert counts["deliveries to the running stack"] >= round((1 + REPEATED) * 2 * KEYS * MODELS)
    assert counts["trainings on the running stack"] <= 2 * MODELS + in_flight
    tell(record_property, counts)
    record_property("count kill -9 of the whole stack", int(cut))
    record_property("said", f"{2 * KEYS * MODELS:,} objects of {MODELS} data sets on the running stack")
