# ruff: noqa: PLC0415, N815  # only the engine that is asked for is there to import; SageMaker's names
"""Peers that look for drift between two tables, each at its defaults; run in the environment of the one.

``once``: two Parquet files, read and judged. ``many``: every window of two files of windows is judged against
one baseline. Answers JSON: the columns flagged, and the seconds after imports.
"""

import argparse
import importlib
import json
import math
import os
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"
warnings.filterwarnings("ignore")

Judge = Callable[[Any, Any], list[str]]
"""(baseline, window) as pandas frames, or for some as pyarrow tables → names of the columns flagged."""


def split(frame: Any) -> tuple[list[str], list[str]]:
    """Tell numbers from categories; a label of 0 and 1 is a category."""
    numbers = [name for name in frame.columns if frame[name].dtype.kind == "f"]
    return numbers, [name for name in frame.columns if name not in numbers]


def evidently() -> Judge:
    """DataDriftPreset."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    def judge(before: Any, now: Any) -> list[str]:
        numbers, categories = split(before)
        shape = DataDefinition(numerical_columns=numbers, categorical_columns=categories)
        sets = [Dataset.from_pandas(frame, data_definition=shape) for frame in (now, before)]
        found = Report([DataDriftPreset()]).run(*sets).dict()["metrics"]
        flagged = []
        for metric in found:
            said = metric["config"]
            if "ValueDrift" in said["type"]:
                distance = "p_value" not in said["method"].replace(" ", "_")
                value, threshold = float(metric["value"]), float(said["threshold"])
                if value >= threshold if distance else value < threshold:
                    flagged.append(said["column"])
        return flagged

    return judge


def nannyml() -> Judge:
    """Univariate drift, Jensen-Shannon, ten chunks of the window and as large ones before; any alert."""
    import nannyml as nml

    def judge(before: Any, now: Any) -> list[str]:
        numbers, categories = split(before)
        calculator = nml.UnivariateDriftCalculator(
            column_names=numbers + categories,
            treat_as_categorical=categories,
            chunk_size=len(now) // 10,
        )
        calculator.fit(before)
        found = calculator.calculate(now).filter(period="analysis").to_df()
        return [
            name for name in numbers + categories if found[name].xs("alert", axis=1, level=1).any(axis=None)
        ]

    return judge


def whylogs() -> Judge:
    """Profiles of both, and the drift algorithms chosen for each column."""
    import whylogs as why
    from whylogs.viz.drift.column_drift_algorithms import calculate_drift_scores

    def judge(before: Any, now: Any) -> list[str]:
        views = [why.log(frame).view() for frame in (now, before)]
        found = calculate_drift_scores(*views, with_thresholds=True)
        return [name for name, said in found.items() if said and said.get("drift_category") == "DRIFT"]

    return judge


def alibi_detect() -> Judge:
    """TabularDrift with Bonferroni; it takes no gaps: medians and a category of their own fill them."""
    import numpy as np
    from alibi_detect.cd import TabularDrift

    def judge(before: Any, now: Any) -> list[str]:
        numbers, categories = split(before)
        names = numbers + categories
        columns = []
        for name in names:
            if name in numbers:
                middle = before[name].median()
                columns.append([frame[name].fillna(middle).to_numpy() for frame in (before, now)])
            else:
                both = [frame[name].fillna("(missing)").astype(str) for frame in (before, now)]
                code = {value: n for n, value in enumerate(sorted({*both[0], *both[1]}))}
                columns.append([one.map(code).to_numpy(dtype=float) for one in both])
        x, y = (np.stack([column[n] for column in columns], axis=1) for n in (0, 1))
        detector = TabularDrift(
            x, p_val=0.05, categories_per_feature={names.index(name): None for name in categories}
        )
        found = detector.predict(y, drift_type="batch")["data"]
        return [name for name, p in zip(names, found["p_val"], strict=True) if p < found["threshold"]]

    return judge


def frouros() -> Judge:
    """KSTest and ChiSquareTest, each at 0.05."""
    from frouros.detectors.data_drift import ChiSquareTest, KSTest

    def judge(before: Any, now: Any) -> list[str]:
        flagged = []
        numbers, _ = split(before)
        for name in before.columns:
            detector = KSTest() if name in numbers else ChiSquareTest()
            one, other = (frame[name].dropna().to_numpy() for frame in (before, now))
            detector.fit(X=one)
            found, _ = detector.compare(X=other)
            if found.p_value < 0.05:
                flagged.append(name)
        return flagged

    return judge


def scipy() -> Judge:
    """ks_2samp and chi2_contingency for each column, 0.05 with Bonferroni."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    from scipy import stats

    def judge(before: Any, now: Any) -> list[str]:
        flagged = []
        for name in before.column_names:
            one, other = before[name], now[name]
            if pa.types.is_floating(one.type):
                p = stats.ks_2samp(one.drop_null().to_numpy(), other.drop_null().to_numpy()).pvalue
            else:
                counts = [
                    {str(v["values"]): v["counts"] for v in pc.value_counts(column.drop_null()).to_pylist()}
                    for column in (one, other)
                ]
                names = sorted({*counts[0], *counts[1]})
                table = np.array([[column.get(value, 0) for value in names] for column in counts])
                p = stats.chi2_contingency(table).pvalue
            if p < 0.05 / len(before.column_names):
                flagged.append(name)
        return flagged

    return judge


def psi(before: list[float], now: list[float]) -> float:
    """Population stability index of two lists of counts, half a row added to each."""
    shares = [[(n + 0.5) / (sum(c) + 0.5 * len(c)) for n in c] for c in (before, now)]
    return sum((q - p) * math.log(q / p) for p, q in zip(*shares, strict=True))


def counted(
    reduced: dict[str, Any], count: Callable[[dict[str, Any]], dict[str, dict[str, int]]]
) -> list[str]:
    """Flag PSI > 0.2 over the deciles or categories of a baseline that was reduced beforehand."""
    found = count(reduced)
    flagged = []
    for name, known in reduced.items():
        now = found[name]
        keys = sorted({*known["counts"], *now})
        if psi([known["counts"].get(k, 0) for k in keys], [now.get(k, 0) for k in keys]) > 0.2:
            flagged.append(name)
    return flagged


def duckdb(path: Path, reduced: dict[str, Any]) -> list[str]:
    """One query: deciles by histogram(), categories by their values."""
    import duckdb as db

    def count(reduced: dict[str, Any]) -> dict[str, dict[str, int]]:
        connection = db.connect(config={"threads": 2})
        parts = [
            f"histogram({name}, [{', '.join(f'{edge:.17e}' for edge in known['edges'])}])"
            if known["edges"]
            else f"histogram(CAST({name} AS VARCHAR))"
            for name, known in reduced.items()
        ]
        nulls = [f"count(*) - count({name})" for name in reduced]
        query = f"SELECT {', '.join(parts + nulls)} FROM read_parquet('{path}')"
        (row,) = connection.execute(query).fetchall()
        found = {}
        for n, (name, known) in enumerate(reduced.items()):
            bins = {edge: str(n) for n, edge in enumerate([*known["edges"], math.inf])}
            counts = {bins[k] if known["edges"] else k: v for k, v in row[n].items()}
            found[name] = counts | {"null": row[len(reduced) + n]}
        return found

    return counted(reduced, count)


def polars(path: Path, reduced: dict[str, Any]) -> list[str]:
    """A lazy scan: deciles by cut and categories by value_counts."""
    import polars as pl

    def count(reduced: dict[str, Any]) -> dict[str, dict[str, int]]:
        whole = pl.scan_parquet(path)
        wanted = []
        for name, known in reduced.items():
            key = pl.col(name).cast(pl.String)
            if known["edges"]:
                place = pl.lit(pl.Series(known["edges"])).search_sorted(pl.col(name)).cast(pl.String)
                key = pl.when(pl.col(name).is_not_null()).then(place)
            wanted.append(key.value_counts().implode().alias(name))
        row = whole.select(wanted).collect()
        found: dict[str, dict[str, int]] = {}
        for name in reduced:
            pairs = [tuple(one.values()) for one in row[name][0].to_list()]
            found[name] = {"null" if key is None else key: n for key, n in pairs}
        return found

    return counted(reduced, count)


def decode_only(path: Path) -> list[str]:
    """The limit: decode every column, categories as dictionaries, and nothing else."""
    import pyarrow.parquet as pq

    names = [field.name for field in pq.read_schema(path) if str(field.type) == "string"]
    file = pq.ParquetFile(path, read_dictionary=names)
    for group in range(file.num_row_groups):
        file.read_row_group(group)
    return []


def decode_and_count(path: Path) -> list[str]:
    """Decode every column and count its values once, numbers by the top 16 bits of float32: no sums, no test.

    A histogram of each column is the least any test of drift needs.
    """
    import numpy as np
    import pyarrow.parquet as pq

    names = [field.name for field in pq.read_schema(path) if str(field.type) == "string"]
    file = pq.ParquetFile(path, read_dictionary=names)
    for group in range(file.num_row_groups):
        table = file.read_row_group(group)
        for name in table.column_names:
            for values in table[name].chunks:
                codes = values.indices if name in names else values
                kind = np.dtype(str(codes.type))
                found = np.frombuffer(codes.buffers()[1], kind, len(codes), codes.offset * kind.itemsize)
                # What stands where a value is missing is counted too: looking for it would cost more.
                np.bincount(found if name in names else found.astype("<f4").view("<u2")[1::2])
    return []


CELL = "captureData.endpointInput.data"
ANSWER = "captureData.endpointOutput.data"


def capture_duckdb(path: Path) -> list[str]:
    """The best parser: JSONL to typed columns, and nothing else."""
    import duckdb as db

    with path.open(encoding="utf-8") as stream:
        side = json.loads(stream.readline())["captureData"]["endpointInput"]
    cells, answer = CELL, ANSWER
    if side["encoding"] == "BASE64":
        cells, answer = (f"decode(from_base64({text}))" for text in (CELL, ANSWER))
    numbers = [f"TRY_CAST(cells[{n}] AS DOUBLE) AS c{n}" for n in range(1, 9)]
    texts = [f"nullif(cells[{n}], '') AS c{n}" for n in range(9, 13)]
    shape = "STRUCT(endpointInput STRUCT(data VARCHAR), endpointOutput STRUCT(data VARCHAR))"
    db.connect(config={"threads": 2}).execute(
        f"CREATE TABLE captured AS SELECT {', '.join(numbers + texts)}, CAST(answer AS DOUBLE) AS score FROM "
        f"(SELECT string_split({cells}, ',') AS cells, {answer} AS answer FROM read_json('{path}', "
        f"format = 'newline_delimited', columns = {{captureData: '{shape}'}}))"
    )
    return []


def capture_msgspec(path: Path) -> list[str]:
    """Another good parser: msgspec for the lines, pyarrow for their cells."""
    import base64
    import io

    import msgspec
    from pyarrow import csv

    class Side(msgspec.Struct, gc=False):
        data: str
        encoding: str

    class Data(msgspec.Struct, gc=False):
        endpointInput: Side
        endpointOutput: Side

    class Capture(msgspec.Struct, gc=False):
        captureData: Data

    decoder = msgspec.json.Decoder(Capture)
    with path.open("rb") as stream:
        while lines := stream.readlines(16 << 20):
            captures = decoder.decode_lines(b"".join(lines))
            inputs = [one.captureData.endpointInput for one in captures]
            for sides, width in ((inputs, 12), ([one.captureData.endpointOutput for one in captures], 1)):
                plain = sides[0].encoding == "CSV"
                data = [s.data.encode() if plain else base64.b64decode(s.data) for s in sides]
                names = [f"c{n}" for n in range(width)]
                csv.read_csv(io.BytesIO(b"\n".join(data)), csv.ReadOptions(column_names=names))
    return []


def reduced_of(path: Path) -> dict[str, Any]:
    """Reduce a baseline to deciles and counts, what DuckDB and polars compare with."""
    import duckdb as db

    connection = db.connect()
    source = f"read_parquet('{path}')"
    found = {}
    for name, kind, *_ in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall():
        edges: list[float] = []
        if kind == "DOUBLE":
            shares = [n / 10 for n in range(1, 10)]
            edges = sorted(
                set(connection.execute(f"SELECT quantile_cont({name}, {shares}) FROM {source}").fetchone()[0])
            )
            query = (
                f"SELECT CASE WHEN {name} IS NULL THEN 'null' ELSE CAST(len(list_filter("
                f"{[f'{e:.17e}' for e in edges]}::DOUBLE[], lambda e: e < {name})) AS VARCHAR) END, count(*) "
                f"FROM {source} GROUP BY 1"
            )
        else:
            query = f"SELECT coalesce(CAST({name} AS VARCHAR), 'null'), count(*) FROM {source} GROUP BY 1"
        found[name] = {"edges": edges, "counts": dict(connection.execute(query).fetchall())}
    return found


JUDGES: dict[str, Callable[[], Judge]] = {
    "evidently": evidently,
    "nannyml": nannyml,
    "whylogs": whylogs,
    "alibi_detect": alibi_detect,
    "frouros": frouros,
    "scipy": scipy,
}
QUERIES: dict[str, Callable[..., list[str]]] = {"duckdb": duckdb, "polars": polars}
READERS = {
    "decode_only": decode_only,
    "decode_and_count": decode_and_count,
    "capture_duckdb": capture_duckdb,
    "capture_msgspec": capture_msgspec,
}


MODULES = {
    "decode_only": ["pyarrow.parquet"],
    "decode_and_count": ["numpy", "pyarrow.parquet"],
    "capture_duckdb": ["duckdb"],
    "capture_msgspec": ["msgspec", "pyarrow.csv"],
    "duckdb": ["duckdb"],
    "polars": ["polars"],
}
"""Imported before the clock starts, as the others' modules are."""


def load(engine: str, path: Path) -> Any:
    """Read a table as the engine wants it."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    if engine == "scipy":
        return table
    frame = table.to_pandas()
    if "label" in frame:
        frame["label"] = frame["label"].astype("Int64").astype(str)
    return frame


def windows(engine: str, path: Path, rows: int) -> Iterable[Any]:
    """Cut a table of windows into windows."""
    whole = load(engine, path)
    for start in range(0, len(whole), rows):
        yield (
            whole.slice(start, rows)
            if engine == "scipy"
            else whole.iloc[start : start + rows].reset_index(drop=True)
        )


def main() -> None:
    """Judge what was asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=["reduce", *READERS, *QUERIES, *JUDGES])
    parser.add_argument("baseline", type=Path)
    parser.add_argument("current", type=Path, nargs="+", help="once: one file; many: files of windows")
    parser.add_argument("--rows", type=int, help="many: rows of a window")
    given = parser.parse_args()
    if given.engine == "reduce":
        given.current[0].write_text(json.dumps(reduced_of(given.baseline)))
        print("{}")
        return
    judge = JUDGES[given.engine]() if given.engine in JUDGES else None
    for module in MODULES.get(given.engine, ()):
        importlib.import_module(module)
    wall, cpu = time.perf_counter(), time.process_time()
    if given.engine in READERS:
        answer: Any = READERS[given.engine](given.current[0])
    elif given.engine in QUERIES:
        answer = QUERIES[given.engine](given.current[0], json.loads(given.baseline.read_text()))
    else:
        assert judge is not None
        before = load(given.engine, given.baseline)
        if given.rows:
            answer = [
                [judge(before, now) for now in windows(given.engine, path, given.rows)]
                for path in given.current
            ]
        else:
            answer = judge(before, load(given.engine, given.current[0]))
    print(json.dumps({"flags": answer, "wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}))


if __name__ == "__main__":
    main()
