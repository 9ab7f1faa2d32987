"""Which container image runs as which plain process here, and how /opt/ml becomes a job folder.

There is no Docker: a job's /opt/ml lies in its own folder, the interpreter is ours and the packages of this
environment stand for the image's. `-S` keeps `.pth` files (so: this repository's own source tree) out; only
the code that was sent with the job is importable, as in the cloud. Every `/opt/ml…` in arguments and
environment values is rewritten to the folder; `SAGEMAKER_BASE_DIR`, the toolkit's own variable, names it too.
"""

import re
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from driftwheel_local.sagemaker.process import Command
from driftwheel_local.sagemaker.site import LOCAL_CREDENTIAL, Site

_IMAGE = re.compile(r"^(?:[^/]+/)*(?P<name>[^/:@]+)(?::(?P<tag>[^@]+))?(?:@.+)?$")
_OPT_ML = re.compile(r"(?<![\w./-])/opt/ml(?![\w.-])")
_PYTHON = re.compile(r"^python(3(\.\d+)?)?$")

XGBOOST = "sagemaker-xgboost"
SPARK = "sagemaker-spark-processing"
SUPPORTED = {
    XGBOOST: "script mode (training, processing, hosting)",
    SPARK: "processing, the script runs with this environment's PySpark",
}


SPARK_VARIABLES = {"SPARK_LOCAL_IP": "127.0.0.1", "PYTHONHASHSEED": "0"}
"""Spark must find itself without a network; Python's hashes are fixed, as in the image."""


SPARK_DEFAULTS = """\
spark.master local[*]
spark.driver.memory 3g
spark.driver.host 127.0.0.1
spark.ui.enabled false
spark.sql.codegen.wholeStage false
spark.sql.codegen.factoryMode NO_CODEGEN
spark.driver.extraJavaOptions -XX:TieredStopAtLevel=1 -XX:+UseSerialGC
"""
"""Compiling, of plans and of the JVM's code, takes longer than running what fits on this machine."""


class UnsupportedContainer(Exception):
    """When an image, or the way it is asked to run, has no local counterpart; the message says what has."""


@dataclass(frozen=True)
class OptMl:
    """A job's /opt/ml folder and the paths SageMaker promises inside it."""

    base: Path

    def make(self) -> None:
        """Create the folders SageMaker creates before a container starts."""
        for part in ("input/config", "input/data", "model", "output/data", "code"):
            self.base.joinpath(part).mkdir(parents=True, exist_ok=True)

    def path(self, *parts: str) -> Path:
        """Answer a path below /opt/ml."""
        return self.base.joinpath(*parts)

    def local(self, path: str) -> Path:
        """Answer where a container path lies here; raises UnsupportedContainer outside /opt/ml."""
        mapped = Path(self.rewrite(path))
        if not mapped.is_relative_to(self.base) or ".." in mapped.parts:
            raise UnsupportedContainer(f"ClientError: local path {path!r} must lie below /opt/ml")
        return mapped

    def rewrite(self, text: str) -> str:
        """Answer `text` with every /opt/ml replaced by this folder."""
        return _OPT_ML.sub(str(self.base), text)


def image_name(image: str) -> str:
    """Answer the repository name of an image URI; raises UnsupportedContainer for one we cannot run."""
    match = _IMAGE.match(image)
    name = match["name"] if match else ""
    if name not in SUPPORTED:
        supported = "; ".join(f"{known}: {how}" for known, how in SUPPORTED.items())
        raise UnsupportedContainer(
            f"ClientError: image {image!r} does not run in the local runtime. It runs {supported}"
        )
    return name


def environment(site: Site, opt_ml: OptMl, requested: Mapping[str, str], *, isolated: bool) -> dict[str, str]:
    """Answer the environment every container starts with: nothing of ours but what an image would have.

    With network isolation there are neither credentials nor an endpoint, as in the cloud.
    """
    temporary, home = opt_ml.base.parent / "tmp", opt_ml.base.parent / "home"
    temporary.mkdir(parents=True, exist_ok=True)
    home.mkdir(parents=True, exist_ok=True)
    variables = {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_REGION": site.region,
        "AWS_DEFAULT_REGION": site.region,
        "SAGEMAKER_BASE_DIR": str(opt_ml.base),
    }
    if not isolated:
        variables |= {
            "AWS_ENDPOINT_URL": site.endpoint_url(),
            "AWS_ACCESS_KEY_ID": LOCAL_CREDENTIAL,
            "AWS_SECRET_ACCESS_KEY": LOCAL_CREDENTIAL,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
    return variables | {name: opt_ml.rewrite(value) for name, value in requested.items()}


def import_path(*folders: Path) -> str:
    """Answer a PYTHONPATH of `folders` and this environment's packages, without its `.pth` files."""
    packages = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    return ":".join([*map(str, folders), *packages])


def processing_command(
    site: Site,
    opt_ml: OptMl,
    image: str,
    entrypoint: list[str],
    arguments: list[str],
    requested: Mapping[str, str],
    *,
    isolated: bool,
) -> Command:
    """Answer how a processing container runs: `python3 <script> …` or Spark's `smspark-submit <script> …`."""
    name = image_name(image)
    if not entrypoint:
        raise UnsupportedContainer(
            f"ClientError: {name} needs AppSpecification.ContainerEntrypoint in the local runtime, e.g. "
            '["python3", "/opt/ml/processing/input/code/script.py"]'
        )
    words = [*entrypoint, *arguments]
    extra: list[Path] = []
    spark: dict[str, str] = {}
    if name == SPARK and words[0] == "smspark-submit":
        words, extra = _spark(words[1:], opt_ml)
        spark = SPARK_VARIABLES | {"SPARK_CONF_DIR": str(_spark_settings(opt_ml))}
    elif _PYTHON.match(Path(words[0]).name):
        words = words[1:]
    else:
        raise UnsupportedContainer(
            f"ClientError: {name}: entry point {words[0]!r} does not run here; use python3 or smspark-submit"
        )
    rewritten = tuple(opt_ml.rewrite(word) for word in words)
    folder = opt_ml.path("processing")
    folder.mkdir(parents=True, exist_ok=True)
    variables = environment(site, opt_ml, requested, isolated=isolated) | spark
    script = Path(rewritten[0]) if rewritten else folder
    variables["PYTHONPATH"] = import_path(script.parent, *extra)
    return Command((sys.executable, "-S", *rewritten), variables, folder, isolated=isolated)


def _spark(words: list[str], opt_ml: OptMl) -> tuple[list[str], list[Path]]:
    """Answer the script with its arguments, and the folders of `--py-files`; no other option is supported."""
    extra: list[Path] = []
    rest = list(words)
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if option != "--py-files" or not rest:
            raise UnsupportedContainer(f"ClientError: smspark-submit option {option!r} does not run here")
        extra += [_py_file(name, opt_ml) for name in rest.pop(0).split(",")]
    if not rest or not rest[0].endswith(".py"):
        raise UnsupportedContainer("ClientError: smspark-submit needs a Python script in the local runtime")
    return rest, extra


def _spark_settings(opt_ml: OptMl) -> Path:
    """Write what `smspark-submit` writes for a cluster, for one small machine: no page, no compiled plans."""
    folder = opt_ml.base.parent / "spark"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spark-defaults.conf").write_text(SPARK_DEFAULTS, encoding="ascii")
    return folder


PREPARING = "Algorithm Error: (caused by ValueError): error preparing for spark submit"
"""How smspark-submit begins what it says of an input it refuses."""


def _py_file(name: str, opt_ml: OptMl) -> Path:
    """Answer where one of ``--py-files`` lies; refuse what the container refuses."""
    if not name.startswith("/"):
        raise UnsupportedContainer(
            f"{PREPARING}: file path {name} must be an absolute path to a file or directory"
        )
    path = opt_ml.local(name)
    if not path.exists():
        raise UnsupportedContainer(f"{PREPARING}: file path {name} does not exist")
    if path.is_dir() and not any(part.is_file() for part in path.iterdir()):
        raise UnsupportedContainer(f"{PREPARING}: Found zero files in {name}")
    return path
