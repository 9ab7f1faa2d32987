"""SE-16 and SE-17: what our own code may not do, and that no secret lies in the repository."""

import json
import math
import re
import subprocess
import tomllib
from collections import Counter
from pathlib import Path

import pytest
import yaml

from driftwheel.yaml12 import Yaml12Loader
from driftwheel_local import template

from .code_rules import faults
from .rules import ROOT

FOLDERS = ("src", "functions", "local", "cli", "examples", "scan", "sam", "benchmarks")
FILES = sorted(
    path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if ".venv" not in str(path)
)

FORBIDDEN = [
    "eval(text)",
    "exec(text)",
    "compile(text, 'x', 'exec')",
    "import pickle",
    "from joblib import load",
    "import yaml\nyaml.load(text)",
    "import yaml\nyaml.load(text, Loader=yaml.Loader)",
    "import yaml\nyaml.load(text, Loader=Ours)",
    "import yaml\nyaml.UnsafeLoader(text).get_single_data()",
    "import yaml\nclass Ours(yaml.CFullLoader): ...",
    "from yaml import SafeLoader as Loader",
    "import yaml\nyaml.load(text, yaml.FullLoader)",
    "import yaml\nyaml.unsafe_load(text)",
    "subprocess.run(text, shell=True)",
    "subprocess.run(text, shell=flag)",
    "os.system(text)",
    "tempfile.mktemp()",
    "requests.get(url, verify=False)",
    "boto3.client('s3', verify=False)",
    "np.load(path)",
    "numpy.lib.format.read_array(f, allow_pickle=True)",
    "tar.extractall(folder)",
]
ALLOWED = [
    "yaml.load(text, Loader=yaml.SafeLoader)",
    "yaml.safe_load(text)",
    "subprocess.run(command, shell=False)",
    "re.compile(text)",
    "model.eval()",
    "boto3.client('s3', verify=True)",
]


@pytest.mark.case("SE-17")
@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_code_of_ours_turns_data_into_code(path: Path) -> None:
    assert list(faults(path.read_text(encoding="utf-8"))) == []


@pytest.mark.case("SE-17")
@pytest.mark.parametrize("source", FORBIDDEN)
def test_a_planted_call_is_found(source: str) -> None:
    assert list(faults(source))


@pytest.mark.parametrize("source", ALLOWED)
def test_a_harmless_call_is_not(source: str) -> None:
    assert list(faults(source)) == []


def test_the_loaders_by_name_are_safe_ones() -> None:
    assert issubclass(Yaml12Loader, yaml.SafeLoader)
    assert issubclass(yaml.CSafeLoader, yaml.constructor.SafeConstructor)
    assert issubclass(template._Loader, yaml.SafeLoader)


SECRETS = {
    "AWS access key": r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "token of a code host": r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|glpat-[\w-]{20}|xox[abpr]-[\w-]{10,})",
    "long secret": r"(?i)(?:secret|password|token)\w*[\"']?\s*[:=]\s*[\"']([A-Za-z0-9+/=_-]{24,})[\"']",
    "credentials in an address": r"[a-z]+://[^/\s:@]+:[^/\s:@{}]+@",
}


def entropy(text: str) -> float:
    counts = Counter(text)
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts.values())


def secrets(text: str) -> list[str]:
    found = []
    for name, pattern in SECRETS.items():
        for match in re.finditer(pattern, text):
            # A word of our own such as "parked-token-of-a-run" is no secret; chance is.
            if match.groups() and entropy(match.group(1)) < 4:
                continue
            found.append(f"{name}: {match.group()[:12]}…")
    return found


@pytest.mark.case("SE-16")
def test_no_secret_lies_in_the_repository() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    locks = ("requirements", "package-lock.json")
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.name.startswith(locks) or not path.is_file() or path.stat().st_size > 1_000_000:
            continue
        text = path.read_bytes().decode("utf-8", errors="ignore")
        assert secrets(text) == [], name


def test_a_planted_secret_is_found() -> None:
    chance = "q8Zr1LkX0vTn5BwYc3HsJd7e"
    assert secrets("AKIA" + "IOSFODNN7EXAMPLE")
    assert secrets("-----BEGIN " + "PRIVATE KEY-----")
    assert secrets(f'api_token = "{chance}"')
    assert secrets("https://user:" + "hunter2@example.org")


LOCKS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in (
        *("requirements.lock", "requirements*.txt", "scan/requirements-*.txt"),
        *("src/requirements.txt", "functions/*/requirements.txt"),  # what is deployed
        "benchmarks/peers/*.txt",
    )
    for path in ROOT.glob(pattern)
)


@pytest.mark.case("SE-16")
@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_is_locked_with_its_digest(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8").replace("\\\n", "")
    pins = [line for line in text.splitlines() if not line.startswith("#")]

    assert pins
    for pin in pins:
        assert re.fullmatch(r"\S+==\S+( ; [^\\]+?)?( +--hash=sha256:[0-9a-f]{64})+", pin), pin[:80]


def test_the_locks_are_all_of_them() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    names = [
        name
        for name in listed.stdout.split()
        if re.search(r"(requirements[^/]*|peers/\w+)\.(txt|lock)$", name)
    ]

    assert names == LOCKS


@pytest.mark.case("SE-16")
def test_every_package_of_node_is_locked_with_its_digest() -> None:
    locked = json.loads((ROOT / "scan/package-lock.json").read_text(encoding="utf-8"))["packages"]

    for name, package in locked.items():
        # What a package brings inside itself stands under that package's digest.
        assert not name or package.get("inBundle") or package["integrity"].startswith("sha512-"), name


def test_every_rule_that_bandit_skips_is_named_with_its_reason() -> None:
    configured = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["bandit"]
    [said] = [
        line for line in (ROOT / "SECURITY.md").read_text().splitlines() if line.startswith("- bandit ")
    ]

    assert configured.keys() == {"skips", "exclude_dirs"}
    assert re.findall(r"B\d{3}", said.partition("stay on")[0]) == configured["skips"]
