"""A check of drift starts with what every check needs, and nothing else."""

import subprocess
import sys

import pytest

SPARED = {"boto3", "botocore", "duckdb", "driftwheel.spec", "pandas", "pydantic", "scipy", "sqlglot", "yaml"}


@pytest.mark.parametrize("module", ["driftwheel.discovery.comparison", "driftwheel.drift.check"])
def test_a_check_imports_no_engine_no_parser_and_nothing_of_aws(module: str) -> None:
    code = f"import sys, {module}; print(*sys.modules)"

    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert not SPARED & set(asked.stdout.split())
