"""A small prepared data set as preprocessing leaves it, and training jobs run on it as real processes."""

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from driftwheel.jobs.code import bundle
from driftwheel.recipe.row import load_recipe

ORIGINS, CARRIERS = ["EWR", "JFK", "LGA"], ["AA", "B6", "UA"]


def column(name, kind, **changes):
    rules = {"missing": "keep", "null_tokens": [""], "range": None, "outside": "null", "canonical": {}}
    rules["optional"] = False
    return {"name": name, "type": kind, "model_input": True, **rules, **changes}


RECIPE = {
    "version": 1,
    "columns": [
        column("origin", "category", canonical={"newark": "EWR"}),
        column("carrier", "category"),
        column("temp", "number", missing="reject", range=[-40, 130]),
        column("humid", "number", missing="median"),
    ],
    "inputs": ["origin", "carrier", "temp", "humid"],
    "features": [
        {
            "name": "muggy",
            "type": "number",
            "reads": ["temp", "humid"],
            "expression": ["/", ["*", ["column", "temp"], ["column", "humid"]], ["number", 100.0]],
        }
    ],
}

PARAMS = {"medians": {"humid": 55.0}, "modes": {}, "categories": {"origin": ORIGINS, "carrier": CARRIERS}}

FILES = {
    "train": "train.parquet",
    "validation": "validation.parquet",
    "recipe": "recipe.json",
    "params": "params.json",
    "golden": "golden.jsonl",
    "manifest": "manifest.json",
}


def make_rows(rows, seed, strength=1.0):
    """Draw records with labels that depend on temperature and on departing from JFK."""
    generator = np.random.default_rng(seed)
    for _ in range(rows):
        record = {
            "origin": str(generator.choice(ORIGINS)),
            "carrier": str(generator.choice(CARRIERS)),
            "temp": round(float(generator.normal(60, 15)), 1),
            "humid": round(float(generator.uniform(10, 100)), 1) if generator.random() > 0.1 else None,
        }
        signal = strength * ((record["temp"] - 60) / 15 + (record["origin"] == "JFK"))
        yield record, float(signal + generator.normal() > 0.8)


def write_split(path, rows, recipe):
    rows = list(rows)
    features = [recipe.features(record) for record, _ in rows]
    columns = {
        f"x.{name}": pa.array([values[n] for values in features], pa.float64())
        for n, name in enumerate(recipe.feature_names)
    }
    for each in RECIPE["columns"]:
        kind = pa.float64() if each["type"] == "number" else pa.string()
        columns[f"raw.{each['name']}"] = pa.array([record[each["name"]] for record, _ in rows], kind)
    columns["__label"] = pa.array([label for _, label in rows])
    pq.write_table(pa.table(columns), path)


def _write_prepared(folder, seed, strength=1.0):
    folder.mkdir(parents=True)
    recipe = load_recipe(RECIPE, PARAMS)
    write_split(folder / "train.parquet", make_rows(900, seed, strength), recipe)
    write_split(folder / "validation.parquet", make_rows(300, seed + 1, strength), recipe)
    (folder / "recipe.json").write_text(json.dumps(RECIPE))
    (folder / "params.json").write_text(json.dumps(PARAMS))
    golden = [
        {"record": record, "features": dict(zip(recipe.feature_names, recipe.features(record), strict=True))}
        for record, _ in make_rows(30, seed)
    ]
    (folder / "golden.jsonl").write_text("".join(json.dumps(line) + "\n" for line in golden))
    _write_manifest(folder)
    return folder


def _write_manifest(folder):
    files = {
        name: {"sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest()}
        for name in FILES.values()
        if name != "manifest.json"
    }
    (folder / "manifest.json").write_text(json.dumps({"files": files}))


def _write_holdout(folder, rows=400, seed=99):
    folder.mkdir(parents=True)
    lines = [
        json.dumps({"key": f"{n:032x}", "label": label, "record": record})
        for n, (record, label) in enumerate(make_rows(rows, seed))
    ]
    (folder / "holdout.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))
    return folder


@dataclass
class Job:
    """A training job in a folder of its own: the /opt/ml layout, started as the container starts it."""

    folder: Path
    prepared: Path
    holdout: Path
    champion: Path | None = None

    @property
    def model(self):
        return self.folder / "model"

    @property
    def data(self):
        return self.folder / "output" / "data"

    @property
    def failure(self):
        return (self.folder / "output" / "failure").read_text()

    def metrics(self):
        return json.loads((self.data / "metrics.json").read_text())

    def start(self, **hyperparameters):
        sha256, archive = bundle()
        code = self.folder / "code"
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(code, filter="data")
        channels = dict.fromkeys(FILES, self.prepared) | {"holdout": self.holdout}
        if self.champion:
            channels["champion"] = self.champion
        environment = {
            "PATH": os.environ["PATH"],
            "SM_MODEL_DIR": str(self.model),
            "SM_OUTPUT_DIR": str(self.folder / "output"),
            "SM_OUTPUT_DATA_DIR": str(self.data),
            "SM_CHECKPOINT_DIR": str(self.folder / "checkpoints"),
            "SM_NUM_CPUS": "1",
            **{f"SM_CHANNEL_{name.upper()}": str(path) for name, path in channels.items()},
        }
        asked = {
            "model": "flights",
            "run_id": "ab12",
            "kind": "binary",
            "eval_metric": "auc",
            "num_round": 40,
            "early_stopping_rounds": 10,
            "seed": 7,
            "slices": "origin,carrier",
            "code_sha256": sha256,
            "max_depth": 3,
            **hyperparameters,
        }
        arguments = [part for name, value in asked.items() for part in (f"--{name}", str(value))]
        return subprocess.Popen(
            [sys.executable, "-m", "train", *arguments],
            cwd=code,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, **hyperparameters):
        process = self.start(**hyperparameters)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def pack(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(folder / "model.tar.gz", "w:gz") as tar:
            tar.add(self.model, ".")
        return folder


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    return _write_prepared(tmp_path_factory.mktemp("prepared") / "good", seed=1)


@pytest.fixture(scope="session")
def holdout(tmp_path_factory):
    return _write_holdout(tmp_path_factory.mktemp("holdout") / "pinned")


@pytest.fixture(scope="session")
def trained(tmp_path_factory, prepared, holdout):
    """One finished job; its folders are read by tests, never changed."""
    job = Job(tmp_path_factory.mktemp("trained"), prepared, holdout)
    job.log = job.run()
    assert job.log.returncode == 0, job.log.stderr
    return job


@pytest.fixture
def job(tmp_path, prepared, holdout):
    return Job(tmp_path, prepared, holdout)


@pytest.fixture
def draw_rows():
    return make_rows


@pytest.fixture
def write_prepared():
    return _write_prepared


@pytest.fixture
def write_manifest():
    return _write_manifest


@pytest.fixture
def write_holdout():
    return _write_holdout
