"""Answers of past hours, kept until their labels come: one small file of a champion, 16 to 18 bytes a row.

It is a cache: an hour that is not in it is read again from what was captured. numpy and msgspec only.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np
import numpy.typing as npt

from driftwheel.drift.answered import Answered
from driftwheel.drift.cells import Floats
from driftwheel.hours import HOUR

MOST_ROWS = 500_000
"""Rows kept: some 9 MB. Beyond it those with the smallest ids stay, which is a sample: ids are hashes."""

Ids = npt.NDArray[np.uint64]
Places = npt.NDArray[np.uint16]


class _File(msgspec.Struct):
    read: list[str]
    hours: list[str]
    rows: dict[str, int]
    at: bytes
    ids: bytes
    scores: bytes


@dataclass(frozen=True, eq=False)
class Kept:
    """``read`` are the hours of the files that were read, ``hours`` those in which rows were answered.

    ``at`` (a place in ``hours``), ``ids`` and ``scores`` are of the rows kept, ``rows`` counts all by hour.
    """

    read: tuple[str, ...] = ()
    hours: tuple[str, ...] = ()
    rows: Mapping[str, int] = field(default_factory=dict)
    at: Places = field(default_factory=lambda: np.zeros(0, dtype="<u2"))
    ids: Ids = field(default_factory=lambda: np.zeros(0, dtype="<u8"))
    scores: Floats = field(default_factory=lambda: np.zeros(0))

    def to_bytes(self) -> bytes:
        """Write it; the same rows give the same bytes."""
        parts = (self.at.astype("<u2"), self.ids.astype("<u8"), self.scores.astype("<f8"))
        file = _File(list(self.read), list(self.hours), dict(self.rows), *(part.tobytes() for part in parts))
        return msgspec.msgpack.encode(file)

    def add(
        self, hour: str, times: Sequence[str], row_ids: Sequence[str], scores: Sequence[float | None]
    ) -> "Kept":
        """Add the rows of an hour's files; one whose score was not captured is counted only."""
        asked = [time[:HOUR] for time in times]
        hours = tuple(sorted({*self.hours, *asked}))
        place = {name: number for number, name in enumerate(hours)}
        moved = np.array([place[name] for name in self.hours], dtype="<u2")
        known = [number for number, score in enumerate(scores) if score is not None]
        at = np.array([place[asked[number]] for number in known], dtype="<u2")
        ids = np.array([id_of(row_ids[number]) for number in known], dtype="<u8")
        values = np.array([scores[number] for number in known], dtype=np.float64)
        rows = Counter(self.rows)
        rows.update(asked)
        whole = Kept(
            tuple(sorted({*self.read, hour})),
            hours,
            dict(sorted(rows.items())),
            np.concatenate([moved[self.at] if len(moved) else self.at, at]),
            np.concatenate([self.ids, ids]),
            np.concatenate([self.scores, values]),
        )
        return whole.some(np.argsort(whole.ids, kind="stable")[:MOST_ROWS])

    def since(self, hour: str) -> "Kept":
        """Forget what was answered, and which files were read, before an hour."""
        if all(name >= hour for name in (*self.hours, *self.read)):
            return self
        first = sum(name < hour for name in self.hours)
        part = self.some(np.flatnonzero(self.at >= first))
        return replace(
            part,
            read=tuple(name for name in self.read if name >= hour),
            hours=self.hours[first:],
            rows={name: n for name, n in self.rows.items() if name >= hour},
            at=(part.at - np.uint16(first)).astype("<u2"),
        )

    def some(self, rows: npt.NDArray[np.int64]) -> "Kept":
        """Keep these rows."""
        return replace(self, at=self.at[rows], ids=self.ids[rows], scores=self.scores[rows])

    def joined(self, known: Mapping[str, float], until: str) -> Answered:
        """Look up the labels known now of rows answered before the hour ``until``."""
        labels = np.array(list(known.values()), dtype=np.float64)
        names = np.fromiter((id_of(name) for name in known), dtype=np.uint64, count=len(known))
        order = np.argsort(names, kind="stable")
        names, labels = names[order], labels[order]
        place = np.searchsorted(names, self.ids, side="right") - 1  # of equal names the one told last
        before = np.array([hour < until for hour in self.hours], dtype=bool)[self.at]
        there = np.flatnonzero(before & (place >= 0))
        there = there[names[place[there]] == self.ids[there]]
        counted = np.bincount(self.at, minlength=len(self.hours)).tolist()
        looked_at = dict(zip(self.hours, counted, strict=True))
        return Answered(
            self.hours,
            self.at[there].astype(np.int32),
            self.scores[there],
            labels[place[there]],
            {hour: n for hour, n in self.rows.items() if hour < until},
            {hour: n for hour, n in looked_at.items() if hour < until},
        )


def kept_from_bytes(body: bytes) -> Kept:
    """Read what ``Kept.to_bytes`` gave; raises ValueError when it is not that."""
    try:
        file = msgspec.msgpack.decode(body, type=_File)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not kept answers: {error}") from error
    at, ids = np.frombuffer(file.at, "<u2"), np.frombuffer(file.ids, "<u8")
    scores = np.frombuffer(file.scores, "<f8")
    if not len(at) == len(ids) == len(scores) or (len(at) and at.max() >= len(file.hours)):
        raise ValueError("not kept answers: parts of other lengths")
    return Kept(tuple(file.read), tuple(file.hours), file.rows, at, ids, scores)


def id_of(row_id: str) -> int:
    """Give 64 bits of BLAKE2b of a row id; a request of one row is the same with and without its ``/0``.

    Two of a million rows share an id with probability 3e-8.
    """
    digest = hashlib.blake2b(row_id.removesuffix("/0").encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")
