"""StartMessageMoveTask, which moto lacks: a dead letter queue's messages go back to where they came from.

Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html
"""

import base64
import json
import uuid
from typing import Any

from moto.core.responses import ActionResult
from moto.sqs.exceptions import SQSException

BATCH = 10


def start_message_move_task(self: Any) -> ActionResult:
    """Answer the operation as a method of moto's SQSResponse; every message has moved when it answers."""
    backend, source = self.sqs_backend, self._get_param("SourceArn")
    dead = _queue(backend, source, "SourceArn")
    sources = backend.list_dead_letter_source_queues(dead.name)
    if not sources:
        raise SQSException("InvalidParameterValue", "Source queue must be configured as a Dead Letter Queue.")
    wanted = self._get_param("DestinationArn")
    if wanted is None and len(sources) > 1:
        names = ", ".join(sorted(queue.name for queue in sources))
        raise SQSException(
            "UnsupportedOperation",
            f"The local runtime does not note which of {names} a message came from: name DestinationArn.",
        )
    target = _queue(backend, wanted, "DestinationArn") if wanted else sources[0]
    if target is dead:
        raise SQSException("InvalidParameterValue", "Source and destination queue must not be the same.")
    move(backend, dead.name, target.name)
    task = {"taskId": str(uuid.uuid4()), "sourceArn": source}
    return ActionResult({"TaskHandle": base64.b64encode(json.dumps(task).encode()).decode()})


def move(backend: Any, dead: str, target: str) -> int:
    """Send what is visible in a queue to another, as new messages, as AWS does; give how many.

    Sent before it is deleted: a crash in between repeats a message, and loses none.
    """
    moved = 0
    while received := backend.receive_message(dead, BATCH, 0, 30, ["All"]):
        for message in received:
            backend.send_message(
                target,
                message.body,
                message_attributes=message.message_attributes,
                system_attributes=message.system_attributes,
            )
            backend.delete_message(dead, message.receipt_handle)
        moved += len(received)
    return moved


def _queue(backend: Any, arn: str, parameter: str) -> Any:
    found = next((queue for queue in backend.queues.values() if queue.queue_arn == arn), None)
    if found is None:
        sentence = f"The resource that you specified for the {parameter} parameter doesn't exist."
        raise SQSException("ResourceNotFoundException", sentence)
    return found
