"""A moto server whose functions run as processes."""

import json
import os
import textwrap

import boto3
import pytest
from botocore.config import Config

from driftwheel_local import packaging, patches
from driftwheel_local.clock import Clock
from driftwheel_local.functions import code_zip
from driftwheel_local.lambdas import LambdaRunner

ROLE = "arn:aws:iam::123456789012:role/runs"


class LambdaStack:
    """A moto server whose functions run as processes."""

    def __init__(self, endpoint, build_root, folder, **options):
        self.build_root = build_root
        self.endpoint = endpoint
        self.folder = folder
        self.clock = Clock()
        self.runners = []
        self.runner = self.another_runner(**options)
        patches.patch_lambda(self.runner)
        patches.patch_sqs(self.clock, self.runner.pollers.wake)
        patches.patch_logs(self.clock)
        trust = json.dumps({"Version": "2012-10-17", "Statement": []})
        self.client("iam").create_role(RoleName="runs", AssumeRolePolicyDocument=trust)

    def another_runner(self, **options):
        environment = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        runner = LambdaRunner(self.build_root, self.folder / "root", environment, self.clock, **options)
        self.runners.append(runner)
        return runner

    def client(self, service):
        return boto3.client(service, config=Config(retries={"total_max_attempts": 1}))

    def function(self, name, source, layers=(), **settings):
        code = self.folder / "code" / name
        code.mkdir(parents=True)
        (code / "app.py").write_text(textwrap.dedent(source))
        spec = {"Runtime": "python3.11", "Role": ROLE, "Handler": "app.handler", "Timeout": 5} | settings
        return self.client("lambda").create_function(
            FunctionName=name, Code={"ZipFile": code_zip(code)}, Layers=[*layers], **spec
        )["FunctionArn"]

    def invoke(self, name, event=None, **options):
        answer = self.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event), **options)
        payload = answer["Payload"].read()
        return json.loads(payload) if payload else None, answer.get("FunctionError")

    def log(self, name):
        return (self.folder / "root" / "logs" / f"{name}.log").read_text()

    def close(self):
        for runner in self.runners:
            runner.close()


@pytest.fixture(scope="session")
def build_root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("build")
    packaging.runtime(folder)
    return folder


@pytest.fixture
def new_stack(moto_endpoint, build_root, tmp_path):
    """Start a LambdaStack with the runner's options; it is closed at the end."""
    stacks = []

    def start(**options):
        stacks.append(LambdaStack(moto_endpoint, build_root, tmp_path, **options))
        return stacks[-1]

    yield start
    for stack in stacks:
        stack.close()
