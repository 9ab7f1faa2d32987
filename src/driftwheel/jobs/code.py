"""The code archive that trains and serves: exactly the files both need, the same bytes every time.

AWS's XGBoost image (3.2-0) installs it with ``pip install .`` before it runs ``train.py``. Under network
isolation pip 26 fails there, because it wants to download setuptools into its isolated build environment
(the image's own test of script mode under isolation is marked as failing: aws/deep-learning-containers,
``test/xgboost/e2e/test_network_isolation.py``). So the archive brings its own build backend, which needs
nothing.
"""

import ast
import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent

ROOTS = ("driftwheel.jobs.train", "driftwheel.jobs.serve", "driftwheel.jobs.domain_job")
"""Whatever these import of the package, directly or not, is in the archive."""

SPARK_ROOTS = ("driftwheel.jobs.preprocess_spark",)

SPARK_PACKAGE = "driftwheel.zip"
SPARK_MAIN = "main.py"
"""Spark runs a script; the package comes beside it (``--py-files``), for the workers too."""

ENTRIES = ("train.py", "serve.py", "domain.py", "build_backend.py")
"""Files of ``jobs/entry`` that stand at the archive's top."""

INIT = b'"""Part of Driftwheel that trains and serves."""\n'
"""Packages start empty there: the real ones may offer names whose modules stay at home."""

PYPROJECT = """\
[build-system]
requires = []
build-backend = "build_backend"
backend-path = ["."]
"""


def names() -> list[str]:
    """Name every file of the archive."""
    return sorted(["pyproject.toml", *ENTRIES, *sources(ROOTS)])


def sources(roots: Iterable[str]) -> list[str]:
    """Name every file of the package that these modules need, their packages included."""
    paths = {f"{module.replace('.', '/')}.py" for module in modules(roots)}
    packages = {parent.as_posix() for path in paths for parent in Path(path).parents if parent.name}
    return sorted([*paths, *(f"{package}/__init__.py" for package in packages)])


def modules(roots: Iterable[str] = ROOTS) -> set[str]:
    """Find the package's modules that these import; what only a type checker reads is left out."""
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += _imports(module)
    return found


def _imports(module: str) -> list[str]:
    candidates: list[str] = []
    for node in _run(ast.parse(_source(module).read_bytes())):
        if isinstance(node, ast.Import):
            candidates += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            candidates += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in candidates if name.startswith("driftwheel.") and _source(name).is_file()]


def _run(node: ast.AST) -> Iterator[ast.AST]:
    """Walk a module without its ``if TYPE_CHECKING:``."""
    yield node
    typing = isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    for child in () if typing else ast.iter_child_nodes(node):
        yield from _run(child)


def _source(module: str) -> Path:
    return PACKAGE.parent / f"{module.replace('.', '/')}.py"


def content(name: str) -> bytes:
    """Read one file of the archive from the installed package."""
    if name == "pyproject.toml":
        return PYPROJECT.encode()
    if name.endswith("/__init__.py"):
        return INIT
    if name in ENTRIES:
        return (PACKAGE / "jobs" / "entry" / name).read_bytes()
    return (PACKAGE.parent / name).read_bytes()


def bundle() -> tuple[str, bytes]:
    """Build ``sourcedir.tar.gz``: the sha256 of its bytes, and the bytes."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name in names():
            data = content(name)
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mode = 0o644
            tar.addfile(info, io.BytesIO(data))
    archive = packed.getvalue()
    return hashlib.sha256(archive).hexdigest(), archive


def spark_bundle() -> tuple[str, dict[str, bytes]]:
    """Build what Spark's job runs: one digest of all, and file name → bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sources(SPARK_ROOTS):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content(name))
    main = (PACKAGE / "jobs" / "entry" / "spark.py").read_bytes()
    files = {SPARK_MAIN: main, SPARK_PACKAGE: packed.getvalue()}
    whole = hashlib.sha256(b"".join(hashlib.sha256(data).digest() for data in files.values()))
    return whole.hexdigest(), files
