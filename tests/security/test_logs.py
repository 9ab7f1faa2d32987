"""SE-09: whatever a key, a value or an error says, a log stays one JSON record a line."""

import ast
import io
import json
import logging
import re
from pathlib import Path

import pytest
from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from driftwheel_local.stack_log import StackLog

from .rules import ROOT

HOSTILE = [
    'x\n{"level": "ERROR", "message": "forged"}',
    "\r\nforged",
    "\x1b[2J\x1b[31mred",
    '", "level": "CRITICAL',
    "\u2028forged\u2029\x85\x0b\x0c\x1c",
    "\x00nul",
    "data/" + "x" * 5000,
]
CODE = sorted(path for folder in ("src", "functions") for path in (ROOT / folder).rglob("*.py"))


def records(text: str) -> list[dict[str, object]]:
    """Every line a record; nothing in it moves a cursor or ends a line for a log service."""
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)
    return [json.loads(line) for line in text.split("\n") if line]


@pytest.mark.case("SE-09")
@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_a_functions_log_keeps_one_record_a_line(value: str) -> None:
    stream = io.StringIO()
    logger = Logger(
        service=f"se-09-{id(stream)}", stream=stream, logger_formatter=LambdaPowertoolsFormatter()
    )
    logger.append_keys(model=value)
    logger.info("decided", extra={"key": value, value: 1})
    try:
        int(value)
    except ValueError:
        logger.exception("failed")

    said = records(stream.getvalue())

    assert [record["level"] for record in said] == ["INFO", "ERROR"]
    assert all(record["model"] == value for record in said)


@pytest.mark.case("SE-09")
def test_the_local_stacks_log_keeps_one_record_a_line(tmp_path: Path) -> None:
    path = tmp_path / "stack.log"
    with StackLog(path):
        for value in HOSTILE:
            logging.getLogger("driftwheel_local.x").error("refused %s", value, extra={"fields": {"a": value}})

    assert len(records(path.read_text(encoding="utf-8"))) == len(HOSTILE)


def interpolated(source: str) -> list[int]:
    """Lines whose log message is made of data: f-strings, %, format, +."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in {"logger", "log", "logging"}
        and node.func.attr in {"debug", "info", "warning", "error", "exception", "critical"}
        and not (node.args and isinstance(node.args[0], ast.Constant))
    ]


@pytest.mark.case("SE-09")
def test_no_deployed_message_is_made_of_data() -> None:
    for path in CODE:
        assert interpolated(path.read_text(encoding="utf-8")) == [], path
    assert interpolated("logger.info(f'{x}')") == [1]
