# ruff: noqa: S608  # every name and text below is quoted by literals.identifier and literals.quote
"""Several sources into one table of cleaned rows: ``cleaned``.

Files are appended to ``source`` and ``enrich_<n>`` as text, joined without multiplying rows, united with
captured traffic whose labels arrived, and cleaned in one pass. Every row keeps where it came from
(``__file``, ``__line``, ``__origin``).
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from driftwheel.dataset import checks
from driftwheel.dataset.duck import DuckWorkspace
from driftwheel.dataset.files import Assembled, CaptureFile, DataFile, FileFacts, LabelFile
from driftwheel.dataset.flood import limit_hours
from driftwheel.drift.captured import CaptureReader
from driftwheel.drift.labels import LabelReader
from driftwheel.recipe.duck import cleaning_query, target_sql
from driftwheel.recipe.literals import identifier, quote
from driftwheel.sources import SourceFile, Unreadable, load
from driftwheel.sources.file import one_line
from driftwheel.spec import Enrichment, Source


def read_files(space: DuckWorkspace, files: Iterable[DataFile]) -> Assembled:
    """Append every file to the table of its role; a file that cannot be read is refused, the others stay.

    ``files`` may download lazily: each local copy is removed as soon as it was read.
    """
    found = Assembled()
    shapes: dict[str, Source | Enrichment] = {"source": space.spec.source}
    shapes |= {f"enrich-{n}": enrichment for n, enrichment in enumerate(space.spec.enrich)}
    for role in shapes:
        space.source_table(table_of(role))
    for number, file in enumerate(files):
        facts = found.files[number] = FileFacts(file.role, file.key)
        try:
            loaded = load(
                space.connection,
                SourceFile(file.path, file.key, number),
                shapes[file.role],
                space.columns,
                table_of(file.role),
            )
        except Unreadable as error:
            facts.refusal = error.refusal
            continue
        finally:
            file.path.unlink(missing_ok=True)
        facts.columns, facts.rows = loaded.columns, loaded.rows
        facts.bad_lines, facts.bad_line_count = loaded.bad_lines, loaded.bad_line_count
    checks.refuse_missing_columns(space, found)
    for number, facts in found.files.items():
        if facts.refusal is not None and facts.rows:
            space.execute(f"DELETE FROM {table_of(facts.role)} WHERE __file = {number}")
    return found


def table_of(role: str) -> str:
    """Name the table of a role."""
    return role.replace("-", "_")


def join(space: DuckWorkspace, found: Assembled) -> None:
    """Write ``joined``: the source rows with the columns of every enrichment, as text.

    For each key of an enrichment its last row counts (latest file by S3 key, last line): rows never multiply.
    Both sides are compared after cleaning.
    """
    own = {name for n in found.readable("source") for name in found.files[n].columns}
    space.execute("ALTER TABLE source RENAME TO joined")
    for number, enrichment in enumerate(space.spec.enrich):
        table, on = f"enrich_{number}", enrichment.on
        seen = {name for n in found.readable(f"enrich-{number}") for name in found.files[n].columns}
        gives = [name for name in space.columns if name in seen - own - set(on)]
        own |= set(gives)
        keys = ", ".join(identifier(f"__on.{name}") for name in on)
        space.execute(
            f"CREATE TABLE matched AS SELECT {keys}, {_list(['TRUE AS __match', *map(identifier, gives)])} "
            f"FROM ({_with_cleaned_keys(space, table, on)}) QUALIFY "
            f"row_number() OVER (PARTITION BY {keys} ORDER BY __file DESC, __line DESC) = 1"
        )
        same = " AND ".join(f'l."__on.{name}" = r."__on.{name}"' for name in on)
        replaced = _list([f"r.{identifier(name)} AS {identifier(name)}" for name in gives])
        replace = f" REPLACE ({replaced})" if gives else ""
        side = "INNER" if enrichment.how == "inner" else "LEFT"
        before = space.count("joined")
        left = _with_cleaned_keys(space, "joined", on)
        space.execute(
            f"CREATE TABLE wider AS SELECT l.* EXCLUDE ({keys}){replace}, r.__match AS __match "
            f"FROM ({left}) l {side} JOIN matched r ON {same}"
        )
        matched = int(space.one("SELECT count(*) FILTER (WHERE __match) FROM wider")[0])
        found.unmatched += before - matched
        space.execute("ALTER TABLE wider DROP COLUMN __match")
        for old in (table, "matched", "joined"):
            space.execute(f"DROP TABLE {old}")
        space.execute("ALTER TABLE wider RENAME TO joined")


def _with_cleaned_keys(space: DuckWorkspace, table: str, on: list[str]) -> str:
    """Write a query over ``table`` with the cleaned form of each key column beside it (``__on.<column>``)."""
    by_name = {column["name"]: column for column in space.recipe["columns"]}
    keys = [by_name[name] | {"name": f"__on.{name}"} for name in on]
    copies = _list([f"{identifier(name)} AS {identifier(f'__on.{name}')}" for name in on])
    query = cleaning_query(space.connection, f"(SELECT *, {copies} FROM {table})", {"columns": keys})
    extra = [identifier(f"{stage}__on.{name}") for name in on for stage in ("__given.", "__issue.")]
    return f"SELECT * EXCLUDE ({_list([*extra, '__rejected'])}) FROM ({query})"


class _AsSent:
    """Stands where ``CaptureReader`` expects a model's recipe, and hands every field over as it was sent.

    The rows are cleaned later with all others, so a captured row and a dropped one go one way.
    """

    def __init__(self, inputs: list[str]) -> None:
        self.inputs = inputs
        self.column_types: Mapping[str, str] = {}

    def clean(self, record: Mapping[str, object]) -> Mapping[str, object]:
        return _Lenient(record)


class _Lenient(dict[str, object]):
    def __missing__(self, key: str) -> None:
        return None


def read_captured(
    space: DuckWorkspace, captures: Iterable[CaptureFile], labels: Iterable[LabelFile]
) -> dict[str, int]:
    """Append captured requests whose labels arrived to ``captured``; predictions never become labels.

    ``labels`` stand in the order they arrived: a later one corrects an earlier one.
    """
    names = _list([f"{identifier(name)} VARCHAR" for name in space.columns])
    space.execute(
        f"CREATE TABLE captured ({names}, __line BIGINT, __id VARCHAR, __at VARCHAR, __told DOUBLE)"
    )
    truth = LabelReader()
    for file in labels:
        truth.read(file.chunks, file.key)
    # The reader only asks what the inputs of a CSV request are, and to clean: ``_AsSent`` answers both.
    reader = CaptureReader(_AsSent(space.recipe["inputs"]), columns=space.columns)  # type: ignore[arg-type]
    files = line = 0
    marks = [(column.get("notation") or {}).get("decimal", ".") for column in space.recipe["columns"]]
    staged = space.folder / "captured.csv"  # one COPY is a hundred times faster than row by row inserts
    with staged.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        for capture in captures:
            files += 1
            for batch in reader.read(capture.chunks, capture.key):
                told = batch.labels(truth.known)
                rows = zip(*batch.columns.values(), strict=True)
                for values, row_id, time, label in zip(rows, batch.ids, batch.times, told, strict=True):
                    line += 1
                    if label is not None:
                        cells = [*_cells(values, marks), line, one_line(row_id), time, repr(label)]
                        writer.writerow(cells)
    most = space.spec.window.captured_per_hour
    flooded = limit_hours(staged, most) if line > most else 0
    space.execute(
        f"COPY captured FROM {quote(str(staged))} "
        "(FORMAT csv, HEADER false, DELIMITER ',', QUOTE '\"', ESCAPE '\"', NULLSTR '', AUTO_DETECT false)"
    )
    staged.unlink()
    return {
        "files": files,
        "rows": reader.rows,
        "labels": len(truth.known),
        "labelled": space.count("captured"),
        "malformed": sum(reader.malformed.values()),
        "malformed_labels": sum(truth.malformed.values()),
        "corrected_labels": truth.corrected,
        "flooded": flooded,
    }


def _cells(values: Iterable[Any], marks: Iterable[str]) -> Iterator[str | None]:
    """Write one captured row; a JSON number is written in its column's notation, as it will be read back."""
    for value, mark in zip(values, marks, strict=True):
        text = as_text(value)
        yield text.replace(".", mark) if text and mark != "." and isinstance(value, float) else text


def as_text(value: Any) -> str | None:
    """Write a JSON value the way a CSV file would hold it.

    >>> as_text(True), as_text(5), as_text(0.1), as_text(None)
    ('true', '5', '0.1', None)
    """
    if value is None:
        return None
    if isinstance(value, str):
        return one_line(value)
    return str(value).lower() if isinstance(value, bool) else repr(value)


def clean(space: DuckWorkspace) -> None:
    """Write ``cleaned``: typed columns, label, key, time, origin; for a rejected row the rule and value."""
    names = _list([identifier(name) for name in space.columns])
    union = (
        f"(SELECT {names}, __file, __line, CAST(NULL AS VARCHAR) AS __id, CAST(NULL AS VARCHAR) AS __at, "
        "CAST(NULL AS DOUBLE) AS __told, 'data' AS __origin FROM joined UNION ALL "
        f"SELECT {names}, NULL, __line, __id, __at, __told, 'captured' FROM captured)"
    )
    query = cleaning_query(space.connection, union, space.recipe)
    target = target_sql(space.recipe).removesuffix(" AS __label")
    keys = [f"CAST({identifier(name)} AS VARCHAR)" for name in space.spec.source.key]
    whole = " AND ".join(f"{key} IS NOT NULL" for key in keys)
    missing_key = " ".join(
        f"WHEN {key} IS NULL THEN {quote(f'{name}: key missing')}"
        for key, name in zip(keys, space.spec.source.key, strict=True)
    )
    time = identifier(space.spec.split.column) if space.spec.split.column else "CAST(NULL AS VARCHAR)"
    timeless = (
        f"WHEN __origin = 'data' AND {time} IS NULL THEN {quote(f'{space.spec.split.column}: time missing')}"
        if space.spec.split.by == "time"
        else ""
    )
    values = " ".join(f"WHEN {quote(name)} THEN {identifier(f'__given.{name}')}" for name in space.columns)
    given = _list([identifier(f"__given.{name}") for name in space.columns])
    space.execute(
        f"CREATE TABLE cleaned AS SELECT * EXCLUDE ({given}, __rejected, __told, __at), "
        f"coalesce({time}, replace(substr(__at, 1, 19), 'T', ' ')) AS __time, "
        f"CASE WHEN __origin = 'captured' THEN __told ELSE ({target}) END AS __label, "
        f"CASE WHEN {whole} THEN md5({_unambiguous(keys)}) ELSE md5('captured:' || __id) END AS __key, "
        f"coalesce(__rejected, CASE WHEN __origin = 'data' THEN CASE {missing_key} END END, "
        f"CASE {timeless or 'WHEN FALSE THEN NULL'} END) AS __rejected, "
        f"CASE split_part(__rejected, ':', 1) {values} END AS __value FROM ({query})"
    )
    for old in ("joined", "captured"):
        space.execute(f"DROP TABLE {old}")


def _unambiguous(parts: Iterable[str]) -> str:
    """Write texts as one, each with its length before it: ('a', 'bc') and ('ab', 'c') must differ."""
    return " || ".join(f"length({part}) || ':' || {part}" for part in parts)


def _list(parts: Iterable[str]) -> str:
    return ", ".join(parts)
