"""What Lambda must be able to load: its python3.11 is Amazon Linux 2, glibc 2.26 and the libraries of GCC 7.

A wheel's tag says what it was built for, its libraries what they need. The tag counts for `sam build`, which
refuses later ones, but for the functions that are built by a Makefile; the libraries count for all.
"""

import re
from importlib.metadata import distribution
from pathlib import Path

import pytest

from driftwheel_local.template import read_template

ROOT = Path(__file__).parents[3]
GLIBC = (2, 26)
"""https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html"""

SYMBOLS = {"GLIBC": GLIBC, "GLIBCXX": (3, 4, 24), "CXXABI": (1, 3, 11), "GCC": (7, 0, 0)}
"""Newest versions of symbols in libc and GCC 7's: https://gcc.gnu.org/onlinedocs/libstdc++/manual/abi.html"""

NEEDED = re.compile(rb"\0((?:GLIBC|GLIBCXX|CXXABI|GCC)_[0-9.]+|GLIBC_ABI_\w+)(?=\0)")

REQUIREMENTS = [ROOT / "src" / "requirements.txt", *ROOT.glob("functions/*/requirements.txt")]


def by_make() -> dict[Path, str]:
    """Give the folder of every function that the template has built by a Makefile, and its name there."""
    resources = read_template(ROOT / "template.yaml")["Resources"].items()
    return {
        ROOT / each["Properties"]["CodeUri"]: name
        for name, each in resources
        if each.get("Metadata", {}).get("BuildMethod") == "makefile"
    }


def names_in(path: Path) -> set[str]:
    return set(re.findall(r"^([\w.-]+)==", path.read_text(encoding="utf-8"), re.MULTILINE))


SHIPPED = sorted(set().union(*map(names_in, REQUIREMENTS)))
BY_SAM = sorted(set().union(*(names_in(path) for path in REQUIREMENTS if path.parent not in by_make())))


def oldest_glibc(name: str) -> tuple[int, int]:
    """Say which glibc an installed wheel is tagged for; (0, 0) where it says nothing about one."""
    tags = distribution(name).read_text("WHEEL") or ""
    found = {(int(major), int(minor)) for major, minor in re.findall(r"manylinux_(\d+)_(\d+)", tags)}
    return min(found | ({(2, 17)} if "manylinux2014" in tags else set()), default=(0, 0))


def late(symbol: str) -> bool:
    """Say whether Lambda's libraries lack a symbol version; GLIBC_ABI_… came with glibc 2.36."""
    family, _, version = symbol.partition("_")
    return not version[0].isdigit() or tuple(map(int, version.split("."))) > SYMBOLS[family]


def too_new(library: bytes) -> set[str]:
    """Name the symbol versions in a shared library that Lambda has not; those it defines are among them."""
    return {symbol for each in NEEDED.findall(library) if late(symbol := each.decode())}


@pytest.mark.parametrize("name", BY_SAM)
def test_sam_build_takes_the_wheel_a_function_ships(name: str) -> None:
    assert oldest_glibc(name) <= GLIBC


@pytest.mark.parametrize("name", SHIPPED)
def test_what_a_function_ships_loads_on_lambdas_libraries(name: str) -> None:
    files = [Path(str(file.locate())) for file in distribution(name).files or () if ".so" in file.name]

    assert {file.name: too_new(file.read_bytes()) for file in files} == {file.name: set() for file in files}


def test_a_folder_has_a_makefile_where_the_template_says_so_with_the_target_sam_asks_for() -> None:
    makefiles = {path.parent: path.read_text(encoding="utf-8") for path in ROOT.glob("functions/*/Makefile")}

    assert makefiles.keys() == by_make().keys()
    assert all(f"\nbuild-{name}:\n" in makefiles[folder] for folder, name in by_make().items())


def test_a_wheel_or_library_that_needs_later_ones_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    class Late:
        def read_text(self, file: str) -> str:
            return "Tag: cp311-cp311-manylinux_2_27_x86_64\nTag: cp311-cp311-manylinux_2_28_x86_64\n"

    monkeypatch.setattr(f"{__name__}.distribution", lambda name: Late())

    assert oldest_glibc("numpy") == (2, 27)
    assert too_new(
        b"\0GLIBC_2.2.5\0GLIBC_2.27\0GLIBC_ABI_DT_RELR\0GCC_7.0.0\0GLIBCXX_3.4.25\0CXXABI_1.3.11\0"
    ) == {
        "GLIBC_2.27",
        "GLIBC_ABI_DT_RELR",
        "GLIBCXX_3.4.25",
    }
    assert {"numpy", "duckdb"} <= set(SHIPPED)
