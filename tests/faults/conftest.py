"""Files no table should be, read by a child process whose address space is limited."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

READING = Path(__file__).with_name("reading.py")
ADDRESS_SPACE_MEBIBYTES = 1_769
"""The smallest function this should run in; far less than the files below would need."""

Bounded = Callable[[str, Iterable[bytes]], dict[str, Any]]


@pytest.fixture
def bounded(tmp_path: Path) -> Bounded:
    """Write a file piece by piece, let the child read it, and give what it says."""

    def call(name: str, pieces: Iterable[bytes]) -> dict[str, Any]:
        path = tmp_path / name
        with path.open("wb") as out:
            for piece in pieces:
                out.write(piece)
        kind = name.rpartition(".")[2]
        child = subprocess.run(
            [sys.executable, str(READING), str(path), kind, str(ADDRESS_SPACE_MEBIBYTES)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        path.unlink(missing_ok=True)
        assert child.returncode == 0, child.stderr[-2_000:]
        answer: dict[str, Any] = json.loads(child.stdout)
        return answer

    return call
