"""What is accepted for a target and not yet there: kept in files, so that no crash loses it."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

DEFAULT_RETRIES = 185  # EventBridge's and Scheduler's defaults (eb-rule-retry-policy)
DEFAULT_AGE_SECONDS = 86_400


@dataclass
class Delivery:
    """One thing to bring to one target.

    `attributes` go onto the dead letter, whose body is `dead_letter_body`, or else what was sent. Of a
    `scheduled` one, Scheduler's context attributes in `text` are filled anew at each attempt.
    """

    target: Mapping[str, Any]
    text: str
    attributes: dict[str, str]
    event: Mapping[str, Any] | None = None
    dead_letter_body: str | None = None
    scheduled: bool = False
    accepted: str = ""
    identity: str = field(default_factory=lambda: uuid.uuid4().hex)
    attempt: int = field(default=0, init=False)

    @property
    def retries(self) -> int:
        """Answer how often a failed attempt may be repeated."""
        return int((self.target.get("RetryPolicy") or {}).get("MaximumRetryAttempts", DEFAULT_RETRIES))

    @property
    def longest_age(self) -> float:
        """Answer how many seconds old it may become before it is given up."""
        policy = self.target.get("RetryPolicy") or {}
        return float(policy.get("MaximumEventAgeInSeconds", DEFAULT_AGE_SECONDS))

    def age(self, now: datetime) -> float:
        """Answer how many seconds ago it was accepted."""
        return (now - datetime.fromisoformat(self.accepted)).total_seconds()

    def payload(self, attempt: int) -> str:
        """Answer the text of an attempt, counted from 1."""
        if not self.scheduled:
            return self.text
        self.attributes["EXECUTION_ID"] = uuid.uuid4().hex[:16]
        values = {
            "schedule-arn": self.attributes["SCHEDULE_ARN"],
            "scheduled-time": self.attributes["SCHEDULED_TIME"],
            "execution-id": self.attributes["EXECUTION_ID"],
            "attempt-number": str(attempt),
        }
        text = self.text
        for keyword, value in values.items():
            text = text.replace(f"<aws.scheduler.{keyword}>", value)
        return text


class PendingDeliveries:
    """One file for each accepted delivery; it goes when the target or the dead-letter queue has it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, delivery: Delivery) -> None:
        """Write a delivery down, whole or not at all."""
        kept = asdict(delivery)
        del kept["attempt"]  # a later stack counts anew
        unfinished = self._folder / f".{delivery.identity}"
        unfinished.write_text(json.dumps(kept), encoding="utf-8")
        unfinished.replace(self._folder / f"{delivery.identity}.json")

    def done(self, delivery: Delivery) -> None:
        """Forget a delivery."""
        (self._folder / f"{delivery.identity}.json").unlink(missing_ok=True)

    def load(self) -> list[Delivery]:
        """Answer what an earlier stack accepted and did not bring, oldest first.

        What it had not written whole was never accepted, and goes.
        """
        for unfinished in self._folder.glob(".*"):
            unfinished.unlink()
        found = [
            Delivery(**json.loads(path.read_text(encoding="utf-8"))) for path in self._folder.glob("*.json")
        ]
        return sorted(found, key=lambda delivery: delivery.accepted)
