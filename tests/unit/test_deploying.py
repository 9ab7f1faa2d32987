"""What docs/cost.md and docs/deploying.md count of the template is what the template has."""

import re
from pathlib import Path

import pytest

from driftwheel_local.template import read_template

ROOT = Path(__file__).parents[2]
COST = (ROOT / "docs" / "cost.md").read_text(encoding="utf-8")
DEPLOYING = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
TEMPLATE = read_template(ROOT / "template.yaml")
STEPS = {path.stem for path in (ROOT / "events").glob("*.json")}
WORDS = [
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
]


def of_type(kind: str) -> dict[str, dict]:
    found = TEMPLATE["Resources"].items()
    return {name: each["Properties"] for name, each in found if each["Type"] == kind}


def step_of(function: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", function.removesuffix("Function")).lower()


@pytest.fixture
def memory() -> dict[str, int]:
    usual = TEMPLATE["Globals"]["Function"]["MemorySize"]
    functions = of_type("AWS::Serverless::Function")
    return {step_of(name): each.get("MemorySize", usual) for name, each in functions.items()}


def test_every_function_stands_in_the_costs_with_its_memory(memory: dict[str, int]) -> None:
    called = re.findall(r"^\| (\w+) \| \d+ \| [\d,]+ \| ([\d,]+) \| [\d.]+ \|$", COST, re.MULTILINE)
    not_called = re.findall(r"`(\w+)` \(([\d,]+) MB\)", COST)

    said = {name: int(size.replace(",", "")) for name, size in called + not_called}
    assert len(said) == len(called) + len(not_called)
    assert said == memory
    assert f"The other {WORDS[len(not_called)]} were not called" in COST


def test_the_costs_count_alarms_and_schedules() -> None:
    alarms, schedules = of_type("AWS::CloudWatch::Alarm"), of_type("AWS::Scheduler::Schedule")
    often = [each for each in schedules.values() if each["ScheduleExpression"] != "rate(1 day)"]

    assert f"the template's {WORDS[len(alarms)]} [alarms]" in COST
    assert (
        f"{WORDS[len(schedules)]} schedules: {WORDS[len(often)]} wake a function every five minutes" in COST
    )
    parameters = TEMPLATE["Parameters"]
    rates = {parameters[each["ScheduleExpression"]["Ref"]]["Default"] for each in often}
    assert rates == {"rate(5 minutes)"}


def test_the_comparison_by_sam_was_of_every_function() -> None:
    answers = re.findall(r"^(\w+) +alike +[\d.]+ s", DEPLOYING, re.MULTILINE)

    assert sorted(answers) == sorted(STEPS)
    assert f"{len(STEPS)} of {len(STEPS)} functions answer alike" in DEPLOYING


def test_the_sizes_name_every_function_that_ships_a_library() -> None:
    large = {path.parent.name for path in ROOT.glob("functions/*/requirements.txt")}
    table = DEPLOYING.partition("| Built |")[2].partition("\n\n")[0]

    assert {step_of(name) for name in re.findall(r"\w+Function\b", table)} == large
    assert f"each of the other {WORDS[len(STEPS) - len(large)]}" in table


ENDPOINTS = {
    "sagemaker": "sagemaker.api",
    "sagemaker-runtime": "sagemaker.runtime",
    "stepfunctions": "states",
    "sqs": "sqs",
    "sns": "sns",
    "events": "events",
    "cloudwatch": "monitoring",
}
"""boto3's names of the services, and those of their interface endpoints."""


def test_a_vpc_needs_the_endpoints_of_the_clients_that_functions_have() -> None:
    rows = re.findall(r"^\| `([a-z0-9.]+)` \| (gateway|interface) \| (.+) \|$", DEPLOYING, re.MULTILINE)
    told = {
        name: set(re.findall(r"\w+", re.sub(r"\(.*", "", who))) for name, kind, who in rows if kind[0] == "i"
    }
    made: dict[str, set[str]] = {}
    for step in STEPS:
        code = (ROOT / "functions" / step / "app.py").read_text(encoding="utf-8")
        for service in re.findall(r'boto3\.(?:client|resource)\("([a-z0-9-]+)"\)', code):
            made.setdefault(service, set()).add(step)

    gateways = {name: made.pop(name) for name in ("s3", "dynamodb")}
    assert told == {ENDPOINTS[service]: steps for service, steps in made.items()}
    others = {
        name: re.findall(r"\w+", who.partition(";")[0]) for name, kind, who in rows if kind == "gateway"
    }
    assert {name: STEPS.difference(words) for name, words in others.items()} == gateways
