"""Cold imports and sizes: how long each function takes to import as shipped, and how large it is unzipped.

    python benchmarks/cold_import.py [--repeats 5]

Builds the layer and the functions of template.yaml, then imports each handler in fresh processes that see
nothing but its own folder and the layer, bytecode compiled, with the environment a deployed function has. All
are measured in one run, in turns, beside boto3 and Powertools alone; the figures are medians. On a
busy machine read the ratio of CPU seconds, which the load inflates for all alike. Sizes are of the function
and its layer together, which Lambda limits to 250 MB.
"""

import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from driftwheel_local import packaging
from driftwheel_local.template import load_template, read_template

ROOT = Path(__file__).parents[1]
PLAIN = "boto3 and Powertools alone"
IMPORTS = {
    PLAIN: "import boto3\nfrom aws_lambda_powertools import Logger, Metrics, Tracer\nboto3.client('s3')",
    "": "import app",
}
TIMED = """
import sys, time
sys.path[:0] = {paths!r}
began = time.perf_counter(), time.process_time()
{code}
print(time.perf_counter() - began[0], time.process_time() - began[1])
"""
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "x",
    "AWS_SECRET_ACCESS_KEY": "x",
    "AWS_DEFAULT_REGION": "us-east-1",
    "POWERTOOLS_TRACE_DISABLED": "true",
    "LAMBDA_TASK_ROOT": "/var/task",  # without it X-Ray's library makes itself a client, as nowhere in Lambda
}


def environment(body: dict[str, Any], function: str) -> dict[str, str]:
    """Give the variables the template gives a function: parameters' defaults, `x` for what a stack names."""
    declared = body["Globals"]["Function"]["Environment"]["Variables"]
    own = body["Resources"][function]["Properties"].get("Environment", {}).get("Variables", {})
    defaults = {name: parameter.get("Default", "x") for name, parameter in body["Parameters"].items()}
    return {
        name: str(defaults.get(value.get("Ref"), "x") if isinstance(value, dict) else value)
        for name, value in (declared | own).items()
    }


def seconds(paths: list[str], code: str, variables: dict[str, str]) -> tuple[float, float]:
    """Import once in a fresh interpreter without site-packages of its own; give seconds and CPU seconds."""
    command = [sys.executable, "-I", "-S", "-c", TIMED.format(paths=paths, code=code)]
    told = subprocess.run(
        command, env=os.environ | CREDENTIALS | variables, capture_output=True, text=True, check=True
    )
    wall, cpu = map(float, told.stdout.split())
    return wall, cpu


def megabytes(*folders: Path) -> float:
    """Add up what lies in folders, but for bytecode: it is made here, not shipped."""
    files = (path for folder in folders for path in folder.rglob("*") if "__pycache__" not in path.parts)
    return sum(path.stat().st_size for path in files if path.is_file()) / 1e6


@click.command()
@click.option("--repeats", default=5, show_default=True, help="Fresh processes of each.")
def main(repeats: int) -> None:
    """Print a table, slowest last."""
    body = read_template(ROOT / "template.yaml")
    template = load_template(ROOT / "template.yaml", stack_name="driftwheel")
    built = packaging.build(ROOT, template.source, ROOT / ".driftwheel" / "build")
    shared = built.pop("DriftwheelLayer")
    layer = str(shared / "python")
    measured: dict[str, list[tuple[float, float]]] = {PLAIN: []} | {name: [] for name in sorted(built)}
    for _ in range(repeats):
        measured[PLAIN].append(seconds([layer], IMPORTS[PLAIN], {}))
        for name, folder in built.items():
            paths = [str(folder), layer]
            measured[name].append(seconds(paths, IMPORTS[""], environment(body, name)))
    medians = {
        name: tuple(map(statistics.median, zip(*found, strict=True))) for name, found in measured.items()
    }
    click.echo("| import | seconds | CPU seconds | times boto3 and Powertools | MB unzipped |")
    click.echo("|---|---|---|---|---|")
    for name, (wall, cpu) in sorted(medians.items(), key=lambda item: item[1]):
        size = f"{megabytes(shared, built[name]):.0f}" if name in built else ""
        click.echo(f"| {name} | {wall:.2f} | {cpu:.2f} | {cpu / medians[PLAIN][1]:.2f} | {size} |")


if __name__ == "__main__":
    main()
