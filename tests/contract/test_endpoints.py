"""Models, endpoint configs and endpoints: names, guards, and updates that end otherwise than wanted."""

import pytest

from driftwheel.aws.sagemaker import existing
from driftwheel.deployment.verification import NO_REASON, NotYet, RolledBack, Wanted, verify

from .account import INSTANCE, Account, at_once
from .sagemaker import Lab, statuses

IN_PROGRESS = "in-progress"


@pytest.fixture(scope="module")
def old(lab: Lab) -> str:
    """A config whose model adds 1."""
    return lab.config(lab.model(offset=1))


@pytest.fixture(scope="module")
def serving(lab: Lab, old: str) -> str:
    """An endpoint in service on ``old``; a test that moves it moves it back."""
    name = lab.endpoint(old)
    assert statuses(lab.at_rest(name), "EndpointStatus") == ["Creating", "InService"]
    return name


def test_a_used_model_name_is_refused(lab: Lab) -> None:
    name = lab.model()
    url = lab.sagemaker.describe_model(ModelName=name)["PrimaryContainer"]["ModelDataUrl"]

    code, message = lab.account.refusal(lambda: lab.sagemaker.create_model(**lab.model_request(name, url)))

    assert code == "ValidationException"
    assert "already existing model" in message


def test_a_used_endpoint_config_name_is_refused(lab: Lab, old: str) -> None:
    variants = lab.sagemaker.describe_endpoint_config(EndpointConfigName=old)["ProductionVariants"]

    code, message = lab.account.refusal(
        lambda: lab.sagemaker.create_endpoint_config(EndpointConfigName=old, ProductionVariants=variants)
    )

    assert code == "ValidationException"
    assert "already existing endpoint configuration" in message


def test_a_used_endpoint_name_is_refused(lab: Lab, old: str, serving: str) -> None:
    code, message = lab.account.refusal(
        lambda: lab.sagemaker.create_endpoint(EndpointName=serving, EndpointConfigName=old)
    )

    assert code == "ValidationException"
    assert "already existing endpoint" in message


def test_of_creations_at_once_under_one_name_one_wins(account: Account, lab: Lab, old: str) -> None:
    name = account.name("race")

    codes = at_once(lambda: lab.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=old))

    account.afterwards(lab.take_down, name)
    assert codes.count("") == 1
    assert set(codes) - {"", "ThrottlingException"} == {"ValidationException"}
    lab.at_rest(name)
    if not account.on_aws:
        lab.sagemaker.delete_endpoint(EndpointName=name)


def test_an_endpoint_may_be_unknown_right_after_its_creation(
    account: Account, lab: Lab, old: str, slow_to_show: None
) -> None:
    """Eventual consistency: what AWS may do. The local stack is told to."""
    name = lab.endpoint(old)
    if not account.on_aws:
        assert account.refusal(lambda: lab.described(name))[0] == "ValidationException"
        account.pass_time(11)

    assert lab.at_rest(name)[-1]["EndpointStatus"] == "InService"
    if not account.on_aws:
        lab.sagemaker.delete_endpoint(EndpointName=name)


def test_what_a_deployment_makes_may_be_unknown_right_after_its_creation_and_can_be_used(
    account: Account, lab: Lab, slow_to_show: None
) -> None:
    """A model, an endpoint config, a package group and its version; their names are taken all the while."""
    sagemaker, group = lab.sagemaker, account.name("group")
    model = lab.model(offset=1)
    config = lab.config(model)
    sagemaker.create_model_package_group(ModelPackageGroupName=group)
    url = lab.put(f"{group}.tar.gz", b"model")
    containers = [{"Image": account.image, "ModelDataUrl": url}]
    types = {"SupportedContentTypes": ["text/csv"], "SupportedResponseMIMETypes": ["text/csv"]}
    package = sagemaker.create_model_package(
        ModelPackageGroupName=group, InferenceSpecification={"Containers": containers, **types}
    )["ModelPackageArn"]
    account.afterwards(sagemaker.delete_model_package_group, ModelPackageGroupName=group)
    account.afterwards(sagemaker.delete_model_package, ModelPackageName=package)
    described = {
        "model": {"ModelName": model},
        "endpoint_config": {"EndpointConfigName": config},
        "model_package_group": {"ModelPackageGroupName": group},
        "model_package": {"ModelPackageName": package},
    }

    def known() -> list[str]:
        return [kind for kind, given in described.items() if existing(sagemaker, kind, given) is not None]

    seen = account.until(known, lambda found: len(found) == len(described))

    if not account.on_aws:
        assert seen[0] == []
        code, message = account.refusal(
            lambda: sagemaker.create_model_package_group(ModelPackageGroupName=group)
        )
        assert (code, "already exist" in message) == ("ValidationException", True)


def test_what_does_not_exist_is_a_validation_fault(account: Account, lab: Lab) -> None:
    name = account.name("absent")
    for call, given in (
        (lab.sagemaker.describe_model, "ModelName"),
        (lab.sagemaker.describe_endpoint_config, "EndpointConfigName"),
        (lab.sagemaker.describe_endpoint, "EndpointName"),
        (lab.sagemaker.delete_endpoint, "EndpointName"),
    ):
        code, message = account.refusal(lambda call=call, given=given: call(**{given: name}))  # type: ignore[misc]
        assert code == "ValidationException"
        assert "Could not find" in message


def test_an_endpoint_that_is_not_there_cannot_be_invoked(account: Account, lab: Lab) -> None:
    code, message = account.refusal(lambda: lab.ask(account.name("absent"), 1))

    assert code == "ValidationError"
    assert "not found" in message


def test_an_endpoint_being_created_is_neither_updated_nor_deleted_nor_invoked(lab: Lab, old: str) -> None:
    name = lab.endpoint(old)

    for call in (
        lambda: lab.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=old),
        lambda: lab.sagemaker.delete_endpoint(EndpointName=name),
    ):
        code, message = lab.account.refusal(call)
        assert code == "ValidationException"
        assert IN_PROGRESS in message
    assert lab.account.refusal(lambda: lab.ask(name, 1))[0] == "ValidationError"


def test_an_update_goes_through_updating_and_moves_the_config(lab: Lab, old: str, serving: str) -> None:
    new = lab.config(lab.model(offset=2))

    lab.sagemaker.update_endpoint(EndpointName=serving, EndpointConfigName=new)
    first = lab.described(serving)
    refused = [
        lab.account.refusal(
            lambda: lab.sagemaker.update_endpoint(EndpointName=serving, EndpointConfigName=old)
        ),
        lab.account.refusal(lambda: lab.sagemaker.delete_endpoint(EndpointName=serving)),
    ]
    seen = [first, *lab.at_rest(serving)]

    assert statuses(seen, "EndpointStatus") == ["Updating", "InService"]
    assert seen[0]["EndpointConfigName"] == old
    assert seen[-1]["EndpointConfigName"] == new
    assert [code for code, _ in refused] == ["ValidationException"] * 2
    assert all(IN_PROGRESS in message for _, message in refused)
    assert lab.ask(serving, 1) == 3
    lab.sagemaker.update_endpoint(EndpointName=serving, EndpointConfigName=old)
    lab.at_rest(serving)


def test_an_update_that_fails_ends_in_service_on_the_old_config(lab: Lab, old: str, serving: str) -> None:
    """The silent rollback. AWS may leave FailureReason empty (hashicorp/terraform-provider-aws 48997)."""
    bad = lab.config(lab.model(broken=True))

    lab.sagemaker.update_endpoint(EndpointName=serving, EndpointConfigName=bad)
    last = lab.at_rest(serving)[-1]

    assert (last["EndpointStatus"], last["EndpointConfigName"]) == ("InService", old)
    assert lab.ask(serving, 1) == 2


@pytest.mark.local_only
@pytest.mark.case("DE-02")
@pytest.mark.case("DE-03")
@pytest.mark.parametrize("reason", [None, "", "The container did not pass the ping health check."])
def test_a_rollback_may_give_a_reason_an_empty_one_or_none_and_is_seen_each_time(
    lab: Lab, old: str, serving: str, reason: str | None
) -> None:
    """The product's verification on what Describe says. Local only: the stack is told what to say."""
    assert lab.account.world is not None
    limits, bad = lab.account.world.sagemaker.limits, lab.config(lab.model(broken=True))
    limits.rollback_reason = reason
    try:
        lab.sagemaker.update_endpoint(EndpointName=serving, EndpointConfigName=bad)
        under_way = lab.described(serving)
        last = lab.at_rest(serving)[-1]
    finally:
        limits.rollback_reason = None

    assert isinstance(verify(under_way, Wanted(bad)), NotYet)
    assert last.get("FailureReason") == reason
    assert verify(last, Wanted(bad)) == RolledBack(old, f"serves {old}, not {bad}: {reason or NO_REASON}")
    lab.sagemaker.update_endpoint(EndpointName=serving, EndpointConfigName=old)
    assert "FailureReason" not in lab.described(serving)  # what was is not said of what comes next
    lab.at_rest(serving)


@pytest.mark.local_only
def test_a_rollback_without_its_old_config_needs_a_person(lab: Lab) -> None:
    """UpdateRollbackFailed, API_DescribeEndpoint; hashicorp/terraform-provider-aws 40048 met it.

    Local only: on AWS such an endpoint may be left for support to delete.
    """
    config = lab.config(lab.model(offset=1))
    name = lab.endpoint(config)
    lab.at_rest(name)

    lab.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=lab.config(lab.model(broken=True)))
    lab.sagemaker.delete_endpoint_config(EndpointConfigName=config)

    assert lab.at_rest(name)[-1]["EndpointStatus"] == "UpdateRollbackFailed"


@pytest.mark.local_only
def test_an_update_stays_updating_until_its_time_limit_and_then_rolls_back(
    account: Account, lab: Lab, old: str, serving: str
) -> None:
    """MaximumExecutionTimeoutInSeconds, API_BlueGreenUpdatePolicy. Local only: it costs an hour on AWS."""
    new = lab.config(lab.model(offset=9))
    routing = {
        "Type": "CANARY",
        "WaitIntervalInSeconds": 595,
        "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 50},
    }
    policy = {"TrafficRoutingConfiguration": routing, "MaximumExecutionTimeoutInSeconds": 600}
    lab.sagemaker.update_endpoint(
        EndpointName=serving,
        EndpointConfigName=new,
        DeploymentConfig={"BlueGreenUpdatePolicy": policy},
    )

    assert lab.described(serving)["EndpointStatus"] == "Updating"
    last = lab.at_rest(serving)[-1]
    assert (last["EndpointStatus"], last["EndpointConfigName"]) == ("InService", old)
    assert account.on_aws is False


def test_the_first_fleet_that_does_not_start_fails_the_endpoint_and_says_why(lab: Lab) -> None:
    name = lab.endpoint(lab.config(lab.model(broken=True)))

    last = lab.at_rest(name)[-1]

    assert last["EndpointStatus"] == "Failed"
    assert last["FailureReason"]
    code, _ = lab.account.refusal(
        lambda: lab.sagemaker.update_endpoint(
            EndpointName=name, EndpointConfigName=last["EndpointConfigName"]
        )
    )
    assert code == "ValidationException"


def test_a_config_and_a_model_in_use_can_be_deleted_and_the_endpoint_serves_on(lab: Lab) -> None:
    """Only the documentation forbids it (API_DeleteEndpointConfig): AWS refuses nothing, so we must."""
    model = lab.model(offset=1)
    config = lab.config(model)
    name = lab.endpoint(config)
    lab.at_rest(name)

    lab.sagemaker.delete_endpoint_config(EndpointConfigName=config)
    lab.sagemaker.delete_model(ModelName=model)

    assert lab.described(name)["EndpointStatus"] == "InService"
    assert lab.ask(name, 1) == 2


def test_endpoint_instances_beyond_the_quota_are_refused(account: Account, lab: Lab) -> None:
    name, config = account.name("endpoint"), lab.config(lab.model(), count=500)

    code, message = account.refusal(
        lambda: lab.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
    )

    assert code == "ResourceLimitExceeded"
    assert f"{INSTANCE} for endpoint usage" in message
    assert account.refusal(lambda: lab.described(name))[0] == "ValidationException"


def test_a_deleted_endpoint_is_deleting_until_its_name_is_free(account: Account, lab: Lab, old: str) -> None:
    name = account.name("short")
    lab.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=old)
    lab.at_rest(name)

    lab.sagemaker.delete_endpoint(EndpointName=name)

    assert lab.described(name)["EndpointStatus"] == "Deleting"
    listed = account.until(
        lambda: lab.sagemaker.list_endpoints(NameContains=name)["Endpoints"], lambda found: not found
    )
    assert listed[-1] == []


def test_an_endpoints_status_has_one_spelling_in_the_api_and_another_in_events(
    account: Account, lab: Lab, old: str
) -> None:
    """Documented IN_SERVICE, seen elsewhere as InService: whoever waits must take both."""
    pattern = {"source": ["aws.sagemaker"], "detail-type": ["SageMaker Endpoint State Change"]}
    inbox = account.inbox(pattern)
    name = lab.endpoint(old)

    assert lab.at_rest(name)[-1]["EndpointStatus"] == "InService"

    details = [event["detail"] for event in account.read(inbox, 2)]
    told = {each["EndpointStatus"] for each in details if each["EndpointName"] == name}
    assert told & {"IN_SERVICE", "InService"}
    if not account.on_aws:
        assert told == {"CREATING", "IN_SERVICE"}


@pytest.mark.local_only
@pytest.mark.parametrize("spellings", [["api"], ["event", "api"]], ids="-".join)
def test_a_status_may_be_told_in_the_apis_spelling_or_in_both(
    account: Account, lab: Lab, old: str, spellings: list[str]
) -> None:
    """SageMaker "may send multiple events for each state change". Local only: the stack is told to."""
    assert account.world is not None
    pattern = {"source": ["aws.sagemaker"], "detail-type": ["SageMaker Endpoint State Change"]}
    inbox, limits = account.inbox(pattern), account.world.sagemaker.limits
    limits.endpoint_spellings = spellings
    try:
        name = lab.endpoint(old)
        lab.at_rest(name)
    finally:
        limits.endpoint_spellings = ["event"]

    details = [event["detail"] for event in account.read(inbox, 2 * len(spellings))]
    told = sorted(each["EndpointStatus"] for each in details if each["EndpointName"] == name)
    spelt = {"event": ("CREATING", "IN_SERVICE"), "api": ("Creating", "InService")}
    assert told == sorted(status for each in spellings for status in spelt[each])
    lab.sagemaker.delete_endpoint(EndpointName=name)
