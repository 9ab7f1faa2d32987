"""Every command in the README exists and is run by a test or by CI."""

import re
from pathlib import Path

from driftwheel_cli.main import cli

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LINES = [
    line.partition(" #")[0].strip()
    for block in re.findall(r"^```\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]
RUN_ELSEWHERE = {
    "make demo": "tests/loop/test_demo.py",
    "make test": ".ci/run",
    "sam build": "Makefile",
    "sam deploy --guided": "docs/deploying.md",  # needs an AWS account: said there, run by nobody here
    "export PATH=$PWD/.venv/bin:$PATH DRIFTWHEEL_LOCAL=$PWD/.driftwheel": "tests/loop/test_demo.py",
    "cd .driftwheel/demo/files": "tests/loop/test_demo.py",
}


def test_every_command_is_run_somewhere_or_is_one_of_ours() -> None:
    others = [line for line in LINES if not line.startswith("driftwheel ")]

    assert set(others) == set(RUN_ELSEWHERE)
    assert all((ROOT / place).exists() for place in RUN_ELSEWHERE.values())


def test_every_driftwheel_command_takes_the_arguments_it_is_shown_with() -> None:
    for line in LINES:
        if line.startswith("driftwheel "):
            name, *arguments = re.findall(r"'[^']*'|\S+", line)[1:]
            files = [a for a in arguments if a.endswith((".csv", ".yaml"))]
            known = cli.commands[name].make_context(
                name,
                [str(ROOT / "README.md") if a in files else a for a in arguments],
                resilient_parsing=True,
            )
            assert known.command is cli.commands[name]


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)

    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
