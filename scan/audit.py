"""`make audit`: pip-audit over every locked file.

ADVISORIES names copies of advisory databases on this machine; without it PyPI's JSON API and npm's registry
are asked. Every run begins with a control: a planted advisory must be found for a planted pin, and nothing
for the pin that mends it, or a silent "no known vulnerabilities" would prove nothing.
Ends with 1 when a locked package is vulnerable and not accepted, or when it could not be looked up.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from advisories import Advisories, served

ROOT = Path(__file__).parents[1]
PIP_AUDIT = ROOT / ".scan" / "tools" / "bin" / "pip-audit"
PLANTED = ROOT / "scan" / "planted"
VULNERABLE, MENDED = "driftwheel-planted==1.2.0\n", "driftwheel-planted==1.2.1\n"

LOCKED = (
    "requirements.lock",
    "requirements-demo.txt",
    "requirements-bootstrap.txt",
    "requirements-sam.txt",
    "src/requirements.txt",
    "scan/requirements-checkov.txt",
    "scan/requirements-tools.txt",
    "functions/drift_check/requirements.txt",
    "functions/evaluation_gate/requirements.txt",
    "functions/preprocessing/requirements.txt",
    "functions/preprocessing_launch/requirements.txt",
    "functions/trigger/requirements.txt",
    "benchmarks/peers/plain.txt",
    "benchmarks/peers/pipelines.txt",
)

UNASKED = tuple(
    f"benchmarks/peers/{peer}.txt" for peer in ("alibi_detect", "evidently", "frouros", "nannyml", "whylogs")
)
"""Peers that hold their own dependencies to old versions, whatever is known of those."""

ACCEPTED = {
    # ecdsa 0.19.2: a timing attack on signing (Minerva) that its authors will not mend. checkov 3.3.30
    # requires it; it stands in checkov's own environment alone, where no key is and nothing is signed.
    "CVE-2024-23342",
    "safety-db:ecdsa>=0",
}


def asked(requirements: Path, address: str | None) -> "subprocess.CompletedProcess[str]":
    """Run pip-audit over one file; the address is an OSV API's, PyPI's own is asked without one."""
    where = ["--vulnerability-service", "osv", "--osv-url", address] if address else []
    return subprocess.run(
        [
            *(str(PIP_AUDIT), "--strict", "--disable-pip", "--no-deps", "--progress-spinner", "off"),
            *(part for each in sorted(ACCEPTED) for part in ("--ignore-vuln", each)),
            *(*where, "-r", str(requirements)),
        ],
        cwd=ROOT,
        env=os.environ | {"PIP_AUDIT_LOGLEVEL": "ERROR"},
        capture_output=True,
        text=True,
        check=False,
    )


def control() -> Iterator[str]:
    """Ask of the planted pins; yields what went wrong."""
    with served(Advisories.read(PLANTED)) as address, tempfile.TemporaryDirectory() as name:
        for text, code in ((VULNERABLE, 1), (MENDED, 0)):
            pins = Path(name) / "requirements.txt"
            pins.write_text(text, encoding="utf-8")
            ended = asked(pins, address)
            if ended.returncode != code or ("CVE-0000-0001" in ended.stdout) != bool(code):
                yield f"pip-audit ended with {ended.returncode} for {text.strip()}: {ended.stderr[-500:]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("advisories", nargs="*", type=Path, help="checkouts of advisory databases")
    places = parser.parse_args().advisories
    faults = list(control())
    if faults:
        sys.stdout.write("\n".join(faults) + "\n")
        return 1
    sys.stdout.write("control: the planted vulnerability is found, the mended pin is clean\n")
    if places:
        known = Advisories.read(*places)
        sys.stdout.write(f"{len(known)} packages have advisories in {', '.join(map(str, places))}\n")
        with served(known) as address:
            return max([_audited(lock, address) for lock in LOCKED])
    return max(*[_audited(lock, None) for lock in LOCKED], _npm())


def _audited(lock: str, address: str | None) -> int:
    ended = asked(ROOT / lock, address)
    said = (ended.stdout + ended.stderr).strip().replace("\n", "\n  ")
    sys.stdout.write(f"{lock}: {said}\n")
    sys.stdout.flush()
    return ended.returncode


def _npm() -> int:
    """The scanners of Node, by npm's own registry."""
    return subprocess.run(["npm", "audit", "--package-lock-only"], cwd=ROOT / "scan", check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
