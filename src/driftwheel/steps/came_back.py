"""Why a message goes back to its queue, and in the end to its dead-letter queue, for the log."""

import json
import traceback
from pathlib import Path

from botocore.exceptions import ClientError
from pydantic import ValidationError

from driftwheel.errors import DriftwheelError

MOST_FIELDS = 5


def why(error: BaseException) -> str:
    """Say what was wrong and never what the message held: only our own sentences are repeated.

    >>> why(KeyError("AKIA..."))
    'KeyError'
    """
    name = type(error).__name__
    if isinstance(error, DriftwheelError):
        return f"{name}: {error}"
    if isinstance(error, ClientError):
        return f"{error.response['Error']['Code']} at {error.operation_name}"
    if isinstance(error, json.JSONDecodeError):
        return f"the message is no JSON: {error.msg} at character {error.pos}"
    if isinstance(error, ValidationError):
        # Of a mistake only its place and kind: pydantic's own sentence quotes the value.
        found = error.errors(include_url=False, include_context=False, include_input=False)
        places = [f"{'.'.join(map(str, one['loc'])) or 'all of it'} {one['type']}" for one in found]
        return f"the message is no {error.title}: {', '.join(places[:MOST_FIELDS])}"
    frames = traceback.extract_tb(error.__traceback__)
    return f"{name} in {Path(frames[-1].filename).name} line {frames[-1].lineno}" if frames else name
