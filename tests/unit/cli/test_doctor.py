"""An account and a stack are looked over before anybody trusts them; nothing is changed."""

import json
from typing import Any

import boto3
import pytest

from driftwheel.deployment import Canary
from driftwheel.spec import load_spec
from driftwheel_cli import doctor_command
from driftwheel_cli.capturing import of_callers
from driftwheel_cli.checkup import (
    LONGEST_STACK,
    RULES,
    SCHEDULES,
    Finding,
    before_deployment,
    of_stack,
)
from driftwheel_cli.rights import DEPLOYS, PASSES
from driftwheel_local.permissions.policies import Need, decide, statements_of
from driftwheel_local.template import cloudformation, read_template

from .conftest import MODEL_YAML, REGION, ROOT, Recorder, World

SPEC = load_spec(MODEL_YAML.read_bytes())
SPARK_QUOTA = f"{SPEC.preprocessing.instance} for processing job usage"
ROLE_SESSION = "arn:aws:sts::123456789012:assumed-role/deployer/me"
HANDED = {
    "TriggerFunctionRole": "lambda.amazonaws.com",
    "ModelLoopRole": "states.amazonaws.com",
    "SchedulerRole": "scheduler.amazonaws.com",
}


def deployer(stack: str = "driftwheel") -> list[dict[str, Any]]:
    """What a careful administrator allows: one stack's names, and its roles for their own services."""
    names = [f"arn:aws:{part}" for part in (f"s3:::{stack}-*", f"iam::*:role/{stack}-*")]
    names += [
        f"arn:aws:{service}:{REGION}:123456789012:{kind}{stack}{end}"
        for service, kind, end in (
            ("cloudformation", "stack/", "/*"),
            ("lambda", "function:", "-*"),
            ("lambda", "layer:", "-*"),
            ("states", "stateMachine:", "-*"),
            ("scheduler", "schedule/default/", "-*"),
            ("events", "rule/", "-*"),
            ("dynamodb", "table/", "-*"),
            ("sqs", "", "-*"),
            ("sns", "", "-*"),
            ("logs", "log-group:/aws/lambda/", "-*"),
            ("cloudwatch", "alarm:", "-*"),
            ("ssm", "parameter/driftwheel/", ""),
        )
    ]
    actions = [action for action in DEPLOYS if action not in {"iam:PassRole", "kms:CreateKey"}]
    return [
        {"Effect": "Allow", "Action": actions, "Resource": names},
        {"Effect": "Allow", "Action": "kms:CreateKey", "Resource": "*"},
        *(
            {
                "Effect": "Allow",
                "Action": "iam:PassRole",
                "Resource": f"arn:aws:iam::123456789012:role/{stack}-{role}-*",
                "Condition": {"StringEquals": {"iam:PassedToService": service}},
            }
            for role, service in HANDED.items()
        ),
    ]


class Account:
    """An account where all is well, until a test says otherwise."""

    def __init__(self) -> None:
        self.sts = Recorder(get_caller_identity={"Account": "123456789012", "Arn": ROLE_SESSION})
        self.iam = Recorder(simulate_principal_policy=self.simulated)
        self.policy = deployer()
        self.awslambda = Recorder(
            get_account_settings={"AccountLimit": {"UnreservedConcurrentExecutions": 1000}}
        )
        self.quotas = {"ml.m5.large for training job usage": 5.0, "ml.m5.large for endpoint usage": 5.0}
        self.quotas[SPARK_QUOTA] = 1.0

    def simulated(self, **request: Any) -> dict[str, Any]:
        """Decide as IAM does, of the resources and with the context it is given: without them, of `*`."""
        context = {
            entry["ContextKeyName"].lower(): entry["ContextKeyValues"][0]
            for entry in request.get("ContextEntries", [])
        }
        statements = statements_of({"Statement": self.policy})
        results = []
        for action in request["ActionNames"]:
            for resource in request.get("ResourceArns", ["*"]):
                verdict = decide(statements, Need(action, resource, context))
                result = {"EvalActionName": action, "EvalResourceName": resource}
                result["EvalDecision"] = "allowed" if verdict == "allowed" else "implicitDeny"
                asked_for = {
                    key.lower()
                    for one in self.policy
                    if action in one["Action"]
                    for test in one.get("Condition", {}).values()
                    for key in test
                }
                results.append(result | {"MissingContextValues": sorted(asked_for - context.keys())})
        return {"EvaluationResults": results}

    def get_paginator(self, operation: str) -> "Account":
        assert operation == "list_service_quotas"
        return self

    def paginate(self, **request: Any) -> list[dict[str, Any]]:
        assert request == {"ServiceCode": "sagemaker"}
        named = [{"QuotaName": n, "QuotaCode": "L-1", "Value": v} for n, v in self.quotas.items()]
        return [{"Quotas": [quota]} for quota in named]

    def client(self, service: str) -> Any:
        return {"sts": self.sts, "iam": self.iam, "lambda": self.awslambda, "service-quotas": self}[service]

    def checked(self, region: str = REGION, stack: str = "driftwheel") -> dict[str, Finding]:
        return {f.check: f for f in before_deployment(self.client, region, stack, [SPEC])}


@pytest.fixture
def account() -> Account:
    return Account()


def test_an_account_where_all_is_well_passes_every_check(account: Account) -> None:
    found = account.checked()

    assert {finding.state for finding in found.values()} == {"ok"}
    assert "quota ml.m5.large for endpoint usage" in found
    assert found["names of flights"].found.endswith("driftwheel-flights")


def test_the_role_behind_a_session_is_asked_of_the_stacks_own_names(account: Account) -> None:
    account.checked()

    asked = account.iam.asked("simulate_principal_policy")
    assert {request["PolicySourceArn"] for request in asked} == {"arn:aws:iam::123456789012:role/deployer"}
    assert [request["ActionNames"][0] for request in asked] == [*DEPLOYS, *["iam:PassRole"] * len(PASSES)]
    assert {arn for request in asked for arn in request["ResourceArns"] if "driftwheel" not in arn} == {"*"}


def test_a_role_that_may_deploy_this_stack_may_not_deploy_another(account: Account) -> None:
    finding = account.checked(stack="orders")["rights to deploy"]

    assert finding.state == "wrong"
    assert "iam:PassRole to states.amazonaws.com" in finding.found
    assert "kms:CreateKey" not in finding.found


def test_a_right_that_is_denied_is_named(account: Account) -> None:
    account.policy.append({"Effect": "Deny", "Action": ["kms:CreateKey", "sqs:CreateQueue"], "Resource": "*"})

    finding = account.checked()["rights to deploy"]

    assert finding.state == "wrong"
    assert finding.found.endswith(": kms:CreateKey, sqs:CreateQueue")


@pytest.mark.parametrize("role", HANDED)
def test_a_role_that_may_not_be_handed_to_its_service_is_named(account: Account, role: str) -> None:
    handed = f"arn:aws:iam::123456789012:role/driftwheel-{role}-*"
    for statement in account.policy:
        if statement["Resource"] == handed:
            statement["Condition"]["StringEquals"]["iam:PassedToService"] = "ec2.amazonaws.com"

    finding = account.checked()["rights to deploy"]

    assert finding.state == "wrong"
    assert finding.found.endswith(f": iam:PassRole to {HANDED[role]}")


def test_a_condition_that_iam_cannot_try_is_unknown(account: Account) -> None:
    account.policy[1]["Condition"] = {"StringEquals": {"aws:RequestedRegion": REGION}}

    finding = account.checked()["rights to deploy"]

    assert (finding.state, finding.found.rpartition(": ")[2]) == ("unknown", "kms:CreateKey")


def test_every_service_of_the_template_that_gets_a_role_is_asked_about() -> None:
    template = cloudformation(read_template(ROOT / "template.yaml"), ROOT)
    trusted = {
        statement["Principal"]["Service"]: name
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::IAM::Role"
        for statement in resource["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        if isinstance(statement["Principal"]["Service"], str)
    }

    assert {service for service in trusted if service != "sagemaker.amazonaws.com"} <= PASSES.keys()
    assert {service: f"{role}-0" for role, service in HANDED.items()} == {
        service: pattern.rpartition("{stack}-")[2] for service, pattern in PASSES.items()
    }


def test_a_check_that_is_denied_is_unknown_and_never_fine(account: Account) -> None:
    account.iam.answers["simulate_principal_policy"] = "AccessDenied"

    finding = account.checked()["rights to deploy"]

    assert finding.state == "unknown"
    assert "AccessDenied" in finding.found


def test_a_swap_needs_two_fleets_and_a_smaller_quota_says_how_to_ask_for_more(account: Account) -> None:
    account.quotas["ml.m5.large for endpoint usage"] = 1.0

    finding = account.checked()["quota ml.m5.large for endpoint usage"]

    assert (finding.state, finding.found) == ("wrong", "1, needed 2")
    assert "--quota-code L-1 --desired-value 2" in finding.remedy


def test_an_instance_type_the_region_does_not_have_is_wrong(account: Account) -> None:
    del account.quotas["ml.m5.large for training job usage"]

    assert account.checked()["quota ml.m5.large for training job usage"].state == "wrong"


@pytest.mark.parametrize("image", ["image of flights", "image of flights's Spark job"])
def test_a_region_without_the_image_is_wrong(account: Account, image: str) -> None:
    finding = account.checked(region="eu-nowhere-1")[image]

    assert finding.state == "wrong"
    assert "eu-nowhere-1" in finding.found


def test_a_model_that_may_grow_to_spark_needs_its_machine_and_one_that_stays_small_does_not(
    account: Account,
) -> None:
    account.quotas[SPARK_QUOTA] = 0.0
    small = SPEC.preprocessing.model_copy(update={"engine": "duckdb"})

    found = {
        f.check: f
        for f in before_deployment(
            account.client, REGION, "driftwheel", [SPEC.model_copy(update={"preprocessing": small})]
        )
    }

    missing = account.checked()[f"quota {SPARK_QUOTA}"]
    assert (missing.state, missing.found) == ("wrong", "0, needed 1")
    assert "preprocessing: {engine: duckdb}" in missing.remedy
    assert {finding.state for finding in found.values()} == {"ok"}
    assert not [name for name in found if "Spark" in name or "processing" in name]


def test_the_longest_stack_name_fits_every_name_that_lambda_events_and_scheduler_bound() -> None:
    resources = read_template(ROOT / "template.yaml")["Resources"].values()
    bounded = ("AWS::Serverless::Function", "AWS::Events::Rule", "AWS::Scheduler::Schedule")
    properties = [each["Properties"] for each in resources if each["Type"] in bounded]
    names = [each.get("FunctionName") or each["Name"] for each in properties]

    longest = max(len(name["Fn::Sub"].replace("${AWS::StackName}", "")) for name in names)
    assert LONGEST_STACK + longest == 64


def test_the_longest_stack_name_is_well(account: Account) -> None:
    assert account.checked(stack="x" * LONGEST_STACK)["stack name"].state == "ok"


@pytest.mark.parametrize("stack", ["x" * (LONGEST_STACK + 1), "under_score", "9lives"])
def test_a_stack_name_that_functions_cannot_carry_is_wrong(account: Account, stack: str) -> None:
    assert account.checked(stack=stack)["stack name"].state == "wrong"


def test_a_new_account_with_little_concurrency_is_told(account: Account) -> None:
    account.awslambda.answers["get_account_settings"]["AccountLimit"]["UnreservedConcurrentExecutions"] = 3

    assert account.checked()["Lambda concurrency"].state == "wrong"


def test_the_names_looked_for_are_those_of_the_template() -> None:
    resources = read_template(ROOT / "template.yaml")["Resources"].values()

    def named(kind: str) -> set[str]:
        names = [r["Properties"]["Name"]["Fn::Sub"] for r in resources if r["Type"] == kind]
        return {name.removeprefix("${AWS::StackName}-") for name in names}

    assert named("AWS::Events::Rule") == set(RULES)
    assert named("AWS::Scheduler::Schedule") == set(SCHEDULES)


def test_every_service_of_the_template_is_among_the_rights_to_deploy() -> None:
    template = cloudformation(read_template(ROOT / "template.yaml"), ROOT)
    kinds = {resource["Type"].split("::")[1].lower() for resource in template["Resources"].values()}
    same = {"stepfunctions": "states"}

    assert {same.get(kind, kind) for kind in kinds} <= {action.split(":")[0] for action in DEPLOYS}


PATTERN = {"detail": {"bucket": {"name": ["landing"]}, "object": {"key": [{"prefix": "data/"}]}}}


@pytest.fixture
def deployed(world: World) -> World:
    """The stack's rules, schedules and queues, as the template makes them."""
    events, scheduler = (boto3.client(name, region_name=REGION) for name in ("events", "scheduler"))
    for rule in RULES:
        events.put_rule(Name=f"driftwheel-{rule}", EventPattern=json.dumps(PATTERN))
    for schedule in SCHEDULES:
        scheduler.create_schedule(
            Name=f"driftwheel-{schedule}",
            ScheduleExpression="rate(5 minutes)",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={
                "Arn": "arn:aws:sqs:us-east-1:123456789012:q",
                "RoleArn": "arn:aws:iam::123456789012:role/r",
            },
        )
    boto3.client("sqs", region_name=REGION).create_queue(QueueName="driftwheel-ArrivalDeadLetterQueue-1")
    iam = boto3.client("iam", region_name=REGION)
    iam.create_role(RoleName="states", AssumeRolePolicyDocument="{}")
    allow(world, "lambda:InvokeFunction", "logs:CreateLogDelivery", "xray:PutTraceSegments")
    # moto keeps an empty EventBridgeConfiguration, and leaves it out of its answer
    world.fakes["s3"] = Recorder(get_bucket_notification_configuration={"EventBridgeConfiguration": {}})
    return world


def allow(world: World, *actions: str) -> None:
    """Give the state machine's role these rights and no other inline ones."""
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    world.stack.client("iam").put_role_policy(
        RoleName="states",
        PolicyName="steps",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )


def looked_over(world: World) -> dict[str, Finding]:
    return {f.check: f for f in of_stack(world.stack.client, world.stack.names)}


def test_a_stack_where_all_is_well_passes_every_check(deployed: World) -> None:
    assert {f.check: f.state for f in looked_over(deployed).values()} == {
        "events of the landing bucket": "ok",
        "no loop through our own outputs": "ok",
        "rules and schedules": "ok",
        "state machine waits by token": "ok",
        "dead-letter queues": "ok",
    }


def test_a_bucket_that_tells_nobody_is_wrong(deployed: World) -> None:
    deployed.fakes["s3"].answers["get_bucket_notification_configuration"] = {}

    assert looked_over(deployed)["events of the landing bucket"].state == "wrong"


@pytest.mark.parametrize(
    "detail",
    [
        {"bucket": {"name": ["landing", "artifacts"]}, "object": {"key": [{"prefix": "data/"}]}},
        {"bucket": {"name": ["landing"]}},
        {"object": {"key": [{"prefix": "data/"}]}},
        {"bucket": {"name": ["landing", {"prefix": "driftwheel"}]}, "object": {"key": [{"prefix": "data/"}]}},
        {"bucket": {"name": ["landing"]}, "object": {"key": [{"prefix": "data/"}, {"suffix": ".csv"}]}},
        {"bucket": {"name": ["landing"]}, "object": {"key": [{"wildcard": "*/parcels/*"}]}},
        *(
            {"bucket": {"name": ["landing"]}, "object": {"key": [{"prefix": prefix}]}}
            for prefix in ("", "runs/", "data")
        ),
    ],
)
def test_a_rule_that_matches_what_a_run_writes_is_wrong(deployed: World, detail: dict[str, Any]) -> None:
    deployed.stack.client("events").put_rule(
        Name="driftwheel-object-created", EventPattern=json.dumps({"detail": detail})
    )

    assert looked_over(deployed)["no loop through our own outputs"].state == "wrong"


def test_what_is_switched_off_is_named(deployed: World) -> None:
    deployed.stack.client("events").disable_rule(Name="driftwheel-sagemaker-state")

    finding = looked_over(deployed)["rules and schedules"]

    assert finding.found == "switched off: rule driftwheel-sagemaker-state"


def test_a_state_machine_that_waits_by_sync_is_wrong(deployed: World) -> None:
    deployed.fakes["stepfunctions"] = Recorder(
        describe_state_machine={
            "definition": '{"Resource": "arn:aws:states:::sagemaker:createTrainingJob.sync"}'
        }
    )

    assert looked_over(deployed)["state machine waits by token"].state == "wrong"


@pytest.mark.parametrize("right", ["events:PutRule", "sagemaker:*", "*"])
def test_a_state_machine_that_could_wait_by_sync_is_wrong(deployed: World, right: str) -> None:
    allow(deployed, "lambda:InvokeFunction", right)

    finding = looked_over(deployed)["state machine waits by token"]

    assert finding.state == "wrong"
    assert ("events:PutRule" if right != "sagemaker:*" else "sagemaker:CreateTrainingJob") in finding.found


def test_a_policy_that_is_attached_to_the_state_machines_role_is_read_too(deployed: World) -> None:
    iam = deployed.stack.client("iam")
    document = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"}],
    }
    arn = iam.create_policy(PolicyName="more", PolicyDocument=json.dumps(document))["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="states", PolicyArn=arn)

    assert looked_over(deployed)["state machine waits by token"].state == "wrong"


def test_what_may_not_be_read_of_the_state_machines_role_is_unknown(deployed: World) -> None:
    deployed.stack.client("iam").delete_role_policy(RoleName="states", PolicyName="steps")
    deployed.stack.client("iam").delete_role(RoleName="states")

    assert looked_over(deployed)["state machine waits by token"].state == "unknown"


def test_dead_letters_are_counted_by_queue(deployed: World) -> None:
    sqs = deployed.stack.client("sqs")
    url = sqs.get_queue_url(QueueName="driftwheel-ArrivalDeadLetterQueue-1")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="lost")

    assert looked_over(deployed)["dead-letter queues"].found == "1 in driftwheel-ArrivalDeadLetterQueue-1"


@pytest.fixture
def asked_account(account: Account, monkeypatch: pytest.MonkeyPatch) -> Account:
    monkeypatch.setattr(doctor_command, "_clients", lambda _session: account.client)
    return account


def test_a_model_whose_callers_capture_nothing_is_named(world: World) -> None:
    spec = world.register().model_copy(update={"deployment": Canary(captured_by="writer")})
    world.stack.ledger.models.register(spec, version="v2", at="2026-01-03T00:00:00+00:00")
    assert of_callers(world.stack) == []
    world.champion()

    world.put("capture/flights/driftwheel-flights/serving/2026/01/02/02/59-00-000-a.jsonl", {})
    (before,) = of_callers(world.stack)
    world.put("capture/flights/driftwheel-flights/serving/2026/01/02/03/40-00-000-a.jsonl", {})
    (after,) = of_callers(world.stack)

    assert (before.state, after.state) == ("unknown", "ok")
    assert "driftwheel.capture" in before.remedy


def test_before_the_first_deployment_the_account_alone_is_checked(
    world: World, asked_account: Account
) -> None:
    asked_account.policy = deployer("tomorrow")

    answer = world.call("--stack", "tomorrow", "doctor", str(MODEL_YAML))

    assert answer.exit_code == 0, answer.output
    assert "not deployed yet: no stack 'tomorrow'" in answer.stdout


@pytest.mark.usefixtures("asked_account")
def test_what_is_wrong_ends_with_exit_code_1_and_says_what_to_do(deployed: World) -> None:
    deployed.stack.client("events").disable_rule(Name="driftwheel-sagemaker-state")

    answer = deployed.call("doctor")

    assert answer.exit_code == 1
    assert "rules and schedules: switch them on again" in answer.stdout
