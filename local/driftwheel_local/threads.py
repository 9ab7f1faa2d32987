"""Threads of the stack that end with it."""

import threading
from collections.abc import Callable
from typing import ParamSpec

P = ParamSpec("P")


def start_daemon(name: str, work: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> threading.Thread:
    """Run `work` on a named thread that does not keep the process alive."""
    thread = threading.Thread(target=work, args=args, kwargs=kwargs, name=name, daemon=True)
    thread.start()
    return thread
