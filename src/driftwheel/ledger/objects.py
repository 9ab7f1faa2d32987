"""The object ledger: every delivered object version ends in exactly one terminal state.

pending → used | superseded | quarantined | rejected | duplicate | ignored. The identity of an object version
is (key, versionId), or its ETag and sequencer in an unversioned bucket; never the event's id. Only a person
leads one back: a quarantined version is pending again by ``reopen``.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Literal

from driftwheel.hooks import reached
from driftwheel.ledger.table import Table, row_of

State = Literal["pending", "used", "superseded", "quarantined", "rejected", "duplicate", "ignored"]


PENDING = "Pending"
"""The local secondary index of versions a run may be started for, by ``waiting``: when each was received.

Only pending versions have the attribute, so that a decision reads what is new, however much lies there.
"""

LONGEST_KEY_BYTES = 800
"""What of a key stands in a sort key as it is; its digest (64 bytes) and a version must fit behind it."""

STANDING: frozenset[str] = frozenset({"pending", "used", "duplicate"})
"""States of versions whose bytes count."""


@dataclass(frozen=True)
class Delivered:
    """One object version as S3 announced it; ``sequencer`` is hex, comparable for one key only."""

    model: str
    role: str
    bucket: str
    key: str
    version: str
    etag: str
    size: int
    sequencer: str
    received: str

    @property
    def sk(self) -> str:
        """Its sort key: the object version."""
        return f"{short(self.key)}#{self.version}"


@dataclass(frozen=True)
class ObjectRow(Delivered):
    """An object version and what became of it."""

    state: State = "pending"
    reason: str = ""
    run_id: str = ""
    deliveries: int = 1


class Objects:
    """The object ledger of every model."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def deliver(self, object_: Delivered) -> ObjectRow:
        """Enter a delivery: the second of one version changes nothing but its count.

        A newer version of a key supersedes older pending ones; an older one that arrives late is superseded
        itself; the same bytes as the version before it (same ETag) are a duplicate. A delivery that was
        cut off after its entry is finished by its redelivery.
        """
        item = asdict(object_) | {
            "pk": _pk(object_.model),
            "sk": object_.sk,
            "state": "pending",
            "deliveries": 1,
            **_waiting(object_),
        }
        entered = ObjectRow(**asdict(object_))
        if not self._table.put_new(item):
            again = self._table.update(
                _pk(object_.model), object_.sk, {}, condition="attribute_exists(pk)", add={"deliveries": 1}
            )
            entered = row_of(ObjectRow, again or item)
        reached("after_ledger_put")
        return self._place(entered) if entered.state in STANDING else entered

    def _place(self, row: ObjectRow) -> ObjectRow:
        """Put a version into the order of its key's versions; a run may have settled it meanwhile.

        Two deliveries may do this at once, each seeing the other half done: both come to the same end.
        """
        versions = [other for other in self.of_key(row.model, row.key) if other.version != row.version]
        standing = [other for other in versions if other.state in STANDING]
        newer = [other for other in standing if later(other.sequencer, row.sequencer)]
        if row.state == "pending":
            # Of versions of the same bytes in a row the earliest stands: the later are its duplicates, even
            # where they were placed while its own delivery was cut off.
            others = (o for o in newer if o.etag != row.etag or o.state not in {"pending", "duplicate"})
            if (other := next(others, None)) is not None:
                return self.settle(row, "superseded", f"by version {other.version}")
            for other in newer:
                self.settle(other, "duplicate", f"unchanged: same bytes as version {row.version}")
        older = [other for other in standing if other not in newer]
        before = max(older, key=lambda other: padded(other.sequencer), default=None)
        if before is not None and before.etag == row.etag and row.state == "pending":
            return self.settle(row, "duplicate", f"unchanged: same bytes as version {before.version}")
        for other in older:
            if other.state == "pending" and (other.etag != row.etag or row.state == "pending"):
                self.settle(other, "superseded", f"by version {row.version}")
        return row

    def settle(self, object_: Delivered, state: State, reason: str, run_id: str = "") -> ObjectRow:
        """Move a pending object version to its terminal state; a settled one stays as it is."""
        changes = {"state": state, "reason": reason, "run_id": run_id}
        done = self._table.update(
            _pk(object_.model),
            object_.sk,
            changes,
            condition="#state = :pending",
            values={"pending": "pending"},
            remove=("waiting",),
        )
        if done is None:
            done = self._table.get(_pk(object_.model), object_.sk)
        return row_of(ObjectRow, done or asdict(object_))

    def reopen(self, object_: ObjectRow) -> bool:
        """Return a quarantined object version to pending; False when it is not quarantined (any more).

        A later version that was delivered meanwhile supersedes it, as it would have when both were pending.
        """
        replayed = f"replayed, was {object_.reason}"
        changes = {"state": "pending", "reason": replayed, "run_id": "", **_waiting(object_)}
        reopened = self._table.update(
            _pk(object_.model),
            object_.sk,
            changes,
            condition="#state = :quarantined",
            values={"quarantined": "quarantined"},
        )
        if reopened is None:
            return False
        newer = self.successor(object_)
        if newer is not None:
            self.settle(object_, "superseded", f"by version {newer.version}")
        return newer is None

    def supersede(self, object_: ObjectRow, version: str) -> bool:
        """Say that a quarantined object version was delivered again; False when it is not quarantined."""
        changes = {"state": "superseded", "reason": f"by version {version}, its quarantined copy"}
        done = self._table.update(
            _pk(object_.model),
            object_.sk,
            changes,
            condition="#state = :quarantined",
            values={"quarantined": "quarantined"},
        )
        return done is not None

    def successor(self, object_: ObjectRow) -> ObjectRow | None:
        """Find the last version of the same key when it is a later one; lost ones do not count."""
        versions = [row for row in self.of_key(object_.model, object_.key) if row.state != "ignored"]
        last = current(replace(row, state="used") for row in versions)
        return last[0] if last and last[0].version != object_.version else None

    def of_key(self, model: str, key: str) -> list[ObjectRow]:
        """Every version of a key that was ever delivered."""
        rows = (row_of(ObjectRow, item) for item in self._table.query(_pk(model), f"{short(key)}#"))
        return [row for row in rows if row.key == key]  # a#b is another key than a

    def pending(self, model: str) -> list[ObjectRow]:
        """Every version a run may be started for, oldest first; labels alone start none."""
        return [row_of(ObjectRow, item) for item in self._table.query(_pk(model), index=PENDING)]

    def of_model(self, model: str) -> list[ObjectRow]:
        """Every object version of a model, by key."""
        return [row_of(ObjectRow, item) for item in self._table.query(_pk(model))]


def current(rows: Iterable[ObjectRow]) -> list[ObjectRow]:
    """Pick the version of each key that belongs in a data set: the latest pending or used one.

    A later duplicate counts for its bytes: it may have brought back what an older version said. What a run
    found to be the rows of other files stands for itself, as those may be replaced, and comes first: of rows
    with one key the last file's counts, and a copy must not undo what was mended since.
    """
    versions: dict[str, list[ObjectRow]] = {}
    for row in rows:
        if row.state in STANDING:
            versions.setdefault(row.key, []).append(row)
    found = []
    for _, of_key in sorted(versions.items()):
        ordered = sorted(of_key, key=lambda row: padded(row.sequencer), reverse=True)
        standing = [row for row in ordered if row.state != "duplicate" or row.run_id]
        if standing:
            found.append(next((row for row in standing if row.etag == ordered[0].etag), ordered[0]))
    return sorted(found, key=lambda row: not (row.state == "duplicate" and row.run_id))


def short(key: str) -> str:
    """Write a key so that it fits a sort key, which holds 1,024 bytes, together with a version.

    >>> short("data/flights/june.csv"), len(short("x" * 1_024))
    ('data/flights/june.csv', 865)
    """
    whole = key.encode()
    if len(whole) <= LONGEST_KEY_BYTES:
        return key
    return f"{whole[:LONGEST_KEY_BYTES].decode(errors='ignore')}~{hashlib.sha256(whole).hexdigest()}"


def later(one: str, other: str) -> bool:
    """Tell whether sequencer ``one`` is later: pad the shorter on the right with zeros, compare as text.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html

    >>> later("0055AED6DCD90281E6", "0055AED6DCD90281E5")
    True
    """
    return padded(one) > padded(other)


def padded(sequencer: str) -> str:
    """Write a sequencer so that texts compare as sequencers do."""
    return sequencer.upper().rstrip("0")


def _pk(model: str) -> str:
    return f"OBJECT#{model}"


def _waiting(object_: Delivered) -> dict[str, str]:
    return {} if object_.role == "labels" else {"waiting": object_.received}
