"""A stack whose time its parent moves: every line it reads is a number of seconds to go forward.

``python -m tests.campaign.stack ROOT TEMPLATE BUILD``; SIGTERM or the end of its input end it.
"""

import os
import signal
import sys
from pathlib import Path

from driftwheel_local.server import CREDENTIALS, Stack

TIME_SCALE = 0.01


def main(root: str, template: str, build: str) -> None:
    """Run the stack until told to end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.environ.update(CREDENTIALS)
    stack = Stack(
        Path(root),
        Path(template),
        time_scale=TIME_SCALE,
        reuse_build=Path(build),
        record_permissions=True,
    )
    with stack:
        for line in sys.stdin:
            stack.clock.advance(float(line))


if __name__ == "__main__":
    main(*sys.argv[1:])
