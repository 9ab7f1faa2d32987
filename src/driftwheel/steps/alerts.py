"""Alerts: publish what lies in the outbox."""

from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from driftwheel.ledger.outbox import Alert, Outbox


def tell(alert: Alert, outbox: Outbox, sns: Any, topic_arn: str, now: datetime) -> str:
    """Publish an alert the caller holds; empty when it is done, else why it lies there until a later tick.

    Nothing here may fail a run: its outcome stands already. An alert that SNS took and the ledger could not
    note is told once more.
    """
    try:
        sns.publish(TopicArn=topic_arn, Subject=alert.subject, Message=alert.message)
        outbox.told(alert, now)
    except (ClientError, BotoCoreError) as error:
        return str(error)
    return ""
