"""Loads each model of a folder in a process of its own with little memory and time; says how each ended.

Run as a script: ``loading.py FOLDER FEATURES``. One JSON line for each file: its name and its outcome. The
process that asks lives on whatever happens to the one that parses.
"""

import json
import os
import resource
import sys
from pathlib import Path

from driftwheel.errors import ArtifactInvalid
from driftwheel.jobs.model import load_booster

MEMORY_BYTES = 4 * 1024**3
CPU_SECONDS = 5
OUTCOMES = {0: "loaded", 3: "refused"}


def load(path: Path, features: int) -> int:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        load_booster(path, features)
    except ArtifactInvalid:
        return 3
    return 0


def main(folder: Path, features: int) -> None:
    for path in sorted(folder.glob("*.json")):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = load(path, features)
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        ended = os.waitstatus_to_exitcode(status)
        outcome = OUTCOMES.get(ended, f"died with {ended}")
        sys.stdout.write(json.dumps({"name": path.name, "outcome": outcome}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
