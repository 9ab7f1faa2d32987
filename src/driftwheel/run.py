"""The one record that travels: the state machine's input, to which each state attaches its own section.

URIs, counts and numbers only. Step Functions refuses payloads above 262,144 bytes: a run begins with at most
190,000, and what its steps add is bounded (``steps/shortened.py``).
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from driftwheel.errors import SpecInvalid
from driftwheel.refusal import Refusal
from driftwheel.spec import ModelSpec

MAXIMUM_BYTES = 190_000


class Record(BaseModel):
    """A frozen piece of the run that refuses fields it does not know; built when used, as ``spec.Part``."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Started(Record):
    """Why the run exists."""

    kind: Literal["arrival", "drift", "labels", "tick", "manual", "run_finished"]
    reason: str
    at: str


class Limits(Record):
    """How long the state machine waits for each callback, in seconds."""

    preprocessing_seconds: int = Field(5 * 3600, ge=60)
    training_seconds: int = Field(ge=60)
    approval_seconds: int = Field(ge=60)
    deployment_seconds: int = Field(ge=60)


class Champion(Record):
    """The model that serves when the run starts: what the challenger must beat."""

    sequence: int
    run_id: str
    model_data_url: str
    endpoint_config: str
    model_package_arn: str
    manifest_sha256: str = ""


class DataArrivalSection(Record):
    """What of the frozen data set can be read; no row comes from captured traffic of ``held_hours`` hours."""

    outcome: Literal["ready", "refused"]
    objects: int
    size_bytes: int
    engine: Literal["duckdb", "spark"] = "duckdb"
    held_hours: int | None = None
    refused: list[Refusal] = []
    more_refused: int | None = None
    refused_uri: str | None = None


class PreprocessingLaunchSection(Record):
    """What the Spark job left behind, for a data set too large for a function."""

    processing_job: str
    processing_job_arn: str
    output_uri: str
    seconds: int | None = None


class PreprocessingSection(Record):
    """What became of the rows."""

    outcome: Literal["ready", "refused", "unchanged"]
    uri: str
    data_digest: str = ""
    recipe_digest: str = ""
    holdout_digest: str = ""
    holdout_uri: str = ""
    rolled_over: bool = False
    rows: dict[str, int] = {}
    positives: float | None = None
    refused: list[Refusal] = []
    more_refused: int | None = None
    refused_uri: str | None = None
    suspected_leakage: list[str] = []
    suspected_shift: list[str] = []
    same_as: str | None = None


class TrainingLaunchSection(Record):
    """What the training job left behind."""

    training_job: str
    training_job_arn: str
    model_data_url: str
    output_uri: str
    code_sha256: str
    seconds: int | None = None
    billable_seconds: int | None = None


class EvaluationGateSection(Record):
    """The verdict, where its evidence lies, and the digest of the judged artifact's manifest."""

    outcome: Literal["promote", "reject", "needs_approval"]
    reasons: list[dict[str, Any]]
    metrics: dict[str, Any]
    model_package_arn: str
    evaluation_uri: str
    manifest_sha256: str = ""


class ApprovalSection(Record):
    """What a person decided; on expiry Step Functions writes its error here instead."""

    outcome: Literal["approved", "rejected"]
    description: str = ""


class DeploymentSection(Record):
    """What serves now."""

    outcome: Literal["deployed"]
    endpoint: str
    endpoint_config: str
    sequence: int
    seconds: int | None = None


class Run(Record):
    """One turn of the wheel.

    Unknown fields are forbidden, so a state that attaches a section nobody declared fails here.
    """

    # Every step reads one: built while the function starts, not within its first run.
    model_config = ConfigDict(defer_build=False)

    version: Literal[1] = 1
    model: str
    run_id: str
    fence: int
    started: Started
    spec: ModelSpec
    limits: Limits
    data_uri: str
    champion: Champion | None = None
    data_arrival: DataArrivalSection | None = None
    preprocessing_launch: PreprocessingLaunchSection | None = None
    preprocessing: PreprocessingSection | None = None
    training_launch: TrainingLaunchSection | None = None
    evaluation_gate: EvaluationGateSection | None = None
    approval: dict[str, Any] | None = None
    deployment: DeploymentSection | None = None
    failure: dict[str, Any] | None = None
    record_outcome: dict[str, Any] | None = None


SLICES_TOLD = 2


def told(reasons: Iterable[Mapping[str, Any]]) -> str:
    """Put a verdict's reasons into one line: every one but the slices beyond the second, which are counted.

    >>> told([{"code": "slice_loss", "sentence": f"on slice {n}"} for n in range(5)])
    'on slice 0; on slice 1; and 3 more slices'
    """
    sentences, slices = [], 0
    for reason in reasons:
        slices += reason.get("code") == "slice_loss"
        if reason.get("code") != "slice_loss" or slices <= SLICES_TOLD:
            sentences.append(str(reason.get("sentence", reason)))
    more = slices - SLICES_TOLD
    return "; ".join([*sentences, f"and {more} more slice{'s' * (more > 1)}"] if more > 0 else sentences)


class Suspended(Record):
    """A run that waits for a callback: what a ``waitForTaskToken`` task is given."""

    run: Run
    task_token: str
    execution_arn: str


def payload(run: Run) -> str:
    """Write a run as state machine input; raises SpecInvalid where it is too large, before AWS would."""
    text = run.model_dump_json(exclude_none=True)
    size = len(text.encode())
    if size > MAXIMUM_BYTES:
        raise SpecInvalid(
            f"run {run.run_id} is {size} bytes, the limit is {MAXIMUM_BYTES}: shorten model.yaml"
        )
    return text
