"""The ledger against moto's DynamoDB."""

import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from itertools import permutations, product
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws
from tests.bench import ledger_table
from tests.bench.faults import Faults
from tests.bench.table import MemoryTable

from driftwheel.errors import ChampionMoved, LeaseLost
from driftwheel.ledger.champions import ChampionRow, Champions
from driftwheel.ledger.checks import Checks
from driftwheel.ledger.decisions import Decision, Decisions
from driftwheel.ledger.hours import HeldHour, Hours
from driftwheel.ledger.leases import HELD_SECONDS, Leases
from driftwheel.ledger.models import Models, Owner, owner_of
from driftwheel.ledger.objects import Delivered, Objects, current, later
from driftwheel.ledger.outbox import HELD, KEPT_SECONDS, Alert, Outbox
from driftwheel.ledger.runs import RunRow, Runs
from driftwheel.ledger.table import Table
from driftwheel.ledger.tokens import Parked, Tokens
from driftwheel.spec import load_spec

FIRST = Delivered(
    "flights", "source", "landing", "data/flights/a.csv", "v1", "e1", 10, "0055", "2026-01-01T00:00:00Z"
)
SECOND = replace(FIRST, version="v2", etag="e2", sequencer="0056")
NEW = {"state": "pending", "reason": "", "run_id": "", "deliveries": 1}


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[Table]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    ledger_table.write_one_at_a_time(monkeypatch)
    with mock_aws():
        yield Table(ledger_table.create())


def test_what_is_pending_is_read_without_what_is_not(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = Objects(table)
    for number in range(30):
        old = replace(FIRST, key=f"data/flights/{number}.csv", received=f"2026-01-01T00:00:{number:02}Z")
        objects.deliver(old)
        objects.settle(old, "used", "", "run")
    objects.deliver(replace(FIRST, key="data/flights/new.csv", received="2026-01-03T00:00:00Z"))
    objects.deliver(replace(FIRST, key="data/flights/before.csv", received="2026-01-02T00:00:00Z"))
    objects.deliver(replace(FIRST, key="labels/flights/a.csv", role="labels"))
    pages: list[Any] = []
    query = table._resource.query
    monkeypatch.setattr(
        table._resource, "query", lambda **request: pages.append(query(**request)) or pages[-1]
    )

    pending = objects.pending("flights")

    assert [row.key for row in pending] == ["data/flights/before.csv", "data/flights/new.csv"]
    assert [page["ScannedCount"] for page in pages] == [2]


def test_a_version_that_is_led_back_is_pending_again(table: Table) -> None:
    objects = Objects(table)
    objects.deliver(FIRST)
    aside = objects.settle(FIRST, "quarantined", "encoding: not UTF-8", "run")
    assert objects.pending("flights") == []

    assert objects.reopen(aside)

    assert objects.pending("flights") == objects.of_key("flights", FIRST.key)


@pytest.mark.case("EV-01")
def test_five_deliveries_of_one_version_are_one_row_that_counts_five(table: Table) -> None:
    objects = Objects(table)

    rows = [objects.deliver(FIRST) for _ in range(5)]

    assert [row.state for row in rows] == ["pending"] * 5
    assert [row.deliveries for row in objects.of_model("flights")] == [5]


@pytest.mark.case("EV-02")
def test_sixteen_deliveries_at_once_are_one_row(table: Table) -> None:
    objects = Objects(table)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: objects.deliver(FIRST), range(16)))

    assert [row.deliveries for row in objects.of_model("flights")] == [16]


@pytest.mark.case("EV-03")
@pytest.mark.parametrize(
    "order", list(permutations([FIRST, SECOND, replace(FIRST, version="v3", etag="e3", sequencer="0057")]))
)
def test_the_newest_version_counts_in_whatever_order_versions_arrive(
    table: Table, order: tuple[Delivered, ...]
) -> None:
    objects = Objects(table)

    for version in order:
        objects.deliver(version)

    rows = {row.version: row.state for row in objects.of_model("flights")}
    assert rows == {"v1": "superseded", "v2": "superseded", "v3": "pending"}


@pytest.mark.case("EV-06")
def test_the_same_bytes_under_a_new_version_are_a_duplicate(table: Table) -> None:
    objects = Objects(table)
    objects.deliver(FIRST)
    objects.settle(FIRST, "used", "trained", "run-1")

    again = objects.deliver(replace(SECOND, etag="e1"))

    assert (again.state, again.reason) == ("duplicate", "unchanged: same bytes as version v1")


@pytest.mark.case("EV-03")
@pytest.mark.case("EV-06")
@pytest.mark.parametrize("etags", ["aba", "abb", "aab", "aaa", "abc"])
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_in_whatever_order_versions_arrive_the_newest_bytes_are_in_the_data_set(
    table: Table, etags: str, order: tuple[int, ...]
) -> None:
    objects = Objects(table)
    versions = [
        replace(FIRST, version=f"v{n}", etag=etag, sequencer=f"005{n}") for n, etag in enumerate(etags)
    ]

    for number in order:
        objects.deliver(versions[number])

    [row] = current(objects.of_model("flights"))
    assert row.etag == etags[2]


@pytest.mark.case("EV-03")
@pytest.mark.case("EV-06")
@pytest.mark.parametrize("second", ["e1", "e2"])
def test_two_versions_entered_at_once_leave_one_that_counts(table: Table, second: str) -> None:
    objects, newer = Objects(table), replace(SECOND, etag=second)
    for version in (FIRST, newer):
        table.put_new(vars(version) | {"pk": "OBJECT#flights", "sk": version.sk} | NEW)

    for version in (newer, FIRST, newer):
        objects.deliver(version)

    states = [row.state for row in objects.of_model("flights")]
    assert states.count("pending") == 1
    [row] = current(objects.of_model("flights"))
    assert row.etag == second


@pytest.mark.case("EV-03")
@pytest.mark.case("EV-10")
@pytest.mark.parametrize("etags", ["".join(each) for each in product("ab", repeat=4)])
def test_whichever_delivery_is_cut_off_what_stays_pending_is_what_is_learned(etags: str) -> None:
    versions = [
        replace(FIRST, version=f"v{n}", etag=etag, sequencer=f"005{n}") for n, etag in enumerate(etags)
    ]
    for order, cut in product(permutations(versions), versions):
        memory = Table(MemoryTable(Faults()))
        objects = Objects(memory)

        for version in order:
            if version == cut:
                memory.put_new(vars(cut) | {"pk": "OBJECT#flights", "sk": cut.sk} | NEW)
            else:
                objects.deliver(version)
        objects.deliver(cut)

        rows = objects.of_model("flights")
        [row] = current(rows)
        pending = [row.version for row in rows if row.state == "pending"]
        assert (row.etag, pending) == (etags[-1], [row.version]), (order, cut.version)


def test_rows_that_came_again_under_another_name_outlive_the_file_they_came_in_first(table: Table) -> None:
    objects = Objects(table)
    again = replace(FIRST, key="data/flights/again.csv")
    for delivered in (FIRST, again):
        objects.deliver(delivered)
    objects.settle(FIRST, "used", "promoted", "run-1")
    objects.settle(again, "duplicate", "the same rows as run run-1: nothing new to learn", "run-2")

    objects.deliver(SECOND)

    found = current(objects.of_model("flights"))
    assert FIRST.key < again.key, "by key alone the copy would come last, and its rows would count"
    assert [(row.key, row.version) for row in found] == [(again.key, "v1"), (FIRST.key, "v2")]


@pytest.mark.case("EV-10")
def test_a_delivery_that_was_cut_off_after_its_entry_is_finished_by_its_redelivery(table: Table) -> None:
    objects = Objects(table)
    objects.deliver(SECOND)
    table.put_new(vars(FIRST) | {"pk": "OBJECT#flights", "sk": FIRST.sk} | NEW)

    again = objects.deliver(FIRST)

    assert (again.state, again.reason) == ("superseded", "by version v2")


def test_a_used_version_stays_in_the_data_set_until_a_newer_one_replaces_it(table: Table) -> None:
    objects = Objects(table)
    objects.deliver(FIRST)
    objects.settle(FIRST, "used", "trained", "run-1")
    assert [row.version for row in current(objects.of_model("flights"))] == ["v1"]

    objects.deliver(SECOND)

    assert [row.version for row in current(objects.of_model("flights"))] == ["v2"]


@pytest.mark.case("EV-07")
@pytest.mark.parametrize("other", ["x" * 1_023 + "y", "x" * 1_023, "é" * 512])
def test_the_longest_keys_are_told_apart_and_keep_their_versions(table: Table, other: str) -> None:
    objects = Objects(table)
    one = replace(FIRST, key="x" * 1_024)

    for delivered in (one, replace(one, version="v2", etag="e2", sequencer="02"), replace(one, key=other)):
        objects.deliver(delivered)

    assert [row.state for row in objects.of_key(one.model, one.key)] == ["superseded", "pending"]
    assert [row.key for row in objects.of_key(one.model, other)] == [other]


def test_a_key_that_goes_on_after_another_is_no_version_of_it(table: Table) -> None:
    objects = Objects(table)
    longer = replace(FIRST, key=f"{FIRST.key}#2", version="v9", sequencer="FF")

    objects.deliver(longer)
    objects.deliver(FIRST)

    assert [row.state for row in objects.of_model(FIRST.model)] == ["pending", "pending"]


def test_a_settled_object_keeps_its_first_state(table: Table) -> None:
    objects = Objects(table)
    objects.deliver(FIRST)
    objects.settle(FIRST, "quarantined", "empty-file")

    assert objects.settle(FIRST, "used", "trained").state == "quarantined"


@pytest.mark.case("EV-04")
@given(
    st.text("0123456789ABCDEF", min_size=1, max_size=18), st.text("0123456789ABCDEF", min_size=1, max_size=18)
)
def test_sequencers_are_padded_on_the_right_and_ordered(one: str, other: str) -> None:
    same = one.ljust(18, "0") == other.ljust(18, "0")
    assert later(one, other) + later(other, one) == (0 if same else 1)
    assert later("0ABC12", "0055")


@pytest.mark.case("EV-04")
@pytest.mark.parametrize(("one", "other"), [("1", "0FF"), ("0ABC", "0AB9F"), ("0abc", "0AB9F")])
def test_where_the_two_paddings_disagree_the_right_one_counts(one: str, other: str) -> None:
    assert later(one, other)
    assert not later(other, one)


@pytest.mark.case("EV-04")
def test_a_shorter_spelling_of_one_sequencer_is_not_later() -> None:
    assert not later("0ABC00", "0ABC")


@pytest.mark.case("SF-12")
def test_a_slow_holder_is_fenced_off_after_its_lease_expired(table: Table) -> None:
    leases = Leases(table)
    slow = leases.acquire("flights", "run-1", now=100, seconds=60)
    assert slow is not None
    assert leases.acquire("flights", "run-2", now=159, seconds=60) is None

    fast = leases.acquire("flights", "run-2", now=160, seconds=60)

    assert fast is not None
    assert fast.fence == slow.fence + 1
    with pytest.raises(LeaseLost, match="run-2, fence 2"):
        leases.check("flights", "run-1", slow.fence)
    assert not leases.release("flights", "run-1", slow.fence)
    leases.check("flights", "run-2", fast.fence)


def test_a_lease_is_reentrant_for_its_own_run_and_free_after_release(table: Table) -> None:
    leases = Leases(table)
    mine = leases.acquire("flights", "run-1", now=100, seconds=60)
    assert mine is not None
    assert leases.acquire("flights", "run-1", now=130, seconds=60) == replace(mine, expires_at=190)
    assert leases.acquire("flights", "run-1", now=999, seconds=1) == replace(mine, expires_at=1000)
    assert leases.extend(mine, now=1000, seconds=500)
    assert leases.acquire("flights", "run-1", now=1100, seconds=60) == replace(mine, expires_at=1500), "cut"
    assert leases.acquire("flights", "run-2", now=1200, seconds=60) is None

    assert leases.release("flights", "run-1", mine.fence)

    assert leases.get("flights") is None
    assert leases.acquire("flights", "run-2", now=1201, seconds=60) is not None


@pytest.mark.case("SF-12")
def test_whoever_holds_an_expired_lease_keeps_it_for_the_act_that_follows(table: Table) -> None:
    leases = Leases(table)
    mine = leases.acquire("flights", "run-1", now=100, seconds=60)
    assert mine is not None

    leases.hold("flights", "run-1", mine.fence, now=1_000)  # expired, and nobody has taken it

    assert leases.acquire("flights", "run-2", now=1_000 + HELD_SECONDS - 1, seconds=60) is None
    assert leases.extend(mine, now=1_000, seconds=99_999)
    leases.hold("flights", "run-1", mine.fence, now=1_000)
    assert leases.get("flights") == replace(mine, expires_at=100_999), "one that lasts longer is left alone"
    assert leases.acquire("flights", "run-2", now=100_999, seconds=60) is not None
    with pytest.raises(LeaseLost, match="it is with run run-2, fence 2"):
        leases.hold("flights", "run-1", mine.fence, now=101_000)


def test_no_function_outlives_a_held_lease() -> None:
    template = (Path(__file__).parents[3] / "template.yaml").read_text(encoding="utf-8")
    assert max(map(int, re.findall(r"\n +Timeout: (\d+)", template))) <= HELD_SECONDS


class Meeting(Table):
    """A table whose first answer waits until both have asked."""

    def __init__(self, table: Table, barrier: threading.Barrier) -> None:
        super().__init__(table._resource)
        self._barrier, self._met = barrier, False

    def get(self, pk: str, sk: str) -> Any:
        found = super().get(pk, sk)
        self._meet()
        return found

    def update(self, *arguments: Any, **named: Any) -> Any:
        self._meet()
        return super().update(*arguments, **named)

    def _meet(self) -> None:
        if not self._met:
            self._met = True
            self._barrier.wait(10)


@pytest.mark.case("EV-02")
def test_two_triggers_that_start_one_run_at_once_hold_one_lease(table: Table) -> None:
    barrier = threading.Barrier(2)
    holders = [Leases(Meeting(table, barrier)) for _ in range(2)]

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda leases: leases.acquire("flights", "run-1", now=100, seconds=60), holders)

    assert one is not None
    assert one == other
    Leases(table).check("flights", "run-1", one.fence)


def champion(sequence: int, run_id: str) -> ChampionRow:
    return ChampionRow(
        "flights", sequence, run_id, "endpoint", "config", "s3://m", "arn", "s3://b", "now", "better"
    )


@pytest.mark.case("DE-08")
def test_of_two_challengers_for_one_place_one_wins(table: Table) -> None:
    champions = Champions(table)
    champions.move(champion(1, "run-1"))
    champions.move(champion(2, "run-2"))

    with pytest.raises(ChampionMoved, match="sequence 2 of run run-2"):
        champions.move(champion(2, "run-3"))

    assert [row.run_id for row in champions.history("flights")] == ["run-2", "run-1"]


def test_moving_the_champion_twice_is_one_move(table: Table) -> None:
    champions = Champions(table)

    champions.move(champion(1, "run-1"))
    champions.move(champion(1, "run-1"))

    assert len(champions.history("flights")) == 1


def test_rows_that_a_later_version_wrote_are_read_without_what_is_new(table: Table) -> None:
    champions = Champions(table)
    champions.move(champion(1, "run-1"))
    (item,) = table.query("CHAMPION#flights")
    table.update(item["pk"], item["sk"], {"colour": "blue"}, condition="attribute_exists(pk)")

    assert champions.history("flights") == [champion(1, "run-1")]


def test_a_parked_token_is_found_by_the_arn_however_it_is_spelt_and_settled_once(table: Table) -> None:
    tokens = Tokens(table)
    parked = Parked(
        "arn:aws:sagemaker:x:1:endpoint/Dw-Flights",
        "endpoint",
        "t1",
        "flights",
        "run-1",
        1,
        "arn",
        "now",
        {"share": 0.5},
    )
    tokens.park(parked)

    assert tokens.waiting_for(parked.arn.lower()) == [parked]
    assert tokens.settle(parked)
    assert not tokens.settle(parked)
    assert tokens.all() == tokens.waiting_for(parked.arn) == []


ENDPOINT = Parked("arn:endpoint/dw-flights", "endpoint", "t1", "flights", "run-1", 1, "arn", "now", {})


def test_two_runs_wait_for_one_endpoint_side_by_side_and_nobody_for_its_namesake(table: Table) -> None:
    tokens, next_one = Tokens(table), replace(ENDPOINT, token="t2", run_id="run-2", fence=2)
    for parked in (ENDPOINT, next_one, replace(ENDPOINT, arn=f"{ENDPOINT.arn}-two", token="t3")):
        tokens.park(parked)

    assert tokens.waiting_for(ENDPOINT.arn) == [ENDPOINT, next_one]
    assert tokens.settle(ENDPOINT)
    assert tokens.waiting_for(ENDPOINT.arn) == [next_one]
    assert [parked.token for parked in tokens.waiting_for(f"{ENDPOINT.arn}-two")] == ["t3"]


def test_a_wait_that_an_older_release_parked_under_the_arn_alone_is_found_and_settled(table: Table) -> None:
    tokens = Tokens(table)
    table.put(asdict(ENDPOINT) | {"pk": "TOKEN", "sk": ENDPOINT.arn})
    tokens.park(replace(ENDPOINT, token="t2"))

    assert [parked.token for parked in tokens.waiting_for(ENDPOINT.arn)] == ["t1", "t2"]
    assert tokens.settle(ENDPOINT)
    assert [parked.token for parked in tokens.all()] == ["t2"]


def test_a_retried_launch_parks_its_new_token_and_the_old_one_cannot_settle_it(table: Table) -> None:
    tokens = Tokens(table)
    old = Parked("arn:job", "training_job", "t1", "flights", "run-1", 1, "arn", "now", {})
    tokens.park(old)
    tokens.park(replace(old, token="t2"))

    assert not tokens.settle(old)
    assert [p.token for p in tokens.all()] == ["t2"]


def test_a_decision_taken_twice_is_one_row_with_its_numbers(table: Table) -> None:
    decisions = Decisions(table)
    taken = Decision(
        "flights", "2026-01-01T00:00:00Z", "abc", "evaluation_gate", "reject", "lost by .02", {"gain": -0.02}
    )

    decisions.record(taken)
    decisions.record(taken)

    assert decisions.of_model("flights") == [taken]


RUN = RunRow("flights", "run-1", "running", "arrival", "two files", "2026-01-01T00:00:00Z", "arn", 1)


def test_the_first_word_on_how_a_run_ended_stands(table: Table) -> None:
    runs = Runs(table)
    assert runs.start(RUN)
    assert not runs.start(RUN)

    assert runs.end("flights", "run-1", "promoted", "better", "t")
    assert not runs.end("flights", "run-1", "aborted", "late event", "t")

    assert runs.of_model("flights")[0].status == "promoted"


@pytest.mark.case("EV-05")
def test_content_is_trained_on_once_unless_its_run_failed(table: Table) -> None:
    runs = Runs(table)
    runs.start(RUN)
    assert runs.claim_data("flights", "d1", "run-1", 1) == "run-1"
    assert runs.claim_data("flights", "d1", "run-1", 1) == "run-1"

    runs.end("flights", "run-1", "failed", "TrainingFailed", "t")

    assert runs.claim_data("flights", "d1", "run-2", 2) == "run-2"
    runs.start(replace(RUN, run_id="run-2", fence=2))
    runs.end("flights", "run-2", "rejected", "no better", "t")
    assert runs.claim_data("flights", "d1", "run-3", 3) == "run-2"


@pytest.mark.case("SF-12")
def test_of_two_runs_at_work_on_one_content_the_one_that_has_the_lease_learns_it(table: Table) -> None:
    runs = Runs(table)
    runs.start(RUN)
    runs.start(replace(RUN, run_id="run-2", fence=2))
    assert runs.claim_data("flights", "d1", "run-1", 1) == "run-1"

    assert runs.claim_data("flights", "d1", "run-2", 2) == "run-2"
    for _ in range(2):
        with pytest.raises(LeaseLost, match="lost its lease to run run-2"):
            runs.claim_data("flights", "d1", "run-1", 1)
        runs.end("flights", "run-2", "failed", "TrainingFailed", "t")
    assert runs.claim_data("flights", "d1", "run-3", 3) == "run-3"


@pytest.mark.case("SF-14")
def test_a_write_whose_answer_was_lost_is_known_again_as_its_own() -> None:
    faults = Faults()
    table = Table(MemoryTable(faults))
    runs, leases, objects = Runs(table), Leases(table), Objects(table)
    runs.start(RUN)
    runs.claim_data("flights", "d1", "run-1", 1)
    runs.end("flights", "run-1", "failed", "TrainingFailed", "t")
    leases.acquire("flights", "run-1", now=0, seconds=60)
    objects.deliver(FIRST)
    quarantined = objects.settle(FIRST, "quarantined", "empty-file: no rows", "run-1")
    faults.plan = {"PutItem": ["lost"] * 2, "UpdateItem": ["lost", None] * 4}

    assert runs.start(replace(RUN, run_id="run-2", fence=2))
    assert Checks(table).take("flights-12:00", datetime(2026, 1, 1, tzinfo=UTC))
    assert runs.claim_data("flights", "d1", "run-2", 2) == "run-2"
    assert objects.reopen(quarantined)
    assert runs.end("flights", "run-2", "promoted", "better", "t")

    faults.plan = {"UpdateItem": [None, None, "lost"]}
    lease = leases.acquire("flights", "run-2", now=61, seconds=60)
    assert lease is not None
    assert (lease.run_id, lease.fence) == ("run-2", 2)
    assert faults.counts["fault lost"] == 6


@pytest.mark.case("SF-14")
def test_a_lost_answer_excuses_no_write_of_somebody_else() -> None:
    faults = Faults()
    memory = MemoryTable(faults)
    runs = Runs(Table(memory))
    runs.start(RUN)
    faults.plan = {"PutItem": ["throttle"], "UpdateItem": ["throttle"]}

    assert not runs.start(RUN)
    assert runs.end("flights", "run-1", "promoted", "better", "t")
    assert not runs.end("flights", "run-1", "aborted", "late event", "t")
    assert set(runs.of_model("flights")[0].__dict__) == set(RUN.__dict__)


def test_a_key_belongs_to_the_model_whose_prefix_it_lies_under(table: Table) -> None:
    spec = load_spec(Path("examples/flights/model.yaml").read_text(encoding="utf-8"))
    Models(table).register(spec, version="v1", at="now")
    specs = Models(table).all()

    assert owner_of("data/flights/2013-01.csv", specs) == Owner("flights", "source")
    assert owner_of("data/flights-weather/2013-01.csv", specs) == Owner("flights", "enrich-0")
    assert owner_of("labels/flights/x.jsonl", specs) == Owner("flights", "labels")
    assert owner_of("data/other/x.csv", specs) is None
    assert Models(table).get("flights") == spec


def test_a_model_is_kept_as_its_owner_wrote_it(table: Table) -> None:
    written = Path("examples/flights/model.yaml").read_text(encoding="utf-8")

    Models(table).register(load_spec(written), version="v1", at="now")

    kept = json.loads(table.get("MODELS", "flights")["spec"])  # type: ignore[index]
    assert kept == yaml.safe_load(written.replace(" on:", ' "on":'))  # YAML 1.1 reads a bare on as true


ALERT = Alert("flights#run-1#failed", "flights: run failed", "flights: run run-1 failed. Said so.")
THEN = datetime(2026, 1, 2, 4, 0, tzinfo=UTC)
LATER = THEN + HELD


@pytest.mark.case("SF-06")
def test_an_alert_is_its_writers_to_tell_and_nobody_elses_for_a_while(table: Table) -> None:
    outbox = Outbox(table)

    assert outbox.put(ALERT, THEN)
    assert not outbox.put(ALERT, THEN)
    assert list(outbox.take(LATER - timedelta(seconds=1))) == []
    assert list(outbox.take(LATER)) == [ALERT]
    assert list(outbox.take(LATER)) == []


@pytest.mark.case("SF-06")
def test_of_two_that_look_at_once_one_takes_an_alert(table: Table) -> None:
    outbox = Outbox(table)
    outbox.put(ALERT, THEN)
    rows = list(table.query("ALERT"))
    table.query = lambda _: iter(rows)  # type: ignore[method-assign, assignment]

    assert [list(outbox.take(LATER)) for _ in range(2)] == [[ALERT], []]


@pytest.mark.case("SF-06")
def test_what_was_told_is_never_taken_nor_written_again_and_expires_without_its_text(table: Table) -> None:
    outbox = Outbox(table)
    outbox.put(ALERT, THEN)

    outbox.told(ALERT, THEN)

    assert list(outbox.take(LATER)) == []
    assert not outbox.put(ALERT, LATER)
    expires = int(THEN.timestamp()) + KEPT_SECONDS
    assert table.get("ALERT", ALERT.key) == {
        "pk": "ALERT",
        "sk": ALERT.key,
        "key": ALERT.key,
        "expires": expires,
    }


@pytest.mark.case("SF-06")
def test_every_alert_that_lies_there_is_given(table: Table) -> None:
    outbox = Outbox(table)
    others = [replace(ALERT, key=f"flights#run-{number}#failed") for number in range(3)]
    for alert in others:
        outbox.put(alert, THEN)
    outbox.told(others[1], THEN)

    assert list(outbox.take(LATER)) == [others[0], others[2]]


@pytest.mark.parametrize(("own", "count"), [("running", 2), ("promoted", 0)])
def test_a_run_that_is_ending_counts_as_it_ends_unless_it_has(table: Table, own: str, count: int) -> None:
    runs = Runs(table)
    runs.start(replace(RUN, run_id="run-0", started_at="2026-01-01T00:00:00Z"))
    runs.end("flights", "run-0", "rejected", "lost", "t")
    runs.start(replace(RUN, started_at="2026-01-02T00:00:00Z"))
    if own != "running":
        runs.end("flights", "run-1", "promoted", "better", "t")

    assert runs.losses("flights", "run-1", "rejected") == count


NINE = HeldHour("flights", "2026-11-29T09", "2026-11-29T10:05:00+00:00", {"temp": "constant"}, "s3://r")


def memory() -> Table:
    return Table(MemoryTable(Faults()))


@pytest.mark.parametrize("in_memory", [False, True])
def test_the_first_word_about_a_held_hour_stands(table: Table, in_memory: bool) -> None:
    hours = Hours(memory() if in_memory else table)
    ten = replace(NINE, hour="2026-11-29T10")

    hours.hold("flights", [ten, NINE])
    hours.hold("flights", [replace(NINE, at="2026-11-29T11:05:00+00:00", report_uri="s3://later")])

    assert hours.held("flights") == [NINE, ten]
    assert hours.held_names("flights") == [NINE.hour, ten.hour]
    assert hours.held("parcels") == []


@pytest.mark.parametrize("in_memory", [False, True])
def test_what_is_found_broken_later_is_added_to_a_held_hour_and_must_be_seen_before_it_is_released(
    table: Table, in_memory: bool
) -> None:
    hours = Hours(memory() if in_memory else table)
    later = replace(NINE, at="2026-11-29T11:05:00+00:00", causes={"city": "null_burst"}, report_uri="s3://2")
    hours.hold("flights", [NINE])

    hours.hold("flights", [later])
    hours.hold("flights", [NINE])  # a tick that is told twice

    (both,) = hours.held("flights")
    assert both == replace(later, causes=NINE.causes | later.causes)
    third = replace(later, at="2026-11-29T11:30:00+00:00", causes={"temp": "null_burst"}, report_uri="s3://3")
    hours.hold("flights", [third])
    hours.hold("flights", [replace(third, at="2026-11-29T11:40:00+00:00", causes=NINE.causes)])
    (every,) = hours.held("flights")
    assert every == replace(third, causes=NINE.causes | later.causes | {"temp": "constant, null_burst"})
    assert not hours.release(both, at="2026-11-29T12:00:00+00:00", reason="by an older list")
    assert not hours.release(NINE, at="2026-11-29T12:00:00+00:00", reason="by an older list")
    assert hours.release(every, at="2026-11-29T12:00:00+00:00", reason="mended")


@pytest.mark.parametrize("in_memory", [False, True])
@pytest.mark.parametrize(
    ("released", "checked", "again"),
    [
        ("2026-11-29T10:10:00+00:00", "2026-11-29T10:05:00+00:00", False),
        ("2026-11-29T10:10:00+00:00", "2026-11-29T11:05:00+00:00", False),
        ("2026-11-29T09:59:59.999999+00:00", "2026-11-29T10:05:00+00:00", True),
        ("2026-11-29T10:00:00+00:00", "2026-11-29T10:05:00+00:00", False),
        ("2026-11-29T09:30:00+00:00", "2026-11-29T09:30:00+00:00", False),
        ("2026-11-29T09:30:00+00:00", "2026-11-29T09:20:00+00:00", False),
    ],
)
def test_a_released_hour_is_held_again_only_by_a_later_check_and_when_it_was_not_over(
    table: Table, in_memory: bool, released: str, checked: str, again: bool
) -> None:
    hours = Hours(memory() if in_memory else table)
    hours.hold("flights", [NINE])

    assert hours.release(NINE, at=released, reason="mended")
    assert not hours.release(NINE, at=released, reason="mended")
    hours.hold("flights", [replace(NINE, at=checked)])

    assert hours.held("flights") == ([replace(NINE, at=checked)] if again else [])
