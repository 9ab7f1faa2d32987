"""A PEP 517 build backend that needs nothing: it zips the Python files beside it into a wheel.

Hooks: https://peps.python.org/pep-0517/ ; wheel layout: https://peps.python.org/pep-0427/ .
"""

import base64
import hashlib
import zipfile
from pathlib import Path

PROGRAMS = ("train.py", "serve.py", "domain.py")
NAME, VERSION = "driftwheel_jobs", "1"

METADATA = f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {VERSION}\n"

WHEEL = "Wheel-Version: 1.0\nGenerator: build_backend\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def get_requires_for_build_wheel(config_settings: object = None) -> list[str]:
    """Need nothing, so that the build works without a network."""
    del config_settings
    return []


def build_wheel(
    wheel_directory: str, config_settings: object = None, metadata_directory: str | None = None
) -> str:
    """Write the wheel and return its file name."""
    del config_settings, metadata_directory
    source = Path.cwd()
    entries = {
        path.relative_to(source).as_posix(): path.read_bytes()
        for path in sorted([*(source / name for name in PROGRAMS), *source.glob("driftwheel/**/*.py")])
    }
    info = f"{NAME}-{VERSION}.dist-info"
    entries[f"{info}/METADATA"] = METADATA.encode()
    entries[f"{info}/WHEEL"] = WHEEL.encode()
    record = [f"{name},{_digest(content)},{len(content)}" for name, content in entries.items()]
    entries[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    name = f"{NAME}-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(Path(wheel_directory) / name, "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, content in entries.items():
            wheel.writestr(path, content)
    return name


def _digest(content: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
