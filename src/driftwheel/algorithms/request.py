"""What every training request is made from, whatever the algorithm."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from driftwheel.vpc import Vpc

Request = dict[str, Any]


@dataclass(frozen=True)
class TrainingData:
    """S3 URIs of one run's inputs: each names exactly one file, which becomes one channel.

    ``champion`` is the champion's ``model.tar.gz``; None while a model has no champion.
    """

    train: str
    validation: str
    holdout: str
    recipe: str
    params: str
    golden: str
    manifest: str
    code: str
    champion: str | None = None

    def channels(self) -> dict[str, str]:
        """Channel name → URI, champion only when there is one."""
        return {name: uri for name, uri in vars(self).items() if uri is not None}


@dataclass(frozen=True)
class TrainingPlace:
    """Where a job runs and writes: fixed by the deployed stack, not by the model's owner."""

    region: str
    role_arn: str
    kms_key_id: str
    output_uri: str
    checkpoint_uri: str
    vpc: Vpc


@dataclass(frozen=True)
class TrainingJob:
    """Which run this job belongs to and what is being learned.

    ``attempt`` counts the algorithm's instance types from 0. ``half_life_days``: after how many days a row
    weighs half; None where all weigh the same. ``champion_manifest_sha256``: what the ledger says of the
    champion's artifact, so that another one is not scored in its place.
    """

    name: str
    model: str
    run_id: str
    spec_digest: str
    code_sha256: str
    kind: str
    metric: str
    slices: tuple[str, ...] = ()
    attempt: int = 0
    half_life_days: float | None = None
    champion_manifest_sha256: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


CONTENT_TYPES = {
    "train": "application/x-parquet",
    "validation": "application/x-parquet",
    "holdout": "application/x-gzip",
    "recipe": "application/json",
    "params": "application/json",
    "golden": "application/jsonlines",
    "manifest": "application/json",
    "code": "application/x-tar",
    "champion": "application/x-tar",
    "window": "application/x-gzip",
}


def input_channels(data: TrainingData) -> list[Request]:
    """Build ``InputDataConfig``: every host gets every file, downloaded before the job starts (File mode)."""
    return [channel(name, uri) for name, uri in data.channels().items()]


def channel(name: str, uri: str) -> Request:
    """Build one channel of one file."""
    return {
        "ChannelName": name,
        "ContentType": CONTENT_TYPES[name],
        "CompressionType": "None",
        "InputMode": "File",
        "DataSource": {
            "S3DataSource": {
                "S3DataType": "S3Prefix",
                "S3Uri": uri,
                "S3DataDistributionType": "FullyReplicated",
            }
        },
    }


def job_tags(job: TrainingJob) -> list[Request]:
    """Tag what is created with the run it belongs to, so that a used name can be told ours or not."""
    ours = {
        "driftwheel:model": job.model,
        "driftwheel:run-id": job.run_id,
        "driftwheel:spec-digest": job.spec_digest,
    }
    return [{"Key": key, "Value": value} for key, value in {**job.tags, **ours}.items()]
