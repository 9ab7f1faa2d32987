"""How a command ends badly: one clear line on stderr, exit code 1, never a traceback."""

import csv
import sys
import zlib
from pathlib import Path

import click
from boto3.exceptions import Boto3Error
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
)
from pydantic import ValidationError

from driftwheel.errors import DriftwheelError
from driftwheel_cli.rendering import printable

BAD_CREDENTIALS = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)

OF_FILES = (EOFError, UnicodeError, csv.Error, zlib.error)
"""What a file may be the cause of wherever it is read: whoever gave it never sees a traceback."""

KNOWN = (DriftwheelError, ClientError, BotoCoreError, Boto3Error, ValidationError, OSError, *OF_FILES)
"""What may go wrong outside this program; anything else is a mistake in it and should be seen whole."""


def of_database() -> tuple[type[Exception], ...]:
    """Give what DuckDB raises, if it was imported: that takes half a second, and most commands do without."""
    duckdb = sys.modules.get("duckdb")
    return () if duckdb is None else (duckdb.Error,)


def known() -> tuple[type[Exception], ...]:
    """Give what is one line for a person and no traceback."""
    return (*KNOWN, *of_database())


class CommandFailed(click.ClickException):
    """When what was asked is refused, failed, or cannot be known."""

    exit_code = 1

    def show(self, file: object = None) -> None:
        """Print the reason on stderr; data in it cannot steer the terminal."""
        del file
        click.echo(f"driftwheel: {printable(self.message)}", file=sys.stderr)


def failure_of(error: Exception, local: Path | None) -> CommandFailed:
    """Word a known fault for a person; ``local`` is the folder of the local stack that was asked."""
    if isinstance(error, NoCredentialsError | PartialCredentialsError | NoRegionError | ProfileNotFound):
        return CommandFailed(no_credentials(str(error)))
    if isinstance(error, EndpointConnectionError | ConnectTimeoutError) and local is not None:
        return CommandFailed(not_running(local))
    if isinstance(error, ReadTimeoutError):
        return CommandFailed(f"no answer in time: {error}; try again")
    if isinstance(error, ClientError):
        code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        if code in BAD_CREDENTIALS:
            return CommandFailed(no_credentials(f"{code}: {message}"))
        return CommandFailed(f"{error.operation_name} was refused, {code}: {message}")
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or error.title
        return CommandFailed(
            f"{error.title} does not read as this version expects ({place}: {first['msg']}): "
            "use the command of the version that is deployed"
        )
    if isinstance(error, (*OF_FILES, *of_database())):
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        return CommandFailed(f"a file cannot be read: {reason}")
    return CommandFailed(str(error))


def no_credentials(reason: str) -> str:
    """Say that AWS cannot be asked, and what else there is."""
    hint = "configure them (aws configure, or AWS_PROFILE and AWS_REGION)"
    if Path(".driftwheel/stack.json").exists() or Path(".driftwheel").is_dir():
        hint += ", or ask the local stack: driftwheel --local .driftwheel …"
    else:
        hint += ", or start a local stack: driftwheel up"
    return f"no usable AWS credentials or region: {reason.rstrip('.')}; {hint}"


def not_running(folder: Path) -> str:
    """Say that a local stack is down."""
    return f"the local stack is not running; start it with driftwheel --local {folder} up"
