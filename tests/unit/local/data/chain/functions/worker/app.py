import json
import os
import sys

sys.path.append(os.environ["LIBRARIES"])

import boto3
from shared import words

table = boto3.resource("dynamodb").Table(os.environ["TABLE"])


def handler(event, context):
    if "tick" in event:
        table.put_item(Item={"pk": f"tick {event['tick']}"})
        return {}
    for record in event["Records"]:
        found = json.loads(record["body"])
        table.put_item(Item={"pk": f"object {found['detail']['object']['key']}", "event": record["body"]})
        boto3.client("stepfunctions").start_execution(
            stateMachineArn=os.environ["MACHINE"],
            input=json.dumps({"said": words(found["detail"]["object"]["key"])}),
        )
    return {"batchItemFailures": []}
