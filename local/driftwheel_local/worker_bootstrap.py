"""The first lines of a function's process: limits, import path, then AWS's own runtime client.

Started as a file by `python -I -S -B`, so nothing of the environment that runs the stack is importable:
only the standard library and the folders given here. Arguments: memory in MB, ephemeral storage in MB, the
descriptor whose end means that the stack is gone, the import path (joined by `os.pathsep`).
"""

import os
import resource
import sys
import threading

MB = 1024 * 1024
RUNTIME_MB = 32
"""Added to MemorySize: RLIMIT_DATA counts address space that a process reserves and never touches."""


def main() -> None:
    """Limit this process, then serve invocations until the Runtime API goes away."""
    memory_mb, storage_mb, lifeline, import_path = sys.argv[1:]
    data = (int(memory_mb) + RUNTIME_MB) * MB
    resource.setrlimit(resource.RLIMIT_DATA, (data, data))
    # A file larger than /tmp would be on AWS fails to be written there too.
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(storage_mb) * MB, int(storage_mb) * MB))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _end_with_the_stack(int(lifeline))
    sys.path[:0] = import_path.split(os.pathsep)
    sys.argv[:] = ["bootstrap", os.environ["_HANDLER"]]

    # Only now can it be found: it lies in the runtime folder.
    from awslambdaric.__main__ import main as serve  # noqa: PLC0415

    serve(sys.argv)


def _end_with_the_stack(lifeline: int) -> None:
    """Exit when the stack's end of the pipe closes, however the stack ended (kill -9 included)."""

    def watch() -> None:
        os.read(lifeline, 1)
        os._exit(0)

    # The watching thread never starts a function of the product: the smallest stack will do.
    previous = threading.stack_size(64 * 1024)
    threading.Thread(target=watch, daemon=True, name="lifeline").start()
    threading.stack_size(previous)


if __name__ == "__main__":
    main()
