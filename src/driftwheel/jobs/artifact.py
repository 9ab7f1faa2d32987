"""A model artifact, read as if somebody had tampered with it.

``model.tar.gz``: ``model.json`` (XGBoost JSON), ``recipe.json``, ``params.json``, ``golden.jsonl``, ``code/``
and ``manifest.json``, which holds the sha256 of every other file. Nothing is parsed before its digest was
compared, and nothing of an unlisted name is ever written to disk. Whoever replaces an archive can replace the
manifest inside it too, so the manifest's own sha256 is recorded outside, when the gate judges the model, and
every later reader is given it. Standard library only.

The training job and the serving container load the model in their own process: each lives for one model, and
a crash ends only itself. Anything that lives longer must load models in a child process with memory and time
limits.
"""

import gzip
import hashlib
import io
import json
import re
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from driftwheel.errors import ArtifactInvalid

MANIFEST = "manifest.json"

ALLOWED = re.compile(
    r"model\.json|recipe\.json|params\.json|golden\.jsonl|manifest\.json"
    r"|code/(?:[A-Za-z0-9_]+/)*[A-Za-z0-9_]+\.py|code/pyproject\.toml"
)
"""Every name an artifact may hold; pickle, joblib, .npy, .pt, .ubj and compiled Python are not among them."""

REQUIRED = frozenset({"model.json", "recipe.json", "params.json", "golden.jsonl", MANIFEST})

JSON_OBJECT = (b"{",)
MAGIC = {
    "model.json": JSON_OBJECT,
    "recipe.json": JSON_OBJECT,
    "params.json": JSON_OBJECT,
    MANIFEST: JSON_OBJECT,
}
"""What a file must begin with: a pickle or UBJSON named model.json is refused by its first byte."""


@dataclass(frozen=True)
class Limits:
    """How much an archive may hold; a small archive that unpacks to more is refused while unpacking."""

    members: int = 500
    total_bytes: int = 2 * 1024**3
    ratio: int = 200
    ratio_applies_above: int = 50 * 1024**2


LIMITS = Limits()


@dataclass(frozen=True)
class Member:
    """One file of an archive."""

    name: str
    content: bytes


def read_members(
    archive: Path, limits: Limits = LIMITS, allowed: re.Pattern[str] = ALLOWED
) -> Iterator[Member]:
    """Yield the files of a ``.tar.gz``, refusing the whole archive at the first thing that is no plain file.

    Refused: links, devices, FIFOs, absolute names, ``..``, names that ``allowed`` does not know, a name
    twice, too many members, too many bytes, too high a compression ratio, damage. Raises ArtifactInvalid.
    """
    with archive.open("rb") as packed:
        size = archive.stat().st_size
        for name, content in _files(packed, archive.name, size, lambda _, file: file.read(), limits, allowed):
            yield Member(name, content)


def verify(packed: BinaryIO, name: str, size: int, manifest_sha256: str) -> None:
    """Read a packed model artifact to its end and compare every file with its manifest; nothing is written.

    Raises ArtifactInvalid as ``extract`` does. ``name`` and ``size`` say what is read. For whoever passes
    an artifact on to something that unpacks it without asking, as SageMaker does.
    """

    def taken(member: str, file: io.BufferedReader) -> bytes:
        return file.read() if member == MANIFEST else hashlib.file_digest(file, "sha256").digest()

    found = dict(_files(packed, name, size, taken))
    if MANIFEST not in found:
        raise ArtifactInvalid(f"{name} has no {MANIFEST}: it was never finished")
    _, wanted = _listed(found[MANIFEST], manifest_sha256)
    _check_names(found.keys(), wanted.keys())
    for member, digest in wanted.items():
        _check_digest(member, found[member].hex(), digest)


def extract(archive: Path, folder: Path, manifest_sha256: str = "", limits: Limits = LIMITS) -> None:
    """Unpack a model artifact into a new folder and check it; nothing of a refused archive is left behind."""
    folder.mkdir(parents=True)
    written: list[Path] = []
    try:
        for member in read_members(archive, limits):
            target = folder / member.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(member.content)
            written.append(target)
        check(folder, manifest_sha256)
    except ArtifactInvalid:
        for path in written:
            path.unlink()
        raise


def check(folder: Path, manifest_sha256: str = "") -> dict[str, Any]:
    """Compare every file of an unpacked artifact with its manifest and return the manifest.

    ``manifest_sha256`` is what was recorded of the manifest; empty where nothing is recorded yet. Raises
    ArtifactInvalid for another manifest and for a missing, additional or changed file.
    """
    try:
        manifest, digests = _listed((folder / MANIFEST).read_bytes(), manifest_sha256)
    except FileNotFoundError as error:
        raise ArtifactInvalid(f"the artifact has no {MANIFEST}: it was never finished") from error
    _check_names(set(names_in(folder)), digests.keys())
    for name, wanted in digests.items():
        path = folder / name
        _check_digest(name, file_sha256(path), wanted)
        with path.open("rb") as stream:
            if name in MAGIC and not stream.read(16).lstrip().startswith(MAGIC[name]):
                raise ArtifactInvalid(f"{name} is not JSON")
    return manifest


def describe(folder: Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Build a manifest's ``files``: name → sha256 and bytes."""
    return {
        name: {"sha256": file_sha256(folder / name), "bytes": (folder / name).stat().st_size}
        for name in sorted(names)
    }


def names_in(folder: Path) -> Iterator[str]:
    """Yield the artifact's files, relative to its folder; Python's own byte code is nobody's artifact."""
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_symlink():
            raise ArtifactInvalid(f"the artifact holds a link: {relative}")
        if path.is_file() and "__pycache__" not in relative.parts:
            yield relative.as_posix()


def file_sha256(path: Path) -> str:
    """Digest a file without holding it in memory."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _files(
    packed: BinaryIO,
    archive: str,
    size: int,
    read: Callable[[str, io.BufferedReader], bytes],
    limits: Limits = LIMITS,
    allowed: re.Pattern[str] = ALLOWED,
) -> Iterator[tuple[str, bytes]]:
    """Yield each file's name and what ``read`` makes of it."""
    seen: set[str] = set()
    total = 0
    try:
        with gzip.open(packed) as stream, tarfile.open(fileobj=cast("BinaryIO", stream), mode="r|") as tar:
            for count, info in enumerate(tar, start=1):
                if count > limits.members:
                    raise ArtifactInvalid(f"{archive} has more than {limits.members} members")
                if info.isdir() and _inside(info.name):
                    continue
                _check_member(info, archive, allowed, seen)
                total += info.size
                _check_size(total, size, archive, limits)
                name = _name(info)
                yield name, read(name, cast("io.BufferedReader", tar.extractfile(info)))
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError) as error:
        raise ArtifactInvalid(f"{archive} cannot be unpacked: {type(error).__name__}") from error


def _listed(content: bytes, recorded: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Read the manifest that was recorded, if one was: all of it, and the sha256 of each file it lists."""
    if recorded and hashlib.sha256(content).hexdigest() != recorded:
        raise ArtifactInvalid(
            f"the artifact is not the one that was judged: its {MANIFEST} has another sha256 than recorded"
        )
    try:
        manifest: dict[str, Any] = json.loads(content)
        files: Mapping[str, Mapping[str, Any]] = manifest["files"]
        return manifest, {str(name): str(entry["sha256"]) for name, entry in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArtifactInvalid(f"{MANIFEST} is damaged") from error


def _check_names(present: AbstractSet[str], listed: AbstractSet[str]) -> None:
    if unknown := present - listed - {MANIFEST}:
        raise ArtifactInvalid(f"the artifact holds {min(unknown)}, which its manifest does not list")
    if missing := (REQUIRED - {MANIFEST} | listed) - present:
        raise ArtifactInvalid(f"the artifact lacks {min(missing)}")


def _check_digest(name: str, found: str, wanted: str) -> None:
    if found != wanted:
        raise ArtifactInvalid(f"{name} is not the file its manifest describes: the sha256 differs")


def _check_member(info: tarfile.TarInfo, archive: str, allowed: re.Pattern[str], seen: set[str]) -> None:
    if not info.isreg():
        raise ArtifactInvalid(f"{archive} holds {info.name!r}, which is not a plain file")
    if not _inside(info.name):
        raise ArtifactInvalid(f"{archive} holds {info.name!r}, which points outside the artifact")
    name = _name(info)
    if not allowed.fullmatch(name):
        raise ArtifactInvalid(f"{archive} holds {info.name!r}, which is no part of a model artifact")
    if name in seen:
        raise ArtifactInvalid(f"{archive} holds {name!r} twice")
    seen.add(name)


def _check_size(total: int, packed: int, archive: str, limits: Limits) -> None:
    if total > limits.total_bytes:
        raise ArtifactInvalid(f"{archive} unpacks to more than {limits.total_bytes} bytes")
    if total > limits.ratio_applies_above and total > limits.ratio * packed:
        raise ArtifactInvalid(f"{archive} unpacks to more than {limits.ratio} times its size")


def _inside(name: str) -> bool:
    # tarfile's own filter="data" strips the slash of an absolute name and extracts it: refuse it instead.
    return not name.startswith("/") and ".." not in PurePosixPath(name).parts and "\\" not in name


def _name(info: tarfile.TarInfo) -> str:
    return PurePosixPath(info.name).as_posix()
