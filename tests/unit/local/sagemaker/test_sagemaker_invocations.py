"""InvokeEndpoint: what containers are asked, what their errors become, what is captured and measured."""

import base64
import json
import os
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError

from driftwheel.capture import CaptureWriter, CapturingRuntime

BUCKET = "artifacts"


@pytest.fixture
def served(account):
    account.endpoint(capture=100)
    return account


def model_error(account, data):
    with pytest.raises(ClientError) as caught:
        account.predict(data)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert caught.value.response["Error"]["Code"] == "ModelError"
    return caught.value.response


def captured(account, prefix="captured/"):
    account.world.flush()
    lines = []
    for key in account.keys(prefix):
        lines += account.get(f"s3://{BUCKET}/{key}").decode().splitlines()
    return [json.loads(line) for line in lines]


def test_a_refusal_of_the_container_keeps_its_status_and_message(served):
    answer = model_error(served, {"refuse": 1})

    assert answer["OriginalStatusCode"] == 400
    assert json.loads(answer["OriginalMessage"]) == {"error": "field temp"}
    assert answer["Error"]["Message"].startswith("Received client error (400) from primary with message")
    assert "/aws/sagemaker/Endpoints/scores" in answer["LogStreamArn"]


def test_an_exception_is_500_whatever_status_it_carries(served):
    answer = model_error(served, {"raise": 1})

    assert answer["OriginalStatusCode"] == 500
    assert "Internal Server Error" in answer["OriginalMessage"]
    group = "/aws/sagemaker/Endpoints/scores"
    served.until(
        lambda: (
            [
                event["message"]
                for stream in served.logs.describe_log_streams(logGroupName=group)["logStreams"]
                for event in served.logs.get_log_events(
                    logGroupName=group, logStreamName=stream["logStreamName"]
                )["events"]
            ]
            if served.logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
            else []
        ),
        lambda lines: any("carries status_code 400" in line for line in lines),
    )


def test_plain_text_becomes_html_as_flask_makes_it(served):
    answer = served.runtime.invoke_endpoint(
        EndpointName="scores", Body=b'{"text": "hello"}', ContentType="application/json"
    )

    assert answer["ContentType"] == "text/html; charset=utf-8"
    assert answer["Body"].read() == b"hello"


def test_the_accept_header_reaches_output_fn(served):
    answer = served.runtime.invoke_endpoint(
        EndpointName="scores", Body=b'{"value": 1}', ContentType="application/json", Accept="text/csv"
    )

    assert answer["ContentType"] == "text/csv; charset=utf-8"
    assert answer["InvokedProductionVariant"] == "main"


def test_binary_bodies_arrive_unchanged(served):
    answer = served.runtime.invoke_endpoint(
        EndpointName="scores", Body=bytes(range(256)), ContentType="application/x-bytes"
    )

    assert json.loads(answer["Body"].read()) == {"sum": 257}


def test_the_script_is_told_the_images_toolkit_and_no_credentials(served):
    variables = served.predict({"environment": 1})

    assert served.predict({"toolkit": 1}) is True
    assert "AWS_ACCESS_KEY_ID" not in variables
    assert "AWS_ENDPOINT_URL" not in variables
    assert variables["OMP_NUM_THREADS"] == "1"
    assert variables["SM_MODEL_DIR"].endswith("/opt/ml/model")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"Body": b"x" * 6_291_457}, "length less than or equal to 6291456"),
        ({"Body": b"{}", "InferenceId": "i" * 65}, "less than or equal to 64"),
        ({"Body": b"{}", "TargetVariant": "bad_name"}, "targetVariant"),
        ({"Body": b"{}", "TargetModel": "a.tar.gz"}, "needs AWS"),
    ],
)
def test_requests_beyond_the_limits_are_refused(served, options, words):
    with pytest.raises(ClientError) as caught:
        served.runtime.invoke_endpoint(EndpointName="scores", ContentType="application/json", **options)

    assert caught.value.response["Error"]["Code"] == "ValidationError"
    assert words in caught.value.response["Error"]["Message"]


def test_a_container_that_takes_too_long_is_an_error(served, monkeypatch):
    fleet = served.world.endpoints.find("scores").fleet
    (host,) = fleet.variants["main"].hosts
    host._connections.timeout = host._connections.timeout.from_float(0.2)

    answer = model_error(served, {"sleep": 1})

    assert answer["OriginalStatusCode"] == 0
    assert "timed out" in answer["OriginalMessage"]


@pytest.mark.case("DE-15")
def test_a_container_that_dies_on_a_request_is_an_error_and_comes_back(served):
    def asked():
        try:
            return served.predict({"value": 1})
        except ClientError as error:
            return error.response["Error"]["Code"]

    answer = model_error(served, {"die": 1})

    assert answer["OriginalStatusCode"] == 0
    served.until(asked, lambda found: found == {"sum": 2})


MOST_FAILED, MOST_SECONDS = 100, 10.0
"""What docs/reliability.md states for one instance whose client asks ten times a second."""


class Load:
    """Clients that ask without retries, each ``pause`` seconds after its last answer, until told to stop."""

    def __init__(self, account, clients, pause):
        self.answers, self.failures = [], []
        self._stopped, self._pause = threading.Event(), pause
        once = Config(retries={"total_max_attempts": 1})
        self._runtime = boto3.client("sagemaker-runtime", endpoint_url=account.endpoint_url, config=once)
        self._pool = ThreadPoolExecutor(clients)
        self._asking = [self._pool.submit(self._ask) for _ in range(clients)]

    def _ask(self):
        while not self._stopped.is_set():
            asked = time.monotonic()
            try:
                answer = self._runtime.invoke_endpoint(EndpointName="scores", Body=b'{"value": 1}')
                self.answers.append((asked, json.loads(answer["Body"].read())["sum"]))
            except ClientError as error:
                self.failures.append((asked, error.response["Error"]["Code"]))
            self._stopped.wait(self._pause)

    def stop(self):
        self._stopped.set()
        self._pool.shutdown()
        for each in self._asking:
            each.result()


@pytest.mark.case("DE-15")
@pytest.mark.parametrize(("instances", "pause", "most"), [(1, 0.4, MOST_FAILED), (2, 0, 4)])
def test_a_kill_under_load_costs_what_is_stated_and_no_record(account, instances, pause, most):
    account.endpoint(capture=100, InitialInstanceCount=instances)
    load = Load(account, 4, pause)  # with a pause they ask ten times a second
    try:
        account.until(lambda: len(load.answers), lambda count: count > 20)
        variant = account.world.endpoints.find("scores").fleet.variants["main"]
        killed, at = variant.hosts[0], time.monotonic()
        os.kill(killed._process.pid, signal.SIGKILL)
        account.until(
            lambda: [host for host in list(variant.hosts) if host is not killed and host.is_alive()],
            lambda alive: len(alive) == instances,
        )
        before = len(load.answers)
        account.until(lambda: len(load.answers), lambda count: count > before + 20)
    finally:
        load.stop()

    again = min(asked for asked, _ in load.answers if asked > at)
    assert len(load.failures) <= most  # of two instances: one in flight for each who asks
    assert again - at <= MOST_SECONDS
    if instances == 1:
        assert [code for asked, code in load.failures if asked > again] == []
    assert {answer for _, answer in load.answers} == {2}
    records = captured(account)
    assert len({record["eventMetadata"]["eventId"] for record in records}) == len(records)
    assert [record["captureData"]["endpointOutput"]["data"] for record in records] == ['{"sum": 2}'] * len(
        load.answers
    )


def test_every_invocation_is_measured(served):
    served.predict({"value": 1})
    model_error(served, {"refuse": 1})
    model_error(served, {"raise": 1})
    served.world.flush()

    def values(name):
        return [
            value for title, known, value, _ in served.metrics if known == name and "AWS/SageMaker" in title
        ]

    assert values("Invocations") == [1, 1, 1]
    assert values("Invocation4XXErrors") == [0, 1, 0]
    assert values("Invocation5XXErrors") == [0, 0, 1]
    assert all(100 < value < 5e6 for value in values("ModelLatency"))
    assert {title for title, _, _, _ in served.metrics if "Latency" in title} == {
        "AWS/SageMaker ModelLatency Microseconds"
    }
    assert served.metrics[-1][3] == {"EndpointName": "scores", "VariantName": "main"}


def test_captured_records_have_sagemakers_path_and_form(served):
    served.predict({"value": 1}, InferenceId="order-1")
    (record,) = captured(served)
    (key,) = served.keys("captured/")

    hour = served.clock.now().strftime("%Y/%m/%d/")
    assert re.fullmatch(rf"captured/scores/main/{hour}\d\d/[0-9a-f-]{{36}}\.jsonl", key)
    assert record["captureData"] == {
        "endpointInput": {
            "observedContentType": "application/json",
            "mode": "INPUT",
            "data": '{"value": 1}',
            "encoding": "JSON",
        },
        "endpointOutput": {
            "observedContentType": "application/json",
            "mode": "OUTPUT",
            "data": '{"sum": 2}',
            "encoding": "JSON",
        },
    }
    assert record["eventMetadata"]["inferenceId"] == "order-1"
    assert len(record["eventMetadata"]["eventId"]) == 36
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", record["eventMetadata"]["inferenceTime"])
    assert record["eventVersion"] == "0"


def test_the_capture_writer_writes_what_the_endpoint_itself_captures(served):
    with CaptureWriter(served.s3, BUCKET, "scores", "scores") as writer:
        runtime = CapturingRuntime(served.runtime, writer)
        for body, kind in ((b'{"value": 1}', "application/json"), (b"\xff\x00", "application/x-bytes")):
            answer = runtime.invoke_endpoint(EndpointName="scores", Body=body, ContentType=kind)
            assert answer["Body"].read()

    ours = [
        json.loads(line)
        for key in served.keys("capture/scores/scores/main/")
        for line in served.get(f"s3://{BUCKET}/{key}").splitlines()
    ]
    theirs = captured(served)
    for record in (*ours, *theirs):
        assert record["eventMetadata"].pop("eventId")
        assert record["eventMetadata"].pop("inferenceTime")
    by_name = sorted(ours, key=lambda record: record["eventMetadata"]["inferenceId"])
    assert by_name == sorted(theirs, key=lambda record: record["eventMetadata"]["inferenceId"])
    assert len(ours) == 2


def test_a_serverless_endpoint_with_data_capture_is_refused(served):
    serverless = {"MemorySizeInMB": 2048, "MaxConcurrency": 5}
    variant = {"VariantName": "main", "ModelName": "one", "ServerlessConfig": serverless}
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{BUCKET}/captured",
        "CaptureOptions": [{"CaptureMode": "Input"}],
    }

    with pytest.raises(ClientError, match="no data capture"):
        served.sagemaker.create_endpoint_config(
            EndpointConfigName="less", ProductionVariants=[variant], DataCaptureConfig=capture
        )


def test_types_that_are_not_listed_are_captured_as_base64(served):
    served.runtime.invoke_endpoint(EndpointName="scores", Body=b"\xff\x00", ContentType="application/x-bytes")
    served.runtime.invoke_endpoint(
        EndpointName="scores", Body=b'{"value": 1}', ContentType="application/json", Accept="text/csv"
    )

    binary, csv = sorted(captured(served), key=lambda item: item["eventMetadata"]["inferenceTime"])

    records = [binary["captureData"], csv["captureData"]]
    encodings = {(item["endpointInput"]["encoding"], item["endpointOutput"]["encoding"]) for item in records}
    assert encodings == {("BASE64", "JSON"), ("JSON", "CSV")}
    raw = next(item for item in records if item["endpointInput"]["encoding"] == "BASE64")
    assert base64.b64decode(raw["endpointInput"]["data"]) == b"\xff\x00"
    assert "inferenceId" not in binary["eventMetadata"]


def test_the_sampling_percentage_is_kept(account):
    account.endpoint(capture=30)
    for _ in range(40):
        account.predict({"value": 1})

    assert 10 <= len(captured(account)) <= 14


def test_refused_requests_are_not_captured(served):
    model_error(served, {"refuse": 1})

    assert captured(served) == []


@pytest.mark.case("DE-15")
def test_no_record_is_lost_in_a_swap_or_at_the_end(served):
    served.model("two", 2)
    served.config("two", "two", capture=100)
    with ThreadPoolExecutor(4) as pool:
        served.sagemaker.update_endpoint(EndpointName="scores", EndpointConfigName="two")
        asked = list(pool.map(lambda number: served.predict({"value": number}), range(200)))
    served.settled()
    asked.append(served.predict({"value": 0}))

    served.world.close()
    records = []
    for key in served.keys("captured/"):
        records += served.get(f"s3://{BUCKET}/{key}").decode().splitlines()

    assert len(records) == len(asked) == 201


def test_captured_records_are_written_without_being_asked_for(served):
    served.predict({"value": 1})

    served.until(lambda: served.keys("captured/"), lambda keys: len(keys) == 1)


def test_the_asynchronous_operation_fails_loudly(served):
    quiet = Config(retries={"total_max_attempts": 1})
    runtime = boto3.client("sagemaker-runtime", endpoint_url=served.endpoint_url, config=quiet)

    with pytest.raises(ClientError) as caught:
        runtime.invoke_endpoint_async(EndpointName="scores", InputLocation="s3://artifacts/x")

    assert caught.value.response["Error"]["Code"] == "UnsupportedOperationException"


def test_records_stay_buffered_while_s3_does_not_answer(served):
    served.predict({"value": 1})
    s3 = served.world.site.s3
    served.world.site.__dict__["s3"] = boto3.client(
        "s3", endpoint_url="http://127.0.0.1:9", config=Config(retries={"total_max_attempts": 1})
    )
    with pytest.raises(EndpointConnectionError):
        served.world.capture.flush()

    served.world.site.__dict__["s3"] = s3

    assert len(captured(served)) == 1


def test_a_fleet_is_stopped_only_when_its_last_request_has_landed(served):
    fleet = served.world.endpoints.find("scores").fleet
    (host,) = fleet.variants["main"].hosts
    fleet.enter()
    drain = threading.Thread(target=fleet.drain)
    drain.start()

    drain.join(0.3)
    waited = drain.is_alive() and host.is_alive()
    fleet.leave()
    drain.join()

    assert waited
    assert not host.is_alive()
