"""Gradient-boosted trees in AWS's XGBoost image (3.2-0, Python 3.12), script mode."""

import json
import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from driftwheel.algorithms.images import image_uri
from driftwheel.algorithms.request import (
    Request,
    TrainingData,
    TrainingJob,
    TrainingPlace,
    input_channels,
    job_tags,
)

Number = int | float
InstanceType = Annotated[str, Field(pattern=r"^ml\.[a-z0-9]+\.[a-z0-9]+$")]

BOOSTER_PARAMETERS = frozenset(
    {
        "base_score",
        "colsample_bylevel",
        "colsample_bynode",
        "colsample_bytree",
        "gamma",
        "grow_policy",
        "interaction_constraints",
        "learning_rate",
        "max_bin",
        "max_cat_threshold",
        "max_cat_to_onehot",
        "max_delta_step",
        "max_depth",
        "max_leaves",
        "min_child_weight",
        "min_split_loss",
        "monotone_constraints",
        "num_parallel_tree",
        "reg_alpha",
        "reg_lambda",
        "scale_pos_weight",
        "subsample",
    }
)
"""What a model's owner may set. Objective, metric, seed, threads and tree method are ours: they must fit the
target, the evaluation and the machine (https://xgboost.readthedocs.io/en/release_3.2.0/parameter.html)."""

ALIASES = {"eta": "learning_rate", "alpha": "reg_alpha", "lambda": "reg_lambda"}

EARLY_STOPPING_METRICS = {"auc": "auc", "logloss": "logloss", "f1": "logloss", "rmse": "rmse", "mae": "mae"}
"""Evaluation metric → the metric that stops training. F1 jumps with the threshold; its smooth stand-in is
log loss."""

CODE_FILE = "/opt/ml/input/data/code/sourcedir.tar.gz"
"""With network isolation the container cannot fetch code from S3: it comes by the ``code`` channel."""

CHECKPOINT_PATH = "/opt/ml/checkpoints"


class XGBoostTraining(BaseModel):
    """Gradient-boosted trees in AWS's XGBoost container, script mode.

    ``fallback_instances`` are tried in their order when AWS had no machine of the type before (CapacityError;
    with ``spot``, one that never came) or its machine failed (InternalServerError).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    algorithm: Literal["xgboost"] = "xgboost"
    hyperparameters: dict[str, Number | str | bool] = {}
    rounds: int = Field(200, ge=1, le=10_000)
    early_stopping_rounds: int = Field(20, ge=1)
    instance: InstanceType = "ml.m5.large"
    fallback_instances: list[InstanceType] = Field([], max_length=5)
    instance_count: Literal[1] = 1
    volume_gb: int = Field(20, ge=1, le=16384)
    spot: bool = False
    max_runtime_seconds: int = Field(3600, ge=60, le=28 * 24 * 3600)
    seed: int = 7

    @field_validator("hyperparameters")
    @classmethod
    def _names_are_xgboost_parameters(
        cls, given: dict[str, Number | str | bool]
    ) -> dict[str, Number | str | bool]:
        for name, value in given.items():
            if ALIASES.get(name, name) not in BOOSTER_PARAMETERS:
                known = ", ".join(sorted(BOOSTER_PARAMETERS))
                raise ValueError(f"'{name}' is not a parameter an owner sets; known: {known}")
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"'{name}' must be a finite number")
        named = {ALIASES.get(name, name): value for name, value in given.items()}
        if len(named) != len(given):
            raise ValueError("a parameter is given twice, once by its alias")
        return named

    @property
    def instances(self) -> tuple[str, ...]:
        """Every instance type a job may be given, in the order they are tried."""
        return (self.instance, *self.fallback_instances)

    def training_request(self, job: TrainingJob, data: TrainingData, place: TrainingPlace) -> Request:
        """Build the CreateTrainingJob request.

        The container installs ``sourcedir.tar.gz`` with ``pip install .`` before it runs ``train.py``; under
        network isolation that works only because the archive brings its own build backend
        (``driftwheel.jobs.code``).
        """
        stopping = {"MaxRuntimeInSeconds": self.max_runtime_seconds}
        if self.spot:
            # Required with spot, and at least MaxRuntime: the same again is what we are willing to wait.
            stopping["MaxWaitTimeInSeconds"] = 2 * self.max_runtime_seconds
        return {
            "TrainingJobName": job.name,
            "RoleArn": place.role_arn,
            "AlgorithmSpecification": {
                "TrainingImage": image_uri(self.algorithm, place.region),
                "TrainingInputMode": "File",
                "MetricDefinitions": self.metric_definitions(job),
                "EnableSageMakerMetricsTimeSeries": False,
            },
            "HyperParameters": self.hyperparameter_strings(job),
            "InputDataConfig": input_channels(data),
            "OutputDataConfig": {"S3OutputPath": place.output_uri, "KmsKeyId": place.kms_key_id},
            "ResourceConfig": {
                "InstanceType": self.instances[job.attempt],
                "InstanceCount": self.instance_count,
                "VolumeSizeInGB": self.volume_gb,
                "VolumeKmsKeyId": place.kms_key_id,
            },
            "StoppingCondition": stopping,
            "CheckpointConfig": {"S3Uri": place.checkpoint_uri, "LocalPath": CHECKPOINT_PATH},
            "EnableManagedSpotTraining": self.spot,
            "EnableNetworkIsolation": True,
            "EnableInterContainerTrafficEncryption": self.instance_count > 1,
            "Tags": job_tags(job),
            **place.vpc.config(),
        }

    def hyperparameter_strings(self, job: TrainingJob) -> dict[str, str]:
        """Write everything ``train.py`` is told as strings, which is all the service takes.

        The container's toolkit reads each as JSON where it can: an unquoted run id such as ``12e5`` would
        arrive as 1200000.0. Free text is therefore quoted, as AWS's own SDK does.
        """
        ours = {
            "model": json.dumps(job.model),
            "run_id": json.dumps(job.run_id),
            "kind": job.kind,
            "eval_metric": EARLY_STOPPING_METRICS[job.metric],
            "num_round": str(self.rounds),
            "early_stopping_rounds": str(self.early_stopping_rounds),
            "seed": str(self.seed),
            "slices": json.dumps(",".join(job.slices)),
            "code_sha256": json.dumps(job.code_sha256),
            "half_life_days": str(job.half_life_days or 0),
            "champion_manifest_sha256": json.dumps(job.champion_manifest_sha256),
            "sagemaker_program": "train.py",
            "sagemaker_submit_directory": CODE_FILE,
        }
        return {name: _text(value) for name, value in self.hyperparameters.items()} | ours

    def metric_definitions(self, job: TrainingJob) -> list[Request]:
        """Say how CloudWatch finds the metrics in the log, under the names AWS's own XGBoost uses."""
        metric = EARLY_STOPPING_METRICS[job.metric]
        return [
            {"Name": f"{part}:{metric}", "Regex": rf"\[[0-9]+\].*{part}-{metric}:([-+0-9.eE]+)"}
            for part in ("train", "validation")
        ]


def _text(value: Number | str | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
