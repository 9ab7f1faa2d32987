"""The README's first command, as a user runs it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS = 420
PROMISES = 9


def test_the_demo_holds_every_claim_it_makes() -> None:
    told = subprocess.run(
        [sys.executable, "examples/flights/demo.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )

    assert told.returncode == 0, told.stdout[-4_000:] + told.stderr[-2_000:]
    assert told.stdout.count("✓") == PROMISES
    assert "✗" not in told.stdout
