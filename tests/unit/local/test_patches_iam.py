import json
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
from moto.iam.models import IAMBackend, iam_backends

from driftwheel_local import patches

ALLOWED = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
DOCUMENT = json.dumps({"Version": "2012-10-17", "Statement": [ALLOWED]})
TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})


def test_iam_answers_one_request_at_a_time(moto_endpoint, monkeypatch):
    inside, most = [], []

    def create_policy(self, *args, **options):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.05)
        inside.pop()
        return create(self, *args, **options)

    create = IAMBackend.create_policy
    monkeypatch.setattr(IAMBackend, "create_policy", create_policy)
    patches.patch_iam()
    iam = boto3.client("iam")

    with ThreadPoolExecutor(4) as pool:
        made = pool.map(lambda n: iam.create_policy(PolicyName=f"p{n}", PolicyDocument=DOCUMENT), range(4))

    assert len([*made]) == 4
    assert most == [1, 1, 1, 1]


def test_whoever_walks_through_the_roles_is_not_disturbed_by_a_new_one(moto_endpoint):
    patches.patch_iam()
    iam = boto3.client("iam")
    iam.create_role(RoleName="one", AssumeRolePolicyDocument=TRUST)
    walk = iter(iam_backends["123456789012"]["aws"].get_roles())

    iam.create_role(RoleName="two", AssumeRolePolicyDocument=TRUST)

    assert [role.name for role in walk] == ["one"]
