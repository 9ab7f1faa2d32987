"""Peak memory of this process and everything it started, sampled from Linux's /proc."""

import os
import threading
from pathlib import Path
from typing import Self

SAMPLE_SECONDS = 0.5


class PeakMemory:
    """Samples the proportional set size (pages shared by n processes count 1/n) while it is entered.

    ``megabytes`` is None where there is no /proc.
    """

    def __init__(self) -> None:
        self.megabytes: float | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            found = sum(map(_kilobytes, _family(os.getpid()))) / 1024
            if found:
                self.megabytes = max(self.megabytes or 0.0, found)


def _family(root: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # The name in parentheses may hold blanks: the parent is the second field after it.
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        parents.setdefault(parent, []).append(int(folder.name))
    found = [root]
    for pid in found:
        found += parents.get(pid, [])
    return found


def _kilobytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has just ended
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
