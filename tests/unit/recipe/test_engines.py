"""The flights, two sources joined, on all three engines: DuckDB, Spark (also on a cluster), row by row."""

import csv
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.unit.recipe.test_flights import ROOT, real_rows

from driftwheel.dataset import DataFile, Inputs, prepare
from driftwheel.dataset.prepare import declared
from driftwheel.jobs import preprocess_spark
from driftwheel.recipe.row import load_recipe
from driftwheel.spec import load_spec

SPEC = load_spec((ROOT / "examples/flights/model.yaml").read_bytes())
FLIGHT = ("time_hour", "carrier", "flight", "origin", "dest", "sched_dep_time", "distance", "arr_delay")
SKY = (
    "origin",
    "time_hour",
    "temp",
    "dewp",
    "humid",
    "wind_dir",
    "wind_speed",
    "precip",
    "pressure",
    "visib",
)

pytestmark = [  # PySpark leaves its sockets to the garbage collector
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def write(path, names, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(names)
        writer.writerows([["" if row[name] is None else row[name] for name in names] for row in rows])
    return path


@pytest.fixture(scope="module")
def records():
    found = [dict(row) for row in real_rows()]
    for n in range(0, len(found), 7):
        found[n]["origin"] = {"JFK": " new york kennedy", "EWR": "NEWARK", "LGA": "La\u00a0Guardia"}[
            found[n]["origin"]
        ]
    return found + found[:50]  # the same flights twice


def digest(columns, rows):
    """Name a table's content: columns by name, rows by key, doubles bit by bit."""
    order = sorted(columns)
    key = order.index("__key")
    lines = sorted(([row[name] for name in order] for row in rows), key=lambda line: line[key])
    text = json.dumps(
        [order, lines], allow_nan=False
    )  # Python writes a double so that it reads back the same
    return hashlib.sha256(text.encode()).hexdigest(), len(lines)


def of_parquet(path, columns=None):
    table = pq.read_table(path)
    names = columns or table.column_names
    return digest(names, table.select(names).to_pylist())


@pytest.fixture(scope="module")
def batch(records, tmp_path_factory):
    folder = tmp_path_factory.mktemp("duck")
    flights, sky = write(folder / "f.csv", FLIGHT, records), write(folder / "w.csv", SKY, records)
    files = [
        DataFile("source", "data/flights/f.csv", flights),
        DataFile("enrich-0", "data/flights-weather/w.csv", sky),
    ]
    prepared = prepare(SPEC, Inputs(files=files), folder, memory_mb=500)
    assert prepared.outcome == "ready"
    return folder, prepared


def test_the_server_gives_the_features_that_were_trained_and_judged_on(batch):
    folder, _ = batch
    row = load_recipe(
        json.loads((folder / "recipe.json").read_text()), json.loads((folder / "params.json").read_text())
    )
    table = pq.read_table(folder / "validation.parquet").to_pylist()
    served = []
    for line in table:
        features = row.features({name: line[f"raw.{name}"] for name in row.inputs})
        served.append(
            {f"x.{n}": v for n, v in zip(row.feature_names, features, strict=True)} | {"__key": line["__key"]}
        )

    names = [*(f"x.{name}" for name in row.feature_names), "__key"]
    assert digest(names, served) == of_parquet(folder / "validation.parquet", names)
    assert len(served) > 200
    assert "route" in row.feature_names


def near(one, other):
    """Are two documents alike but for the order in which numbers were added up?"""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(near(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(near, one, other))
    return one == pytest.approx(other, rel=1e-12) if isinstance(one, float) else one == other


@contextmanager
def cluster(folder):
    """A standalone master and two workers on loopback."""
    import pyspark

    home = Path(pyspark.__file__).parent
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    java = [shutil.which("java"), "-Xmx256m", "-cp", f"{home}/jars/*"]
    name = "org.apache.spark.deploy"
    env = os.environ | {
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
    }
    env["SPARK_SCALA_VERSION"] = "2.12"  # else a worker looks for Spark's own build folders
    master = [*java, f"{name}.master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", "0"]
    worker = [
        *java,
        f"{name}.worker.Worker",
        "--host",
        "127.0.0.1",
        "--webui-port",
        "0",
        "-c",
        "1",
        "-m",
        "700m",
    ]
    processes = []
    try:
        with (folder / "cluster.log").open("wb") as log:
            processes.append(subprocess.Popen(master, env=env, stdout=log, stderr=log))
            wait_for(port, folder / "cluster.log")
            for n in range(2):
                place = ["-d", str(folder / f"worker-{n}"), f"spark://127.0.0.1:{port}"]
                processes.append(subprocess.Popen([*worker, *place], env=env, stdout=log, stderr=log))
        yield f"spark://127.0.0.1:{port}"
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(20)


def wait_for(port, log):
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail(f"the Spark master did not start: {log.read_text()[-2000:]}")


@contextmanager
def master_of(kind, folder):
    if kind == "local[2]":
        yield kind
    else:
        with cluster(folder) as found:
            yield found


@pytest.mark.parametrize("kind", ["local[2]", "two workers"])
def test_spark_gives_the_same_rows_splits_and_features(kind, batch, records, tmp_path, monkeypatch):
    if shutil.which("java") is None:
        pytest.fail("Spark needs Java: apt-get install openjdk-17-jre-headless (or any Java 17)")
    from pyspark.sql import SparkSession

    folder, prepared = batch
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    write(tmp_path / "input/source/f.csv", FLIGHT, records)
    write(tmp_path / "input/enrich-0/w.csv", SKY, records)
    (tmp_path / "input/plan").mkdir()
    files = [
        {"role": "source", "name": "f.csv", "key": "data/flights/f.csv"},
        {"role": "enrich-0", "name": "w.csv", "key": "data/flights-weather/w.csv"},
    ]
    plan = {
        "spec": SPEC.model_dump(mode="json"),
        "declared": declared(SPEC),
        "files": files,
        "gone": [],
        "captured": {},
        "pinned": None,
        "rollover": False,
        "taught": [],
    }
    (tmp_path / "input/plan/plan.json").write_text(json.dumps(plan))
    shutil.copy(folder / "recipe.json", tmp_path / "input/plan/recipe.json")
    with master_of(kind, tmp_path) as master:
        session = (
            SparkSession.builder.master(master)
            .config("spark.ui.enabled", "false")
            .config("spark.driver.memory", "3g")  # its parser keeps what it learned of long expressions
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.executor.memory", "500m")
            .config("spark.sql.shuffle.partitions", "2")
            .getOrCreate()
        )
        try:
            found = preprocess_spark.run(session, tmp_path)
        finally:
            session.stop()

    assert found == prepared
    for split in ("train", "validation"):
        assert of_parquet(tmp_path / "output" / f"{split}.parquet") == of_parquet(folder / f"{split}.parquet")
    for name in ("holdout.jsonl.gz", "rejected.jsonl.gz", "golden.jsonl", "params.json", "recipe.json"):
        assert (tmp_path / "output" / name).read_bytes() == (folder / name).read_bytes(), name
    one, other = (json.loads((place / "profile.json").read_text()) for place in (tmp_path / "output", folder))
    assert near(one | {"captured": {}}, other | {"captured": {}})
