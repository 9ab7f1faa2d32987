"""The evaluator decides as IAM does; each sentence is a row of its documentation."""

import pytest

from driftwheel_local.permissions.conditions import UnknownOperatorError, satisfied
from driftwheel_local.permissions.policies import Need, decide, statements_of

BUCKET = "arn:aws:s3:::b"


def document(*statements: dict[str, object]) -> dict[str, object]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(action: object, resource: object = "*", **more: object) -> dict[str, object]:
    return {"Effect": "Allow", "Action": action, "Resource": resource} | more


def verdict(need: Need, *statements: dict[str, object]) -> str:
    return decide(statements_of(document(*statements)), need)


@pytest.mark.case("SE-11")
def test_no_rights_are_a_denial() -> None:
    assert verdict(Need("s3:GetObject", f"{BUCKET}/k")) == "implicit deny"


@pytest.mark.case("SE-11")
def test_an_explicit_deny_wins_over_every_allow() -> None:
    deny = {"Effect": "Deny", "Action": "s3:*", "Resource": f"{BUCKET}/secret/*"}

    assert verdict(Need("s3:GetObject", f"{BUCKET}/secret/k"), allow("*"), deny) == "explicit deny"
    assert verdict(Need("s3:GetObject", f"{BUCKET}/open/k"), allow("*"), deny) == "allowed"


@pytest.mark.parametrize(
    ("action", "resource", "allowed"),
    [
        ("S3:getobject", f"{BUCKET}/k", True),
        ("s3:Get*", f"{BUCKET}/*", True),
        ("s3:GetObjec?", f"{BUCKET}/?", True),
        ("s3:GetObject?", f"{BUCKET}/k", False),
        ("s3:GetObject", f"{BUCKET}/K", False),
        ("s3:GetObject", BUCKET, False),
        ("s3:PutObject", f"{BUCKET}/k", False),
        (["s3:PutObject", "s3:GetObject"], [BUCKET, f"{BUCKET}/*"], True),
        ("s3:GetObject", "arn:aws:s3:*", False),  # a wildcard crosses no colon before the last part
    ],
)
def test_wildcards_and_case(action: object, resource: object, *, allowed: bool) -> None:
    assert (verdict(Need("s3:GetObject", f"{BUCKET}/k"), allow(action, resource)) == "allowed") == allowed


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}, True),
        ({"StringEquals": {"iam:PassedToService": ["x", "sagemaker.amazonaws.com"]}}, True),
        ({"StringEquals": {"IAM:passedtoservice": "Sagemaker.amazonaws.com"}}, False),
        ({"StringLike": {"iam:PassedToService": "sage*"}}, True),
        ({"StringNotEquals": {"iam:PassedToService": "x"}}, True),
        ({"StringNotLike": {"iam:PassedToService": "sage*"}}, False),
        ({"StringEquals": {"aws:Absent": "x"}}, False),
        ({"StringNotEquals": {"aws:Absent": "x"}}, True),
        ({"StringEqualsIfExists": {"aws:Absent": "x"}}, True),
        ({"StringLikeIfExists": {"iam:PassedToService": "lambda*"}}, False),
        ({"Bool": {"aws:SecureTransport": True}}, True),
        ({"Bool": {"aws:SecureTransport": "false"}}, False),
        ({"ArnLike": {"aws:SourceArn": "arn:aws:sqs:*:1:q*"}}, True),
        ({"ArnEquals": {"aws:SourceArn": "arn:aws:sqs:us-east-1:1:other"}}, False),
        ({"ArnNotLike": {"aws:SourceArn": "arn:aws:sqs:*:2:*"}}, True),
        ({"NumericLessThan": {"s3:TlsVersion": 1.2}}, False),
        ({"Null": {"aws:Absent": "true"}}, True),
        ({"Null": {"iam:PassedToService": "true"}}, False),
    ],
)
@pytest.mark.case("SE-11")
def test_conditions(condition: dict[str, dict[str, object]], *, holds: bool) -> None:
    context = {
        "iam:passedtoservice": "sagemaker.amazonaws.com",
        "aws:securetransport": "true",
        "aws:sourcearn": "arn:aws:sqs:us-east-1:1:queue",
        "s3:tlsversion": "1.3",
    }

    assert satisfied(condition, context) == holds


def test_an_operator_nobody_wrote_is_an_error_and_never_an_allow() -> None:
    with pytest.raises(UnknownOperatorError, match="IpAddress"):
        satisfied({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, {"aws:sourceip": "10.0.0.1"})


def test_not_action_and_not_resource() -> None:
    body = {"Effect": "Allow", "NotAction": "iam:*", "NotResource": f"{BUCKET}/secret/*"}

    assert verdict(Need("s3:GetObject", f"{BUCKET}/k"), body) == "allowed"
    assert verdict(Need("iam:PassRole", "arn:aws:iam::1:role/r"), body) == "implicit deny"
    assert verdict(Need("s3:GetObject", f"{BUCKET}/secret/k"), body) == "implicit deny"


@pytest.mark.parametrize("fault", [{"Principal": "*"}, {"Effect": "allow"}])
def test_a_statement_that_is_no_identity_policys_is_refused(fault: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="statement"):
        statements_of(document(allow("s3:*") | fault))
