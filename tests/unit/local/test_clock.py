import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from driftwheel_local.clock import Clock


def test_now_is_aware_and_in_utc():
    assert Clock().now().utcoffset() == timedelta(0)


def test_an_advance_moves_now_and_monotonic_alike():
    clock = Clock()
    now, monotonic = clock.now(), clock.monotonic()

    clock.advance(3600)

    assert timedelta(seconds=3600) <= clock.now() - now < timedelta(seconds=3601)
    assert 3600 <= clock.monotonic() - monotonic < 3601


def test_a_clock_with_an_origin_starts_there():
    origin = datetime(2013, 1, 1, tzinfo=UTC)

    assert timedelta(0) <= Clock(origin).now() - origin < timedelta(seconds=1)


def test_an_origin_without_a_timezone_is_refused():
    with pytest.raises(ValueError, match="aware"):
        Clock(datetime(2013, 1, 1))  # noqa: DTZ001


def test_time_never_goes_back():
    with pytest.raises(ValueError, match="go back"):
        Clock().advance(-1)


def test_a_wait_returns_early_when_the_clock_is_advanced():
    clock = Clock()
    started = time.monotonic()
    threading.Timer(0.05, clock.advance, [60]).start()

    stopped = clock.wait(60, threading.Event())

    assert not stopped
    assert time.monotonic() - started < 5


def test_a_small_advance_only_shortens_a_wait():
    clock = Clock()
    begin = clock.monotonic()
    threading.Timer(0.02, clock.advance, [0.1]).start()

    clock.wait(0.3, threading.Event())

    assert clock.monotonic() - begin >= 0.3


def test_a_wait_ends_when_it_is_stopped():
    stop = threading.Event()
    threading.Timer(0.05, stop.set).start()

    assert Clock().wait(60, stop)


def test_subscribers_hear_of_every_advance():
    clock, heard = Clock(), []
    clock.subscribe(lambda: heard.append(clock.monotonic()))

    clock.advance(1)
    clock.advance(1)

    assert len(heard) == 2
