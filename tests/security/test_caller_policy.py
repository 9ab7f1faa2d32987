"""What callers that capture may do: ask endpoints and write captures, and nothing else."""

from driftwheel_local.intrinsics import resolve
from driftwheel_local.permissions.policies import statements_of

from .iam import FixedNames, template


def test_a_caller_asks_endpoints_and_writes_captures_and_nothing_else() -> None:
    body = template().resources["CallerPolicy"]["Properties"]["PolicyDocument"]
    document = resolve(body, template().scope, FixedNames(template()), "CallerPolicy")

    asks, writes, encrypts = statements_of(document)

    assert asks.actions == ("sagemaker:InvokeEndpoint",)
    assert [place.rpartition("/")[2] for place in asks.resources] == ["driftwheel-*"]
    assert (writes.actions, writes.resources) == (
        ("s3:PutObject",),
        ("arn:aws:s3:::driftwheel-artifacts/capture/*",),
    )
    assert encrypts.actions == ("kms:GenerateDataKey",)
    assert encrypts.conditions == {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}
