"""One recipe, three engines: DuckDB, Spark (also on a cluster) and the server give one digest."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.errors import PySparkException
from tests.unit.dataset.test_prepare import BASE, captured, csv_of, labels_of, row

from driftwheel.dataset import CaptureFile, DataFile, Inputs, Pinned, prepare
from driftwheel.dataset.captured import stage_captured
from driftwheel.dataset.files import FileFacts
from driftwheel.dataset.outputs import holdout_keys
from driftwheel.jobs import preprocess_spark, spark_parquet
from driftwheel.jobs.spark_parquet import Footer, read_parquet
from driftwheel.recipe.declare import declare
from driftwheel.sources.file import SourceFile
from driftwheel.sources.refusal import Unreadable
from driftwheel.spec import ModelSpec
from driftwheel.steps.preprocessing_launch import plan_document

ROOT = Path(__file__).parents[3]

pytestmark = [  # PySpark leaves its sockets to the garbage collector
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def flights():
    """``examples/flights/three_engines.py``."""
    changed = pytest.MonkeyPatch()
    changed.syspath_prepend(str(ROOT / "examples/flights"))
    import three_engines

    yield three_engines
    changed.undo()


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
    java = [shutil.which("java"), "-Xmx256m", "-cp", f"{home}/jars/*"]
    place = ["--host", "127.0.0.1", "--webui-port", "0"]
    env = os.environ | {
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
    }
    env["SPARK_SCALA_VERSION"] = "2.12"  # else a worker looks for Spark's own build folders
    log = folder / "cluster.log"
    processes = []

    def start(role, *arguments):
        command = [*java, f"org.apache.spark.deploy.{role.lower()}.{role}", *place, *arguments]
        with log.open("ab") as stream:
            processes.append(subprocess.Popen(command, env=env, stdout=stream, stderr=stream))

    try:
        start("Master", "--port", "0")
        master = said(log, r"Starting Spark master at (\S+)", 1)[0]
        for n in range(2):
            start("Worker", "-c", "1", "-m", "700m", "-d", str(folder / f"worker-{n}"), master)
        said(log, r"(Registering worker)", 2)  # a job that nobody works on would wait for ever
        yield master
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(20)


def said(log, words, times):
    """Wait until a log has said something so many times; give what it said."""
    deadline = time.monotonic() + 60
    while len(found := re.findall(words, log.read_text())) < times:
        assert time.monotonic() < deadline, f"Spark's cluster did not start: {log.read_text()[-2000:]}"
        time.sleep(0.1)
    return found


def content(folder, split):
    """Every cell of a split, by key; row groups and compression are an engine's own."""
    table = pq.read_table(folder / f"{split}.parquet")
    return table.select(sorted(table.column_names)).sort_by("__key").to_pylist()


SAME_BYTES = ("holdout.jsonl.gz", "rejected.jsonl.gz", "golden.jsonl", "params.json", "recipe.json")


def assert_same(spark, duck):
    """Hold what Spark left in a folder against what DuckDB left."""
    for split in ("train", "validation"):
        assert content(spark, split) == content(duck, split), split
    for name in SAME_BYTES:
        assert (spark / name).exists() == (duck / name).exists(), name
        assert not (duck / name).exists() or (spark / name).read_bytes() == (duck / name).read_bytes(), name
    one, other = (json.loads((folder / "profile.json").read_text()) for folder in (spark, duck))
    assert near(one, other | {"captured": one["captured"] or other["captured"]})


def test_three_engines_give_one_digest_of_the_flights_on_two_workers(flights, tmp_path):
    with cluster(tmp_path) as master:
        found = flights.compare(tmp_path, every=100, master=master)

    assert len({result.digest for result in found}) == 1
    assert [result.engine for result in found] == ["DuckDB", "Spark", "row by row"]
    assert all(len(rows) > 400 for result in found for rows in result.content.values())
    assert_same(tmp_path / "spark/output", tmp_path / "duckdb")


COLUMNS = BASE["columns"] | {
    "region": {"type": "category", "missing": "mode"},
    "rate": {"type": "number", "range": [0, 10], "outside": "clip"},
}
JOINED = BASE | {"columns": COLUMNS, "evaluation": {"minimum_rows": 20}}
DEPOTS = {
    "depot": ["N", "North", "\uff33outh", None],
    "region": ["old", " in  land", "coast", "sea"],
    "rate": [1, 2.5, 1e9, None],
}


def shipments(rows):
    """Rows as JSON lines: numbers and texts mixed, odd spellings, a field that only some have."""
    spellings = ("North end", "n", " \uff2e", "South", "Nowhere", None)
    for n in rows:
        values = dict(zip(("id", "at", "depot", "weight", "late"), row(n).split(","), strict=True))
        values |= {"depot": spellings[n % 6], "weight": n % 50 if n % 3 else f"\u00a0{n % 50}.50 "}
        yield values | ({"weight": "much"} if n % 41 == 0 else {}) | ({"note": {"a": [n]}} if n % 5 else {})


class Twins:
    """Prepares the same data set with DuckDB and with Spark's job, and compares everything they leave."""

    def __init__(self, session, folder):
        self.session, self.folder, self.turns = session, folder, 0

    def prepare(self, spec, files, traffic=None, spark=True, **more):
        """``files``: name → role and what writes it; ``more`` as in ``Inputs``."""
        self.turns += 1
        here = self.folder / str(self.turns)
        duck, base = here / "duckdb", here / "spark"
        for folder in (duck, here / "dropped"):
            folder.mkdir(parents=True)
        roles = {name: role for name, (role, _) in files.items()}
        sources = {name: here / "dropped" / name for name in files}
        for name, (_, write) in files.items():
            write(sources[name])
        local = [
            DataFile(roles[n], f"data/{n}", shutil.copy(path, duck / n), "v1") for n, path in sources.items()
        ]
        inputs = Inputs(files=local, **(traffic() if traffic else {}), **more)
        prepared = prepare(spec, inputs, duck, memory_mb=300)
        assert prepared.outcome == "ready", prepared
        if spark:
            self._on_spark(spec, base, sources, roles, traffic, more, prepared)
            assert_same(base / "output", duck)
        return duck, prepared

    def rolled(self, champion, first):
        """What a run is told of its champion."""
        pinned = Pinned(champion / "holdout.jsonl.gz", first.holdout_digest, "s3://a/h", first.question)
        return {"pinned": pinned, "baseline": json.loads((champion / "profile.json").read_text())}

    def _on_spark(self, spec, base, sources, roles, traffic, more, prepared):
        plan, recipe = base / "input/plan", declare(spec)
        plan.mkdir(parents=True)
        for name, path in sources.items():
            (base / "input" / roles[name]).mkdir(exist_ok=True)
            shutil.copy(path, base / "input" / roles[name] / name)
        counts = {}
        if traffic:
            counts = stage_captured(plan / "captured.csv", recipe, spec.window.captured_per_hour, **traffic())
        if more.get("pinned"):
            shutil.copy(more["pinned"].path, plan / "pinned.jsonl.gz")
        (plan / "baseline.json").write_text(json.dumps(more.get("baseline")))
        taught = [shutil.copy(path, plan / f"champion-{path.name}").name for path in more.get("taught", ())]
        listed = [{"role": roles[n], "name": n, "key": f"data/{n}", "version": "v1"} for n in sources]
        options = {"pinned": more.get("pinned"), "rollover": more.get("rollover", False), "taught": taught}
        (plan / "recipe.json").write_text(json.dumps(recipe))
        (plan / "plan.json").write_text(json.dumps(plan_document(spec, listed, counts, **options)))
        assert preprocess_spark.run(self.session, base) == prepared


def jsonl(rows):
    return text("".join(json.dumps(line) + "\n" for line in shipments(rows)))


def text(body):
    return lambda path: path.write_text(body, encoding="utf-8")


def parquet(columns):
    return lambda path: pq.write_table(pa.table(columns), path)


def traffic():
    """Captured requests, all but one answered, one answer corrected later."""
    record = {"depot": "\u00a0N", "weight": "7,5", "region": "in\nland", "rate": 3}
    records = [record | {"weight": n / 7, "rate": str(n)} for n in range(40)] + [record] * 2
    labels = [(f"X/{n}", n % 2) for n in range(41)] + [("X/3", 0), ("Y/0", 1)]
    recent = captured("X", *records, at="2024-01-21T00:00:00Z")
    captures = [CaptureFile("c", [recent, captured("Y", record, at="2023-01-01T00:00:00Z")])]
    return {"captures": captures, "labels": [labels_of(labels)]}


@pytest.fixture(scope="module")
def twins(flights, tmp_path_factory):
    with flights.spark("local[1]") as session:
        yield Twins(session, tmp_path_factory.mktemp("twins"))


def test_a_holdout_by_time_rolls_over_alike_on_spark(twins):
    by_time = ModelSpec.model_validate(BASE | {"evaluation": {"minimum_rows": 20}})
    files = {"a.csv": ("source", text(csv_of(*map(row, range(300)))))}
    champion, first = twins.prepare(by_time, files, spark=False)
    files |= {"b.csv": ("source", text(csv_of(*map(row, range(300, 600)))))}
    _, new = twins.prepare(by_time, files, **twins.rolled(champion, first), rollover=True)

    assert (new.rolled_over, new.holdout_digest == first.holdout_digest) == (True, False)
    assert new.rows["holdout"] > 60


def test_the_pinned_holdout_windows_captured_rows_joins_and_formats_are_alike_on_spark(twins):
    left = {"prefix": "data/depots/", "on": ["depot"], "format": "parquet"}
    lines = JOINED | {"source": BASE["source"] | {"format": "jsonl"}, "enrich": [left]}
    depots = {"d.parquet": ("enrich-0", parquet(DEPOTS))}
    files = depots | {"a.jsonl": ("source", jsonl(range(400)))}
    champion, first = twins.prepare(ModelSpec.model_validate(lines), files, spark=False)
    told = twins.rolled(champion, first)

    files |= {"b.jsonl": ("source", jsonl(range(380, 500)))}
    sliding = ModelSpec.model_validate(lines | {"window": {"policy": "sliding", "days": 12}})
    _, kept = twins.prepare(sliding, files, traffic, **told)
    assert (kept.holdout_digest, kept.rolled_over) == (first.holdout_digest, False)
    assert kept.rows["captured"] == 42
    assert kept.rows["outside_window"] > 100
    assert kept.rows["duplicates"] > 10

    # by stratum, from Parquet, joined rows alone; what the champion was trained on may not judge it
    taught = [champion / f"{split}.parquet" for split in ("train", "validation")]
    weights = {"weight": [n / 8 for n in range(700)]}
    texts = {n: [line[n] for line in shipments(range(700))] for n in ("id", "at", "depot", "late")}
    rolled = lines | {
        "source": BASE["source"] | {"format": "parquet"},
        "enrich": [left | {"how": "inner"}],
        "split": {"by": "stratified"},
    }
    files = depots | {"a.parquet": ("source", parquet(texts | weights))}
    duck, new = twins.prepare(ModelSpec.model_validate(rolled), files, **told, taught=taught, rollover=True)
    assert new.rolled_over
    judges = set(holdout_keys(duck / "holdout.jsonl.gz"))
    assert not judges & {key for path in taught for key in pq.read_table(path)["__key"].to_pylist()}


def typed_table(rows):
    """Parquet's own types: nanoseconds, 32 bits, decimals, dates, dictionaries; and one that nobody wants."""
    moments = [1_704_067_200 * 10**9 + n * 3_600 * 10**9 + n % 7 for n in rows]
    return {
        "id": pa.array(rows, pa.int64()),
        "at": pa.array(moments, pa.timestamp("ns", "UTC")),
        "depot": pa.array(["N" if n % 2 else "South" for n in rows]).dictionary_encode(),
        "weight": pa.array([None if n % 9 == 0 else n / 10 % 50 for n in rows], pa.float32()),
        "rate": pa.array([Decimal(n).scaleb(-9) for n in rows], pa.decimal128(12, 9)),
        "region": pa.array([date(1969, 12, 31 - n % 3) for n in rows]),
        "late": pa.array([n % 3 == 0 for n in rows]),
        "noon": pa.array([n * 1_000_000 for n in rows], pa.time64("us")),
    }


def typed(rows):
    return lambda path: pq.write_table(pa.table(typed_table(rows)), path, compression="zstd")


def damaged(rows):
    """The same, with a page that cannot be unpacked: the footer is whole."""

    def write(path):
        typed(rows)(path)
        body = bytearray(path.read_bytes())
        start = pq.read_metadata(path).row_group(0).column(3).data_page_offset + 60
        body[start : start + 40] = bytes(40)
        path.write_bytes(body)

    return write


def test_parquet_types_and_damaged_pages_are_alike_on_spark(twins):
    spec = ModelSpec.model_validate(JOINED | {"source": BASE["source"] | {"format": "parquet"}})
    files = {"a.parquet": ("source", typed(range(300))), "b.parquet": ("source", damaged(range(300, 600)))}

    duck, found = twins.prepare(spec, files)

    assert [(key, refusal.code) for key, refusal in found.refused] == [("data/b.parquet", "corrupt")]
    assert found.rows["read"] == 300
    columns = json.loads((duck / "profile.json").read_text())["columns"]
    assert columns["at"]["last"] == "2024-01-13 11:00:00"
    assert [columns[name]["bad_literal"] for name in ("at", "weight", "rate")] == [0, 0, 0]


def test_a_parquet_file_without_any_wanted_column_is_refused_for_that(twins):
    spec = ModelSpec.model_validate(JOINED | {"source": BASE["source"] | {"format": "parquet"}})
    strange = parquet({"other": [1, 2, 3]})
    files = {"a.parquet": ("source", typed(range(300))), "b.parquet": ("source", strange)}

    _, found = twins.prepare(spec, files)

    assert [(key, refusal.code) for key, refusal in found.refused] == [("data/b.parquet", "missing-column")]


def test_a_column_that_differs_in_case_alone_is_another_one_on_every_engine(twins):
    spec = ModelSpec.model_validate(JOINED | {"source": BASE["source"] | {"format": "parquet"}})
    table = typed_table(range(300))
    big = {"Weight": pa.array([10**6] * 300)}
    capital = {("Weight" if name == "weight" else name): values for name, values in table.items()}
    files = {"a.parquet": ("source", parquet(table | big)), "b.parquet": ("source", parquet(capital))}
    files |= {"c.parquet": ("source", parquet(big | typed_table(range(300, 600))))}
    names, values = zip(*table.items(), strict=True)
    both = pa.table([*values, values[0]], [*names, names[0]])
    files |= {"d.parquet": ("source", lambda path: pq.write_table(both, path))}

    duck, found = twins.prepare(spec, files)

    assert [(key, refusal.code) for key, refusal in found.refused] == [
        ("data/b.parquet", "missing-column"),
        ("data/d.parquet", "duplicate-column"),
    ]
    assert json.loads((duck / "profile.json").read_text())["columns"]["weight"]["maximum"] < 50


def test_a_file_is_not_called_damaged_by_a_spark_that_has_stopped(tmp_path):
    class Stopped:
        def range(self, _):
            raise PySparkException("Cannot call methods on a stopped SparkContext")

    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1")
    facts = FileFacts("source", "a.parquet")

    broken = patch.object(spark_parquet, "_footer", side_effect=PySparkException("Job aborted"))
    with broken, pytest.raises(PySparkException, match="Job aborted"):
        read_parquet(Stopped(), SourceFile(path, "a.parquet", 0), path, None, ["id"], facts)


def test_a_parquet_column_that_spark_cannot_read_is_named(twins, tmp_path):
    path = tmp_path / "a.parquet"
    typed(range(30))(path)
    facts = FileFacts("source", "a.parquet")

    with pytest.raises(Unreadable, match="column 'noon' is INT64") as refused:
        read_parquet(twins.session, SourceFile(path, "a.parquet", 0), path, None, ["id", "noon"], facts)

    assert refused.value.refusal.code == "unsupported-type"


@pytest.mark.parametrize(("values", "contradicts"), [(5, False), (4, True)])
def test_a_footer_whose_counts_differ_contradicts_itself(values, contradicts):
    columns = [{"path": ["id"], "valueCount": values}, {"path": ["list", "element"], "valueCount": 9}]
    footer = Footer({"id": None, "list": None}, [{"rowCount": 5, "columns": columns}])

    assert footer.contradicts_itself(["id", "list"]) == contradicts
