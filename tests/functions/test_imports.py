"""Every function's step can be imported from what is built for that function alone, as Lambda would."""

import subprocess
import sys
from pathlib import Path

import pytest

from driftwheel_local import packaging
from driftwheel_local.template import load_template

ROOT = Path(__file__).parents[2]
STEPS = sorted(path.parent.name for path in (ROOT / "functions").glob("*/app.py"))

PARSERS = {"yaml", "sqlglot"}
"""Only a model.yaml that is registered, and a model with expressions, need these: not every cold start."""


@pytest.fixture(scope="module")
def built() -> dict[str, Path]:
    template = load_template(
        ROOT / "template.yaml",
        parameters={},
        account="123456789012",
        region="us-east-1",
        stack_name="driftwheel",
    )
    return packaging.build(ROOT, template.source, ROOT / ".driftwheel" / "build")


def test_the_trigger_ships_what_refuses_a_broken_expression(built: dict[str, Path]) -> None:
    path = [str(built["TriggerFunction"]), str(built["DriftwheelLayer"] / "python")]
    spec = (ROOT / "examples/flights/model.yaml").read_text(encoding="utf-8")
    broken = spec.replace("features:\n", "features:\n  load: distance *+*\n")
    code = (
        f"import sys; sys.path[:0] = {path!r}\n"
        f"from driftwheel.steps.trigger import _read_model as read\n"
        f"read({spec!r}.encode(), 'a')\n"
        f"try: read({broken!r}.encode(), 'b')\n"
        f"except Exception as error: print(error)"
    )

    asked = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False
    )

    assert asked.returncode == 0, asked.stderr[-500:]
    assert asked.stdout.startswith("b: features.load: ")


@pytest.mark.parametrize("step", STEPS)
def test_a_step_needs_nothing_that_its_function_does_not_ship(built: dict[str, Path], step: str) -> None:
    function = f"{step.replace('_', ' ').title().replace(' ', '')}Function"
    path = [str(built[function]), str(built["DriftwheelLayer"] / "python")]
    code = f"import sys; sys.path[:0] = {path!r}; import driftwheel.steps.{step}; print(*sys.modules)"

    asked = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False
    )

    assert asked.returncode == 0, asked.stderr[-500:]
    assert not PARSERS & set(asked.stdout.split())
