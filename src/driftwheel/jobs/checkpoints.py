"""Training that survives being interrupted: the trees so far, and where they came from.

AWS's container does not pass SIGTERM on to the script (aws/sagemaker-training-toolkit issue 173): checkpoints
every few rounds are what a spot interruption leaves.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xgboost as xgb

from driftwheel.jobs.artifact import file_sha256

STATE = "state.json"


@dataclass(frozen=True)
class Progress:
    """Rounds done, and the best of them by the validation metric."""

    rounds: int = 0
    best_round: int = -1
    best_score: float | None = None


@dataclass(frozen=True)
class Checkpoints:
    """A folder SageMaker keeps in step with S3; ``fingerprint`` says which training it belongs to."""

    folder: Path
    fingerprint: str

    def save(self, booster: xgb.Booster, progress: Progress) -> None:
        """Write the trees, then the state that names them; an interruption leaves it whole or unnamed.

        The trees before stay: whoever copies the folder file by file may have read the state that names them.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"trees-{progress.rounds:06}.json"
        booster.save_model(str(self.folder / name))
        state = {
            "fingerprint": self.fingerprint,
            "trees": name,
            "sha256": file_sha256(self.folder / name),
            "progress": vars(progress),
        }
        unfinished = self.folder / f"{STATE}.new"
        unfinished.write_text(json.dumps(state))
        unfinished.replace(self.folder / STATE)
        others = [path for path in self.folder.glob("trees-*.json") if path.name != name]
        before = max((path.name for path in others if path.name < name), default=None)
        for other in others:
            if other.name != before:
                other.unlink()

    def resume(self) -> tuple[Path, Progress] | None:
        """Find the trees to go on from; None without a whole checkpoint of this very training."""
        try:
            state: dict[str, Any] = json.loads((self.folder / STATE).read_bytes())
            trees = self.folder / Path(state["trees"]).name
            same = state["fingerprint"] == self.fingerprint and file_sha256(trees) == state["sha256"]
            return (trees, Progress(**state["progress"])) if same else None
        except (OSError, ValueError, KeyError, TypeError):
            return None


def fingerprint(settings: object, *inputs: Path) -> str:
    """Digest what decides the trees: the settings and the bytes of the inputs."""
    text = "\n".join([repr(settings), *(file_sha256(path) for path in inputs)])
    return hashlib.sha256(text.encode()).hexdigest()
