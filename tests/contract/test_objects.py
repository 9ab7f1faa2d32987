"""Objects: one event for each version however it was written, their order, and conditional writes."""

from functools import cmp_to_key
from typing import Any

import pytest
from botocore.exceptions import ClientError

from driftwheel.ledger.objects import later
from driftwheel_local.disorder import Disorder

from .account import Account, at_once
from .proxy import FaultProxy, Harm, Plan

PART = b"x" * (5 * 1024 * 1024)
"""The smallest part S3 takes before the last one."""


@pytest.fixture(scope="module")
def bucket(account: Account) -> str:
    return account.bucket()


@pytest.fixture(scope="module")
def inbox(account: Account, bucket: str) -> str:
    """Everything created in the bucket."""
    return account.inbox(
        {
            "source": ["aws.s3"],
            "detail-type": ["Object Created"],
            "detail": {"bucket": {"name": [bucket]}},
        }
    )


def test_a_multipart_upload_is_one_event(account: Account, bucket: str, inbox: str) -> None:
    s3, key = account.client("s3"), "data/large + wide.csv"
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    parts = [
        s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=body)
        for number, body in ((1, PART), (2, b"end"))
    ]
    listed = [{"PartNumber": number, "ETag": part["ETag"]} for number, part in enumerate(parts, 1)]
    done = s3.complete_multipart_upload(
        Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": listed}
    )

    events = account.read(inbox, 1)

    assert [event["detail"]["reason"] for event in events] == ["CompleteMultipartUpload"]
    told = events[0]["detail"]["object"]
    assert (told["key"], told["version-id"]) == (key, done["VersionId"])
    assert told["etag"].endswith("-2")
    assert told["size"] == len(PART) + 3


@pytest.mark.parametrize("kind", ["version", "key", "bucket"])
def test_what_is_gone_is_404(account: Account, kind: str) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html"""
    s3, bucket, key = account.client("s3"), account.bucket(), "data/gone.csv"
    version = s3.put_object(Bucket=bucket, Key=key, Body=b"gone")["VersionId"]
    s3.delete_object(Bucket=bucket, Key=key, VersionId=version)
    asked = {"Bucket": bucket, "Key": key} | {
        "version": {"VersionId": version},
        "key": {},
        "bucket": {"Bucket": f"{bucket}-gone"},
    }[kind]

    with pytest.raises(ClientError) as refused:
        s3.get_object(**asked)

    answer = refused.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 404
    assert answer["Error"]["Code"] == f"NoSuch{kind.title()}"


def test_versions_of_one_key_are_told_apart_and_ordered_by_their_sequencers(
    account: Account, bucket: str, inbox: str
) -> None:
    s3, key = account.client("s3"), "data/often.csv"
    written = [
        s3.put_object(Bucket=bucket, Key=key, Body=body)["VersionId"] for body in (b"1", b"2", b"2", b"3")
    ]

    told = account.read(inbox, 4)

    longest = max(len(each["detail"]["object"]["sequencer"]) for each in told)
    told.sort(key=lambda each: each["detail"]["object"]["sequencer"].ljust(longest, "0"))
    assert [each["detail"]["object"]["version-id"] for each in told] == written
    assert len({each["id"] for each in told}) == 4
    assert {each["detail"]["reason"] for each in told} == {"PutObject"}


@pytest.mark.local_only
@pytest.mark.case("EV-04")
def test_sequencers_of_different_length_tell_the_order_too(account: Account, bucket: str, inbox: str) -> None:
    """By the product's comparison. Local only: the stack is told how long they are."""
    assert account.world is not None
    s3, key, sequencer = account.client("s3"), "data/uneven.csv", account.world.object_events.sequencer
    sequencer.digits = (18, 14, 20, 16)
    try:
        written = [
            s3.put_object(Bucket=bucket, Key=key, Body=bytes([number]))["VersionId"] for number in range(8)
        ]
    finally:
        sequencer.digits = (18,)

    told = {
        each["detail"]["object"]["sequencer"]: each["detail"]["object"]["version-id"]
        for each in account.read(inbox, 8)
    }

    assert sorted({len(each) for each in told}) == [14, 16, 18, 20]
    by_length = sorted(told, key=lambda each: (len(each), each))
    assert [told[each] for each in by_length] != written  # as numbers they do not
    assert [told[each] for each in sorted(told, key=cmp_to_key(compared))] == written


def compared(one: str, other: str) -> int:
    return later(one, other) - later(other, one)


def test_a_copy_says_that_it_is_one(account: Account, bucket: str, inbox: str) -> None:
    s3 = account.client("s3")
    s3.put_object(Bucket=bucket, Key="from.csv", Body=b"1")
    s3.copy_object(Bucket=bucket, Key="to.csv", CopySource={"Bucket": bucket, "Key": "from.csv"})

    told = {each["detail"]["object"]["key"]: each["detail"]["reason"] for each in account.read(inbox, 2)}

    assert told == {"from.csv": "PutObject", "to.csv": "CopyObject"}


@pytest.mark.local_only
def test_a_put_whose_answer_was_lost_is_two_versions_with_the_same_bytes(
    account: Account, bucket: str, inbox: str
) -> None:
    """S3 promises at least once, and the SDK's retry is a second write (S3 guide, "How to use events").

    Local only: the answer is dropped by the proxy.
    """
    assert account.world is not None
    with FaultProxy(account.world.endpoint.url, Plan([Harm("s3.PutObject", 1, "drop")])) as proxy:
        s3 = account.client("s3", url=proxy.url, attempts=3)
        s3.put_object(Bucket=bucket, Key="data/twice.csv", Body=b"1,2\n")
        assert proxy.plan.calls["s3.PutObject"] == 2

    told = [each["detail"]["object"] for each in account.read(inbox, 2)]

    assert len(told) == len({each["version-id"] for each in told}) == 2
    assert len({each["etag"] for each in told}) == 1
    assert len({each["sequencer"] for each in told}) == 2


def test_of_writes_at_once_where_nothing_may_be_there_one_wins(account: Account, bucket: str) -> None:
    """412 where another was first, 409 ConditionalRequestConflict while it writes (S3 conditional writes)."""
    s3 = account.client("s3")
    codes = at_once(lambda: s3.put_object(Bucket=bucket, Key="race.json", Body=b"1", IfNoneMatch="*"))

    assert codes.count("") == 1
    assert set(codes) - {""} <= {"PreconditionFailed", "ConditionalRequestConflict"}
    listed = s3.list_object_versions(Bucket=bucket, Prefix="race.json")["Versions"]
    assert len(listed) == 1


@pytest.mark.local_only
def test_events_are_lost_come_twice_and_out_of_order_and_their_sequencers_still_tell_the_order(
    account: Account, bucket: str, inbox: str
) -> None:
    """S3 promises at least once and no order; a rule that is off loses. Local only: the stack is told to."""
    assert account.world is not None
    s3, router = account.client("s3"), account.world.router
    router.disorder = Disorder(seed=4, lost=0.1, repeated=0.2, late=0.3)
    try:
        written = [
            s3.put_object(Bucket=bucket, Key="data/stormy.csv", Body=str(number).encode())["VersionId"]
            for number in range(40)
        ]
    finally:
        router.disorder = None

    told = [each["detail"]["object"] for each in account.read(inbox, 30, calm=1.0)]
    told = [each for each in told if each["key"] == "data/stormy.csv"]

    versions = [each["version-id"] for each in told]
    came = sorted(set(versions), key=written.index)
    assert len(versions) > len(came)  # twice
    assert len(came) < len(written)  # lost
    assert list(dict.fromkeys(versions)) != came  # out of order
    by_sequencer = {each["sequencer"]: each["version-id"] for each in told}
    assert len(by_sequencer) == len(came)  # a repeated event says the same
    assert [by_sequencer[each] for each in sorted(by_sequencer)] == came


def test_an_object_is_created_once_where_nothing_may_be_there(account: Account, bucket: str) -> None:
    s3 = account.client("s3")
    given: dict[str, Any] = {"Bucket": bucket, "Key": "once.json", "IfNoneMatch": "*"}
    s3.put_object(**given, Body=b"first")

    code, _ = account.refusal(lambda: s3.put_object(**given, Body=b"second"))

    assert code == "PreconditionFailed"
    assert s3.get_object(Bucket=bucket, Key="once.json")["Body"].read() == b"first"


def test_an_object_is_replaced_only_over_the_bytes_that_were_read(account: Account, bucket: str) -> None:
    s3 = account.client("s3")
    given: dict[str, Any] = {"Bucket": bucket, "Key": "guarded.json"}
    first = s3.put_object(**given, Body=b"first")["ETag"]
    s3.put_object(**given, Body=b"second", IfMatch=first)

    code, _ = account.refusal(lambda: s3.put_object(**given, Body=b"third", IfMatch=first))

    assert code == "PreconditionFailed"
    assert s3.get_object(**given)["Body"].read() == b"second"


def test_an_object_that_is_gone_cannot_be_matched(account: Account, bucket: str) -> None:
    code, _ = account.refusal(
        lambda: account.client("s3").put_object(
            Bucket=bucket, Key="never.json", Body=b"x", IfMatch='"0123456789abcdef0123456789abcdef"'
        )
    )

    assert code == "NoSuchKey"


def test_a_version_that_never_was_is_refused_and_a_deleted_one_stays_readable(
    account: Account, bucket: str
) -> None:
    s3, key = account.client("s3"), "data/deleted.csv"
    version = s3.put_object(Bucket=bucket, Key=key, Body=b"kept")["VersionId"]
    s3.delete_object(Bucket=bucket, Key=key)

    code, _ = account.refusal(lambda: s3.get_object(Bucket=bucket, Key=key))

    assert code == "NoSuchKey"
    assert s3.get_object(Bucket=bucket, Key=key, VersionId=version)["Body"].read() == b"kept"
