"""The store: what survives the process, and when it is read back."""

import logging
from pathlib import Path

from moto.dynamodb.models import dynamodb_backends
from moto.s3.models import s3_backends
from moto.sqs.models import sqs_backends

from driftwheel_local import patches
from driftwheel_local.store.executions import Executions
from driftwheel_local.store.items import Items
from driftwheel_local.store.messages import Messages
from driftwheel_local.store.objects import Objects

log = logging.getLogger(__name__)


class Store:
    """Everything under ROOT/store: S3 objects, DynamoDB items, SQS messages, executions.

    Use: `attach()` before the first request, create the stack's resources, then `restore()`. A change is
    written before it is acknowledged, so kill -9 loses nothing that was acknowledged; nothing is fsynced, so
    power loss may. Lost on purpose: CloudWatch logs and metrics, alarm states (judged anew), SSM values
    changed by hand, S3 multipart uploads in progress, object ACLs, receipt handles.
    """

    def __init__(self, root: Path, *, account: str = "123456789012", region: str = "us-east-1") -> None:
        folder = root / "store"
        self._account = account
        self._region = region
        self.objects = Objects(folder / "s3", lambda: s3_backends[account]["aws"])
        self.items = Items(folder / "dynamodb", lambda: dynamodb_backends[account][region])
        self.messages = Messages(folder / "sqs", lambda: sqs_backends[account][region])
        self.executions = Executions(folder / "executions")

    def attach(self) -> None:
        """Read the journals, and from now on write every change down before it is acknowledged."""
        self.objects.load()
        self.items.load()
        self.messages.load()
        patches.patch_memory()
        patches.persist_s3(self.objects)
        patches.persist_dynamodb(self.items)
        patches.persist_sqs(self.messages)

    def restore(self) -> None:
        """Fill the stack's resources with what earlier processes kept.

        An execution that was running becomes ABORTED, which is published as its status change.
        """
        self.objects.restore()
        self.items.restore()
        records = self.executions.load()
        for name in patches.restore_executions(records, self._account, self._region):
            log.warning("state machine %s does not exist: its executions stay on disk, unreachable", name)
        self.messages.restore()  # last: a message is taken at once, and may ask about an execution

    def close(self) -> None:
        """Release every file."""
        for part in (self.objects, self.items, self.messages, self.executions):
            part.close()
