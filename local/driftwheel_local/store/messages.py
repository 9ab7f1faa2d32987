"""Durability of SQS messages."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from moto.sqs import models as sqs_models
from moto.sqs.models import Message

from driftwheel_local.store.journal import Journal

log = logging.getLogger(__name__)

MAX_DELAY_SECONDS = 900
# patches.patch_sqs puts the queues, and so this, on the stack's clock.
clock_of_moto: Any = sqs_models

_MEMBERS = (
    "body",
    "message_attributes",
    "system_attributes",
    "sender_id",
    "sent_timestamp",
    "approximate_first_receive_timestamp",
    "approximate_receive_count",
    "deduplication_id",
    "group_id",
    "sequence_number",
    "delayed_until",
)


class Messages:
    """One journal line per message sent, moved to its dead-letter queue, received or deleted.

    After a restart every message that was in flight is visible again at once (AWS: when its visibility
    timeout ends), with its receive count, so a poison message still reaches its dead-letter queue.
    """

    def __init__(self, folder: Path, backend: Callable[[], Any]) -> None:
        self._backend = backend
        self._journal = Journal(folder / "messages.jsonl")
        self._kept: dict[str, dict[str, Any]] = {}

    def load(self) -> None:
        """Read what earlier processes kept and compact the journal."""
        for line in self._journal.read():
            if "purged" in line:
                self._kept = {
                    key: kept for key, kept in self._kept.items() if kept["queue"] != line["purged"]
                }
            elif "deleted" in line:
                self._kept.pop(line["deleted"], None)
            elif "received" in line:
                kept = self._kept.get(line["received"])
                if kept is not None:
                    kept["approximate_receive_count"] = line["count"]
                    kept["approximate_first_receive_timestamp"] = line["first"]
            else:
                self._kept[line["id"]] = line
        self._journal.rewrite(self._kept.values())

    def restore(self) -> None:
        """Put every kept message back into its queue; those of absent queues stay kept, with a warning."""
        backend = self._backend()
        absent: set[str] = set()
        for message_id, kept in self._kept.items():
            queue = backend.queues.get(kept["queue"])
            if queue is None:
                absent.add(kept["queue"])
                continue
            message: Any = Message(message_id, kept["body"])
            for name in _MEMBERS:
                setattr(message, name, kept[name])
            # An advanced clock starts again at the machine's time: no delay may outlast SQS's longest.
            longest = clock_of_moto.unix_time_millis() + MAX_DELAY_SECONDS * 1000
            message.delayed_until = min(message.delayed_until, longest)
            put_back(queue, message)
        for name in sorted(absent):
            log.warning("queue %s does not exist: its messages stay on disk, unreachable", name)
        self._kept = {}

    def sent(self, queue_name: str, message: Any) -> None:
        """Keep a message that was sent to a queue, or moved to it from another."""
        members = {name: getattr(message, name) for name in _MEMBERS}
        self._journal.append({"id": message.id, "queue": queue_name} | members)

    def received(self, message: Any) -> None:
        """Keep how often a message was received."""
        count, first = message.approximate_receive_count, message.approximate_first_receive_timestamp
        self._journal.append({"received": message.id, "count": count, "first": first})

    def deleted(self, message_id: str) -> None:
        """Forget a message."""
        self._journal.append({"deleted": message_id})

    def purged(self, queue_name: str) -> None:
        """Forget every message of a queue."""
        self._journal.append({"purged": queue_name})

    def close(self) -> None:
        """Release the journal."""
        self._journal.close()


def put_back(queue: Any, message: Any) -> None:
    """Append to moto's queue without sending: no delay starts again, nobody is invoked twice."""
    with queue._messages_lock:  # noqa: SLF001
        queue._messages.append(message)  # noqa: SLF001
        queue._messages_lock.notify_all()  # noqa: SLF001
