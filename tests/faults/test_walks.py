"""Random walks and a stateful search over the product's own trigger, ledger, deployment and callback."""

import random
from collections.abc import Callable
from typing import Any

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

from tests.bench.faults import Faults
from tests.bench.size import FULL
from tests.bench.world import Queued, World
from tests.oracle.in_memory import assert_world

from .walks import tell, walk

STEPS = 2_500 if FULL else 100
SEEDS = 100 if FULL else 4
EXAMPLE_STEPS = 25


@pytest.mark.case("SF-14")
@pytest.mark.case("SF-11")
@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_happens_in_whatever_order_the_invariants_hold(
    seed: int, record_property: Callable[[str, object], None]
) -> None:
    tell(walk(seed, 300), record_property)


class Wheel(RuleBasedStateMachine):
    """Hypothesis chooses what happens next; at the end everything settles and is judged."""

    steps = 0

    @initialize(seed=st.integers(0, 1_000))
    def begin(self, seed: int) -> None:
        self.world = World(Faults(seed=seed))
        self.world.register()
        self.sent: list[dict[str, object]] = []

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


@pytest.mark.case("SF-14")
def test_a_search_for_a_bad_order_finds_none(record_property: Callable[[str, object], None]) -> None:
    Wheel.steps = 0
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
    assert Wheel.steps >= 0.8 * STEPS  # 2,000 at full size: an example may end before its last step
