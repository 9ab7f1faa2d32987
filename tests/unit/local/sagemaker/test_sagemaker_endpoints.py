"""Endpoints: real servers behind AWS's statuses, deployments, rollbacks and refusals."""

import json
import os
import signal
import threading
import time

import pytest
from botocore.exceptions import ClientError

from driftwheel_local.sagemaker import validation
from driftwheel_local.sagemaker.endpoint import Endpoint

ARN = "arn:aws:sagemaker:us-east-1:123456789012:"
ALARM = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]}}


def refused(call, **options):
    with pytest.raises(ClientError) as caught:
        call(**options)
    return caught.value.response["Error"]


def blue_green(kind="ALL_AT_ONCE", wait=0, termination=0, **routing):
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {"Type": kind, "WaitIntervalInSeconds": wait, **routing},
            "TerminationWaitInSeconds": termination,
        }
    }


def canary(percent=10, wait=0):
    return blue_green("CANARY", wait, CanarySize={"Type": "CAPACITY_PERCENT", "Value": percent})


def linear(percent, wait=0):
    return blue_green("LINEAR", wait, LinearStepSize={"Type": "CAPACITY_PERCENT", "Value": percent})


def update(account, config, deployment=None, **options):
    if deployment:
        options["DeploymentConfig"] = deployment
    account.sagemaker.update_endpoint(EndpointName="scores", EndpointConfigName=config, **options)


def second_config(account, name="two", offset=2, **options):
    account.model(name, offset, broken=options.pop("broken", False))
    account.config(name, name, **options)


def hosts(account):
    fleet = account.world.endpoints.find("scores").fleet
    return [host for variant in fleet.variants.values() for host in variant.hosts]


class Prober:
    """Asks the endpoint without pause and keeps every answer and every failure."""

    def __init__(self, account):
        self._account = account
        self._stop = threading.Event()
        self.answers = []
        self.failures = []
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _run(self):
        while not self._stop.is_set():
            try:
                self.answers.append(self._account.predict({"value": 0})["sum"])
            except ClientError as error:
                self.failures.append(error)


def test_an_endpoint_is_created_and_answers_over_http(account):
    account.model("one", 1)
    account.config("one", "one")
    arn = account.sagemaker.create_endpoint(EndpointName="Scores", EndpointConfigName="one")["EndpointArn"]
    creating = account.sagemaker.describe_endpoint(EndpointName="Scores")
    early = refused(account.runtime.invoke_endpoint, EndpointName="Scores", Body=b"{}")

    described = account.settled("Scores")

    assert arn == ARN + "endpoint/scores"
    assert creating["EndpointStatus"] == "Creating"
    assert creating["PendingDeploymentSummary"]["EndpointConfigName"] == "one"
    assert early["Code"] == "ValidationError"
    assert described["EndpointStatus"] == "InService"
    (variant,) = described["ProductionVariants"]
    assert variant["CurrentInstanceCount"] == variant["DesiredInstanceCount"] == 1
    assert variant["DeployedImages"][0]["SpecifiedImage"].endswith("sagemaker-xgboost:3.2-0")
    assert "PendingDeploymentSummary" not in described
    assert account.predict({"value": 1}, "Scores") == {"sum": 2}


def test_an_endpoint_has_its_status_from_the_first_look_on(account, monkeypatch):
    looks = []

    def looked(*arguments):
        looks.append(account.sagemaker.list_endpoints()["Endpoints"][0])
        looks.append(account.sagemaker.describe_endpoint(EndpointName="scores"))
        return build(*arguments)

    build = Endpoint.build_fleet
    monkeypatch.setattr(Endpoint, "build_fleet", looked)
    account.endpoint()

    assert [look["EndpointStatus"] for look in looks] == ["Creating"] * 2
    assert all(look["LastModifiedTime"] >= look["CreationTime"] for look in looks)


def test_status_events_are_spelled_as_eventbridge_spells_them(account):
    account.endpoint()
    account.sagemaker.delete_endpoint(EndpointName="scores")
    account.until(account.world.endpoints.all, lambda left: not left)

    details = account.details("SageMaker Endpoint State Change")

    assert [detail["EndpointStatus"] for detail in details] == ["CREATING", "IN_SERVICE", "DELETING"]
    assert details[1]["EndpointConfigName"] == "one"
    assert isinstance(details[1]["CreationTime"], float)
    assert account.details("SageMaker Endpoint Config State Change")[0]["EndpointConfigName"] == "one"


def test_descriptions_hold_only_members_of_the_service_model(account):
    account.endpoint(capture=100)

    for operation, request in {
        "DescribeEndpoint": {"EndpointName": "scores"},
        "DescribeEndpointConfig": {"EndpointConfigName": "one"},
        "DescribeModel": {"ModelName": "one"},
        "ListEndpoints": {},
        "ListEndpointConfigs": {},
        "ListModels": {},
    }.items():
        _, _, body = account.world.answer(
            operation, json.dumps(request).encode(), account="123456789012", region="us-east-1"
        )
        shape = validation.operation("sagemaker", operation).output_shape
        assert validation.violations(shape, json.loads(body)) == []


def test_used_names_are_refused(account):
    account.endpoint()

    model = refused(account.model, name="one", offset=9)
    with pytest.raises(ClientError) as config:
        account.config("one", "one")
    endpoint = refused(account.sagemaker.create_endpoint, EndpointName="SCORES", EndpointConfigName="one")

    assert model["Message"] == f'Cannot create already existing model "{ARN}model/one".'
    assert f'Cannot create already existing endpoint configuration "{ARN}endpoint-config/one".' in str(config)
    assert endpoint["Message"] == f'Cannot create already existing endpoint "{ARN}endpoint/scores".'
    assert {model["Code"], endpoint["Code"]} == {"ValidationException"}


def test_what_does_not_exist_is_refused_by_name(account):
    with pytest.raises(ClientError) as config:
        account.config("one", "missing")
    endpoint = refused(account.sagemaker.create_endpoint, EndpointName="scores", EndpointConfigName="missing")
    described = refused(account.sagemaker.describe_endpoint, EndpointName="missing")
    invoked = refused(account.runtime.invoke_endpoint, EndpointName="missing", Body=b"{}")

    assert f'Could not find model "{ARN}model/missing".' in str(config.value)
    assert endpoint["Message"] == f'Could not find endpoint configuration "{ARN}endpoint-config/missing".'
    assert described["Message"] == f'Could not find endpoint "{ARN}endpoint/missing".'
    assert invoked["Code"] == "ValidationError"
    assert invoked["Message"] == "Endpoint missing of account 123456789012 not found."


def test_a_model_without_its_artefact_is_refused(account):
    container = {"Image": "1.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"}
    container["ModelDataUrl"] = "s3://artifacts/gone.tar.gz"

    error = refused(
        account.sagemaker.create_model,
        ModelName="one",
        ExecutionRoleArn="arn:aws:iam::123456789012:role/sagemaker",
        PrimaryContainer=container,
    )

    assert error["Message"] == "Could not find model data at s3://artifacts/gone.tar.gz."


def test_a_model_that_does_not_load_fails_the_endpoint(account):
    account.model("one", broken=True)
    account.config("one", "one")
    account.sagemaker.create_endpoint(EndpointName="scores", EndpointConfigName="one")

    described = account.settled()

    assert described["EndpointStatus"] == "Failed"
    assert "production variant main did not pass the ping health check" in described["FailureReason"]
    error = refused(account.sagemaker.update_endpoint, EndpointName="scores", EndpointConfigName="one")
    assert "it can only be deleted" in error["Message"]
    account.sagemaker.delete_endpoint(EndpointName="scores")


def test_an_artefact_with_links_fails_the_endpoint(account, tmp_path):
    account.model("one")
    evil = account.tarball({"../../escape": "x"})
    account.s3.put_object(Bucket="artifacts", Key="artefacts/one.tar.gz", Body=evil)
    account.config("one", "one")
    account.sagemaker.create_endpoint(EndpointName="scores", EndpointConfigName="one")

    described = account.settled()

    assert described["EndpointStatus"] == "Failed"
    assert "points outside its folder" in described["FailureReason"]
    assert not list(tmp_path.rglob("escape"))


@pytest.mark.parametrize("deployment", [None, blue_green(), canary(), linear(25)])
def test_an_update_swaps_the_config_without_a_failed_request(account, deployment):
    account.endpoint(offset=1)
    second_config(account, offset=2)

    with Prober(account) as prober:
        update(account, "two", deployment)
        updating = account.sagemaker.describe_endpoint(EndpointName="scores")
        described = account.settled()
        account.until(lambda: prober.answers[-1:], lambda last: last == [2])

    assert updating["EndpointStatus"] == "Updating"
    assert updating["EndpointConfigName"] == "one"
    assert updating["PendingDeploymentSummary"]["EndpointConfigName"] == "two"
    assert described["EndpointStatus"] == "InService"
    assert described["EndpointConfigName"] == "two"
    assert described.get("LastDeploymentConfig") == deployment
    assert prober.failures == []
    assert set(prober.answers) == {1, 2}


def test_the_old_processes_end_after_the_swap(account):
    account.endpoint()
    (old,) = hosts(account)
    second_config(account)

    update(account, "two")
    account.settled()

    account.until(old.is_alive, lambda alive: not alive)
    assert len(hosts(account)) == 1


def test_a_canary_gets_its_share_until_the_bake_ends(account):
    account.world.site.time_scale = 0.01
    account.endpoint(offset=1)
    second_config(account, offset=2)

    update(account, "two", canary(25, wait=300))
    pending = account.until(
        lambda: account.sagemaker.describe_endpoint(EndpointName="scores"),
        lambda found: (
            found.get("PendingDeploymentSummary", {})
            .get("ProductionVariants", [{}])[0]
            .get("VariantStatus", [{}])[0]
            .get("Status")
            == "Baking"
        ),
    )
    answers = [account.predict({"value": 0})["sum"] for _ in range(40)]
    account.clock.advance(10)

    assert pending["EndpointStatus"] == "Updating"
    assert 8 <= answers.count(2) <= 12
    assert account.settled()["EndpointConfigName"] == "two"
    assert {account.predict({"value": 0})["sum"] for _ in range(10)} == {2}


@pytest.mark.case("DE-03")
@pytest.mark.case("DE-06")
@pytest.mark.parametrize("state", ["before", "while"])
def test_an_alarm_rolls_back_silently(account, state):
    account.alarms["errors"] = "ALARM" if state == "before" else "OK"
    account.world.site.time_scale = 0.01
    account.endpoint(offset=1)
    second_config(account, offset=2)

    with Prober(account) as prober:
        update(account, "two", {**canary(50, wait=3000), **ALARM})
        if state == "while":
            account.until(lambda: list(prober.answers), lambda answers: 2 in answers)
            account.alarms["errors"] = "ALARM"
        described = account.settled()
        answers = len(prober.answers)
        account.until(lambda: len(prober.answers), lambda now: now > answers + 5)

    assert described["EndpointStatus"] == "InService"
    assert described["EndpointConfigName"] == "one"
    assert "FailureReason" not in described
    assert "PendingDeploymentSummary" not in described
    assert prober.failures == []
    assert prober.answers[-1] == 1
    statuses = [detail["EndpointStatus"] for detail in account.details("SageMaker Endpoint State")]
    assert statuses[-3:] == ["UPDATING", "ROLLING_BACK", "IN_SERVICE"]


@pytest.mark.case("DE-02")
def test_a_broken_model_rolls_back_silently(account):
    account.endpoint(offset=1)
    second_config(account, broken=True)

    update(account, "two", canary())
    described = account.settled()

    assert described["EndpointStatus"] == "InService"
    assert described["EndpointConfigName"] == "one"
    assert "FailureReason" not in described
    assert account.predict({"value": 0}) == {"sum": 1}


@pytest.mark.case("DE-09")
def test_a_rollback_without_its_old_config_fails_for_good(account):
    account.endpoint(offset=1)
    second_config(account, broken=True)
    account.sagemaker.delete_endpoint_config(EndpointConfigName="one")

    update(account, "two", canary())

    assert account.settled()["EndpointStatus"] == "UpdateRollbackFailed"
    assert account.predict({"value": 0}) == {"sum": 1}


def test_a_deployment_over_its_time_limit_rolls_back(account):
    account.endpoint(offset=1)
    second_config(account, offset=2)
    deployment = linear(10, wait=70)
    deployment["BlueGreenUpdatePolicy"]["MaximumExecutionTimeoutInSeconds"] = 640

    update(account, "two", deployment)

    assert account.settled()["EndpointConfigName"] == "one"


@pytest.mark.case("DE-08")
def test_an_endpoint_in_progress_can_be_neither_updated_nor_deleted(account):
    account.world.site.time_scale = 0.05
    account.model("one")
    account.config("one", "one")
    account.sagemaker.create_endpoint(EndpointName="scores", EndpointConfigName="one")

    updated = refused(account.sagemaker.update_endpoint, EndpointName="scores", EndpointConfigName="one")
    deleted = refused(account.sagemaker.delete_endpoint, EndpointName="scores")
    account.clock.advance(10)
    account.settled()

    assert updated["Message"] == f'Cannot update in-progress endpoint "{ARN}endpoint/scores".'
    assert deleted["Message"] == updated["Message"]


@pytest.mark.parametrize(
    ("deployment", "words"),
    [
        (blue_green("CANARY"), "CANARY requires CanarySize"),
        (canary(60), "must be between 0% and 50%"),
        (linear(5), "must be between 10% and 50%"),
        (blue_green("LINEAR", CanarySize={"Type": "CAPACITY_PERCENT", "Value": 10}), "CanarySize"),
        ({**blue_green(), **ALARM}, "Could not find alarms: errors"),
        (blue_green(wait=3601), "less than or equal to 3600"),
        (ALARM, "Exactly one of BlueGreenUpdatePolicy"),
    ],
)
def test_deployments_are_refused_as_aws_refuses_them(account, deployment, words):
    account.endpoint()
    second_config(account)

    error = refused(
        account.sagemaker.update_endpoint,
        EndpointName="scores",
        EndpointConfigName="two",
        DeploymentConfig=deployment,
    )

    assert error["Code"] == "ValidationException"
    assert words in error["Message"]
    assert account.settled()["EndpointConfigName"] == "one"


def test_a_guarded_update_to_other_variant_names_is_refused(account):
    account.endpoint()
    account.model("two")
    account.config("two", "two", VariantName="renamed")

    error = refused(
        account.sagemaker.update_endpoint,
        EndpointName="scores",
        EndpointConfigName="two",
        DeploymentConfig=canary(),
    )

    assert "variant names" in error["Message"]


def test_a_deployment_config_can_be_retained(account):
    account.endpoint()
    second_config(account)
    second_config(account, "three", 3)
    update(account, "two", canary())
    account.settled()

    update(account, "three", RetainDeploymentConfig=True)

    described = account.settled()
    assert described["EndpointConfigName"] == "three"
    assert described["LastDeploymentConfig"] == canary()


def test_traffic_follows_the_weights_and_a_target_overrides_them(account):
    account.model("one", 1)
    account.model("two", 2)
    account.config("both", "one", "two")
    account.sagemaker.create_endpoint(EndpointName="scores", EndpointConfigName="both")
    account.settled()

    even = [account.predict({"value": 0})["sum"] for _ in range(20)]
    account.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="scores",
        DesiredWeightsAndCapacities=[
            {"VariantName": "main", "DesiredWeight": 0.0},
            {"VariantName": "other1", "DesiredInstanceCount": 2},
        ],
    )
    described = account.settled()
    shifted = [account.predict({"value": 0})["sum"] for _ in range(10)]
    targeted = account.runtime.invoke_endpoint(
        EndpointName="scores", Body=b'{"value": 0}', TargetVariant="main", ContentType="application/json"
    )
    missing = refused(
        account.runtime.invoke_endpoint, EndpointName="scores", Body=b"{}", TargetVariant="nobody"
    )

    assert 8 <= even.count(1) <= 12
    assert shifted == [2] * 10
    assert [item["CurrentWeight"] for item in described["ProductionVariants"]] == [0.0, 1.0]
    assert [item["CurrentInstanceCount"] for item in described["ProductionVariants"]] == [1, 2]
    assert targeted["InvokedProductionVariant"] == "main"
    assert json.loads(targeted["Body"].read()) == {"sum": 1}
    assert missing["Code"] == "ValidationError"


def test_retained_variant_properties_keep_weight_and_count(account):
    account.endpoint()
    account.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="scores",
        DesiredWeightsAndCapacities=[
            {"VariantName": "main", "DesiredInstanceCount": 2, "DesiredWeight": 0.5}
        ],
    )
    account.settled()
    second_config(account)

    update(
        account,
        "two",
        RetainAllVariantProperties=True,
        ExcludeRetainedVariantProperties=[{"VariantPropertyType": "DesiredWeight"}],
    )

    (variant,) = account.settled()["ProductionVariants"]
    assert variant["DesiredInstanceCount"] == 2
    assert variant["DesiredWeight"] == 1.0


def test_instances_beyond_the_quota_are_refused(account):
    account.endpoint()
    second_config(account)
    account.world.quota["ml.m5.large"] = 1

    error = refused(account.sagemaker.update_endpoint, EndpointName="scores", EndpointConfigName="two")

    assert error["Code"] == "ResourceLimitExceeded"
    assert "'ml.m5.large for endpoint usage' is 1 Instances" in error["Message"]


@pytest.mark.case("DE-15")
def test_an_instance_that_dies_is_replaced(account):
    account.endpoint()
    (host,) = hosts(account)
    os.kill(host._process.pid, signal.SIGKILL)

    account.until(
        lambda: hosts(account), lambda now: len(now) == 1 and now[0] is not host and now[0].is_alive()
    )

    assert account.predict({"value": 1}) == {"sum": 2}


def test_endpoints_come_back_after_a_restart_on_their_last_good_config(account):
    account.endpoint(offset=1)
    second_config(account, offset=2)
    update(account, "two")
    account.settled()
    account.world.close()
    account.world = account.new_world()

    account.world.recover()
    described = account.settled()

    assert described["EndpointStatus"] == "InService"
    assert described["EndpointConfigName"] == "two"
    assert account.predict({"value": 0}) == {"sum": 2}
    assert refused(account.model, name="one", offset=1)["Code"] == "ValidationException"


@pytest.mark.case("DE-07")
def test_an_update_cut_off_by_a_crash_leaves_the_old_config(account):
    account.world.site.time_scale = 0.05
    _quick(account)
    second_config(account, offset=2)
    update(account, "two", canary(50, wait=3000))
    account.world.close()
    account.world = account.new_world()

    account.world.recover()
    described = account.settled()

    assert described["EndpointConfigName"] == "one"
    assert account.predict({"value": 0}) == {"sum": 1}


def _quick(account):
    account.world.site.time_scale = 0.001
    account.endpoint(offset=1)
    account.world.site.time_scale = 0.05


def test_a_deleted_endpoint_is_gone_and_its_name_is_free(account):
    account.endpoint()
    (host,) = hosts(account)
    account.sagemaker.delete_endpoint(EndpointName="scores")
    account.until(account.world.endpoints.all, lambda left: not left)

    error = refused(account.sagemaker.describe_endpoint, EndpointName="scores")
    account.sagemaker.create_endpoint(EndpointName="scores", EndpointConfigName="one")

    assert error["Code"] == "ValidationException"
    assert not host.is_alive()
    assert account.settled()["EndpointStatus"] == "InService"


def test_tags_of_models_configs_and_endpoints_work(account):
    account.endpoint()

    for kind, name in (("model", "one"), ("endpoint-config", "one"), ("endpoint", "scores")):
        arn = f"{ARN}{kind}/{name}"
        account.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "run", "Value": "1"}])
        assert account.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "run", "Value": "1"}]


def test_time_waits_are_modelled_not_real(account):
    started = time.monotonic()
    account.endpoint()
    second_config(account)

    update(account, "two", canary(10, wait=300))
    account.settled()

    assert time.monotonic() - started < 300
