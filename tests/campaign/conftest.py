"""How large the campaign is: a small seed of each case by default, all of it with ``CAMPAIGN=full``.

``CAMPAIGN=whole`` is for the flood alone: the whole load on the running stack, which takes no half hour.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.loop.conftest import _judged

from .bench import Bench

__all__ = ["_judged"]

Record = Callable[[str, object], None]
SIZE = os.environ.get("CAMPAIGN", "")
FULL = SIZE in {"full", "whole"}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = Bench(tmp_path_factory.mktemp("kills"))
    bench.up()
    yield bench
    bench.down()


def tell(record_property: Record, counts: Counter[str]) -> None:
    """Add to the campaign's counts."""
    for name, count in counts.items():
        record_property(f"count {name}", count)
