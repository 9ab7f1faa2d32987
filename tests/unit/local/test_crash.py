import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

SERVER = Path(__file__).with_name("crashing_server.py")
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_DEFAULT_REGION": "us-east-1",
}


class Server:
    """One life of the server process."""

    def __init__(self, root: Path) -> None:
        ready = root / "ready.json"
        ready.unlink(missing_ok=True)
        with (root / "stderr").open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, str(SERVER), str(root)],
                env=os.environ | ENVIRONMENT,
                stdout=errors,
                stderr=errors,
            )
        while not ready.exists():
            assert self.process.poll() is None, (root / "stderr").read_text()
            time.sleep(0.02)
        self.ready = json.loads(ready.read_text())
        options: dict[str, Any] = {
            "endpoint_url": self.ready["url"],
            "config": Config(retries={"total_max_attempts": 1}, max_pool_connections=8),
        }
        session = boto3.Session("local", "local", region_name="us-east-1")
        self.s3 = session.client("s3", **options)
        self.dynamodb = session.client("dynamodb", **options)
        self.sqs = session.client("sqs", **options)
        self.states = session.client("stepfunctions", **options)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def write_until_the_end(write: Callable[[int], Any]) -> list[int]:
    """Write numbers until the server is gone; answer those it acknowledged."""
    acknowledged: list[int] = []
    for number in range(100_000):
        try:
            write(number)
        except (BotoCoreError, ClientError):
            return acknowledged
        acknowledged.append(number)
    return acknowledged


def body(number: int) -> bytes:
    return f"{number},".encode() * 20_000


def item(number: int) -> dict[str, Any]:
    return {"pk": {"S": f"{number}"}, "n": {"N": f"{number}"}}


@pytest.mark.case("OP-05")
def test_everything_acknowledged_before_kill_9_is_there_after_the_restart(tmp_path: Path):
    first = Server(tmp_path)
    machine, queue = first.ready["machine"], first.ready["queue"]
    writers: dict[str, Callable[[int], Any]] = {
        "objects": lambda n: first.s3.put_object(Bucket="landing", Key=f"k/{n}", Body=body(n)),
        "items": lambda n: first.dynamodb.put_item(TableName="ledger", Item=item(n)),
        "counter": lambda n: first.dynamodb.update_item(
            TableName="ledger",
            Key={"pk": {"S": "counter"}},
            UpdateExpression="ADD n :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
        ),
        "messages": lambda n: first.sqs.send_message(QueueUrl=queue, MessageBody=f"{n}"),
        "runs": lambda n: first.states.start_execution(stateMachineArn=machine, name=f"run-{n}"),
    }  # fmt: skip
    with ThreadPoolExecutor(len(writers)) as pool:
        running = {kind: pool.submit(write_until_the_end, write) for kind, write in writers.items()}
        threading.Timer(1.2, first.kill).start()
        written = {kind: future.result() for kind, future in running.items()}
    first.process.wait()
    assert first.process.returncode == -9
    assert all(len(numbers) > 5 for numbers in written.values()), written

    second = Server(tmp_path)
    try:
        for number in written["objects"]:
            found = second.s3.get_object(Bucket="landing", Key=f"k/{number}")["Body"].read()
            assert found == body(number)
        for number in written["items"]:
            key = {"pk": {"S": f"{number}"}}
            assert second.dynamodb.get_item(TableName="ledger", Key=key)["Item"] == item(number)
        counter = second.dynamodb.get_item(TableName="ledger", Key={"pk": {"S": "counter"}})["Item"]
        # The last one may have been done and not acknowledged.
        assert len(written["counter"]) <= int(counter["n"]["N"]) <= len(written["counter"]) + 1
        bodies, inbox = set[str](), second.ready["queue"]
        while messages := second.sqs.receive_message(QueueUrl=inbox, MaxNumberOfMessages=10).get("Messages"):
            bodies |= {message["Body"] for message in messages}
            for message in messages:  # else it is back after 30 s, and this has no end on a slow machine
                second.sqs.delete_message(QueueUrl=inbox, ReceiptHandle=message["ReceiptHandle"])
        assert bodies >= {f"{number}" for number in written["messages"]}
        names = set()
        for page in second.states.get_paginator("list_executions").paginate(stateMachineArn=machine):
            for execution in page["executions"]:
                assert execution["status"] == "ABORTED"
                names.add(execution["name"])
        assert names >= {f"run-{number}" for number in written["runs"]}
        told = {event["detail"]["name"] for event in second.ready["events"]}
        assert told == names
    finally:
        second.kill()
