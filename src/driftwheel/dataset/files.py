"""The files of a data set, and what reading them showed."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from driftwheel.refusal import Refusal
from driftwheel.sources.file import BadLine


@dataclass(frozen=True)
class DataFile:
    """One data object of the run: its role (``source``, ``enrich-<n>``), S3 key, local copy, S3 version."""

    role: str
    key: str
    path: Path
    version: str = ""


@dataclass(frozen=True)
class LabelFile:
    """One object of late labels, as a stream."""

    key: str
    chunks: Iterable[bytes]


@dataclass(frozen=True)
class CaptureFile:
    """One object of captured traffic, as a stream."""

    key: str
    chunks: Iterable[bytes]


@dataclass
class FileFacts:
    """What reading one file showed; ``refusal`` says why it is left out."""

    role: str
    key: str
    version: str = ""
    columns: tuple[str, ...] = ()
    rows: int = 0
    rejected: int = 0
    bad_lines: tuple[BadLine, ...] = ()
    bad_line_count: int = 0
    refusal: Refusal | None = None


@dataclass
class Assembled:
    """What was read: the facts of each file by its number, and counts of captured traffic."""

    files: dict[int, FileFacts] = field(default_factory=dict)
    captured: dict[str, int] = field(default_factory=dict)
    unmatched: int = 0
    problem: Refusal | None = None

    def readable(self, role: str) -> list[int]:
        """Numbers of the files of a role that are not refused."""
        return [n for n, facts in self.files.items() if facts.role == role and facts.refusal is None]
