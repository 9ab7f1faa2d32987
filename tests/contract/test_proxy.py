"""The fault proxy itself: it must harm what the plan says, and nothing else."""

from collections.abc import Iterator

import pytest

from .account import Account
from .proxy import EXECUTED, KINDS, Always, FaultProxy, Harm, Kind, Plan

pytestmark = pytest.mark.local_only
"""AWS is not reached through a proxy of ours."""


@pytest.fixture
def proxy(account: Account) -> Iterator[FaultProxy]:
    assert account.world is not None
    with FaultProxy(account.world.endpoint.url) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def bucket(account: Account) -> str:
    return account.bucket()


def test_bytes_pass_unchanged(account: Account, proxy: FaultProxy, bucket: str) -> None:
    s3, body = account.client("s3", url=proxy.url), bytes(range(256)) * 4_000

    s3.put_object(Bucket=bucket, Key="a +b/ü.bin", Body=body)

    assert s3.get_object(Bucket=bucket, Key="a +b/ü.bin")["Body"].read() == body
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["a +b/ü.bin"]
    assert dict(proxy.plan.calls) == {"s3.PutObject": 1, "s3.GetObject": 1, "s3.ListObjectsV2": 1}


@pytest.mark.parametrize("kind", KINDS)
def test_the_second_write_meets_its_fault_and_the_sdk_gets_over_it(
    account: Account, proxy: FaultProxy, bucket: str, kind: Kind
) -> None:
    proxy.plan = Plan([Harm("s3.PutObject", 2, kind)])
    s3, key = account.client("s3", url=proxy.url, attempts=3), f"{kind}.csv"

    for body in (b"first", b"second"):
        s3.put_object(Bucket=bucket, Key=key, Body=body)

    versions = account.client("s3").list_object_versions(Bucket=bucket, Prefix=key)["Versions"]
    assert len(versions) == (3 if kind in EXECUTED - {"delay"} else 2)
    assert proxy.plan.injected == {("s3.PutObject", kind): 1}


def test_a_throttled_call_of_any_protocol_is_told_so(account: Account, proxy: FaultProxy) -> None:
    proxy.plan = Plan(share=1.0, kinds=("throttle",))

    refused = [
        account.refusal(account.client("sagemaker", url=proxy.url).list_models),
        account.refusal(account.client("stepfunctions", url=proxy.url).list_state_machines),
        account.refusal(account.client("s3", url=proxy.url).list_buckets),
        account.refusal(account.client("sns", url=proxy.url).list_topics),
    ]

    codes = ["ThrottlingException", "ThrottlingException", "SlowDown", "ThrottlingException"]
    assert [code for code, _ in refused] == codes


def test_what_is_forbidden_stays_so_until_it_is_mended(
    account: Account, proxy: FaultProxy, bucket: str
) -> None:
    s3 = account.client("s3", url=proxy.url)
    for key in ("closed.csv", "open.csv"):
        account.client("s3").put_object(Bucket=bucket, Key=key, Body=b"x")
    proxy.plan = Plan(always=[Always("s3.GetObject", "forbid", "closed"), Always("sns.ListTopics", "forbid")])

    for _ in range(2):
        assert account.refusal(lambda: s3.get_object(Bucket=bucket, Key="closed.csv"))[0] == "AccessDenied"
    assert s3.get_object(Bucket=bucket, Key="open.csv")["Body"].read() == b"x"
    code, _ = account.refusal(account.client("sns", url=proxy.url).list_topics)
    assert code == "AccessDeniedException"
    assert proxy.plan.injected == {("s3.GetObject", "forbid"): 2, ("sns.ListTopics", "forbid"): 1}

    proxy.plan = Plan()
    assert s3.get_object(Bucket=bucket, Key="closed.csv")["Body"].read() == b"x"


def test_one_seed_draws_the_same_faults_in_any_order_of_operations() -> None:
    one, other = (Plan(seed=3, share=0.5) for _ in range(2))
    names = ["s3.PutObject", "dynamodb.PutItem"]

    drawn = {name: [one.next(name) for _ in range(50)] for name in names}

    assert drawn == {name: [other.next(name) for _ in range(50)] for name in reversed(names)}
    assert {each for kinds in drawn.values() for each in kinds} == {None, *KINDS}


def test_each_kind_has_its_own_share() -> None:
    plan = Plan(seed=3, shares={"throttle": 0.1, "drop": 0.02})

    for _ in range(5_000):
        plan.next("s3.PutObject")

    assert {kind for _, kind in plan.injected} == {"throttle", "drop"}
    assert plan.injected["s3.PutObject", "throttle"] == pytest.approx(500, rel=0.2)
    assert plan.injected["s3.PutObject", "drop"] == pytest.approx(100, rel=0.3)
