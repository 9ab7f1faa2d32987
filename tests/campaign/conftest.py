"""A stack of the test build for each file, and what a test tells the campaign's table."""

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.bench.size import FULL
from tests.loop.conftest import _judged

from .bench import Bench

__all__ = ["_judged"]

collect_ignore = [] if FULL else ["test_incidents.py"]
"""Two minutes that `make campaign` alone takes: its cases have tests in the suite of every day, too."""

Record = Callable[[str, object], None]


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
