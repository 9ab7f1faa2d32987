"""Search every state of the champion protocol, and of the protocol with each part taken away.

Run it by `make model`; needs spin and a C compiler. Exit code 1 when the whole protocol breaks a promise, or
one without a part keeps them all: then nothing would show what that part is for.
"""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MODEL = Path(__file__).with_name("champion.pml")

VARIANTS = {
    "": "",
    "RACE": "",
    "NO_CAS": "crowned[me]==1",
    "NO_FENCE": "mine>=last_mover",
    "NO_VERIFY": "serving==me",
    "NO_RESTORE": "serving==champion",
    "ROLLBACK_WITHOUT_LEASE": "mine>=last_mover",
}
"""Switch → the assertion that must break; none where every state must keep all of them."""


def search(switch: str) -> tuple[int, int, str]:
    """Search one variant: states, errors, and the assertion that broke or spin's own complaint."""
    with tempfile.TemporaryDirectory() as folder:
        define = [f"-D{switch}"] if switch else []
        for command in (
            ["spin", "-a", *define, str(MODEL)],
            ["gcc", "-O1", "-w", "-DSAFETY", "-o", "pan", "pan.c"],
        ):
            subprocess.run(command, cwd=folder, check=True)
        told = subprocess.run(
            ["./pan", "-m200000"], cwd=folder, check=True, capture_output=True, text=True
        ).stdout
    broke = re.search(r"pan:\d+: (?:assertion violated \((.+?)\) \(at|(.+?) \(at)", told)
    states, errors = re.search(r"(\d+) states, stored", told), re.search(r"errors: (\d+)", told)
    assert states is not None
    assert errors is not None
    reason = (broke[1] or broke[2]) if broke else "a search cut short" if "too small" in told else ""
    return int(states[1]), int(errors[1]), reason


def main() -> int:
    """Search them all; print one line each."""
    wrong = 0
    for switch, expected in VARIANTS.items():
        began = time.monotonic()
        states, errors, reason = search(switch)
        as_expected = (reason, bool(errors)) == (expected, bool(expected))
        wrong += not as_expected
        verdict = "as expected" if as_expected else f"NOT AS EXPECTED: {expected or 'no error'}"
        seconds = time.monotonic() - began
        print(
            f"{switch or 'the protocol':22} {states:8} states {errors} errors {seconds:5.1f} s"
            f"  {verdict}  {reason}",
            flush=True,
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
