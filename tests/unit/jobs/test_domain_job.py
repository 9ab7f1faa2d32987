"""The domain classifier's job as AWS's container starts it: code archive, two channels, one answer."""

import gzip
import io
import json
import os
import re
import subprocess
import sys
import tarfile

import pytest

from driftwheel.jobs.code import bundle

KINDS = {"origin": "category", "temp": "number", "humid": "number"}


@pytest.fixture
def ask(tmp_path, write_prepared):
    """Start the job on a prepared training set and rows of a window; give its process and its folder."""
    prepared = write_prepared(tmp_path / "prepared", seed=1)

    def run(rows, packed=None):
        code = tmp_path / "code"
        with tarfile.open(fileobj=io.BytesIO(bundle()[1])) as tar:
            tar.extractall(code, filter="data")
        question = {"kinds": KINDS, "significance": 0.01, "minimum_rows": 200}
        lines = "\n".join(map(json.dumps, [question, *rows])).encode()
        window = tmp_path / "window"
        window.mkdir()
        (window / "window.jsonl.gz").write_bytes(packed or gzip.compress(lines))
        environment = {
            "PATH": os.environ["PATH"],
            "SM_MODEL_DIR": str(tmp_path / "model"),
            "SM_OUTPUT_DIR": str(tmp_path / "output"),
            "SM_OUTPUT_DATA_DIR": str(tmp_path / "output" / "data"),
            "SM_CHANNEL_TRAIN": str(prepared),
            "SM_CHANNEL_WINDOW": str(window),
        }
        command = [sys.executable, "-m", "domain", "--model", "flights"]
        process = subprocess.run(
            command, cwd=code, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        return process, tmp_path / "output"

    return run


def rows_of(draw_rows, warmer=0.0):
    return [
        [record["origin"], None if record["temp"] is None else record["temp"] + warmer, record["humid"]]
        for record, _ in draw_rows(800, 7)
    ]


def test_rows_of_another_world_are_told_apart_and_the_columns_named(ask, draw_rows):
    process, output = ask(rows_of(draw_rows, warmer=8.0))

    assert process.returncode == 0, process.stderr
    answer = json.loads((output / "data" / "domain.json").read_text())
    assert (answer["verdict"], answer["importances"][0]["name"]) == ("drift", "temp")
    assert (answer["baseline_rows"], answer["window_rows"]) == (900, 800)
    assert answer["sentence"] in process.stdout


def test_rows_of_the_same_world_are_not(ask, draw_rows):
    process, output = ask(rows_of(draw_rows))

    assert process.returncode == 0, process.stderr
    assert json.loads((output / "data" / "domain.json").read_text())["verdict"] == "none"


def test_a_damaged_window_is_named_in_the_failure_file(ask):
    process, output = ask([], packed=b"no gzip")

    assert process.returncode == 1
    assert "ArtifactInvalid: window.jsonl.gz cannot be read" in (output / "failure").read_text()


@pytest.mark.case("SE-10")
def test_a_cell_that_is_no_number_ends_the_job_and_is_not_repeated(ask):
    process, output = ask([["JFK", "canary-4711", 50.0]] * 300)

    assert process.returncode == 1
    assert re.fullmatch(r"ValueError in \w+\.py line \d+", (output / "failure").read_text())
    assert "canary-4711" not in process.stdout + process.stderr
