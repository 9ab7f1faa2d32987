"""What the flights' peers must do, in words they share: examples/flights/model.yaml written by hand."""

import hashlib

KEY = ("time_hour", "carrier", "flight", "origin", "dest", "sched_dep_time")
SKY = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib")
RANGES = {
    "sched_dep_time": (0, 2400),
    "distance": (0, 10_000),
    "temp": (-40, 130),
    "dewp": (-60, 100),
    "humid": (0, 100),
    "wind_dir": (0, 360),
    "wind_speed": (0, 150),
    "precip": (0, 10),
    "pressure": (900, 1100),
    "visib": (0, 20),
}
CANONICAL = {"john f kennedy": "JFK", "new york kennedy": "JFK", "newark": "EWR"}
CANONICAL |= {"laguardia": "LGA", "la guardia": "LGA", "jfk": "JFK", "ewr": "EWR", "lga": "LGA"}
FILLED = ("temp", "dewp", "humid")
CODED = ("carrier", "origin", "dest")
LATE_MINUTES = 15
VALIDATION, HOLDOUT = 0.15, 0.15
SMOOTHING, FOLDS = 50.0, 5


def key(*values: object) -> str:
    """Name a row by its key: every part with its length before it."""
    return hashlib.md5(
        "".join(f"{len(str(v))}:{v}" for v in values).encode(), usedforsecurity=False
    ).hexdigest()


def fold(row: str) -> int:
    """Give the fold of a training row by its key."""
    return int(hashlib.md5(f"fold|{row}".encode(), usedforsecurity=False).hexdigest()[0], 16) % FOLDS


def cuts(times: list[str]) -> tuple[str, str]:
    """Give the times from which validation and holdout begin; ``times`` are sorted."""
    holdout = times[int(len(times) * (1 - HOLDOUT))]
    older = [time for time in times if time < holdout]
    return older[int(len(older) * (1 - VALIDATION / (1 - HOLDOUT)))], holdout
