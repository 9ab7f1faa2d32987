"""Named points at the race windows, where a test may stop or kill a function; inert in every deployed build.

They act only when the environment names a plan **and** the build holds ``driftwheel_hooks``, a module that no
shipped folder has: without the variable it is not even looked for.
"""

import importlib
import importlib.util
import os
from collections.abc import Callable
from typing import Literal

Point = Literal[
    "after_ledger_put",
    "after_lease",
    "after_create_job",
    "after_update_endpoint",
    "before_champion_cas",
    "after_champion_cas",
    "before_delete_token",
]

VARIABLE = "DRIFTWHEEL_TEST_HOOKS"
MODULE = "driftwheel_hooks"

Reach = Callable[[Point], None]


def _of_test_build() -> Reach | None:
    if VARIABLE not in os.environ or importlib.util.find_spec(MODULE) is None:
        return None
    found: Reach = importlib.import_module(MODULE).reach
    return found


_reach = _of_test_build()


def reached(point: Point) -> None:
    """Say that a race window opens; costs one comparison."""
    if _reach is not None:
        _reach(point)
