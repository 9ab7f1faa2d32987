"""What the documentation says about the command is what the command does."""

import re
from pathlib import Path

import click
import pytest

from driftwheel_cli.main import cli

from .conftest import ROOT

TEXT = (ROOT / "docs" / "command.md").read_text(encoding="utf-8")
TABLE = TEXT.partition("## Rollback")[0]
ROWS = {
    words[0]: words[1:]
    for words in (row.split() for row in re.findall(r"^\| `(.+?)` \|", TABLE, re.MULTILINE))
}
"""Each documented command's arguments; an optional one stands in brackets."""


def test_every_command_is_documented_and_no_other() -> None:
    assert set(ROWS) == set(cli.commands)


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_documented_arguments_are_the_commands_own(name: str) -> None:
    own = [p for p in cli.commands[name].params if isinstance(p, click.Argument)]

    assert [word.startswith("[") for word in ROWS[name]] == [not argument.required for argument in own]


def test_every_option_the_documentation_names_exists() -> None:
    options = {
        o for c in (cli, *cli.commands.values()) for p in c.params for o in (*p.opts, *p.secondary_opts)
    }

    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXT)) <= options


@pytest.mark.parametrize(
    "path", sorted((ROOT / "cli" / "driftwheel_cli").rglob("*.py")), ids=lambda path: path.stem
)
def test_the_command_never_imports_the_local_runtime(path: Path) -> None:
    source = path.read_text(encoding="utf-8")

    assert not re.search(r"^\s*(from|import) (driftwheel_local|moto)", source, flags=re.MULTILINE)
