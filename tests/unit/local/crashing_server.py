"""A moto server with the store attached, for `test_crash.py` to kill: argument 1 is the root."""

import json
import logging
import os
import sys
import time
from pathlib import Path

import boto3
from moto.server import ThreadedMotoServer

from driftwheel_local import patches
from driftwheel_local.clock import Clock
from driftwheel_local.states import StateMachines
from driftwheel_local.store import Store

ROLE = "arn:aws:iam::123456789012:role/states"


def main(root: Path) -> None:
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    os.environ["AWS_ENDPOINT_URL"] = url
    store, events = Store(root), []
    patches.patch_stepfunctions(StateMachines(Clock(), events.append, lambda: url, record=store.executions))
    store.attach()
    boto3.client("s3").create_bucket(Bucket="landing")
    boto3.client("dynamodb").create_table(
        TableName="ledger",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    queue = boto3.client("sqs").create_queue(QueueName="inbox")["QueueUrl"]
    definition = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 9999, "End": True}}}
    machine = boto3.client("stepfunctions").create_state_machine(
        name="loop", definition=json.dumps(definition), roleArn=ROLE
    )["stateMachineArn"]
    store.restore()
    ready = {"url": url, "queue": queue, "machine": machine, "events": events}
    (root / "ready.new").write_text(json.dumps(ready))
    (root / "ready.new").replace(root / "ready.json")
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
