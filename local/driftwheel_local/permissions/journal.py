"""What roles asked for, in a file: the proof of which rights are used."""

import json
import threading
from pathlib import Path

from driftwheel_local.permissions.gate import Asked


class Journal:
    """Appends each different question once, as a JSON object a line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def add(self, asked: Asked) -> None:
        """Write down a call judged."""
        needs = [[need.action, need.resource, dict(need.context)] for need in asked.needs]
        line = json.dumps(
            {"role": asked.role, "call": asked.call, "verdict": asked.verdict, "needs": needs}, sort_keys=True
        )
        with self._lock:
            if line not in self._known:
                self._known.add(line)
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(line + "\n")
