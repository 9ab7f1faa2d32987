"""Every S3 key Driftwheel writes or watches, in one place.

Landing bucket (people write): ``data/…``, ``labels/<model>/…``, ``models/<model>/model.yaml``.
Artifact bucket (we write): everything below. One prefix ``runs/<model>/<run_id>/`` is one run.
"""

import hashlib
import re
from dataclasses import dataclass

LABELS = "labels/"
MODELS = "models/"
DATA = "data/"

VARIANT = "serving"
"""The one variant's name: blue/green updates refuse a config whose variant names differ."""

PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. -]{0,199}")


@dataclass(frozen=True)
class S3Uri:
    """An ``s3://bucket/key``."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, uri: str) -> "S3Uri":
        """Split a URI; raises ValueError when it is not one."""
        scheme, _, rest = uri.partition("://")
        bucket, _, key = rest.partition("/")
        if scheme != "s3" or not bucket:
            raise ValueError(f"not an S3 URI: {uri!r}")
        return cls(bucket, key)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def __truediv__(self, name: str) -> "S3Uri":
        return S3Uri(self.bucket, f"{self.key.rstrip('/')}/{name}".lstrip("/"))


@dataclass(frozen=True)
class RunLayout:
    """Where one run keeps its artifacts.

    >>> str(RunLayout("artifacts", "flights", "ab12").step("preprocessing") / "manifest.json")
    's3://artifacts/runs/flights/ab12/preprocessing/manifest.json'
    """

    bucket: str
    model: str
    run_id: str

    @property
    def root(self) -> S3Uri:
        """The run's prefix."""
        return S3Uri(self.bucket, f"runs/{self.model}/{self.run_id}")

    def step(self, name: str) -> S3Uri:
        """The prefix a step writes under."""
        return self.root / name

    @property
    def data_manifest(self) -> S3Uri:
        """The frozen list of object versions this run may read."""
        return self.root / "data.json"

    @property
    def record(self) -> S3Uri:
        """The whole run, written last."""
        return self.root / "run.json"


def capture_prefix(model: str) -> str:
    """Under which an endpoint's captured traffic lies (endpoint/variant/date follow), whoever captures it."""
    return f"capture/{model}"


def staging_prefix(model: str, run_id: str) -> str:
    """Where the files of a run lie while Spark reads them; they expire by themselves."""
    return f"staging/{model}/{run_id}"


def quarantine_key(model: str, version: str, name: str) -> str:
    """Where the bytes of a refused object go.

    A name of anything but letters, digits, dots, dashes and blanks becomes its digest: it could be ``..`` for
    whoever copies the prefix to a disk, or longer than a key may be.

    >>> quarantine_key("flights", "v1", "june.csv")
    'quarantine/flights/v1/june.csv'
    >>> len(quarantine_key("flights", "v1", ".."))
    86
    """
    plain = name if PLAIN_NAME.fullmatch(name) else hashlib.sha256(name.encode()).hexdigest()
    return f"quarantine/{model}/{version}/{plain}"


def drift_prefix(model: str, stamp: str) -> str:
    """Where one drift check writes its page, its violations and, last, its report."""
    return f"drift/{model}/{stamp}"


def accepted_key(model: str, run_id: str) -> str:
    """Where the last window in which a champion's check found nothing is kept, summarised."""
    return f"drift/{model}/accepted/{run_id}.json"


def hours_prefix(model: str, run_id: str) -> str:
    """Under which past hours of traffic are kept, summarised like a champion's baseline."""
    return f"drift/{model}/hours/{run_id}"


def answers_key(model: str, run_id: str) -> str:
    """Where a champion's answers of past hours are kept until their labels come."""
    return f"drift/{model}/answers/{run_id}.msgpack"


def domain_prefix(model: str, stamp: str) -> str:
    """Where the domain classifier's job of one check reads its question and writes its answer."""
    return f"domain/{model}/{stamp}"


def holdout_prefix(model: str, digest: str) -> str:
    """Where a pinned holdout lives; its name is its content."""
    return f"holdout/{model}/{digest}"


def spark_code_prefix(digest: str) -> str:
    """Where what Spark runs is kept, written once per content."""
    return f"code/{digest}/spark"


def code_key(digest: str) -> str:
    """The training and serving code, written once per content."""
    return f"code/{digest}/sourcedir.tar.gz"
