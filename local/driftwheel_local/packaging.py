"""What `sam build` makes of the template's layers and functions, in seconds and without sam.

Layout of a build root::

    <LogicalId>             -> builds/<LogicalId>-<digest>   (symbolic link, replaced atomically)
    builds/<LogicalId>-<digest>/       what AWS would unzip: layers below `python/`, functions at the top
    builds/<LogicalId>-<digest>.json   its size, as recorded when it was built
    installed/<digest>/                one requirements.txt, installed once for everybody
    runtime/<digest>/                  awslambdaric and its needs: AWS's /var/runtime

Files of a build are hard links into `installed/`: they are read-only by agreement, as /var/task is.
"""

import compileall
import fcntl
import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uv import find_uv_bin

UNZIPPED_LIMIT_BYTES = 262_144_000
"""Function plus layers, unzipped (AWS Lambda quotas)."""
LAYERS_LIMIT = 5
PYTHON_BUILD = f"python{sys.version_info.major}.{sys.version_info.minor}"
MAKE_BUILD = "makefile"
RUNTIME_DISTRIBUTIONS = ("awslambdaric", "simplejson", "snapshot-restore-py")
FORMAT = "1"
"""Part of every digest: raise it when a build's layout changes."""
KEPT_DAYS = 7
"""A build nobody used for so long is deleted; a running stack touches what it uses at every start."""

_FUNCTION_PATHS = {"AWS::Serverless::Function": "CodeUri", "AWS::Lambda::Function": "Code"}
_LAYER_PATHS = {"AWS::Serverless::LayerVersion": "ContentUri", "AWS::Lambda::LayerVersion": "Content"}
_NEVER_SHIPPED = ("__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache")


class PackagingError(Exception):
    """When a layer or function of the template cannot be built or would be refused by AWS for its size."""


@dataclass(frozen=True)
class Part:
    """One layer or function of the template and where its source lies."""

    logical_id: str
    source: Path
    is_layer: bool
    is_built: bool
    layers: tuple[str, ...] = ()
    by_make: bool = False
    """Built by its own Makefile; here its requirements are installed as everybody's."""


def build(template_dir: Path, template: Mapping[str, Any], build_root: Path) -> dict[str, Path]:
    """Build every layer and function of `template`; answer the folder of each logical id.

    `template` is parsed YAML (intrinsics as `{"Ref": …}`), raw SAM or translated, whose code paths are
    relative to `template_dir`. Nothing is done for a part whose sources are unchanged. Raises PackagingError.
    """
    parts = [*_parts(template_dir, template)]
    built = {part.logical_id: _build_part(part, build_root) for part in parts}
    runtime(build_root)
    _refuse_too_large(parts, built)
    _forget_other_parts(build_root, set(built))
    _forget_old_builds(build_root, {path.name for path in built.values()})
    return built


def sizes(build_root: Path) -> dict[str, int]:
    """Answer the unzipped bytes of each part last built, bytecode apart (sam ships none)."""
    return {
        link.name: _record(link.resolve())["bytes"]
        for link in sorted(build_root.iterdir())
        if link.is_symlink() and link.exists()
    }


def runtime(build_root: Path) -> Path:
    """Answer the folder that holds awslambdaric and what it imports, copied out of this environment."""
    files: list[tuple[Path, str]] = []
    names = []
    for name in RUNTIME_DISTRIBUTIONS:
        distribution = importlib.metadata.distribution(name)
        names.append(f"{name}=={distribution.version}")
        files += [
            (Path(str(file.locate())), str(file))
            for file in distribution.files or ()
            if ".." not in file.parts and "__pycache__" not in file.parts
        ]
    target = build_root / "runtime" / _digest([FORMAT, _interpreter(), *names])

    def fill(folder: Path) -> None:
        for source, relative in files:
            (folder / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / relative)
        _compile(folder)

    return _publish(target, fill, build_root)


def _parts(template_dir: Path, template: Mapping[str, Any]) -> Iterator[Part]:
    shared = template.get("Globals", {}).get("Function", {})
    for logical_id, resource in template.get("Resources", {}).items():
        kind, properties = resource.get("Type", ""), resource.get("Properties", {})
        method = resource.get("Metadata", {}).get("BuildMethod")
        if kind in _LAYER_PATHS:
            _refuse_method(logical_id, method, (None, PYTHON_BUILD))
            yield Part(
                logical_id,
                _source(template_dir, logical_id, _LAYER_PATHS[kind], properties),
                is_layer=True,
                is_built=method is not None,
            )
        elif kind in _FUNCTION_PATHS:
            _refuse_method(logical_id, method, (None, PYTHON_BUILD, MAKE_BUILD))
            name = _FUNCTION_PATHS[kind]
            merged = {name: shared.get(name)} | properties
            layers = [*shared.get("Layers", []), *properties.get("Layers", [])]
            if len(layers) > LAYERS_LIMIT:
                raise PackagingError(f"{logical_id}: {len(layers)} layers; AWS allows {LAYERS_LIMIT}")
            yield Part(
                logical_id,
                _source(template_dir, logical_id, name, merged),
                is_layer=False,
                is_built=True,
                layers=tuple(layer["Ref"] for layer in layers if isinstance(layer, dict) and "Ref" in layer),
                by_make=method == MAKE_BUILD,
            )


def _refuse_method(logical_id: str, method: str | None, known: tuple[str | None, ...]) -> None:
    if method not in known:
        raise PackagingError(f"{logical_id}: BuildMethod {method} is not supported here; use {PYTHON_BUILD}")


def _source(template_dir: Path, logical_id: str, name: str, properties: Mapping[str, Any]) -> Path:
    value = properties.get(name)
    if not isinstance(value, str):
        raise PackagingError(f"{logical_id}: {name} is {value!r}; the local build needs a local folder there")
    source = (template_dir / value).resolve()
    if not source.is_dir():
        raise PackagingError(f"{logical_id}: {name} names {value}, and {source} is no folder")
    return source


def _build_part(part: Part, build_root: Path) -> Path:
    requirements = part.source / "requirements.txt"
    needs_install = part.is_built and requirements.is_file()
    shipped = [file for file in _shipped_files(part.source) if not (part.by_make and file.name == "Makefile")]
    digest = _digest([FORMAT, _interpreter(), str(part.is_built), *_fingerprints(part.source, shipped)])
    target = build_root / "builds" / f"{part.logical_id}-{digest}"

    def fill(folder: Path) -> None:
        top = folder / "python" if part.is_layer and part.is_built else folder
        top.mkdir(parents=True, exist_ok=True)
        if needs_install:
            installed = _install(requirements, build_root, part.logical_id)
            shutil.copytree(installed, top, copy_function=os.link, dirs_exist_ok=True)
        for file in shipped:
            place = top / file.relative_to(part.source)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)  # a hard link into installed/ must not be written through
            shutil.copy2(file, place)
        _compile(top)
        _write_record(folder, target)

    _publish(target, fill, build_root)
    os.utime(target)
    _point(build_root / part.logical_id, target)
    return target


def _install(requirements: Path, build_root: Path, logical_id: str) -> Path:
    target = build_root / "installed" / _digest([FORMAT, _interpreter(), requirements.read_text()])

    def fill(folder: Path) -> None:
        command = [find_uv_bin(), "pip", "install", "--quiet", "--target", str(folder)]
        command += ["--python", sys.executable, "--compile-bytecode", "--link-mode", "copy"]
        command += ["--requirements", str(requirements)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=requirements.parent)
        if done.returncode:
            raise PackagingError(f"{logical_id}: {requirements} cannot be installed:\n{done.stderr.strip()}")
        (folder / ".lock").unlink(missing_ok=True)

    return _publish(target, fill, build_root)


def _publish(target: Path, fill: Callable[[Path], None], build_root: Path) -> Path:
    """Make `target` exist, filled: it appears complete or not at all, whoever else builds meanwhile."""
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(build_root / f"{target.parent.name}.lock"):
        if target.is_dir():
            return target
        unfinished = target.parent / f".{target.name}-{uuid.uuid4().hex}"
        unfinished.mkdir()
        try:
            fill(unfinished)
            unfinished.rename(target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return target


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _point(link: Path, target: Path) -> None:
    wanted = target.relative_to(link.parent)
    if link.is_symlink() and link.readlink() == wanted:
        return
    fresh = link.with_name(f".{link.name}-{uuid.uuid4().hex}")
    fresh.symlink_to(wanted)
    fresh.replace(link)


def _shipped_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name in _NEVER_SHIPPED or path.name.endswith((".egg-info", ".pyc")):
            continue
        if path.is_dir():
            yield from _shipped_files(path)
        else:
            yield path


def _fingerprints(folder: Path, files: Iterable[Path]) -> Iterator[str]:
    for file in files:
        yield f"{file.relative_to(folder)} {hashlib.sha256(file.read_bytes()).hexdigest()}"


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _interpreter() -> str:
    return f"{sys.implementation.cache_tag} {sys.version.split()[0]} {sys.platform} {os.uname().machine}"


def _compile(folder: Path) -> None:
    # The answer is not looked at: a module that cannot be compiled fails where it does on AWS, when imported.
    compileall.compile_dir(folder, quiet=2)


def _write_record(folder: Path, target: Path) -> None:
    packages: dict[str, int] = {}
    total = 0
    top = folder / "python" if (folder / "python").is_dir() else folder
    for path in folder.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            size = path.stat().st_size
            total += size
            name = path.relative_to(top if path.is_relative_to(top) else folder).parts[0]
            packages[name] = packages.get(name, 0) + size
    record = target.with_suffix(".json")
    unfinished = record.with_name(f".{record.name}-{uuid.uuid4().hex}")
    unfinished.write_text(json.dumps({"bytes": total, "packages": packages}))
    unfinished.replace(record)


def _record(built: Path) -> Any:
    return json.loads(built.with_suffix(".json").read_text())


def _refuse_too_large(parts: Iterable[Part], built: Mapping[str, Path]) -> None:
    for part in parts:
        members = [part.logical_id, *(layer for layer in part.layers if layer in built)]
        records = {member: _record(built[member]) for member in members}
        total = sum(record["bytes"] for record in records.values())
        if part.is_layer or total <= UNZIPPED_LIMIT_BYTES:
            continue
        packages = {
            f"{member}/{name}": size
            for member, record in records.items()
            for name, size in record["packages"].items()
        }
        largest = sorted(packages.items(), key=lambda item: -item[1])[:5]
        listing = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in largest)
        raise PackagingError(
            f"{part.logical_id}: {total} bytes unzipped with its layers; AWS allows {UNZIPPED_LIMIT_BYTES}. "
            f"The largest: {listing}. Drop a requirement, or move the work to a SageMaker job."
        )


def _forget_other_parts(build_root: Path, logical_ids: set[str]) -> None:
    for link in build_root.iterdir():
        if link.is_symlink() and link.name not in logical_ids and not link.name.startswith("."):
            link.unlink(missing_ok=True)


def _forget_old_builds(build_root: Path, used: set[str]) -> None:
    limit = time.time() - KEPT_DAYS * 86_400  # file times, not AWS time
    for built in (build_root / "builds").iterdir():
        if built.is_dir() and built.name not in used and built.stat().st_mtime < limit:
            shutil.rmtree(built, ignore_errors=True)
            built.with_suffix(".json").unlink(missing_ok=True)
