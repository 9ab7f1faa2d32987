"""The account the contract is held against: the local stack in this process, or a real one.

Against AWS everything made begins with a prefix of its own and is deleted at the end, newest first.
"""

import io
import json
import os
import secrets
import tarfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from driftwheel_local.clock import Clock
from driftwheel_local.world import World

CONTAINERS = Path(__file__).parents[1] / "unit" / "local" / "sagemaker" / "containers"
REGION = "us-east-1"
LOCAL_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_REGION": REGION,
}
LOCAL_IMAGE = f"683313688378.dkr.ecr.{REGION}.amazonaws.com/sagemaker-xgboost:3.2-0"
NEEDED = ("CONTRACT_ROLE_ARN", "CONTRACT_IMAGE")
LOCAL_SECONDS, AWS_SECONDS = 30.0, 1_800.0
LOCAL_STEP, AWS_STEP = 5.0, 10.0
INSTANCE = "ml.m5.large"


class Account:
    """Clients, names of its own, and time that passes; ``world`` is the stack behind it, None on AWS."""

    def __init__(self, root: Path) -> None:
        self.on_aws = os.environ.get("CONTRACT_ENDPOINT", "local") == "aws"
        self.prefix = f"dwc-{secrets.token_hex(3)}"
        self._exits = ExitStack()
        self._clients: dict[str, Any] = {}
        self._count = 0
        self.world: World | None = None
        self.clock: Clock | None = None
        if self.on_aws:
            missing = [name for name in NEEDED if not os.environ.get(name)]
            if missing:
                raise RuntimeError(f"set {', '.join(missing)}: docs/reliability.md says what they are for")
            self.role, self.image = (os.environ[name] for name in NEEDED)
            self._options: dict[str, Any] = {}
        else:
            self.clock = Clock()
            self.world = self._exits.enter_context(
                World(
                    root,
                    self.clock,
                    build_root=root / "build",
                    account="123456789012",
                    region=REGION,
                    credentials=LOCAL_CREDENTIALS,
                    time_scale=1.0,
                )
            )
            self.world.resume()
            self.image = LOCAL_IMAGE
            self._options = {
                "endpoint_url": self.world.endpoint.url,
                "region_name": REGION,
                "aws_access_key_id": "local",
                "aws_secret_access_key": "local",
            }
            self.role = self._local_role()

    def _local_role(self) -> str:
        trust = json.dumps({"Version": "2012-10-17", "Statement": []})
        made = self.client("iam").create_role(RoleName="contract", AssumeRolePolicyDocument=trust)
        return str(made["Role"]["Arn"])

    def client(self, service: str, *, url: str = "", attempts: int = 1) -> Any:
        """A client that does not retry, unless told to; ``url`` puts a proxy before a local stack."""
        options = self._options | ({"endpoint_url": url} if url else {})
        settled = Config(
            retries={"mode": "standard", "total_max_attempts": attempts}, s3={"addressing_style": "path"}
        )
        key = f"{service} {url} {attempts}"
        if key not in self._clients:
            make: Any = boto3.client
            self._clients[key] = make(service, config=settled, **options)
        return self._clients[key]

    def name(self, what: str) -> str:
        self._count += 1
        return f"{self.prefix}-{what}-{self._count}"

    def afterwards(self, undo: Callable[..., object], *given: object, **more: object) -> None:
        """Delete something at the end; locally the rest is gone with the stack."""
        if self.on_aws:
            self._exits.callback(undo, *given, **more)

    def pass_time(self, seconds: float = 0.0) -> None:
        """Let AWS's time pass: locally the clock is moved, on AWS we wait."""
        if self.clock is None:
            time.sleep(seconds or AWS_STEP)
        else:
            self.clock.advance(seconds or LOCAL_STEP)
            time.sleep(0.02)

    def until(self, look: Callable[[], Any], good: Callable[[Any], object]) -> list[Any]:
        """Look, let time pass, look again until it is good; answer every sight, the good one last."""
        deadline = time.monotonic() + (AWS_SECONDS if self.on_aws else LOCAL_SECONDS)
        seen = [look()]
        while not good(seen[-1]):
            assert time.monotonic() < deadline, f"still {seen[-1]}"
            self.pass_time()
            seen.append(look())
        return seen

    def refusal(self, call: Callable[[], object]) -> tuple[str, str]:
        """Call and answer the error's code and message; fails when it was not refused."""
        try:
            answered = call()
        except ClientError as error:
            found = error.response["Error"]
            return str(found["Code"]), str(found.get("Message", ""))
        raise AssertionError(f"not refused: {answered}")

    def bucket(self) -> str:
        """A versioned bucket of its own that tells EventBridge everything."""
        s3, name = self.client("s3"), self.name("bucket")
        region = s3.meta.region_name
        place = {} if region == REGION else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3.create_bucket(Bucket=name, **place)
        self._exits.callback(self._delete_bucket, name)
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        s3.put_bucket_notification_configuration(
            Bucket=name, NotificationConfiguration={"EventBridgeConfiguration": {}}
        )
        return name

    def _delete_bucket(self, name: str) -> None:
        s3 = self.client("s3")
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=name):
            for found in page.get("Versions", []) + page.get("DeleteMarkers", []):
                s3.delete_object(Bucket=name, Key=found["Key"], VersionId=found["VersionId"])
        s3.delete_bucket(Bucket=name)

    def inbox(self, pattern: Mapping[str, Any]) -> str:
        """Answer the URL of a queue that gets every event of a pattern."""
        sqs, events, name = self.client("sqs"), self.client("events"), self.name("inbox")
        url = sqs.create_queue(QueueName=name)["QueueUrl"]
        self.afterwards(sqs.delete_queue, QueueUrl=url)
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        allowed = {
            "Effect": "Allow",
            "Principal": {"Service": ["events.amazonaws.com", "scheduler.amazonaws.com"]},
            "Action": "sqs:SendMessage",
            "Resource": arn,
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
        events.put_rule(Name=name, EventPattern=json.dumps(pattern))
        self.afterwards(events.delete_rule, Name=name)
        events.put_targets(Rule=name, Targets=[{"Id": "inbox", "Arn": arn}])
        self.afterwards(events.remove_targets, Rule=name, Ids=["inbox"])
        if self.on_aws:
            time.sleep(
                60
            )  # a new rule takes up to a minute: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-troubleshooting.html
        return str(url)

    def read(self, url: str, count: int, calm: float = 0.5) -> list[dict[str, Any]]:
        """Receive and delete messages until there are so many, then see that no more come."""
        sqs = self.client("sqs")
        found: list[dict[str, Any]] = []

        def receive() -> int:
            wait = 10 if self.on_aws else 0
            answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=wait)
            for message in answer.get("Messages", []):
                found.append(json.loads(message["Body"]))
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            return len(found)

        deadline = time.monotonic() + (300 if self.on_aws else 10)
        while receive() < count and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(20 if self.on_aws else calm)
        receive()
        return found

    def close(self) -> None:
        self._exits.close()


def at_once(call: Callable[[], object], callers: int = 8) -> list[str]:
    """Call from many threads at the same moment; answer each one's error code, empty when it was served."""
    barrier = threading.Barrier(callers)

    def one() -> str:
        barrier.wait()
        try:
            call()
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return ""

    with ThreadPoolExecutor(callers) as pool:
        return [each.result() for each in [pool.submit(one) for _ in range(callers)]]


def tarball(files: Mapping[str, str]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return content.getvalue()
