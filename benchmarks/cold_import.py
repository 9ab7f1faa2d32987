"""Cold imports: how long each function takes to import as shipped, beside boto3 and Powertools alone.

    python benchmarks/cold_import.py [--repeats 5]

Builds the layer and the functions of template.yaml, then imports each handler in fresh processes that see
nothing but its own folder and the layer, bytecode compiled, with the environment a deployed function has. All
are measured in one run, in turns; the figures are medians of seconds.
"""

import os
import statistics
import subprocess
import sys
from pathlib import Path

import click

from driftwheel_local import packaging
from driftwheel_local.template import load_template

ROOT = Path(__file__).parents[1]
PLAIN = "boto3 and Powertools alone"
IMPORTS = {
    PLAIN: "import boto3\nfrom aws_lambda_powertools import Logger, Metrics, Tracer\nboto3.client('s3')",
    "": "import app",
}
TIMED = """
import sys, time
sys.path[:0] = {paths!r}
began = time.perf_counter()
{code}
print(time.perf_counter() - began)
"""
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "x",
    "AWS_SECRET_ACCESS_KEY": "x",
    "AWS_DEFAULT_REGION": "us-east-1",
    "POWERTOOLS_TRACE_DISABLED": "true",
    "POWERTOOLS_METRICS_NAMESPACE": "Driftwheel",
    "STACK": "driftwheel",
    "TABLE": "table",
    "ARTIFACT_BUCKET": "artifacts",
    "LANDING_BUCKET": "landing",
    "SAGEMAKER_ROLE_ARN": "arn:aws:iam::123456789012:role/r",
    "KMS_KEY_ARN": "arn:aws:kms:us-east-1:123456789012:key/k",
    "STATE_MACHINE_ARN": "arn:aws:states:us-east-1:123456789012:stateMachine:m",
    "ARRIVAL_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/q",
    "ALERT_TOPIC_ARN": "arn:aws:sns:us-east-1:123456789012:t",
    "APPROVAL_HOURS": "72",
    "PREPROCESSING_MEMORY_MB": "1800",
}


def seconds(paths: list[str], code: str) -> float:
    """Import once in a fresh interpreter that has no site-packages of its own."""
    command = [sys.executable, "-I", "-S", "-c", TIMED.format(paths=paths, code=code)]
    told = subprocess.run(command, env=os.environ | ENVIRONMENT, capture_output=True, text=True, check=True)
    return float(told.stdout)


@click.command()
@click.option("--repeats", default=5, show_default=True, help="Fresh processes of each.")
def main(repeats: int) -> None:
    """Print a table, slowest last."""
    template = load_template(ROOT / "template.yaml", stack_name="driftwheel")
    built = packaging.build(ROOT, template.source, ROOT / ".driftwheel" / "build")
    layer = str(built.pop("DriftwheelLayer") / "python")
    measured: dict[str, list[float]] = {PLAIN: []} | {name: [] for name in sorted(built)}
    for _ in range(repeats):
        measured[PLAIN].append(seconds([layer], IMPORTS[PLAIN]))
        for name, folder in built.items():
            measured[name].append(seconds([str(folder), layer], IMPORTS[""]))
    plain = statistics.median(measured[PLAIN])
    click.echo("| import | seconds | times boto3 and Powertools |\n|---|---|---|")
    for name, found in sorted(measured.items(), key=lambda item: statistics.median(item[1])):
        median = statistics.median(found)
        click.echo(f"| {name} | {median:.2f} | {median / plain:.2f} |")


if __name__ == "__main__":
    main()
