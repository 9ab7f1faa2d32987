"""What the container tells a training job: folders, channels and hyperparameters.

The SageMaker toolkits give folders in ``SM_*`` variables and hyperparameters as ``--name value``.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from driftwheel.errors import ArtifactInvalid, SpecInvalid
from driftwheel.jobs.artifact import file_sha256

LONGEST_FAILURE = 1024
"""SageMaker shows this many characters of the failure file as FailureReason."""

CHECKPOINTS = Path("/opt/ml/checkpoints")
"""SageMaker's default; no toolkit names it in a variable. Ours may, for tests and the local runtime."""


@dataclass(frozen=True)
class Container:
    """Folders of one training job. ``channels`` maps names to folders."""

    model: Path
    output_data: Path
    output: Path
    checkpoints: Path
    channels: Mapping[str, Path]
    cpus: int = 1
    job_name: str = ""

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "Container":
        """Read the toolkit's variables; raises SpecInvalid naming the first that is missing."""
        try:
            model, data = Path(environ["SM_MODEL_DIR"]), Path(environ["SM_OUTPUT_DATA_DIR"])
        except KeyError as error:
            raise SpecInvalid(
                f"{error.args[0]} is not set: this is no SageMaker training container"
            ) from error
        prefix = "SM_CHANNEL_"
        return cls(
            model=model,
            output_data=data,
            output=Path(environ.get("SM_OUTPUT_DIR") or data.parent),
            checkpoints=Path(environ.get("SM_CHECKPOINT_DIR") or _checkpoints(environ)),
            channels={
                name.removeprefix(prefix).lower(): Path(folder)
                for name, folder in environ.items()
                if name.startswith(prefix)
            },
            cpus=int(environ.get("SM_NUM_CPUS") or os.cpu_count() or 1),
            job_name=environ.get("TRAINING_JOB_NAME", ""),
        )

    def file(self, channel: str, name: str) -> Path:
        """The one file of a channel; raises ArtifactInvalid when it is missing."""
        found = self.optional_file(channel, name)
        if found is None:
            raise ArtifactInvalid(f"channel {channel} has no file {name}")
        return found

    def optional_file(self, channel: str, name: str) -> Path | None:
        """A channel's file; None when the job has no such channel or the channel no such file."""
        folder = self.channels.get(channel)
        if folder is None or not (folder / name).is_file():
            return None
        return folder / name

    def check_inputs(self, names: Mapping[str, str]) -> None:
        """Compare input files (channel → name) with the preprocessing manifest, when it is mounted.

        Raises ArtifactInvalid for a file whose sha256 is not the recorded one.
        """
        manifest = self.optional_file("manifest", "manifest.json")
        if manifest is None:
            return
        recorded = json.loads(manifest.read_bytes())["files"]
        for channel, name in names.items():
            if name in recorded and file_sha256(self.file(channel, name)) != recorded[name]["sha256"]:
                raise ArtifactInvalid(f"{name} is not the file preprocessing wrote: the sha256 differs")


def _checkpoints(environ: Mapping[str, str]) -> Path:
    """Where SageMaker syncs checkpoints from, also below a moved base folder (SAGEMAKER_BASE_DIR)."""
    base = environ.get("SAGEMAKER_BASE_DIR")
    return Path(base) / "checkpoints" if base else CHECKPOINTS


def _unquoted(value: str) -> str:
    """Take off the JSON quotes a toolkit may have left on."""
    if len(value) > 1 and value.startswith('"') and value.endswith('"'):
        return str(json.loads(value))
    return value


@dataclass(frozen=True)
class Hyperparameters:
    """What the request asked for; ``booster`` goes to XGBoost as it is.

    Of ``half_life_days`` a row loses half its weight; 0: all rows weigh the same.
    """

    model: str
    run_id: str
    kind: str
    eval_metric: str
    rounds: int
    early_stopping_rounds: int
    seed: int
    slices: tuple[str, ...] = ()
    code_sha256: str = ""
    half_life_days: float = 0.0
    champion_manifest_sha256: str = ""
    booster: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_arguments(cls, arguments: Sequence[str]) -> "Hyperparameters":
        """Read ``--name value`` pairs; raises SpecInvalid naming what is missing or odd."""
        if len(arguments) % 2 or any(not name.startswith("-") for name in arguments[::2]):
            raise SpecInvalid("hyperparameters come as --name value pairs")
        given = {
            name.lstrip("-"): _unquoted(value)
            for name, value in zip(arguments[::2], arguments[1::2], strict=True)
        }
        kind = given.pop("kind", "")
        if kind not in {"binary", "regression"}:
            raise SpecInvalid(f"hyperparameter kind must be binary or regression, not {kind!r}")
        try:
            return cls(
                model=given.pop("model"),
                run_id=given.pop("run_id"),
                kind=kind,
                eval_metric=given.pop("eval_metric"),
                rounds=int(given.pop("num_round")),
                early_stopping_rounds=int(given.pop("early_stopping_rounds")),
                seed=int(given.pop("seed")),
                slices=tuple(filter(None, given.pop("slices", "").split(","))),
                code_sha256=given.pop("code_sha256", ""),
                half_life_days=float(given.pop("half_life_days", 0)),
                champion_manifest_sha256=given.pop("champion_manifest_sha256", ""),
                booster=given,
            )
        except KeyError as error:
            raise SpecInvalid(f"hyperparameter {error.args[0]} is missing") from error
        except ValueError as error:
            sentence = (
                "num_round, early_stopping_rounds and seed must be whole numbers, half_life_days a number"
            )
            raise SpecInvalid(sentence) from error
