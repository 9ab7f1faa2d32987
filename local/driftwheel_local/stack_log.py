"""ROOT/logs/stack.log: what the stack's own threads have to say, one JSON object a line."""

import json
import logging
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_QUIET = ("werkzeug", "botocore", "urllib3", "samtranslator")


class JsonLines(logging.Formatter):
    """A record as one JSON object; `extra={"fields": {...}}` stands beside the message."""

    def format(self, record: logging.LogRecord) -> str:
        """Answer the line of `record`."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "place": record.name,
            "thread": record.threadName,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class StackLog:
    """Sends the log of `driftwheel_local`, of moto's request errors and of dying threads to one file."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._handler = logging.FileHandler(path, encoding="utf-8", delay=True)
        self._handler.setFormatter(JsonLines())
        self._levels: dict[str, int] = {}
        self._previous_hook = threading.excepthook

    def __enter__(self) -> Self:
        """Begin to write."""
        for name in ("driftwheel_local", *_QUIET):
            logger = logging.getLogger(name)
            self._levels[name] = logger.level
            # werkzeug's access lines and SDK chatter say nothing about the stack; their errors do
            logger.setLevel(logging.INFO if name == "driftwheel_local" else logging.ERROR)
            logger.addHandler(self._handler)
        self._previous_hook = threading.excepthook
        threading.excepthook = self._thread_died
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop writing and give logging back as it was."""
        threading.excepthook = self._previous_hook
        for name, level in self._levels.items():
            logger = logging.getLogger(name)
            logger.removeHandler(self._handler)
            logger.setLevel(level)
        self._handler.close()

    def _thread_died(self, arguments: threading.ExceptHookArgs) -> None:
        name = arguments.thread.name if arguments.thread is not None else "?"
        if arguments.exc_value is not None and not isinstance(arguments.exc_value, SystemExit):
            exception = (arguments.exc_type, arguments.exc_value, arguments.exc_traceback)
            logging.getLogger(__name__).error("thread %s died", name, exc_info=exception)
        self._previous_hook(arguments)
