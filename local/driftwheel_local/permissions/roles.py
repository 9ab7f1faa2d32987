"""Roles as the endpoint knows them: by the access key their sessions sign with."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from moto.dynamodb.models import dynamodb_backends
from moto.iam.models import iam_backends
from moto.kms.models import kms_backends
from moto.s3.models import s3_backends
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends

from driftwheel_local.permissions.keys import access_key_of
from driftwheel_local.permissions.policies import Statement, statements_of
from driftwheel_local.tokens import TokenRefusedError, execution_of


@dataclass(frozen=True)
class Role:
    """A role and every statement of its inline and attached policies."""

    name: str
    arn: str
    statements: tuple[Statement, ...]


class MotoRoles:
    """The roles that exist in moto's IAM at this moment; a changed policy holds at the next request."""

    def __init__(self, account: str) -> None:
        self._account = account

    def find(self, access_key: str) -> Role | None:
        """Answer the role whose sessions sign so; None for anybody else."""
        if not access_key.startswith("ASIA"):
            return None
        for record in list(iam_backends[self._account]["aws"].roles.values()):
            if access_key_of(record.arn) == access_key:
                return Role(record.name, record.arn, tuple(_statements(record)))
        return None


def _statements(record: Any) -> Iterator[Statement]:
    for document in list(record.policies.values()):
        yield from _parsed(document)
    for policy in list(record.managed_policies.values()):
        current = next(each for each in policy.versions if each.is_default)
        yield from _parsed(current.document)


@lru_cache(maxsize=256)
def _parsed(document: str) -> tuple[Statement, ...]:
    return statements_of(json.loads(document))


class MotoFacts:
    """What requests do not say, read from moto and the local SageMaker.

    `config_key` answers an endpoint config's KMS key by name, `tags` a SageMaker resource's tags by ARN.
    """

    def __init__(
        self,
        account: str,
        region: str,
        config_key: Callable[[str], str | None],
        tags: Callable[[str], Mapping[str, str]],
    ) -> None:
        self._account, self._region, self._config_key, self._tags = account, region, config_key, tags

    def key_of(self, arn: str) -> str | None:
        """Answer the ARN of the customer's key of a bucket, table, queue, topic or endpoint config."""
        service, name = arn.split(":")[2], arn.rpartition(":")[2]
        found = {
            "s3": self._bucket_key,
            "dynamodb": self._table_key,
            "sqs": self._queue_key,
            "sns": lambda _: self._topic_key(arn),
            "sagemaker": self._config_key,
        }[service](name.rpartition("/")[2])
        return found if found and ":key/" in found and not self._of_aws(found) else None

    def _of_aws(self, key: str) -> bool:
        """Tell an AWS managed key: its own policy lets whoever may use the service use it."""
        known = kms_backends[self._account][self._region].keys.get(key.rpartition("/")[2])
        return known is not None and any(alias.startswith("alias/aws/") for alias in known.aliases)

    def machine_of(self, token: str) -> str | None:
        """Answer the state machine a task token was issued for; None for a text that is no token."""
        try:
            execution = execution_of(token)
        except TokenRefusedError:
            return None
        return execution.replace(":execution:", ":stateMachine:").rpartition(":")[0]

    def tags_of(self, arn: str) -> Mapping[str, str]:
        """Answer the tags of a SageMaker resource; none where there is no such resource."""
        return self._tags(arn)

    def _bucket_key(self, name: str) -> str | None:
        bucket = s3_backends[self._account]["aws"].buckets.get(name)
        rule = ((bucket.encryption if bucket else None) or {}).get("Rule") or {}
        default = (rule[0] if isinstance(rule, list) else rule).get("ApplyServerSideEncryptionByDefault", {})
        key: str | None = default.get("KMSMasterKeyID")
        return key

    def _table_key(self, name: str) -> str | None:
        table = dynamodb_backends[self._account][self._region].tables.get(name)
        return ((table.sse_specification if table else None) or {}).get("KMSMasterKeyId")

    def _queue_key(self, name: str) -> str | None:
        queue = sqs_backends[self._account][self._region].queues.get(name)
        return getattr(queue, "kms_master_key_id", None)

    def _topic_key(self, arn: str) -> str | None:
        topic = sns_backends[self._account][self._region].topics.get(arn)
        return getattr(topic, "kms_master_key_id", None)
