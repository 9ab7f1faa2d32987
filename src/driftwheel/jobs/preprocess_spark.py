"""Preparing a data set too large for a function: runs in SageMaker's Spark 3.5 processing container.

Reads ``input/plan/`` (plan.json and recipe.json as ``steps.preprocessing_launch`` writes them; captured.csv,
pinned.jsonl.gz, baseline.json and champion-*.parquet where there are any) and one folder for each role with
the dropped files, numbered. Writes what ``dataset.finish`` writes, and prepared.json last. https://docs.aws.amazon.com/sagemaker/latest/dg/use-spark-processing-container.html
"""

import json
import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from driftwheel.dataset import checks
from driftwheel.dataset.files import Assembled, DataFile
from driftwheel.dataset.finish import (
    FILES,
    HOLDOUT,
    PREPARED,
    REJECTED,
    Inputs,
    Pinned,
    Prepared,
    finish,
    refused,
)
from driftwheel.dataset.outputs import file_sha256, write_json
from driftwheel.jobs import spark_assemble
from driftwheel.jobs.spark_sources import read_files
from driftwheel.jobs.spark_workspace import SparkWorkspace, prepare_session

PARTITION_BYTES = 64 << 20
"""Of the dropped files for each partition: Spark's own 200 would be most of the time for a small data set."""


class Part(dict[str, Any]):
    """A piece of the specification as JSON, read by attribute: the image is not promised to have pydantic."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(name) from error


def run(session: Any, base: Path) -> Prepared:
    """Prepare the data set under ``base/input`` into ``base/output``."""
    plan = json.loads((base / "input/plan/plan.json").read_bytes(), object_hook=Part)
    recipe = json.loads((base / "input/plan/recipe.json").read_bytes())
    output, work = base / "output", base / "work"
    for folder in (output, work):
        folder.mkdir(parents=True, exist_ok=True)
    given = sum((base / "input" / file.role / file.name).stat().st_size for file in plan.files)
    prepare_session(session, 1 + given // PARTITION_BYTES)
    space = SparkWorkspace(output, plan.spec, recipe, session, work)
    with ExitStack() as kept:
        prepared = _prepare(space, plan, base, work, kept)
    write_json(output / PREPARED, _document(prepared, output, plan.gone))
    return prepared


def _prepare(space: SparkWorkspace, plan: Part, base: Path, work: Path, kept: ExitStack) -> Prepared:
    found, frames = _read(space, plan, base, work, kept)
    checks.refuse_missing_columns(space, found)
    if problem := checks.no_source(space, found):
        return refused(found, problem, {})
    spark_assemble.join(space, found, frames)
    found.captured = dict(plan.captured)
    spark_assemble.read_captured(space, base / "input/plan/captured.csv")
    spark_assemble.clean(space)
    inputs = Inputs(
        files=(),
        pinned=Pinned(base / "input/plan/pinned.jsonl.gz", **plan.pinned) if plan.pinned else None,
        baseline=_json(base / "input/plan/baseline.json"),
        rollover=plan.rollover,
        taught=[base / "input/plan" / name for name in plan.taught],
    )
    return finish(space, found, inputs, plan.declared, lambda out: spark_assemble.keep_usable(space, out))


def _read(
    space: SparkWorkspace, plan: Part, base: Path, work: Path, kept: ExitStack
) -> tuple[Assembled, dict[str, Any]]:
    files = []
    for file in plan.files:
        # Unpacked copies stand beside a file: not where SageMaker put it.
        link = work / file.name
        link.unlink(missing_ok=True)
        link.symlink_to(base / "input" / file.role / file.name)
        files.append(DataFile(file.role, file.key, link, file.version))
    shapes = {"source": plan.spec.source} | {f"enrich-{n}": part for n, part in enumerate(plan.spec.enrich)}
    return read_files(space.session, files, shapes, space.columns, kept)


def _json(path: Path) -> Any:
    return json.loads(path.read_bytes()) if path.exists() else None


def _document(prepared: Prepared, output: Path, gone: list[Any]) -> dict[str, Any]:
    """Describe what was prepared, and every file by its SHA-256 and bytes; ``gone`` never came here."""
    refusals = [*gone, *([key, refusal.facts()] for key, refusal in prepared.refused)]
    problem = prepared.problem.facts() if prepared.problem else None
    files = {
        name: {"sha256": file_sha256(path), "bytes": path.stat().st_size}
        for name in (*FILES, HOLDOUT, REJECTED)
        if (path := output / name).exists()
    }
    return asdict(prepared) | {"refused": refusals, "problem": problem, "files": files}


def main() -> None:
    """Run as the job's script, told where its folders lie; the workers have the package by ``--py-files``."""
    from pyspark.sql import SparkSession

    session = SparkSession.builder.appName("driftwheel-preprocessing").getOrCreate()
    try:
        prepared = run(session, Path(sys.argv[1]))
        print(json.dumps({"outcome": prepared.outcome, "rows": prepared.rows}))
    finally:
        session.stop()
