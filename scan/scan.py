"""`make scan`: every scanner over the template, as written and as CloudFormation receives it, and the code.

The received template is scanned as a stack without a VPC has it, and as one within.

cfn-lint and statelint are .venv's, the others lie below .scan. Ends with 1 when a rule that must pass does
not, unless the template accepts it with a reason, and when it accepts what no scanner says any more.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from accepted import Finding, judge
from audit import control

from driftwheel_local.intrinsics import Scope, resolve
from driftwheel_local.template import cloudformation, load_template, read_template, substitute

ROOT = Path(__file__).parents[1]
SCAN = ROOT / "scan"
WORK = ROOT / ".scan"
BIN = ROOT / ".venv" / "bin"

CHECKOV = (
    *(f"CKV_AWS_{n}" for n in (7, 18, 19, 20, 21, 26, 27, 28, 33, 40, 45, 51, 53, 54, 55, 56, 57, 59, 60)),
    *(f"CKV_AWS_{n}" for n in (61, 62, 63, 66, 76, 95, 107, 108, 109, 110, 111, 115, 116, 117, 119, 136)),
    *(f"CKV_AWS_{n}" for n in (149, 158, 163, 173, 258, 363, 364, 367, 368, 369, 370, 384)),
    *("CKV2_AWS_68", "CKV2_AWS_75"),
)
NAG = (
    *(f"AwsSolutions-{each}" for each in ("S1", "S2", "S10", "SQS3", "SQS4", "SNS3", "KMS5", "IAM4", "IAM5")),
    *(f"AwsSolutions-{each}" for each in ("L1", "SF1", "SF2", "DDB3")),
    *(f"Serverless-{each}" for each in ("LambdaDLQ", "LambdaEventSourceMappingDestination")),
    *(f"Serverless-{each}" for each in ("LambdaStarPermissions", "SQSRedrivePolicy", "LambdaLatestVersion")),
    "HIPAA.Security-LambdaInsideVPC",
)
VPC = {"VpcSubnetIds": "subnet-0a1b2c3d", "VpcSecurityGroupIds": "sg-0a1b2c3d"}


def output(*command: str | Path, accept: tuple[int, ...] = (0,)) -> str:
    """Run a scanner and answer what it prints; raises RuntimeError when it could not do its work."""
    ended = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env={**os.environ, "BC_SKIP_MAPPING": "TRUE"},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode not in accept:
        raise RuntimeError(
            f"{command[0]} ended with {ended.returncode}: {(ended.stderr or ended.stdout)[-2000:]}"
        )
    return ended.stdout


class Names:
    """Resources that all exist, with ARNs of the shape IAM wants."""

    def __init__(self, resources: Mapping[str, Any]) -> None:
        self.resources = resources

    def ref(self, logical_id: str) -> str:
        kind = self.resources[logical_id]["Type"]
        return (
            self.arn(logical_id)
            if kind in ("AWS::SNS::Topic", "AWS::StepFunctions::StateMachine")
            else logical_id
        )

    def get_att(self, logical_id: str, attribute: str) -> str:
        return self.arn(logical_id) if attribute == "Arn" else f"{logical_id}.{attribute}"

    def arn(self, logical_id: str) -> str:
        service, kind = self.resources[logical_id]["Type"].split("::")[1:]
        place = "us-east-1:123456789012"
        shapes = {
            "Bucket": f"arn:aws:s3:::{logical_id.lower()}",
            "Table": f"arn:aws:dynamodb:{place}:table/{logical_id}",
            "Key": f"arn:aws:kms:{place}:key/{logical_id}",
            "Function": f"arn:aws:lambda:{place}:function:{logical_id}",
            "Role": f"arn:aws:iam::123456789012:role/{logical_id}",
            "StateMachine": f"arn:aws:states:{place}:stateMachine:{logical_id}",
        }
        return shapes.get(kind, f"arn:aws:{service.lower()}:{place}:{logical_id}")


def cfn_lint(*templates: Path) -> Iterator[Finding]:
    said = output(BIN / "cfn-lint", "--format", "json", *templates, accept=tuple(range(0, 16, 2)))
    for each in json.loads(said):
        place = "/".join(map(str, each["Location"]["Path"]))
        yield Finding("cfn-lint", each["Rule"]["Id"], place, f"{each['Filename']}: {each['Message']}")


def checkov(*templates: Path) -> Iterator[Finding]:
    files = [part for template in templates for part in ("-f", template)]
    options = ("--framework", "cloudformation", "--skip-download", "--output", "json")
    command = (WORK / "checkov/bin/checkov", *files, *options, "--check", ",".join(CHECKOV))
    said = json.loads(output(*command, accept=(0, 1)))
    assert said["summary"]["parsing_errors"] == 0, "checkov cannot read a template"
    for each in said["results"]["failed_checks"]:
        yield Finding("checkov", each["check_id"], each["resource"].rsplit(".", 1)[-1], each["check_name"])


def cfn_guard(template: Path) -> Iterator[Finding]:
    tools = WORK / "tools/bin/python"
    for rule, resource in json.loads(output(tools, SCAN / "guard_template.py", template, SCAN / "guard")):
        yield Finding("cfn-guard", rule, resource)


def cdk_nag(template: Path) -> Iterator[Finding]:
    others: list[str] = []
    for rule, resource in json.loads(output("node", WORK / "node/nag.mjs", template, WORK / "cdk.out")):
        if rule.split("[", 1)[0] in NAG:
            yield Finding("cdk-nag", rule, resource)
        else:
            others.append(rule)
    sys.stdout.write(
        f"cdk-nag also says, by rules not agreed on: {len(others)} times {sorted(set(others))}\n"
    )


def parliament(documents: Path) -> Iterator[Finding]:
    tools = WORK / "tools/bin/python"
    for issue, place, detail in json.loads(output(tools, SCAN / "policy_documents.py", documents)):
        yield Finding("parliament", issue, place, detail)


def statelint(definition: Path) -> Iterator[Finding]:
    for line in output(BIN / "statelint", definition, accept=(0, 1)).splitlines():
        yield Finding("statelint", "finding", "ModelLoop", line)


def asl_validator(definition: Path) -> Iterator[Finding]:
    command = WORK / "node/node_modules/.bin/asl-validator"
    said = output(command, "--json-path", definition, accept=(0, 1))
    if "valid" not in said.lower() or "invalid" in said.lower():
        yield Finding("asl-validator", "finding", "ModelLoop", said)


def bandit(configuration: Path) -> Iterator[Finding]:
    options = (
        "-q",
        "-f",
        "json",
        "-c",
        configuration,
        "-r",
        "src",
        "functions",
        "local",
        "cli",
        "examples",
        "scan",
        "sam",
        "benchmarks",
    )
    for each in json.loads(output(WORK / "tools/bin/bandit", *options, accept=(0, 1)))["results"]:
        place = f"{each['filename']}:{each['line_number']}"
        yield Finding("bandit", each["test_id"], place, each["issue_text"])


def identity_policies() -> dict[str, Any]:
    """The policies of every role, intrinsic functions resolved; a stack within a VPC has them all."""
    template = load_template(ROOT / "template.yaml", parameters=VPC)
    names = Names(template.resources)
    found = {
        f"{name}/{policy['PolicyName']}": resolve(policy["PolicyDocument"], template.scope, names, name)
        for name, resource in template.resources.items()
        if resource["Type"] == "AWS::IAM::Role"
        for policy in resource["Properties"].get("Policies", [])
    }
    return found | {
        name: resolve(resource["Properties"]["PolicyDocument"], template.scope, names, name)
        for name, resource in template.resources.items()
        if resource["Type"] == "AWS::IAM::ManagedPolicy"
    }


def decided(template: Mapping[str, Any], given: Mapping[str, str]) -> Any:
    """The template of one stack: parameters have their values, what no condition chooses is gone.

    Most scanners compare values, not references, and see what stands in both branches of a condition.
    """
    values = {name: each["Default"] for name, each in template["Parameters"].items()} | given
    scope = Scope(values, {}, conditions=template["Conditions"])
    nothing = {"Ref": "AWS::NoValue"}

    def fill(value: Any) -> Any:
        if isinstance(value, list):
            return [each for each in map(fill, value) if each != nothing]
        if not isinstance(value, dict):
            return value
        if value.keys() == {"Ref"} and value["Ref"] in values:
            return values[value["Ref"]]
        if value.keys() == {"Fn::If"}:
            condition, chosen, other = value["Fn::If"]
            return fill(chosen if scope.condition(condition) else other)
        filled = {key: fill(each) for key, each in value.items()}
        return {key: each for key, each in filled.items() if each != nothing}

    resources = {
        name: {key: each for key, each in resource.items() if key != "Condition"}
        for name, resource in template["Resources"].items()
        if "Condition" not in resource or scope.condition(resource["Condition"])
    }
    kept = {key: each for key, each in template.items() if key not in ("Conditions", "Rules")}
    return fill(kept | {"Resources": resources})


def inputs() -> dict[str, Path]:
    """Write what the scanners read."""
    WORK.mkdir(exist_ok=True)
    template = cloudformation(read_template(ROOT / "template.yaml"), ROOT)
    machine = template["Resources"]["ModelLoop"]["Properties"]
    arn = "arn:aws:lambda:us-east-1:123456789012:function:x"
    arns = dict.fromkeys(machine["DefinitionSubstitutions"], arn)
    asl = (ROOT / "statemachine/model_loop.asl.json").read_text(encoding="utf-8")
    texts = {
        "cfn.json": json.dumps(template, indent=1),
        "no_vpc.json": json.dumps(decided(template, {}), indent=1),
        "in_vpc.json": json.dumps(decided(template, VPC), indent=1),
        "policies.json": json.dumps(identity_policies()),
        "model_loop.asl.json": substitute(asl, arns | {"Partition": "aws"}, "ModelLoop"),
    }
    for name, text in texts.items():
        (WORK / name).write_text(text, encoding="utf-8")
    return {name: WORK / name for name in texts} | {
        name: ROOT / name for name in ("template.yaml", "pyproject.toml", "scan/planted")
    }


def pip_audit_control(planted: Path) -> Iterator[Finding]:
    """Whether `make audit` would notice: it needs a database, its control needs none."""
    for fault in control():
        yield Finding("pip-audit", "control", planted.name, fault)


SCANNERS: tuple[tuple[Callable[..., Iterator[Finding]], tuple[str, ...]], ...] = (
    (cfn_lint, ("template.yaml", "cfn.json")),
    (checkov, ("template.yaml", "no_vpc.json")),
    (checkov, ("in_vpc.json",)),
    (cfn_guard, ("no_vpc.json",)),
    (cfn_guard, ("in_vpc.json",)),
    (cdk_nag, ("no_vpc.json",)),
    (cdk_nag, ("in_vpc.json",)),
    (parliament, ("policies.json",)),
    (statelint, ("model_loop.asl.json",)),
    (asl_validator, ("model_loop.asl.json",)),
    (bandit, ("pyproject.toml",)),
    (pip_audit_control, ("scan/planted",)),
)

VOID = {"in_vpc.json": ("NoVpc",)}
"""Which reasons do not hold for a file."""


def main() -> int:
    read = inputs()
    source = read_template(ROOT / "template.yaml")
    everything: list[Finding] = []
    left: list[Finding] = []
    sys.stdout.write(f"{'scanner':15} {'input':26} {'found':>6} {'accepted':>9} {'left':>5} {'seconds':>8}\n")
    for scanner, names in SCANNERS:
        started = time.monotonic()
        found = list(scanner(*(read[name] for name in names)))
        open_, _ = judge(source, found, VOID.get(names[0], ()))
        counts = f"{len(found):6} {len(found) - len(open_):9} {len(open_):5}"
        sys.stdout.write(
            f"{scanner.__name__:15} {', '.join(names):26} {counts} {time.monotonic() - started:8.1f}\n"
        )
        everything += found
        left += open_
    _, needless = judge(source, everything)
    for each in left:
        sys.stdout.write(f"{each.scanner}: {each.rule} at {each.resource} {each.detail}\n")
    for acceptance in needless:
        sys.stdout.write(
            f"{acceptance.resource} accepts {acceptance.name}, but no scanner says so any more\n"
        )
    return 1 if left or needless else 0


if __name__ == "__main__":
    sys.exit(main())
