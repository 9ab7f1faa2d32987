"""The race windows' hooks act in a test build alone: variable and module, never one of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from driftwheel.hooks import MODULE, VARIABLE
from driftwheel.jobs.code import bundle
from driftwheel_local import packaging
from driftwheel_local.template import load_template

ROOT = Path(__file__).parents[2]
ASK = "from driftwheel import hooks; hooks.reached('after_lease'); print(hooks._reach is not None)"


def acts(folder: Path, *, variable: bool) -> str:
    """Reach a hook in a process that sees what is shipped, and what lies in ``folder``."""
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(folder)])
    asked = subprocess.run(
        [sys.executable, "-c", ASK],
        env=environment | ({VARIABLE: "plan"} if variable else {}),
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return asked.stdout.strip()


@pytest.mark.parametrize(
    ("variable", "module", "answer"),
    [(True, False, "False"), (False, True, "False"), (True, True, "reached after_lease\nTrue")],
)
def test_a_hook_acts_where_both_the_variable_and_the_module_are(
    tmp_path: Path, answer: str, *, variable: bool, module: bool
) -> None:
    if module:
        (tmp_path / f"{MODULE}.py").write_text("def reach(point): print('reached', point)\n")

    assert acts(tmp_path, variable=variable) == answer


def test_nothing_that_is_shipped_holds_the_module_or_sets_the_variable() -> None:
    shipped = [path for folder in ("src", "functions") for path in (ROOT / folder).rglob("*")]

    assert [path for path in shipped if path.stem == MODULE] == []
    assert VARIABLE not in (ROOT / "template.yaml").read_text(encoding="utf-8")


def test_nothing_that_is_built_holds_the_module(tmp_path: Path) -> None:
    path = ROOT / "template.yaml"
    template = load_template(
        path, parameters={}, account="123456789012", region="us-east-1", stack_name="driftwheel"
    )
    built = packaging.build(ROOT, template.source, ROOT / ".driftwheel" / "build")
    archive = tmp_path / "sourcedir.tar.gz"
    archive.write_bytes(bundle()[1])
    listed = subprocess.run(["tar", "-tzf", archive], capture_output=True, text=True, check=True).stdout

    assert {"DriftwheelLayer", "TriggerFunction"} <= built.keys()
    for name, folder in built.items():
        assert not [*folder.rglob(f"{MODULE}*")], name
    assert "driftwheel" in listed
    assert MODULE not in listed


def test_the_variable_alone_does_nothing_in_the_built_layer(tmp_path: Path) -> None:
    layer = (ROOT / ".driftwheel" / "build" / "DriftwheelLayer" / "python").resolve()
    code = f"import sys; sys.path.insert(0, {str(layer)!r}); {ASK}; print(hooks.__file__)"
    asked = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        env=os.environ | {VARIABLE: str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert asked.stdout.split() == ["False", str(layer / "driftwheel" / "hooks.py")]
