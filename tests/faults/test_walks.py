"""Random walks and a stateful search over the product's own trigger, ledger, deployment and callback."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from driftwheel.drift.finding import Severity
from tests.bench.faults import Faults
from tests.bench.size import FULL
from tests.bench.world import Queued, World
from tests.oracle.in_memory import assert_world, evidence_of
from tests.oracle.invariants import violations

from .walks import OFTEN, SEVERITIES, listed, tell, walk

STEPS = 2_500 if FULL else 100
SEEDS = 100 if FULL else 4
EXAMPLE_STEPS = 25


@pytest.mark.case("SF-14")
@pytest.mark.case("SF-11")
@pytest.mark.case("SM-10")
@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_happens_in_whatever_order_the_invariants_hold(
    seed: int, record_property: Callable[[str, object], None]
) -> None:
    world = walk(seed, 300)

    tell(world, record_property)
    assert listed(world) <= {"listed by sweep"}, "what a name is used for is described, never searched for"


class Wheel(RuleBasedStateMachine):
    """Hypothesis chooses what happens next; at the end everything settles and is judged."""

    steps = 0
    counts: ClassVar[Counter[str]] = Counter()

    @initialize(seed=st.integers(0, 1_000), champions=st.integers(0, 2))
    def begin(self, seed: int, champions: int) -> None:
        Wheel.steps -= 2  # looks before and after this, which are no steps
        self.world = World(Faults(seed=seed))
        self.world.register(OFTEN)
        self.sent: list[dict[str, object]] = []
        for number in range(champions):
            self.deliver("a", f"first {number}".encode())
            self.world.drain()
            self.world.tick(10)
            self.world.drain()

    def check_invariants(self, *args: Any, **kwargs: Any) -> None:
        """Count a step; there are no invariants in between, all are judged at rest."""
        Wheel.steps += 1
        super().check_invariants(*args, **kwargs)

    @rule(key=st.sampled_from("ab"), body=st.sampled_from([b"one", b"two", b"three", b"worse"]))
    def deliver(self, key: str, body: bytes) -> None:
        self.sent.append(self.world.drop("parcels", f"{key}.csv", body))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def duplicate(self, data: st.DataObject) -> None:
        self.world.arrivals.append(Queued(data.draw(st.sampled_from(self.sent)), self.world.now))

    @rule(seed=st.integers(0, 1_000))
    def reorder(self, seed: int) -> None:
        random.Random(seed).shuffle(self.world.arrivals)
        random.Random(seed).shuffle(self.world.callbacks)

    @precondition(lambda self: self.world.callbacks)
    @rule()
    def lose_an_event(self) -> None:
        self.world.callbacks.pop()

    @rule(steps=st.integers(1, 12), killed=st.sampled_from([0.0, 0.3, 1.0]))
    def work(self, steps: int, killed: float) -> None:
        self.world.faults.killed = killed
        with self.world.hooked():
            for _ in range(steps):
                self.world.work()
        self.world.faults.killed = 0.0

    @rule(operation=st.sampled_from(["UpdateItem", "PutItem", "StartExecution", "create_training_job"]))
    def throttle(self, operation: str) -> None:
        self.world.faults.plan[operation] = ["throttle", "throttle", "throttle"]

    @rule(operation=st.sampled_from(["UpdateItem", "PutItem", "StartExecution", "update_endpoint"]))
    def lose_the_answer(self, operation: str) -> None:
        self.world.faults.plan[operation] = ["lost"]

    @precondition(lambda self: self.world.sagemaker.endpoints)
    @rule()
    def roll_back_silently(self) -> None:
        for name in self.world.sagemaker.endpoints:
            self.world.end_endpoint(name, rolled_back=True)

    @precondition(lambda self: self.world.sagemaker.endpoints)
    @rule(killed=st.sampled_from([0.0, 0.0, 0.3]), seed=st.integers(0, 1_000))
    def roll_back_by_a_person(self, killed: float, seed: int) -> None:
        """Go back to the champion before, as `driftwheel rollback` does, while all else goes on."""
        self.world.faults.killed = killed
        with self.world.hooked():
            self.world.roll_back("parcels", random.Random(seed))
        self.world.faults.killed = 0.0

    @precondition(lambda self: self.world.sagemaker.endpoints)
    @rule(severity=st.sampled_from(SEVERITIES), labelled=st.sampled_from([0, 1_000]), twice=st.booleans())
    def drift(self, severity: Severity, labelled: int, twice: bool) -> None:
        """Let traffic move for two of the drift check's windows; a tick may come twice."""
        self.world.drift("parcels", severity, labelled)
        for _ in range(2):
            self.world.tick(400)
            if twice:
                self.world.check_drift()
            for _ in range(6):
                self.world.work()

    @precondition(lambda self: self.world.machine.running())
    @rule()
    def abort(self) -> None:
        self.world.machine.abort(self.world.machine.running()[0])

    @rule(seconds=st.sampled_from([1, 10, 400, 100_000]))
    def tick(self, seconds: int) -> None:
        self.world.tick(seconds)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.settle()
            assert_world(self.world)
            Wheel.counts += self.world.counts
            Wheel.counts += Counter(run.kind for run in self.world.ledger.runs.of_model("parcels"))


@pytest.mark.case("SF-14")
def test_the_way_back_and_drift_pass_through_the_product_and_are_judged() -> None:
    wheel = Wheel()
    wheel.begin(0, 2)
    wheel.roll_back_by_a_person(0.0, 0)
    wheel.drift("major", 1_000, twice=True)

    wheel.teardown()

    back, *_, first = wheel.world.ledger.champions.history("parcels")
    assert (back.run_id, back.sequence) == (first.run_id, 3)
    kinds = Counter(run.kind for run in wheel.world.ledger.runs.of_model("parcels"))
    assert kinds == {"arrival": 2, "drift": 1}
    without = replace(evidence_of(wheel.world, "parcels"), rolled_back=set())
    assert {line.split()[0] for line in violations(without)} == {"I5"}


@pytest.mark.case("SF-14")
def test_a_search_for_a_bad_order_finds_none(record_property: Callable[[str, object], None]) -> None:
    Wheel.steps, Wheel.counts = 0, Counter()
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        Wheel,
        settings=settings(
            max_examples=max(4, STEPS // EXAMPLE_STEPS),
            stateful_step_count=EXAMPLE_STEPS,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=checks,
        ),
    )
    record_property("count steps of the stateful search", Wheel.steps)
    record_property("count rollbacks by a person, in memory", Wheel.counts["rollbacks"])
    record_property("count runs that drift started, in memory", Wheel.counts["drift"])
    assert not FULL or min(Wheel.counts["rollbacks"], Wheel.counts["drift"])  # rare in a hundred steps
    assert Wheel.steps >= 0.8 * STEPS  # 2,000 at full size: an example may end before its last step
