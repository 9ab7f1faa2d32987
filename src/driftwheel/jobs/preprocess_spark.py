# ruff: noqa: S608  # every name and text below is quoted by the dialect
"""The recipe over a data set too large for a function: runs in SageMaker's Spark 3.5 processing container.

Reads ``input/plan/`` (plan.json: the source, enrich, split and window parts of the specification;
recipe.json; and params.json when the parameters are given, not to be fitted), ``input/source/`` and
``input/enrich-<n>/`` (the dropped files). Writes one Parquet folder per split with the columns of
``dataset.outputs.write_splits``, params.json, and manifest.json last. Rows, keys, splits and values are those
of ``dataset.prepare``.

https://docs.aws.amazon.com/sagemaker/latest/dg/use-spark-processing-container.html
"""

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from driftwheel.recipe.fit import fit, fit_folds, fold_sql
from driftwheel.recipe.spark import (
    SPARK,
    SparkRows,
    cleaning_query,
    feature_sql,
    register_fold,
    target_sql,
)

BASE = Path("/opt/ml/processing")
TEXT_KEYS = frozenset({"category", "text", "timestamp", "integer", "boolean"})
"""Types whose values every engine writes alike: a key is a text, and no two engines write doubles alike."""

Plan = Mapping[str, Any]
identifier, quote = SPARK.identifier, SPARK.quote


def run(session: Any, base: Path = BASE) -> dict[str, Any]:
    """Prepare the data set under ``base/input`` into ``base/output``; give the manifest.

    Raises ValueError for a plan that Spark cannot carry out, naming what to change.
    """
    plan, recipe, params = (
        _json(base / "input/plan" / f"{name}.json") for name in ("plan", "recipe", "params")
    )
    if plan is None or recipe is None:
        raise ValueError("input/plan needs plan.json and recipe.json")
    _check(plan, recipe)
    # The dialect writes literals with escapes: a cluster may have been told to read them otherwise.
    session.conf.set("spark.sql.parser.escapedStringLiterals", "false")
    register_fold(session)
    columns = [column["name"] for column in recipe["columns"]]
    bad = _read(session, base / "input/source", plan["source"], columns, "source")
    for number, enrichment in enumerate(plan["enrich"]):
        bad += _read(session, base / f"input/enrich-{number}", enrichment, columns, "enriching")
        _join(session, recipe, enrichment)
    _clean(session, plan, recipe)
    _part(session, plan)
    rows = SparkRows(session, f"(SELECT *, {fold_sql()} AS __fold FROM parted WHERE __split = 'train')")
    folds = None
    if params is None:
        params = fit(rows, recipe)
    if recipe.get("encode"):
        folds = fit_folds(rows, recipe, params)
    output = base / "output"
    output.mkdir(parents=True, exist_ok=True)
    _write(session, recipe, params, folds, output)
    (output / "params.json").write_text(_text(params), encoding="utf-8")
    counts = {row["__split"]: row["n"] for row in _sql(session, COUNTS).collect()}
    rejected = _sql(session, "SELECT count(*) AS n FROM cleaned WHERE __rejected IS NOT NULL").collect()[0][
        "n"
    ]
    manifest = {"model": recipe["model"], "rows": counts | {"rejected": rejected + bad}}
    (output / "manifest.json").write_text(_text(manifest), encoding="utf-8")
    return manifest


COUNTS = "SELECT __split, count(*) AS n FROM parted GROUP BY 1"


def _json(path: Path) -> Any:
    return json.loads(path.read_bytes()) if path.exists() else None


def _text(document: Any) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _sql(session: Any, query: str) -> Any:
    return session.sql(query)


def _check(plan: Plan, recipe: Mapping[str, Any]) -> None:
    if plan["window"]["policy"] == "sliding":
        raise ValueError("window: on Spark no sliding window is prepared; drop the files you want to keep")
    kinds = {column["name"]: column["type"] for column in recipe["columns"]}
    for name in (*plan["source"]["key"], *plan["split"]["columns"]):
        if kinds[name] not in TEXT_KEYS:
            raise ValueError(
                f"'{name}' is a number: on Spark a key or group must be text, integer or timestamp"
            )


def _read(session: Any, folder: Path, shape: Plan, columns: list[str], view: str) -> int:
    """Make a view of all files as text, with ``__file`` and ``__line`` in their order; give the bad lines."""
    from pyspark.sql import functions as f

    found, bad = None, 0
    for number, path in enumerate(sorted(p for p in folder.rglob("*") if p.is_file())):
        frame = _frame(session, path, shape)
        if CORRUPT in frame.columns:
            frame = frame.cache()  # Spark refuses to read the corrupt column of an uncached file alone
            bad += frame.filter(f.col(CORRUPT).isNotNull()).count()
            frame = frame.filter(f.col(CORRUPT).isNull())
        present = [name for name in columns if name in frame.columns]
        frame = frame.select(
            *(f.col(identifier(name)).cast("string").alias(name) for name in present),
            f.lit(number).alias("__file"),
            f.monotonically_increasing_id().alias("__line"),
        )
        found = frame if found is None else found.unionByName(frame, allowMissingColumns=True)
    if found is None:
        raise ValueError(f"{folder} holds no file")
    for name in columns:
        if name not in found.columns:
            found = found.withColumn(name, f.lit(None).cast("string"))
    found.createOrReplaceTempView(view)
    return bad


CORRUPT = "__corrupt"


def _frame(session: Any, path: Path, shape: Plan) -> Any:
    if shape["format"] == "parquet":
        return session.read.parquet(str(path))
    reader = session.read.option("mode", "PERMISSIVE").option("columnNameOfCorruptRecord", CORRUPT)
    if shape["format"] == "jsonl":
        return reader.option("primitivesAsString", "true").json(str(path))
    reader = reader.option("sep", shape["delimiter"]).option("quote", '"').option("escape", '"')
    names = reader.option("header", "true").csv(str(path)).columns
    # An empty text and nothing are both missing to the recipe: it does not matter which Spark reads.
    plain = [name.removeprefix("\ufeff").strip() for name in names]
    schema = ", ".join(f"{identifier(name)} STRING" for name in (*plain, CORRUPT))
    return reader.option("header", "true").option("multiLine", "true").schema(schema).csv(str(path))


def _join(session: Any, recipe: Mapping[str, Any], enrichment: Plan) -> None:
    """Join ``enriching`` to ``source``: both sides by their cleaned keys, the last row of a key counts."""
    on = enrichment["on"]
    gives = [
        name for name in session.table("enriching").columns if not name.startswith("__") and name not in on
    ]
    has = {name for name in gives if not _empty(session, "enriching", name)}
    gives = [name for name in gives if name in has and _empty(session, "source", name)]
    kept = [name for name in session.table("source").columns if name not in gives]
    keys = [f"__on.{name}" for name in on]
    latest = (
        f"SELECT *, row_number() OVER (PARTITION BY {_list(map(identifier, keys))} "
        f"ORDER BY __file DESC, __line DESC) AS __place FROM ({_keyed(recipe, on, 'enriching', gives)})"
    )
    same = " AND ".join(f"l.{identifier(key)} = r.{identifier(key)}" for key in keys)
    side = "INNER" if enrichment["how"] == "inner" else "LEFT"
    chosen = _list([*(f"l.{identifier(n)}" for n in kept), *(f"r.{identifier(n)}" for n in gives)])
    _sql(
        session,
        f"SELECT {chosen} FROM ({_keyed(recipe, on, 'source', kept)}) l {side} JOIN "
        f"(SELECT * FROM ({latest}) WHERE __place = 1) r ON {same}",
    ).createOrReplaceTempView("source")


def _empty(session: Any, view: str, name: str) -> bool:
    return not _sql(session, f"SELECT 1 FROM {view} WHERE {identifier(name)} IS NOT NULL LIMIT 1").collect()


def _keyed(recipe: Mapping[str, Any], on: list[str], view: str, kept: Iterable[str]) -> str:
    by_name = {column["name"]: column for column in recipe["columns"]}
    keys = [by_name[name] | {"name": f"__on.{name}"} for name in on]
    copies = _list(f"{identifier(name)} AS {identifier(f'__on.{name}')}" for name in on)
    places = [name for name in ("__file", "__line") if name not in (kept := list(kept))]
    return cleaning_query(f"(SELECT *, {copies} FROM {view})", {"columns": keys}, [*kept, *places])


def _list(parts: Iterable[str]) -> str:
    return ", ".join(parts)


def _clean(session: Any, plan: Plan, recipe: Mapping[str, Any]) -> None:
    """Make ``cleaned``: typed columns, key, time, label and the rule that rejects a row."""
    keys = [f"CAST({identifier(name)} AS STRING)" for name in plan["source"]["key"]]
    split = plan["split"]
    time = identifier(split["column"]) if split["column"] else "CAST(NULL AS STRING)"
    absent = [
        (f"{key} IS NULL", f"{name}: key missing")
        for key, name in zip(keys, plan["source"]["key"], strict=True)
    ]
    if split["by"] == "time":
        absent.append((f"{time} IS NULL", f"{split['column']}: time missing"))
    whens = " ".join(f"WHEN {condition} THEN {quote(rule)}" for condition, rule in absent)
    query = cleaning_query("source", recipe, ["__file", "__line"])
    whole = " || ".join(f"length({key}) || ':' || {key}" for key in keys)
    columns = _list(identifier(column["name"]) for column in recipe["columns"])
    _sql(
        session,
        f"SELECT {columns}, __file, __line, {time} AS __time, {target_sql(recipe)}, md5({whole}) AS __key, "
        f"coalesce(__rejected, CASE {whens} END) AS __rejected FROM ({query})",
    ).cache().createOrReplaceTempView("cleaned")


def _part(session: Any, plan: Plan) -> None:
    """Make ``parted``: labelled rows, one per key (the latest), each with its split."""
    rows = (
        "(SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY __key ORDER BY __file DESC, __line DESC) "
        "AS __place FROM cleaned WHERE __rejected IS NULL AND __label IS NOT NULL) WHERE __place = 1)"
    )
    _sql(session, f"SELECT * FROM {rows}").cache().createOrReplaceTempView("rows")
    case = _case(session, plan["split"])
    _sql(session, f"SELECT *, {case} AS __split FROM rows").cache().createOrReplaceTempView("parted")


def _case(session: Any, split: Plan) -> str:
    shares = split["holdout"], split["validation"]
    if split["by"] == "time":
        holdout = _cut(session, "rows", shares[0])
        validation = _cut(
            session, f"(SELECT * FROM rows WHERE __time < {holdout})", shares[1] / (1 - shares[0])
        )
        first, second = f"__time >= {holdout}", f"__time >= {validation}"
        return f"CASE WHEN {first} THEN 'holdout' WHEN {second} THEN 'validation' ELSE 'train' END"
    unit = _unit(split["columns"]) if split["by"] == "group" else "__key"
    place = f"substr(md5({quote(split['salt'] + '|')} || {unit}), 1, 8)"
    first, second = (quote(f"{round(share * 2**32):08x}") for share in (shares[0], sum(shares)))
    if split["by"] == "stratified":
        stratum = _unit(split["columns"]) if split["columns"] else "__label"
        place = f"(row_number() OVER (PARTITION BY {stratum} ORDER BY {place}, __key) - 1)"
        of = f"count(*) OVER (PARTITION BY {stratum})"
        first, second = (f"floor({share!r}e0 * {of} + 0.5e0)" for share in (shares[0], sum(shares)))
    judges, tunes = f"{place} < {first}", f"{place} < {second}"
    return f"CASE WHEN {judges} THEN 'holdout' WHEN {tunes} THEN 'validation' ELSE 'train' END"


def _unit(columns: Iterable[str]) -> str:
    texts = [f"CAST({identifier(name)} AS STRING)" for name in columns]
    return " || ".join(f"coalesce(length({text}) || ':' || {text}, '-')" for text in texts)


def _cut(session: Any, pool: str, share: float) -> str:
    count = _sql(session, f"SELECT count(*) AS n FROM {pool}").collect()[0]["n"]
    place = min(int(count * (1 - share)), max(count - 1, 0))
    found = _sql(session, f"SELECT __time FROM {pool} ORDER BY __time LIMIT 1 OFFSET {place}").collect()
    return quote(found[0][0]) if found else "NULL"


def _write(
    session: Any,
    recipe: Mapping[str, Any],
    params: dict[str, Any],
    folds: dict[str, Any] | None,
    output: Path,
) -> None:
    kinds = {column["name"]: column["type"] for column in recipe["columns"]}
    cells = {n: f"CAST({identifier(n)} AS DOUBLE)" if kinds[n] in NUMERIC else identifier(n) for n in kinds}
    raw = [f"{cells[name]} AS {identifier(f'raw.{name}')}" for name in recipe["inputs"]]
    rest = [*raw, "__label", "__key", "__time", "'data' AS __origin"]
    for split in ("train", "validation", "holdout"):
        features = feature_sql(recipe, params, folds if split == "train" else None)
        query = (
            f"SELECT {_list([*features, *rest])} FROM (SELECT *, {fold_sql()} AS __fold FROM parted) "
            f"WHERE __split = '{split}' ORDER BY __key"
        )
        _sql(session, query).write.mode("overwrite").option("compression", "zstd").parquet(
            str(output / split)
        )


NUMERIC = frozenset({"number", "integer", "boolean"})


def main() -> None:
    """Run on the cluster of the processing job; the package travels to its workers."""
    from pyspark.sql import SparkSession

    session = SparkSession.builder.appName("driftwheel-preprocessing").getOrCreate()
    for archive in sys.argv[1:]:
        session.sparkContext.addPyFile(archive)
    try:
        print(_text(run(session)))
    finally:
        session.stop()


if __name__ == "__main__":
    main()
