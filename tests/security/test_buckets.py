"""SE-15: what AWS would refuse at our buckets, by their policies and settings as the template has them.

The policies are evaluated by the project's own IAM evaluator against every S3 action of AWS's reference.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from driftwheel_local.intrinsics import resolve
from driftwheel_local.permissions.policies import Need, Statement, decide, statements_of

from .iam import KEY, FixedNames, template
from .test_iam_refusals import actions

BUCKETS = sorted(name for name, one in template().resources.items() if one["Type"] == "AWS::S3::Bucket")
SEALED = ["ArtifactBucket", "LandingBucket"]
"""Those with our key; S3 writes access logs into the third with a key of its own."""

MODERN = {"aws:securetransport": "true", "s3:tlsversion": "1.3"}
PLAIN = {"aws:securetransport": "false"}
HEADER = "s3:x-amz-server-side-encryption"


def properties(logical_id: str) -> Mapping[str, Any]:
    names = FixedNames(template())
    body = template().resources[logical_id]["Properties"]
    found: Mapping[str, Any] = resolve(body, template().scope, names, logical_id)
    return found


def arn(bucket: str) -> str:
    return str(FixedNames(template()).get_att(bucket, "Arn"))


def policy(bucket: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = properties(f"{bucket}Policy")["PolicyDocument"]["Statement"]
    return found


def for_everyone(statements: Sequence[Mapping[str, Any]]) -> tuple[Statement, ...]:
    """Those that meet any caller, as the evaluator reads them."""
    bodies = [dict(each) for each in statements if each["Principal"] == "*"]
    for body in bodies:
        del body["Principal"]
    return statements_of({"Statement": bodies})


def requests(bucket: str, context: Mapping[str, str]) -> Iterator[Need]:
    """Every S3 action there is, on the bucket and on an object of it."""
    for name in sorted(actions()["s3"]["Actions"]):
        for resource in (arn(bucket), f"{arn(bucket)}/data/parcels/a b+ü.csv"):
            yield Need(f"s3:{name}", resource, context)


def verdicts(statements: tuple[Statement, ...], needs: Iterator[Need]) -> set[str]:
    return {decide(statements, need) for need in needs}


@pytest.mark.case("SE-15")
@pytest.mark.parametrize("bucket", BUCKETS)
@pytest.mark.parametrize(
    "context", [PLAIN, {**MODERN, "s3:tlsversion": "1.0"}, {**MODERN, "s3:tlsversion": "1.1"}]
)
def test_every_request_over_plain_http_or_old_tls_is_denied(bucket: str, context: Mapping[str, str]) -> None:
    assert len(list(requests(bucket, context))) > 200
    assert verdicts(for_everyone(policy(bucket)), requests(bucket, context)) == {"explicit deny"}


@pytest.mark.case("SE-15")
@pytest.mark.parametrize("bucket", BUCKETS)
@pytest.mark.parametrize("tls", ["1.2", "1.3"])
def test_a_modern_request_is_left_to_the_callers_own_rights(bucket: str, tls: str) -> None:
    needs = requests(bucket, {**MODERN, "s3:tlsversion": tls})

    assert verdicts(for_everyone(policy(bucket)), needs) == {"implicit deny"}


@pytest.mark.case("SE-15")
@pytest.mark.parametrize("bucket", SEALED)
@pytest.mark.parametrize(
    ("algorithm", "verdict"),
    [
        ("AES256", "explicit deny"),
        ("aws:kms:dsse", "explicit deny"),
        ("none", "explicit deny"),
        ("aws:kms", "implicit deny"),
        (None, "implicit deny"),
    ],
)
def test_an_object_is_put_with_our_encryption_or_not_at_all(
    bucket: str, algorithm: str | None, verdict: str
) -> None:
    header = {} if algorithm is None else {HEADER: algorithm}
    need = Need("s3:PutObject", f"{arn(bucket)}/data/parcels/one.csv", MODERN | header)

    assert decide(for_everyone(policy(bucket)), need) == verdict
    (rule,) = properties(bucket)["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    default = rule["ServerSideEncryptionByDefault"]
    assert (default["SSEAlgorithm"], default["KMSMasterKeyID"]) == ("aws:kms", KEY)


@pytest.mark.case("SE-15")
@pytest.mark.parametrize("bucket", BUCKETS)
def test_no_bucket_can_be_made_public(bucket: str) -> None:
    """The four settings refuse public ACLs and policies and ignore what there is; without ACLs none is taken.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html
    """
    settings = properties(bucket)

    assert set(settings["PublicAccessBlockConfiguration"].items()) == {
        ("BlockPublicAcls", True),
        ("BlockPublicPolicy", True),
        ("IgnorePublicAcls", True),
        ("RestrictPublicBuckets", True),
    }
    assert settings["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    allowing = [each["Principal"] for each in policy(bucket) if each["Effect"] == "Allow"]
    assert all(set(principal) == {"Service"} for principal in allowing)


@pytest.mark.case("SE-15")
@pytest.mark.parametrize("bucket", BUCKETS)
def test_every_denial_is_needed(bucket: str) -> None:
    """Take each statement away: something that was denied gets through."""
    refused = [
        *requests(bucket, PLAIN),
        *requests(bucket, {**MODERN, "s3:tlsversion": "1.1"}),
        Need("s3:PutObject", f"{arn(bucket)}/k", {**MODERN, HEADER: "AES256"}),
    ]
    denials = for_everyone(policy(bucket))

    assert len(denials) == (3 if bucket in SEALED else 2)
    for dropped in denials:
        left = tuple(each for each in denials if each is not dropped)
        assert any(decide(left, need) != "explicit deny" for need in refused if dropped.covers(need))
