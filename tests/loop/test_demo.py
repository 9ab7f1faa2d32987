"""The README's first command, as a user runs it; afterwards its stack is judged like any other."""

import sys
from collections.abc import Iterator

import pytest

from tests.oracle.processes import left_of

from .conftest import ROOT, Loop

PROMISES = 9


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    demo = Loop(tmp_path_factory.mktemp("demo"), folder=ROOT / ".driftwheel" / "demo")
    yield demo
    if demo.is_up():
        demo.down()


def test_the_demo_holds_every_claim_it_makes(demo: Loop) -> None:
    ended = demo.run([sys.executable, "examples/flights/demo.py"])

    told = demo.output.read_text(encoding="utf-8")
    assert ended == 0, told[-6_000:]
    assert told.count("✓") == PROMISES
    assert "✗" not in told
    assert left_of(demo.folder) == []
    demo.up()  # as the demo's last line says one may; the oracle then looks at all of it
    assert len(demo.ledger.runs.of_model("flights")) == 3
