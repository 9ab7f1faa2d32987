"""The capture writer: SageMaker's form, bounded, and never in an inference's way."""

import base64
import json
import logging
import threading
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.response import StreamingBody

from driftwheel.capture import CaptureWriter, CapturingRuntime, Counts, Exchange, emf, sampled
from driftwheel.capture.record import capture_line
from driftwheel_local.sagemaker.capture import _record

AT = datetime(2026, 2, 14, 17, 25, 49, 7_000, UTC)
CONFIG = {
    "CaptureOptions": [{"CaptureMode": "InputAndOutput"}],
    "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"], "CsvContentTypes": ["text/csv"]},
}
SECRET = "a-passenger-s-name"


class Bucket:
    """An S3 client that keeps what it is given, or fails while ``broken``."""

    def __init__(self) -> None:
        self.broken = False
        self.tried: list[str] = []
        self.objects: dict[str, bytes] = {}
        self.requests: list[dict[str, Any]] = []

    def put_object(self, **request: Any) -> None:
        self.tried.append(request["Key"])
        if self.broken:
            error = {"Error": {"Code": "AccessDenied", "Message": SECRET}}
            raise ClientError(error, "PutObject")  # type: ignore[arg-type]
        self.requests.append(request)
        self.objects[request["Key"]] = request["Body"]

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for body in self.objects.values() for line in body.splitlines()]


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


def writer(bucket: Any, **options: Any) -> CaptureWriter:
    return CaptureWriter(bucket, "artifacts", "rides", "dw-rides", **options)


def exchange(number: int = 0, at: datetime = AT, size: int = 0) -> Exchange:
    given = json.dumps({"record": {"name": SECRET + "x" * size}}).encode()
    return Exchange(
        given,
        "application/json",
        b'{"predictions": [{"score": 0.5}]}',
        "application/json",
        f"id-{number}",
        at,
    )


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"a": 1}', "application/json"),
        (b"1,2\n", "text/csv; charset=utf-8"),
        (b"\xff\x00", "application/json"),
        (b"1,2\n", "application/x-other"),
        ('{"ort": "Köln"}'.encode(), "Application/JSON"),
    ],
)
def test_a_record_is_what_the_endpoints_own_capture_writes(body: bytes, content_type: str) -> None:
    line = capture_line(Exchange(body, content_type, b"0.5\n", "text/csv", "order-1", AT), "e-1")

    ours = json.loads(line)
    theirs = _record(CONFIG, (body, content_type), (b"0.5\n", "text/csv"), "order-1", AT)
    theirs["eventMetadata"]["eventId"] = "e-1"
    assert ours == theirs
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1


def test_requests_of_one_hour_become_one_file_in_sagemakers_place(bucket: Bucket) -> None:
    with writer(bucket) as capture:
        for number in range(3):
            capture.offer(exchange(number, AT + timedelta(minutes=20 * number)))
        capture.offer(exchange(3), variant="other")

    own, next_hour, other = sorted(bucket.objects, key=lambda key: ("other" in key, key))
    assert own.startswith("capture/rides/dw-rides/serving/2026/02/14/17/25-49-007-")
    assert next_hour.startswith("capture/rides/dw-rides/serving/2026/02/14/18/05-49-007-")
    assert other.startswith("capture/rides/dw-rides/other/2026/02/14/17/25-49-007-")
    assert [bucket.objects[key].count(b"\n") for key in (own, next_hour, other)] == [2, 1, 1]
    assert len({record["eventMetadata"]["eventId"] for record in bucket.records()}) == 4
    assert capture.counts == Counts(offered=4, written=4)


def test_a_full_file_is_written_while_others_wait_and_a_young_one_after_its_time(bucket: Bucket) -> None:
    written = threading.Event()
    with writer(bucket, file_bytes=1_000, seconds=60, report=lambda _: written.set()) as capture:
        for number in range(3):
            capture.offer(exchange(number, size=200))
        assert written.wait(10)
        assert len(bucket.objects) == 1
    written.clear()
    with writer(bucket, seconds=0.05, report=lambda _: written.set()) as capture:
        capture.offer(exchange())
        assert written.wait(10)
        assert capture.counts.written == 1


def test_a_file_s3_refused_waits_and_keeps_its_key(bucket: Bucket, caplog: pytest.LogCaptureFixture) -> None:
    told: list[Counts] = []
    bucket.broken = True
    with caplog.at_level(logging.DEBUG), writer(bucket, report=told.append) as capture:
        capture.offer(exchange(1))
        assert capture.flush() is False
        assert capture.counts == Counts(offered=1, failed_writes=1)
        bucket.broken = False
        capture.offer(exchange(2))
        assert capture.flush() is True

    assert bucket.tried[0] == bucket.tried[1]
    assert len(bucket.objects) == 2
    assert sum(told, Counts()) == capture.counts == Counts(offered=2, written=2, failed_writes=1)
    assert "ClientError AccessDenied" in caplog.text
    assert SECRET not in caplog.text


def test_what_cannot_be_written_at_the_end_is_counted_as_dropped(bucket: Bucket) -> None:
    bucket.broken = True
    capture = writer(bucket)
    for number in range(3):
        capture.offer(exchange(number))
    capture.close()
    capture.offer(exchange(4))

    assert (capture.counts.dropped, capture.counts.waiting, bucket.objects) == (4, 0, {})


def test_memory_is_bounded_and_what_does_not_fit_is_counted(bucket: Bucket) -> None:
    bucket.broken = True
    with writer(bucket, memory_bytes=5_000, file_bytes=1_000) as capture:
        for number in range(20):
            capture.offer(exchange(number, size=600))
        counts = capture.counts

    assert 3 <= counts.waiting <= 5
    assert counts.dropped == 20 - counts.waiting


def test_an_s3_that_hangs_holds_up_no_inference_and_no_end() -> None:
    entered, release = threading.Event(), threading.Event()

    class Hanging(Bucket):
        def put_object(self, **request: Any) -> None:
            entered.set()
            release.wait(30)
            super().put_object(**request)

    bucket = Hanging()
    capture = writer(bucket, file_bytes=1)
    capture.offer(exchange(1))
    assert entered.wait(10)
    capture.offer(exchange(2))  # returns although the first file is stuck
    assert capture.flush(seconds=0.01) is False
    capture.close(seconds=0.01)
    assert capture.counts == Counts(offered=2, dropped=2)
    release.set()
    assert capture._thread is not None
    capture._thread.join(10)
    assert not capture._thread.is_alive()


def test_nothing_a_request_holds_breaks_the_one_who_offers_it(bucket: Bucket) -> None:
    strange = Exchange(None, None, None, None, None, AT)  # type: ignore[arg-type]
    with writer(bucket, percentage=50) as capture:
        capture.offer(strange)
        assert capture.counts == Counts(offered=1, dropped=1)


def test_a_report_that_fails_stops_no_capture(bucket: Bucket) -> None:
    def report(_: Counts) -> None:
        raise KeyError(SECRET)

    with writer(bucket, report=report) as capture:
        capture.offer(exchange(1))
        assert capture.flush()
        capture.offer(exchange(2))

    assert capture.counts.written == 2


def test_the_sampled_share_is_kept_and_a_request_sent_twice_has_one_fate(bucket: Bucket) -> None:
    with writer(bucket, percentage=30) as capture:
        for number in range(2_000):
            capture.offer(exchange(number))

    assert 0.27 < capture.counts.written / 2_000 < 0.33
    assert capture.counts.written + capture.counts.left_out == 2_000
    assert {sampled("id-7", 30) for _ in range(3)} == {
        "id-7" in {r["eventMetadata"]["inferenceId"] for r in bucket.records()}
    }
    assert [sampled("x", share) for share in (0, 100)] == [False, True]


def test_a_key_is_sent_only_where_it_is_given(bucket: Bucket) -> None:
    for key in ("", "arn:aws:kms:eu-west-1:123456789012:key/1"):
        with writer(bucket, kms_key_id=key) as capture:
            capture.offer(exchange())

    plain, keyed = bucket.requests
    assert "SSEKMSKeyId" not in plain
    assert (keyed["ServerSideEncryption"], keyed["SSEKMSKeyId"][:11]) == ("aws:kms", "arn:aws:kms")


@pytest.mark.parametrize(
    "options", [{"percentage": 101}, {"percentage": -1}, {"seconds": 0}, {"seconds": 7_200}]
)
def test_what_cannot_be_meant_is_refused_at_once(bucket: Bucket, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        writer(bucket, **options)


def test_counts_are_a_line_cloudwatch_takes() -> None:
    line = json.loads(emf(Counts(offered=5, written=3, dropped=2), "rides", 1_700_000_000_000))

    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive["Dimensions"] == [["model"]]
    assert line["CaptureDropped"] == 2
    assert all(metric["Name"] in line for metric in directive["Metrics"])


class Endpoint:
    """A runtime client whose endpoint answers, or refuses."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked: list[dict[str, Any]] = []

    def invoke_endpoint(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        if self.error:
            raise self.error
        body = b'{"predictions": [{"score": 0.5}]}'
        return {
            "Body": StreamingBody(BytesIO(body), len(body)),
            "ContentType": "application/json",
            "InvokedProductionVariant": "serving",
        }

    def meta(self) -> str:
        return "the client's own"


def test_the_caller_reads_the_answer_as_before_and_learns_the_requests_name(bucket: Bucket) -> None:
    endpoint = Endpoint()
    with writer(bucket) as capture:
        runtime = CapturingRuntime(endpoint, capture)
        mine = runtime.invoke_endpoint(EndpointName="dw-rides", Body="{}", InferenceId="order-1")
        named = runtime.invoke_endpoint(
            EndpointName="dw-rides", Body=BytesIO(b'{"a": 1}'), ContentType="application/json"
        )
        assert b"".join(named["Body"].iter_chunks(7)) == b'{"predictions": [{"score": 0.5}]}'

    assert runtime.meta() == "the client's own"
    assert mine["InferenceId"] == "order-1"
    assert [request["InferenceId"] for request in endpoint.asked] == ["order-1", named["InferenceId"]]
    records = {record["eventMetadata"]["inferenceId"]: record["captureData"] for record in bucket.records()}
    assert records.keys() == {"order-1", named["InferenceId"]}
    assert records[named["InferenceId"]]["endpointInput"]["data"] == '{"a": 1}'
    assert base64.b64decode(records["order-1"]["endpointInput"]["data"]) == b"{}"


def test_a_refused_request_is_raised_as_before_and_not_captured(bucket: Bucket) -> None:
    with writer(bucket) as capture, pytest.raises(OSError, match="down"):
        CapturingRuntime(Endpoint(OSError("down")), capture).invoke_endpoint(EndpointName="x", Body=b"{}")

    assert capture.counts == Counts()
