import json
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.core.base_backend import BackendDict
from moto.dynamodb.models.table import Table
from moto.s3.models import S3Backend, s3_backends

from driftwheel_local import patches
from driftwheel_local.clock import Clock
from driftwheel_local.states import StateMachines
from driftwheel_local.store import Store
from driftwheel_local.store.bodies import BodyFile
from driftwheel_local.store.journal import Journal, JournalBrokenError

ROLE = "arn:aws:iam::123456789012:role/states"


class Stack:
    """The stack's resources over one store, restarted at will."""

    def __init__(self, root: Path, endpoint: str) -> None:
        self.root, self.endpoint = root, endpoint
        self.s3, self.dynamodb = boto3.client("s3"), boto3.client("dynamodb")
        self.sqs, self.states = boto3.client("sqs"), boto3.client("stepfunctions")
        self.events: list[dict[str, Any]] = []
        self.start()

    def start(self) -> None:
        self.store = Store(self.root)
        record = self.store.executions
        patches.patch_stepfunctions(
            StateMachines(Clock(), self.events.append, lambda: self.endpoint, record=record)
        )
        self.store.attach()
        self.s3.create_bucket(Bucket="landing")
        self.s3.put_bucket_versioning(Bucket="landing", VersioningConfiguration={"Status": "Enabled"})
        self.s3.create_bucket(Bucket="artifacts")
        self.dynamodb.create_table(
            TableName="ledger",
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
            KeySchema=[
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        dead = self.sqs.create_queue(QueueName="dead")["QueueUrl"]
        redrive = {"deadLetterTargetArn": "arn:aws:sqs:us-east-1:123456789012:dead", "maxReceiveCount": 2}
        attributes = {"RedrivePolicy": json.dumps(redrive), "VisibilityTimeout": "0"}
        url = self.sqs.create_queue(QueueName="inbox", Attributes=attributes)["QueueUrl"]
        self.urls = {"inbox": url, "dead": dead}
        definition = {"StartAt": "W", "States": {"W": {"Type": "Wait", "SecondsPath": "$.s", "End": True}}}
        made = self.states.create_state_machine(name="loop", definition=json.dumps(definition), roleArn=ROLE)
        self.machine = made["stateMachineArn"]
        self.store.restore()

    def restart(self) -> None:
        self.store.close()
        BackendDict.reset()
        self.events.clear()
        self.start()

    def item(self, key: str) -> dict[str, Any] | None:
        found = self.dynamodb.get_item(TableName="ledger", Key={"pk": {"S": key}, "sk": {"S": "0"}})
        return found.get("Item")

    def put(self, key: str, **attributes: Any) -> None:
        self.dynamodb.put_item(TableName="ledger", Item={"pk": {"S": key}, "sk": {"S": "0"}} | attributes)

    def bodies(self, queue: str) -> list[str]:
        found = self.sqs.receive_message(QueueUrl=self.urls[queue], MaxNumberOfMessages=10)
        return sorted(message["Body"] for message in found.get("Messages", []))


@pytest.fixture
def stack(tmp_path: Path, moto_endpoint: str) -> Stack:
    made = Stack(tmp_path, moto_endpoint)
    yield made
    for execution in made.states.list_executions(stateMachineArn=made.machine)["executions"]:
        made.states.stop_execution(executionArn=execution["executionArn"])
    made.store.close()


def seen(answer: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in answer.items() if key not in {"ResponseMetadata", "Body"}}
    return kept | ({"Body": answer["Body"].read()} if "Body" in answer else {})


def test_an_object_comes_back_as_it_was_put(stack: Stack):
    stack.s3.put_object(
        Bucket="landing",
        Key="data/flights/jan uary+é.csv",
        Body=b"a,b\n1,2\n",
        ContentType="text/csv",
        CacheControl="no-store",
        Metadata={"origin": "jfk"},
        ChecksumAlgorithm="SHA256",
        Tagging="kind=arrival",
    )
    name = {"Bucket": "landing", "Key": "data/flights/jan uary+é.csv"}
    before = seen(stack.s3.get_object(**name, ChecksumMode="ENABLED"))

    stack.restart()

    assert seen(stack.s3.get_object(**name, ChecksumMode="ENABLED")) == before
    assert before["ContentType"] == "text/csv"
    assert stack.s3.get_object_tagging(**name)["TagSet"] == [{"Key": "kind", "Value": "arrival"}]


def test_versions_and_delete_markers_keep_their_ids_and_order(stack: Stack):
    name = {"Bucket": "landing", "Key": "labels/a.csv"}
    ids = [stack.s3.put_object(**name, Body=body)["VersionId"] for body in (b"one", b"two", b"three")]
    stack.s3.delete_object(**name, VersionId=ids[1])
    marker = stack.s3.delete_object(**name)["VersionId"]
    before = seen(stack.s3.list_object_versions(Bucket="landing"))

    stack.restart()

    assert seen(stack.s3.list_object_versions(Bucket="landing")) == before
    assert before["DeleteMarkers"][0]["VersionId"] == marker
    assert stack.s3.get_object(**name, VersionId=ids[0])["Body"].read() == b"one"
    with pytest.raises(ClientError, match="NoSuchKey"):
        stack.s3.get_object(**name)


def test_copies_overwrites_and_deletes_are_kept(stack: Stack):
    s3 = stack.s3
    for key in ("a", "b", "c", "d"):
        s3.put_object(Bucket="artifacts", Key=key, Body=key.encode())
    s3.put_object(Bucket="artifacts", Key="a", Body=b"again")
    s3.copy_object(Bucket="artifacts", Key="copy", CopySource={"Bucket": "artifacts", "Key": "b"})
    s3.delete_object(Bucket="artifacts", Key="c")
    s3.delete_objects(Bucket="artifacts", Delete={"Objects": [{"Key": "d"}]})

    stack.restart()
    stack.restart()

    found = s3.list_objects_v2(Bucket="artifacts")["Contents"]
    bodies = {one["Key"]: s3.get_object(Bucket="artifacts", Key=one["Key"])["Body"].read() for one in found}
    assert bodies == {"a": b"again", "b": b"b", "copy": b"b"}


def test_a_multipart_object_keeps_its_etag_and_is_not_held_in_memory(stack: Stack):
    part = bytes(range(256)) * 4096 * 5
    upload = stack.s3.create_multipart_upload(Bucket="landing", Key="big.csv", ContentType="text/csv")[
        "UploadId"
    ]
    where = {"Bucket": "landing", "Key": "big.csv", "UploadId": upload}
    parts = [
        {"PartNumber": number, "ETag": stack.s3.upload_part(**where, PartNumber=number, Body=body)["ETag"]}
        for number, body in ((1, part), (2, b"tail"))
    ]
    etag = stack.s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})["ETag"]
    held = s3_backends["123456789012"]["aws"].buckets["landing"].keys["big.csv"]
    holders = [held, *held.multipart.parts.values()]
    ranged = stack.s3.get_object(Bucket="landing", Key="big.csv", Range="bytes=1-3")["Body"].read()

    stack.restart()

    found = stack.s3.get_object(Bucket="landing", Key="big.csv")
    assert [type(one._value_buffer) for one in holders] == [BodyFile] * 3
    assert holders[2].value == b"tail"
    assert ranged == part[1:4]
    assert found["ETag"] == etag
    assert etag.endswith('-2"')
    assert found["ContentType"] == "text/csv"
    assert found["Body"].read() == part + b"tail"


def test_bodies_are_kept_once_and_swept_when_nobody_refers_to_them(stack: Stack):
    bodies = stack.root / "store" / "s3" / "bodies"
    for key in ("a", "b"):
        stack.s3.put_object(Bucket="artifacts", Key=key, Body=b"same")
    shared = len(list(bodies.glob("*/*")))
    for key in ("a", "b"):
        stack.s3.delete_object(Bucket="artifacts", Key=key)

    stack.restart()

    assert shared == 1
    assert list(bodies.glob("*/*")) == []


def test_every_way_to_change_an_item_is_kept(stack: Stack):
    table = {"TableName": "ledger"}
    rich = {
        "n": {"N": "1.50"},
        "b": {"B": b"\x00\xff"},
        "m": {"M": {"l": {"L": [{"S": "x"}, {"NULL": True}, {"BOOL": False}, {"N": "2"}]}}},
        "bytes": {"M": {"in": {"L": [{"B": b"\xfe"}, {"S": ""}]}, "none": {"M": {}}}},
        "ss": {"SS": ["a", "b"]},
    }
    stack.put("put", **rich)
    for key in ("updated", "deleted", "gone", "counted"):
        stack.put(key)
    stack.dynamodb.update_item(
        **table,
        Key={"pk": {"S": "updated"}, "sk": {"S": "0"}},
        UpdateExpression="SET a = :a ADD n :one",
        ExpressionAttributeValues={":a": {"S": "new"}, ":one": {"N": "1"}},
    )
    stack.dynamodb.delete_item(**table, Key={"pk": {"S": "deleted"}, "sk": {"S": "0"}})
    batch = {"PutRequest": {"Item": {"pk": {"S": "batched"}, "sk": {"S": "0"}}}}
    remove = {"DeleteRequest": {"Key": {"pk": {"S": "gone"}, "sk": {"S": "0"}}}}
    stack.dynamodb.batch_write_item(RequestItems={"ledger": [batch, remove]})
    add = {"Key": {"pk": {"S": "counted"}, "sk": {"S": "0"}}, "UpdateExpression": "ADD n :n"}
    stack.dynamodb.transact_write_items(
        TransactItems=[
            {"Put": table | {"Item": {"pk": {"S": "transacted"}, "sk": {"S": "0"}}}},
            {"Update": table | add | {"ExpressionAttributeValues": {":n": {"N": "5"}}}},
        ]
    )
    before = [stack.item(key) for key in ("put", "updated", "batched", "transacted", "counted")]

    stack.restart()

    assert [stack.item(key) for key in ("put", "updated", "batched", "transacted", "counted")] == before
    assert before[0] == rich | {"pk": {"S": "put"}, "sk": {"S": "0"}}
    assert (stack.item("deleted"), stack.item("gone")) == (None, None)


def test_a_cancelled_transaction_leaves_nothing_now_or_after_a_restart(stack: Stack):
    stack.put("counter", n={"N": "1"})
    key = {"pk": {"S": "counter"}, "sk": {"S": "0"}}
    update = {
        "TableName": "ledger",
        "Key": key,
        "UpdateExpression": "ADD n :n",
        "ExpressionAttributeValues": {":n": {"N": "1"}},
    }
    check = {
        "TableName": "ledger",
        "Key": {"pk": {"S": "lease"}, "sk": {"S": "0"}},
        "ConditionExpression": "attribute_exists(pk)",
    }
    put = {"TableName": "ledger", "Item": {"pk": {"S": "half"}, "sk": {"S": "0"}}}

    with pytest.raises(ClientError, match="TransactionCanceled"):
        stack.dynamodb.transact_write_items(
            TransactItems=[{"Update": update}, {"Put": put}, {"ConditionCheck": check}]
        )

    for _ in range(2):
        assert stack.item("counter")["n"] == {"N": "1"}
        assert stack.item("half") is None
        stack.restart()


def test_a_refused_update_changes_nothing(stack: Stack):
    stack.put("text", word={"S": "x"}, n={"N": "1"})

    with pytest.raises(ClientError):
        stack.dynamodb.update_item(
            TableName="ledger",
            Key={"pk": {"S": "text"}, "sk": {"S": "0"}},
            UpdateExpression="SET n = :two ADD word :one",
            ExpressionAttributeValues={":one": {"N": "1"}, ":two": {"N": "2"}},
        )

    assert stack.item("text")["n"] == {"N": "1"}


def race(count: int, attempt: Callable[[int], Any]) -> int:
    """Run `count` attempts at once; answer how many won."""
    barrier = threading.Barrier(count)

    def run(number: int) -> bool:
        barrier.wait()
        try:
            attempt(number)
        except ClientError:
            return False
        return True

    with ThreadPoolExecutor(count) as pool:
        return sum(pool.map(run, range(count)))


def slowly(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    """Widen the gap between moto's check and its change."""
    inner = getattr(owner, name)

    def slow(*args: Any, **options: Any) -> Any:
        answer = inner(*args, **options)
        time.sleep(0.003)
        return answer

    monkeypatch.setattr(owner, name, slow)


def test_of_many_conditional_writers_one_wins(stack: Stack, monkeypatch: pytest.MonkeyPatch):
    quick = Config(max_pool_connections=16, retries={"total_max_attempts": 1})
    dynamodb, s3 = boto3.client("dynamodb", config=quick), boto3.client("s3", config=quick)
    slowly(monkeypatch, Table, "get_item")
    slowly(monkeypatch, S3Backend, "get_object")

    taken = race(
        8,
        lambda number: dynamodb.put_item(
            TableName="ledger",
            Item={"pk": {"S": "lease"}, "sk": {"S": "0"}, "owner": {"N": str(number)}},
            ConditionExpression="attribute_not_exists(pk)",
        ),
    )
    written = race(
        8,
        lambda number: s3.put_object(Bucket="artifacts", Key="lock", Body=b"%d" % number, IfNoneMatch="*"),
    )

    assert (taken, written) == (1, 1)


def test_no_counted_update_and_no_version_is_lost(stack: Stack, monkeypatch: pytest.MonkeyPatch):
    quick = Config(max_pool_connections=16)
    dynamodb, s3 = boto3.client("dynamodb", config=quick), boto3.client("s3", config=quick)
    slowly(monkeypatch, Table, "get_item")
    slowly(monkeypatch, S3Backend, "get_bucket")

    race(
        8,
        lambda _number: dynamodb.update_item(
            TableName="ledger",
            Key={"pk": {"S": "counter"}, "sk": {"S": "0"}},
            UpdateExpression="ADD n :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
        ),
    )
    race(8, lambda number: s3.put_object(Bucket="landing", Key="same", Body=b"%d" % number))

    assert stack.item("counter")["n"] == {"N": "8"}
    assert len(s3.list_object_versions(Bucket="landing")["Versions"]) == 8


def test_messages_come_back_with_their_attributes_and_receive_count(stack: Stack):
    send = stack.sqs.send_message
    attributes = {"kind": {"DataType": "Binary", "BinaryValue": b"\x01"}}
    send(QueueUrl=stack.urls["inbox"], MessageBody="kept", MessageAttributes=attributes)
    send(QueueUrl=stack.urls["inbox"], MessageBody="done")
    received = stack.sqs.receive_message(QueueUrl=stack.urls["inbox"], MaxNumberOfMessages=10)["Messages"]
    handle = next(message["ReceiptHandle"] for message in received if message["Body"] == "done")
    stack.sqs.delete_message(QueueUrl=stack.urls["inbox"], ReceiptHandle=handle)

    stack.restart()

    again = stack.sqs.receive_message(
        QueueUrl=stack.urls["inbox"],
        MaxNumberOfMessages=10,
        AttributeNames=["All"],
        MessageAttributeNames=["All"],
    )["Messages"]
    assert [message["Body"] for message in again] == ["kept"]
    assert again[0]["Attributes"]["ApproximateReceiveCount"] == "2"
    assert again[0]["MessageAttributes"]["kind"]["BinaryValue"] == b"\x01"


def test_a_poison_message_reaches_its_dead_letter_queue_in_spite_of_restarts(stack: Stack):
    stack.sqs.send_message(QueueUrl=stack.urls["inbox"], MessageBody="poison")
    deliveries = []
    for _ in range(3):
        deliveries.append(stack.bodies("inbox"))
        stack.restart()

    assert deliveries == [["poison"], ["poison"], []]
    assert stack.bodies("dead") == ["poison"]


def test_a_purged_queue_stays_empty(stack: Stack):
    stack.sqs.send_message(QueueUrl=stack.urls["inbox"], MessageBody="x")
    stack.sqs.purge_queue(QueueUrl=stack.urls["inbox"])
    stack.sqs.send_message(QueueUrl=stack.urls["inbox"], MessageBody="after")

    stack.restart()

    assert stack.bodies("inbox") == ["after"]


def test_executions_keep_output_history_and_name_and_running_ones_are_aborted(stack: Stack):
    start = stack.states.start_execution
    ended = start(stateMachineArn=stack.machine, name="done", input='{"s": 0}')["executionArn"]
    running = start(stateMachineArn=stack.machine, name="inflight", input='{"s": 9999}')["executionArn"]
    while stack.states.describe_execution(executionArn=ended)["status"] == "RUNNING":
        time.sleep(0.01)
    before = seen(stack.states.describe_execution(executionArn=ended))
    history = stack.states.get_execution_history(executionArn=ended)["events"]

    stack.restart()

    assert seen(stack.states.describe_execution(executionArn=ended)) == before
    assert stack.states.get_execution_history(executionArn=ended)["events"] == history
    aborted = stack.states.describe_execution(executionArn=running)
    assert (aborted["status"], aborted["error"]) == ("ABORTED", "States.Runtime")
    partial = stack.states.get_execution_history(executionArn=running)["events"]
    assert [event["type"] for event in partial] == ["ExecutionStarted", "WaitStateEntered"]
    assert [event["detail"]["name"] for event in stack.events] == ["inflight"]
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        start(stateMachineArn=stack.machine, name="inflight", input='{"s": 9999}')


def test_data_of_an_absent_resource_is_kept_and_named(stack: Stack, caplog: pytest.LogCaptureFixture):
    stack.s3.create_bucket(Bucket="extra")
    stack.s3.put_object(Bucket="extra", Key="k", Body=b"v")

    with caplog.at_level(logging.WARNING):
        stack.restart()
        stack.restart()

    assert "bucket extra does not exist" in caplog.text
    stack.store.close()
    BackendDict.reset()
    stack.store = Store(stack.root)
    stack.store.attach()
    stack.s3.create_bucket(Bucket="extra")
    stack.store.objects.restore()
    assert stack.s3.get_object(Bucket="extra", Key="k")["Body"].read() == b"v"
    stack.restart()


def test_a_torn_last_line_is_left_out_with_a_log_line(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append({"a": 1})
    with path.open("ab") as file:
        file.write(b'{"a": 2')

    with caplog.at_level(logging.WARNING):
        records = journal.read()

    assert records == [{"a": 1}]
    assert "torn line of 7 bytes" in caplog.text
    journal.rewrite(records)
    journal.append({"a": 3})
    assert journal.read() == [{"a": 1}, {"a": 3}]
    journal.close()


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"a":1}\nrubbish\n{"a":2}\n')
    journal = Journal(path)

    with pytest.raises(JournalBrokenError, match=r"journal\.jsonl:2 is not JSON"):
        journal.read()
    journal.close()
