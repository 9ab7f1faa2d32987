"""The README's first command, as a user runs it; afterwards its stack is judged like any other."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.oracle.processes import left_of

from .conftest import ROOT, Loop

PROMISES = 9
README = (ROOT / "README.md").read_text(encoding="utf-8")
ELSEWHERE = ("up", "register", "drop", "down")
"""These want a stack of their own: test_people.py runs them on one."""
IN_SERVICE_SECONDS = 60
DRIFTED = 3
"""``compare``'s way to say so."""


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
    describe = demo.client("sagemaker").describe_endpoint
    demo.until(
        lambda: describe(EndpointName="driftwheel-flights")["EndpointStatus"] == "InService",
        IN_SERVICE_SECONDS,
        "the endpoint serves again",
    )
    assert len(demo.ledger.runs.of_model("flights")) == 3


def test_what_the_readme_shows_runs_as_it_stands_on_what_the_demo_left(demo: Loop) -> None:
    files = demo.folder / "files"
    shown = README.partition("After `make demo`, as it stands:")[2].split("```")[1]
    commands = [shlex.split(line, comments=True) for line in shown.splitlines()]
    mine = [words for words in commands if words[:1] == ["driftwheel"] and words[1] not in ELSEWHERE]
    local = os.environ | {"DRIFTWHEEL_LOCAL": str(demo.folder)}
    shutil.rmtree(files / "first", ignore_errors=True)

    for _, *arguments in mine:
        ended = subprocess.run(
            [Path(sys.executable).with_name("driftwheel"), *arguments],
            cwd=files,
            env=local,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        expected = DRIFTED if arguments[0] == "compare" else 0
        assert ended.returncode == expected, f"{arguments}: {ended.stdout[-2_000:]}{ended.stderr[-2_000:]}"

    assert {words[1] for words in mine} >= {"profile", "plan", "predict", "label", "drift", "compare"}
    assert (files / "first" / "model.yaml").exists()
    assert (files / "drift.html").exists()
