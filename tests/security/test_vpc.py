"""A VPC is opt-in: given, everything is inside and may be; not given, nothing of it is there."""

from typing import Any

import pytest

from driftwheel.vpc import NO_VPC, Vpc
from driftwheel_local.intrinsics import TemplateError, resolve
from driftwheel_local.permissions.policies import Need, decide
from driftwheel_local.stack import dependencies
from driftwheel_local.template import load_template

from . import asked
from .iam import ACCOUNT, REGION, ROOT, VPC, FixedNames, roles, template, vpc_parameters
from .job_role import INTERFACES, lacking
from .sent import JOINS, faults

REQUESTS: dict[str, dict[str, Any]] = {
    "CreateTrainingJob": {"ResourceConfig": {"InstanceCount": 1}, "OutputDataConfig": {}},
    "CreateProcessingJob": {
        "ProcessingResources": {"ClusterConfig": {"InstanceCount": 1}},
        "NetworkConfig": {"EnableNetworkIsolation": True},
    },
    "CreateModel": {},
}
OTHER = Vpc(VPC.subnets, ("sg-0000000b",))
JOBS = ("SageMakerRole", "DomainClassifierRole")


def functions(*, in_vpc: bool) -> dict[str, Any]:
    """The ``VpcConfig`` of every function."""
    loaded = template(in_vpc=in_vpc)
    return {
        name: resolve(each["Properties"], loaded.scope, FixedNames(loaded), name).get("VpcConfig")
        for name, each in loaded.resources.items()
        if each["Type"] == "AWS::Lambda::Function"
    }


def inside(operation: str, vpc: Vpc) -> dict[str, Any]:
    """A request that says so."""
    request = REQUESTS[operation]
    if operation == "CreateProcessingJob":
        return request | {"NetworkConfig": request["NetworkConfig"] | vpc.config()}
    return request | vpc.config()


@pytest.mark.case("SE-12")
def test_every_function_joins_the_vpc_and_none_joins_one_that_nobody_gave() -> None:
    wanted = {"SubnetIds": list(VPC.subnets), "SecurityGroupIds": list(VPC.security_groups)}

    assert list(functions(in_vpc=True).values()) == [wanted] * 12
    assert list(functions(in_vpc=False).values()) == [None] * 12


@pytest.mark.case("SE-12")
@pytest.mark.parametrize("vpc", [Vpc(subnets=VPC.subnets), Vpc(security_groups=VPC.security_groups)])
def test_half_a_vpc_is_refused_before_anything_is_created(vpc: Vpc) -> None:
    with pytest.raises(TemplateError, match=r"Rules\.\w+: Vpc\w+ needs Vpc\w+"):
        load_template(ROOT / "template.yaml", parameters=vpc_parameters(vpc))


@pytest.mark.parametrize("text", ["vpc-1", "subnet-1, subnet-2", "subnet-1,", "SUBNET-1"])
def test_what_is_no_list_of_subnets_is_refused(text: str) -> None:
    with pytest.raises(TemplateError, match="separated by commas"):
        load_template(ROOT / "template.yaml", parameters=vpc_parameters(VPC) | {"VpcSubnetIds": text})


@pytest.mark.case("SE-14")
@pytest.mark.parametrize("operation", sorted(JOINS))
@pytest.mark.parametrize(
    ("stack", "sent", "right"),
    [
        (VPC, VPC, True),
        (NO_VPC, NO_VPC, True),
        (VPC, NO_VPC, False),
        (NO_VPC, VPC, False),
        (VPC, OTHER, False),
    ],
)
def test_a_request_outside_of_the_stacks_own_vpc_is_found(
    operation: str, stack: Vpc, sent: Vpc, *, right: bool
) -> None:
    found = list(faults(operation, inside(operation, sent), stack))

    assert (f"{operation}: the stack's VpcConfig is missing" not in found) is right


@pytest.mark.case("SE-14")
def test_a_session_fails_in_which_a_request_left_its_vpc_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "denied", [])
    monkeypatch.setattr(asked, "sent_faults", [])
    role = {"ExecutionRoleArn": f"arn:aws:iam::{ACCOUNT}:role/driftwheel-sagemaker"}
    image = {"PrimaryContainer": {"Image": f"683313688378.dkr.ecr.{REGION}.amazonaws.com/sagemaker-x:1"}}

    asked.note_request("CreateModel", inside("CreateModel", VPC) | role | image)
    assert "CreateModel: the stack's VpcConfig is missing" not in asked.sent_faults
    asked.note_request("CreateModel", REQUESTS["CreateModel"] | role | image)
    assert "CreateModel: the stack's VpcConfig is missing" in asked.sent_faults
    assert asked.denied == []

    asked.note_request("CreateModel", inside("CreateModel", VPC) | role | image, NO_VPC)
    assert asked.denied[0].startswith("SageMakerRole: ec2:CreateNetworkInterface")


@pytest.mark.case("SE-11")
@pytest.mark.parametrize("role", JOBS)
def test_machines_may_join_the_vpc_that_was_given_alone(role: str) -> None:
    needs = [Need(action, "*") for action in INTERFACES]

    assert lacking(role, needs, in_vpc=True) == []
    assert lacking(role, needs) == needs


@pytest.mark.case("SE-13")
def test_lambda_may_use_a_functions_interfaces_and_the_functions_own_code_may_not() -> None:
    code = {"lambda:sourcefunctionarn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:driftwheel-trigger"}
    within, without = (roles(in_vpc=each)["TriggerFunctionRole"] for each in (True, False))
    actions = [
        "CreateNetworkInterface",
        "DeleteNetworkInterface",
        "DescribeNetworkInterfaces",
        "DescribeSubnets",
    ]

    for action in (*actions, "AssignPrivateIpAddresses", "UnassignPrivateIpAddresses"):
        assert decide(within, Need(f"ec2:{action}", "*")) == "allowed"
        assert decide(within, Need(f"ec2:{action}", "*", code)) == "explicit deny"
        assert decide(without, Need(f"ec2:{action}", "*")) == "implicit deny"


@pytest.mark.parametrize("in_vpc", [False, True])
def test_the_local_stack_finds_an_order_to_create_everything_in(*, in_vpc: bool) -> None:
    needed = dependencies(template(in_vpc=in_vpc))

    assert ("FunctionNetworkPolicy" in needed["TriggerFunctionRole"]) is in_vpc
    assert ("JobNetworkPolicy" in needed["SageMakerRole"]) is in_vpc
