import json
from dataclasses import replace
from importlib.resources import files

import pytest
from pydantic import BaseModel, ValidationError

from driftwheel.algorithms import ALGORITHMS, XGBoostTraining
from driftwheel.algorithms.images import image_uri
from driftwheel.algorithms.request import TrainingData, TrainingJob, TrainingPlace
from driftwheel.errors import SpecInvalid
from driftwheel.vpc import NO_VPC, Vpc
from driftwheel_local.sagemaker.validation import operation, validate

PLACE = TrainingPlace(
    region="us-east-1",
    role_arn="arn:aws:iam::123456789012:role/driftwheel-training",
    kms_key_id="arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555",
    output_uri="s3://artifacts/runs/flights/ab12/training_launch",
    checkpoint_uri="s3://artifacts/runs/flights/ab12/training_launch/checkpoints",
    vpc=NO_VPC,
)
JOB = TrainingJob(
    name="driftwheel-flights-ab12",
    model="flights",
    run_id="ab12",
    spec_digest="c" * 64,
    code_sha256="d" * 64,
    kind="binary",
    metric="auc",
    slices=("origin", "carrier"),
)
DATA = TrainingData(
    **{
        name: f"s3://artifacts/runs/flights/ab12/preprocessing/{name}"
        for name in ("train", "validation", "holdout", "recipe", "params", "golden", "manifest", "code")
    }
)


@pytest.fixture(params=ALGORITHMS, ids=lambda algorithm: algorithm.model_fields["algorithm"].default)
def algorithm(request):
    return request.param


def test_every_algorithm_has_its_own_name_and_refuses_unknown_fields(algorithm):
    assert issubclass(algorithm, BaseModel)
    assert isinstance(algorithm().algorithm, str)
    with pytest.raises(ValidationError):
        algorithm(hyperparamters={})


@pytest.mark.case("SE-14")
@pytest.mark.parametrize("metric", ["auc", "logloss", "f1", "rmse", "mae"])
@pytest.mark.parametrize("spot", [False, True])
def test_every_algorithms_request_is_valid_and_locked_down(algorithm, metric, spot):
    job = TrainingJob(**{**vars(JOB), "metric": metric})

    request = algorithm(spot=spot).training_request(job, DATA, PLACE)

    validate(operation("sagemaker", "CreateTrainingJob"), request)
    assert request["EnableNetworkIsolation"] is True
    assert request["OutputDataConfig"]["KmsKeyId"] == PLACE.kms_key_id
    assert request["ResourceConfig"]["VolumeKmsKeyId"] == PLACE.kms_key_id
    assert request["StoppingCondition"]["MaxRuntimeInSeconds"] == 3600
    assert request["CheckpointConfig"]["S3Uri"] == PLACE.checkpoint_uri
    assert all(isinstance(value, str) for value in request["HyperParameters"].values())
    assert ("MaxWaitTimeInSeconds" in request["StoppingCondition"]) is spot
    assert request["EnableManagedSpotTraining"] is spot
    if request["ResourceConfig"]["InstanceCount"] > 1:
        assert request["EnableInterContainerTrafficEncryption"] is True
    assert {tag["Key"]: tag["Value"] for tag in request["Tags"]} == {
        "driftwheel:model": "flights",
        "driftwheel:run-id": "ab12",
        "driftwheel:spec-digest": "c" * 64,
    }


def test_code_comes_by_a_channel_because_an_isolated_container_cannot_fetch_it():
    request = XGBoostTraining().training_request(JOB, DATA, PLACE)

    assert request["HyperParameters"]["sagemaker_submit_directory"].startswith("/opt/ml/input/data/code/")
    assert "code" in {channel["ChannelName"] for channel in request["InputDataConfig"]}


def test_the_champion_is_mounted_only_when_there_is_one():
    with_champion = TrainingData(**{**vars(DATA), "champion": "s3://artifacts/runs/x/model.tar.gz"})

    names = [
        {
            channel["ChannelName"]
            for channel in XGBoostTraining().training_request(JOB, data, PLACE)["InputDataConfig"]
        }
        for data in (DATA, with_champion)
    ]

    assert names[1] - names[0] == {"champion"}


def test_a_vpc_is_passed_on_when_the_stack_has_one(algorithm):
    request = algorithm().training_request(JOB, DATA, replace(PLACE, vpc=Vpc(("subnet-1",), ("sg-1",))))

    validate(operation("sagemaker", "CreateTrainingJob"), request)
    assert request["VpcConfig"] == {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}
    assert "VpcConfig" not in algorithm().training_request(JOB, DATA, PLACE)


def test_the_same_run_gives_the_same_request():
    requests = [XGBoostTraining().training_request(JOB, DATA, PLACE) for _ in range(2)]

    assert json.dumps(requests[0]) == json.dumps(requests[1])


@pytest.mark.parametrize(
    "name", ["max_dept", "objective", "nthread", "eval_metric", "sagemaker_program", "model"]
)
def test_a_parameter_that_is_misspelt_or_ours_is_refused_by_name(name):
    with pytest.raises(ValidationError, match=name):
        XGBoostTraining(hyperparameters={name: 1})


def test_an_alias_is_understood_and_given_twice_refused():
    assert XGBoostTraining(hyperparameters={"eta": 0.3}).hyperparameters == {"learning_rate": 0.3}
    with pytest.raises(ValidationError, match="twice"):
        XGBoostTraining(hyperparameters={"eta": 0.3, "learning_rate": 0.1})
    with pytest.raises(ValidationError, match="finite"):
        XGBoostTraining(hyperparameters={"eta": float("nan")})


def test_the_image_table_has_one_registry_per_region_and_no_moving_tag():
    table = json.loads(files("driftwheel.algorithms").joinpath("images.json").read_text())

    algorithms = {algorithm.model_fields["algorithm"].default for algorithm in ALGORITHMS}
    assert table.keys() == algorithms | {"spark"}
    for entry in table.values():
        assert len(entry["images"]) >= 30
        for region, uri in entry["images"].items():
            assert f".dkr.ecr.{region}." in uri
            assert uri.endswith(f":{entry['version']}")


def test_a_region_without_an_image_is_named():
    with pytest.raises(SpecInvalid, match="mars-north-1"):
        image_uri("xgboost", "mars-north-1")
