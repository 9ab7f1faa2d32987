"""model.tar.gz and its kin: packed reproducibly, unpacked as if an enemy had packed them."""

import gzip
import shutil
import tarfile
from pathlib import Path, PurePosixPath

MAX_MEMBERS = 20_000
MAX_BYTES = 5 * 1024**3  # the default disk of a small job; also what stops a decompression bomb


class ArchiveFault(Exception):
    """When an archive is damaged, too large, or holds anything but plain files inside its own folder."""


def pack(folder: Path, target: Path) -> None:
    """Write every file below `folder` into the tar.gz `target`; equal content gives equal bytes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        target.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6) as stream,
        tarfile.open(fileobj=stream, mode="w") as archive,
    ):
        for path in sorted(folder.rglob("*")):
            if path.is_symlink() or not path.is_file():
                continue
            member = tarfile.TarInfo(path.relative_to(folder).as_posix())
            member.size = path.stat().st_size
            member.mode = 0o644
            with path.open("rb") as content:
                archive.addfile(member, content)


def unpack(archive: Path, folder: Path, *, max_bytes: int = MAX_BYTES) -> None:
    """Unpack a tar.gz into `folder` (made if missing); refuse links, devices, absolute names and "..".

    Raises ArchiveFault naming the member.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = 0
    try:
        with tarfile.open(archive, mode="r|gz") as stream:
            for count, member in enumerate(stream, start=1):
                if count > MAX_MEMBERS:
                    raise ArchiveFault(f"{archive.name} has more than {MAX_MEMBERS} members")
                name = PurePosixPath(member.name)
                if name.is_absolute() or ".." in name.parts or "\\" in member.name or "\0" in member.name:
                    raise ArchiveFault(f"{archive.name}: member {member.name!r} points outside its folder")
                if member.isdir():
                    folder.joinpath(name).mkdir(parents=True, exist_ok=True)
                    continue
                if not member.isfile():
                    raise ArchiveFault(f"{archive.name}: member {member.name!r} is a link or a device")
                written += member.size
                if written > max_bytes:
                    raise ArchiveFault(f"{archive.name} unpacks to more than {max_bytes} bytes")
                _write(stream, member, folder.joinpath(name))
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ArchiveFault(f"{archive.name} is not a readable tar.gz: {error}") from error


def _write(stream: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = stream.extractfile(member)
    if content is None:
        raise ArchiveFault(f"member {member.name!r} has no content")
    with content, path.open("wb") as target:
        shutil.copyfileobj(content, target)
    path.chmod(0o755 if member.mode & 0o100 else 0o644)
