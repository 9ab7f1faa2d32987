"""A flood on the running stack: many files of many data sets, told twice and out of order, and its end."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from driftwheel.digest import digest
from driftwheel.ledger.champions import ChampionRow
from driftwheel.ledger.objects import ObjectRow, current
from tests.loop.conftest import Parcels
from tests.oracle.on_stack import Scene

from .bench import PATIENCE_SECONDS, QUIET, Bench

ROWS = 200
INSTANCES = ("ml.m5.large", "ml.c5.large")
"""By turns: an account has room for twenty of one type, and a deployment needs a second one for a while."""
REPEATED = 0.3
BATCH = 10
"""Messages in a request: SQS's most."""


@dataclass(frozen=True)
class Size:
    """Models, keys of each (written twice), seconds of quiet, and how many times as long it may take."""

    models: int
    keys: int
    quiet_seconds: int
    longer: int

    @property
    def patience(self) -> int:
        return PATIENCE_SECONDS * self.longer

    @property
    def objects(self) -> int:
        return 2 * self.keys * self.models

    @property
    def told(self) -> int:
        """How many deliveries there are."""
        return self.objects + round(REPEATED * self.objects)

    def __str__(self) -> str:
        return f"{self.objects:,} objects of {self.models} data sets on the running stack"


SMALL, TENTH, WHOLE = Size(2, 5, 3, 1), Size(5, 10, 15, 1), Size(20, 25, 60, 12)


@dataclass(frozen=True)
class End:
    """What is left of a flood at rest, by model: rows, champion, and what the champion learned."""

    newest: Mapping[str, dict[str, str]]
    """The newest version of each key."""
    rows: Mapping[str, list[ObjectRow]]
    champions: Mapping[str, ChampionRow]
    learned: Mapping[str, list[dict[str, str]]]
    """The objects a champion was trained on."""
    counts: Counter[str]

    @classmethod
    def of(cls, bench: Bench, newest: Mapping[str, dict[str, str]]) -> "End":
        champions = {model: bench.champion(model) for model in newest}
        return cls(
            newest,
            {model: bench.ledger.objects.of_model(model) for model in newest},
            champions,
            {model: learned(bench, champion) for model, champion in champions.items()},
            sum((bench.counted(model) for model in newest), Counter[str]()),
        )

    @property
    def registry(self) -> list[tuple[str, str, str]]:
        """What any run of this flood must end with: which bytes each model's data are, and its champion's.

        By content: versions, runs and times are each run's own. So is which rows are held out, where a first
        champion had learned from some of the files only.
        """
        return [
            (model, _digest(vars(row) for row in current(self.rows[model])), _digest(self.learned[model]))
            for model in self.newest
        ]

    def judge(self, size: Size) -> None:
        """Hold each model to the newest complete set."""
        for model, newest in self.newest.items():
            assert {each["key"]: each["version"] for each in self.learned[model]} == newest
            rows, run = self.rows[model], self.champions[model].run_id
            assert len(rows) == 2 * size.keys
            used = {row.version: row.run_id for row in rows if row.state == "used"}
            # Where the events of a model come minutes apart, a first run has used what was the newest then.
            earlier = used.keys() - set(newest.values())
            assert used.keys() - earlier == set(newest.values())
            assert run not in {used[version] for version in earlier}
            assert {row.state for row in rows} == {"used", "superseded"}
        assert self.counts["deliveries to the running stack"] >= size.told


def _digest(objects: Iterator[dict[str, str]] | list[dict[str, str]]) -> str:
    return digest(sorted((each["key"], each["etag"]) for each in objects))


def learned(bench: Bench, champion: ChampionRow) -> list[dict[str, str]]:
    spec = bench.ledger.models.get(champion.model)
    assert spec is not None
    frozen: list[dict[str, str]] = Scene(bench, spec).documents[champion.run_id]["frozen"]["objects"]
    return frozen


@contextmanager
def own_stack(
    factory: pytest.TempPathFactory, environment: Mapping[str, str] | None = None
) -> Iterator[Bench]:
    """Give a stack of its own: its rule is off for a while, and everything on it is judged at the end."""
    bench = Bench(factory.mktemp("flood"), environment)
    bench.up()
    try:
        yield bench
        bench.newest = []
        bench.judge()
    finally:
        bench.stop()


def registered(bench: Bench, size: Size) -> list[str]:
    """Register the models whose data the flood brings."""
    spec = QUIET.replace("quiet_seconds: 1", f"quiet_seconds: {size.quiet_seconds}")
    specs = [spec.replace("{mode:", f"{{instance: {instance}, mode:") for instance in INSTANCES]
    return [bench.model(specs[number % len(specs)]) for number in range(size.models)]


def flood(bench: Bench, models: list[str], size: Size) -> dict[str, dict[str, str]]:
    """Write every key of every model twice, in turns, and tell the trigger of it all at once.

    Their events are kept meanwhile; then three of ten are told twice, and all in any order. Answers the
    newest version of each key, by model.
    """
    parcels, newest = {model: Parcels() for model in models}, {model: {} for model in models}
    with kept_events(bench) as keep:
        for _ in range(2):
            for number in range(size.keys):
                for model in models:
                    key = f"data/{model}/{number}.csv"
                    newest[model][key] = bench.drop(key, parcels[model].csv(parcels[model].rows(ROWS)))
        told = keep(size.objects, size.patience)

    dice = random.Random(4)
    told += dice.sample(told, size.told - len(told))
    dice.shuffle(told)
    for first in range(0, len(told), BATCH):
        tell_trigger(bench, told[first : first + BATCH])
    return newest


@contextmanager
def kept_events(bench: Bench) -> Iterator[Callable[[int, float], list[str]]]:
    """Keep from the trigger what is told of objects meanwhile; gives what waits for so many of the events.

    The stack's own rule is off, and a rule of the test's keeps the events.
    """
    events, sqs = bench.client("events"), bench.client("sqs")
    rule = next(each for each in events.list_rules()["Rules"] if each["Name"].endswith("object-created"))
    url = sqs.create_queue(QueueName="kept-events")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name="kept", EventPattern=rule["EventPattern"])
    events.put_targets(Rule="kept", Targets=[{"Id": "kept", "Arn": arn}])
    events.disable_rule(Name=rule["Name"])
    told: list[str] = []

    def keep(count: int, patience: float) -> list[str]:
        def all_kept() -> bool:
            told.extend(bench.taken(url))
            return len(told) >= count

        bench.until(all_kept, patience, f"{count} events are kept")
        return told

    yield keep
    events.enable_rule(Name=rule["Name"])
    events.remove_targets(Rule="kept", Ids=["kept"])
    events.delete_rule(Name="kept")
    sqs.delete_queue(QueueUrl=url)


def tell_trigger(bench: Bench, bodies: list[str]) -> list[str]:
    """Send the trigger's queue these messages in one request; give their ids."""
    entries = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies)]
    answer = bench.client("sqs").send_message_batch(
        QueueUrl=bench.names["arrival_queue_url"], Entries=entries
    )
    assert not answer.get("Failed")
    ids = {each["Id"]: each["MessageId"] for each in answer["Successful"]}
    return [ids[entry["Id"]] for entry in entries]
