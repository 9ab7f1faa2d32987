"""What roles asked for, in a file: the proof of which rights are used."""

import json
import threading
from pathlib import Path
from typing import Any

from driftwheel_local.permissions.gate import Asked

WHOLE_REQUESTS = frozenset(
    {"CreateTrainingJob", "CreateProcessingJob", "CreateModel", "CreateEndpointConfig", "CreateEndpoint"}
)
"""What starts machines: their encryption, isolation and limits can be read in the file. They hold no rows."""


class Journal:
    """Appends each different question once, as a JSON object a line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def add(self, asked: Asked) -> None:
        """Write down a call judged."""
        call = asked.call
        body: dict[str, Any] = {
            "role": asked.role,
            "call": f"{call.service}:{call.operation}",
            "verdict": asked.verdict,
            "needs": [[need.action, need.resource, dict(need.context)] for need in asked.needs],
        }
        if call.service == "sagemaker" and call.operation in WHOLE_REQUESTS:
            body["request"] = call.parameters
        line = json.dumps(body, sort_keys=True)
        with self._lock:
            if line not in self._known:
                self._known.add(line)
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(line + "\n")
