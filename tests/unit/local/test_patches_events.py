import json

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from driftwheel_local import patches
from driftwheel_local.buses import Buses
from driftwheel_local.clock import Clock
from driftwheel_local.events import EventRouter
from driftwheel_local.object_events import ObjectEvents
from driftwheel_local.scheduler import Scheduler

ACCOUNT, REGION = "123456789012", "us-east-1"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"


class Sent(list):
    def submit(self, delivery):
        self.append(json.loads(delivery.payload(1)))


@pytest.fixture
def sent():
    return Sent()


@pytest.fixture
def client(moto_endpoint, sent, tmp_path):
    clock, buses = Clock(), Buses(ACCOUNT, REGION)
    router = EventRouter(buses, sent, clock, account=ACCOUNT, region=REGION)
    scheduler = Scheduler(buses, router, sent, clock, tmp_path / "scheduler.json")
    patches.patch_events(router)
    patches.patch_scheduler(scheduler)
    patches.patch_s3(ObjectEvents(router, clock))

    def make(service):
        return boto3.client(service, config=Config(retries={"total_max_attempts": 1}))

    make.scheduler = scheduler
    return make


@pytest.fixture
def refused():
    def check(code, call, **request):
        with pytest.raises(ClientError) as raised:
            call(**request)
        assert raised.value.response["Error"]["Code"] == code
        return raised.value.response["Error"]["Message"]

    return check


def test_put_events_reaches_our_router_and_refuses_aws_sources(client, sent):
    events = client("events")
    events.put_rule(Name="r", EventPattern='{"source": ["shop"]}')
    events.put_targets(Rule="r", Targets=[{"Id": "1", "Arn": QUEUE}])

    answer = events.put_events(
        Entries=[
            {"Source": "shop", "DetailType": "Sold", "Detail": '{"n": 1}'},
            {"Source": "aws.s3", "DetailType": "Object Created", "Detail": "{}"},
        ]
    )

    assert answer["FailedEntryCount"] == 1
    assert answer["Entries"][1]["ErrorCode"] == "NotAuthorizedForSourceException"
    assert [event["id"] for event in sent] == [answer["Entries"][0]["EventId"]]


def test_a_disabled_rule_gets_nothing(client, sent):
    events = client("events")
    events.put_rule(Name="r", EventPattern='{"source": ["shop"]}')
    events.put_targets(Rule="r", Targets=[{"Id": "1", "Arn": QUEUE}])
    events.disable_rule(Name="r")

    events.put_events(Entries=[{"Source": "shop", "DetailType": "Sold", "Detail": "{}"}])

    assert not sent


def test_faulty_rules_and_targets_are_refused(client, refused):
    events = client("events")
    events.put_rule(Name="r", EventPattern='{"source": ["shop"]}')

    def put_target(**target):
        events.put_targets(Rule="r", Targets=[{"Id": "1", "Arn": QUEUE} | target])

    message = refused(
        "InvalidEventPatternException", events.put_rule, Name="x", EventPattern='{"source": [{"prefx": "a"}]}'
    )
    assert message == "Event pattern is not valid. Reason: source: unrecognized match type prefx"
    refused("ValidationException", events.put_rule, Name="x", ScheduleExpression="rate(1 hours)")
    assert "kinesis" in refused(
        "ValidationException", put_target, Arn=f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/s"
    )
    refused("ValidationException", put_target, InputPath="detail")
    refused(
        "ResourceNotFoundException", events.put_targets, Rule="absent", Targets=[{"Id": "1", "Arn": QUEUE}]
    )
    six = [{"Id": str(i), "Arn": QUEUE} for i in range(6)]
    refused("LimitExceededException", events.put_targets, Rule="r", Targets=six)
    assert events.list_targets_by_rule(Rule="r")["Targets"] == []


def test_too_much_or_an_unknown_bus_is_refused(client, refused):
    events = client("events")
    entry = {"Source": "shop", "DetailType": "Sold", "Detail": json.dumps({"x": "a" * 140_000})}

    assert "over the limit" in refused("ValidationException", events.put_events, Entries=[entry, entry])
    small = entry | {"Detail": "{}", "EventBusName": "nowhere"}
    refused("ResourceNotFoundException", events.put_events, Entries=[small])


def test_archives_are_refused_by_name(client, refused):
    source = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"

    message = refused(
        "ValidationException", client("events").create_archive, ArchiveName="a", EventSourceArn=source
    )

    assert "archives are not supported" in message


def test_test_event_pattern_answers(client):
    events = client("events")
    event = json.dumps({"source": "shop", "detail": {"n": 1}})

    assert events.test_event_pattern(EventPattern='{"source": ["shop"]}', Event=event)["Result"]
    assert not events.test_event_pattern(EventPattern='{"detail": {"n": [2]}}', Event=event)["Result"]


def test_schedules_made_through_the_api_fire_and_faulty_ones_are_refused(client, sent, refused):
    api = client("scheduler")
    request = {
        "Name": "s",
        "ScheduleExpression": "rate(1 hour)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": QUEUE, "RoleArn": ROLE, "Input": '"<aws.scheduler.schedule-arn>"'},
    }
    arn = api.create_schedule(**request)["ScheduleArn"]

    client.scheduler.tick()

    assert sent == [arn]
    other = request | {"Name": "t"}
    refused("ValidationException", api.create_schedule, **other | {"ScheduleExpression": "soon"})
    refused("ValidationException", api.create_schedule, **other | {"ScheduleExpressionTimezone": "Mars/Base"})
    refused("ValidationException", api.update_schedule, **request | {"ScheduleExpression": "soon"})
    refused("ResourceNotFoundException", api.create_schedule, **other | {"GroupName": "absent"})
    universal = {"Arn": "arn:aws:scheduler:::aws-sdk:sqs:sendMessage", "RoleArn": ROLE, "Input": "{}"}
    assert "universal target" in refused(
        "ValidationException", api.create_schedule, **other | {"Target": universal}
    )


@pytest.fixture
def bucket(client):
    s3, events = client("s3"), client("events")
    s3.create_bucket(Bucket="landing")
    s3.put_bucket_versioning(Bucket="landing", VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_notification_configuration(
        Bucket="landing", NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    events.put_rule(Name="all", EventPattern='{"source": ["aws.s3"]}')
    events.put_targets(Rule="all", Targets=[{"Id": "1", "Arn": QUEUE}])
    return s3


def test_a_put_is_one_event_in_awss_shape(bucket, sent):
    answer = bucket.put_object(Bucket="landing", Key="data/a b+c%.csv", Body=b"abc", Tagging="x=y")

    event = sent[0]
    assert len(sent) == 1
    assert (event["source"], event["detail-type"]) == ("aws.s3", "Object Created")
    assert event["resources"] == ["arn:aws:s3:::landing"]
    detail = event["detail"]
    assert detail["object"] == {
        "key": "data/a b+c%.csv",
        "size": 3,
        "etag": answer["ETag"].strip('"'),
        "version-id": answer["VersionId"],
        "sequencer": detail["object"]["sequencer"],
    }
    assert detail["reason"] == "PutObject"
    assert len(detail["request-id"]) == 16
    assert set(detail) == {
        *("version", "bucket", "object", "request-id", "requester", "source-ip-address", "reason")
    }


def test_a_multipart_upload_is_one_event(bucket, sent):
    begun = bucket.create_multipart_upload(Bucket="landing", Key="k", Tagging="x=y", Metadata={"m": "1"})
    names = {"Bucket": "landing", "Key": "k", "UploadId": begun["UploadId"]}
    parts = [
        {"PartNumber": n, "ETag": bucket.upload_part(**names, PartNumber=n, Body=body)["ETag"]}
        for n, body in ((1, b"a" * 5_242_880), (2, b"b"))
    ]

    bucket.complete_multipart_upload(**names, MultipartUpload={"Parts": parts})

    assert [event["detail"]["reason"] for event in sent] == ["CompleteMultipartUpload"]
    assert sent[0]["detail"]["object"]["etag"].endswith("-2")
    assert sent[0]["detail"]["object"]["size"] == 5_242_881


def test_a_copy_is_one_event_also_of_a_multipart_object(bucket, sent):
    begun = bucket.create_multipart_upload(Bucket="landing", Key="k")
    names = {"Bucket": "landing", "Key": "k", "UploadId": begun["UploadId"]}
    etag = bucket.upload_part(**names, PartNumber=1, Body=b"a")["ETag"]
    bucket.complete_multipart_upload(**names, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    sent.clear()

    bucket.copy_object(Bucket="landing", Key="k2", CopySource={"Bucket": "landing", "Key": "k"})

    assert [event["detail"]["reason"] for event in sent] == ["CopyObject"]


def test_sequencers_grow_and_ids_differ(bucket, sent):
    for _ in range(5):
        bucket.put_object(Bucket="landing", Key="k", Body=b"a")

    sequencers = [event["detail"]["object"]["sequencer"] for event in sent]
    assert sequencers == sorted(set(sequencers))
    assert len({event["id"] for event in sent}) == len({each["detail"]["request-id"] for each in sent}) == 5


def test_deleting_is_told_as_marker_or_for_good(bucket, sent):
    version = bucket.put_object(Bucket="landing", Key="k", Body=b"a")["VersionId"]
    bucket.put_object(Bucket="landing", Key="k", Body=b"b")
    sent.clear()

    marker = bucket.delete_object(Bucket="landing", Key="k")["VersionId"]
    bucket.delete_object(Bucket="landing", Key="k", VersionId=version)
    bucket.delete_objects(Bucket="landing", Delete={"Objects": [{"Key": "k", "VersionId": marker}]})

    told = [(event["detail"]["deletion-type"], event["detail"]["object"]["version-id"]) for event in sent]
    assert {event["detail-type"] for event in sent} == {"Object Deleted"}
    assert told == [
        ("Delete Marker Created", marker),
        ("Permanently Deleted", version),
        ("Permanently Deleted", marker),
    ]


def test_an_unversioned_object_has_no_version_id_and_an_absent_one_no_event(bucket, sent):
    bucket.create_bucket(Bucket="plain")
    bucket.put_bucket_notification_configuration(
        Bucket="plain", NotificationConfiguration={"EventBridgeConfiguration": {}}
    )

    bucket.put_object(Bucket="plain", Key="k", Body=b"a")
    bucket.delete_object(Bucket="plain", Key="k")
    bucket.delete_object(Bucket="plain", Key="absent")

    assert [event["detail-type"] for event in sent] == ["Object Created", "Object Deleted"]
    assert not any("version-id" in event["detail"]["object"] for event in sent)


def test_a_bucket_without_eventbridge_is_silent(bucket, sent):
    bucket.create_bucket(Bucket="quiet")

    bucket.put_object(Bucket="quiet", Key="k", Body=b"a")
    bucket.delete_object(Bucket="quiet", Key="k")

    assert not sent


def test_bucket_logging_waits_for_no_policy_but_needs_its_bucket(bucket, refused):
    def log_to(name):
        enabled = {"TargetBucket": name, "TargetPrefix": "x/"}
        bucket.put_bucket_logging(Bucket="landing", BucketLoggingStatus={"LoggingEnabled": enabled})

    bucket.create_bucket(Bucket="logs")
    log_to("logs")
    assert bucket.get_bucket_logging(Bucket="landing")["LoggingEnabled"]["TargetBucket"] == "logs"
    with pytest.raises(ClientError):
        log_to("absent")


def test_a_bucket_policy_denies_without_conditions_and_is_silent_with_them(bucket):
    def put_policy(**statement):
        denial = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::landing/*"}
        policy = {"Version": "2012-10-17", "Statement": [denial | statement]}
        bucket.put_bucket_policy(Bucket="landing", Policy=json.dumps(policy))

    put_policy(Condition={"Bool": {"aws:SecureTransport": "false"}})
    bucket.put_object(Bucket="landing", Key="k", Body=b"a")

    put_policy()
    with pytest.raises(ClientError, match="403"):
        bucket.put_object(Bucket="landing", Key="k", Body=b"a")


def test_undo_gives_moto_its_own_functions_back(client):
    from moto.events.models import EventsBackend, Rule

    ours = (EventsBackend.put_events, Rule.send_to_targets)
    patches.undo()

    assert (EventsBackend.put_events, Rule.send_to_targets) != ours
    assert EventsBackend.put_events.__module__ == "moto.events.models"
