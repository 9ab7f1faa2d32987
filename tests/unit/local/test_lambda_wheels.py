"""What Lambda must be able to load: its python3.11 runtime is Amazon Linux 2, whose glibc is 2.26."""

import re
from importlib.metadata import distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
GLIBC = (2, 26)
"""https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html; sam build refuses later wheels."""

SHIPPED = sorted(
    {
        name
        for path in [ROOT / "src" / "requirements.txt", *ROOT.glob("functions/*/requirements.txt")]
        for name in re.findall(r"^([\w.-]+)==", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
)


def oldest_glibc(name: str) -> tuple[int, int]:
    """Say which glibc an installed wheel needs; (0, 0) where it says nothing about one."""
    tags = distribution(name).read_text("WHEEL") or ""
    found = {(int(major), int(minor)) for major, minor in re.findall(r"manylinux_(\d+)_(\d+)", tags)}
    return min(found | ({(2, 17)} if "manylinux2014" in tags else set()), default=(0, 0))


@pytest.mark.parametrize("name", SHIPPED)
def test_what_a_function_ships_loads_on_lambdas_glibc(name: str) -> None:
    assert oldest_glibc(name) <= GLIBC


def test_a_wheel_that_needs_a_later_glibc_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    class Late:
        def read_text(self, file: str) -> str:
            return "Tag: cp311-cp311-manylinux_2_27_x86_64\nTag: cp311-cp311-manylinux_2_28_x86_64\n"

    monkeypatch.setattr(f"{__name__}.distribution", lambda name: Late())

    assert oldest_glibc("numpy") == (2, 27)
    assert "numpy" in SHIPPED
