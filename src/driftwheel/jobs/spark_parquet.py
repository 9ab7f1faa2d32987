# ruff: noqa: SLF001  # PySpark has no other way to the Parquet library it reads with
"""Parquet files into Spark, as ``driftwheel.sources.parquet_file`` reads them with DuckDB.

The same texts and the same refusals. The footer is read by the library Spark reads it with: only wanted
columns are given to Spark, which refuses a whole file for a type it does not know, and looks into no page
before a row is wanted.
"""

import json
import re
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from driftwheel.dataset.files import FileFacts
from driftwheel.sources.file import MOST_COLUMNS, SourceFile
from driftwheel.sources.parquet_size import most_rows, refuse_damaged, refuse_size
from driftwheel.sources.refusal import named_twice, no_rows, not_flat, too_wide

if TYPE_CHECKING:
    from driftwheel.spec import Enrichment, Source

NESTED = re.compile(r"struct|map|array|binary|interval")
UNREADABLE = re.compile(r"Parquet type: (.+)\.")
OURS = ("No space left", "OutOfMemory", "Cannot allocate", "ExecutorLostFailure")
"""In an error's words: the machine is to blame and not the file."""

DOUBLE_TEXT, FLOAT_TEXT = "driftwheel_text", "driftwheel_float_text"
"""The functions that write a number as DuckDB and Python do: no engine writes one like another."""


def register_texts(session: Any) -> None:
    """Make the functions known to a session's SQL."""
    session.udf.register(DOUBLE_TEXT, double_text, "string")
    session.udf.register(FLOAT_TEXT, float_text, "string")


def double_text(value: float | None) -> str | None:
    """Write a double: the shortest text that reads back the same, as DuckDB does.

    >>> double_text(1e16), double_text(0.1)
    ('1e+16', '0.1')
    """
    return None if value is None else repr(value)


def float_text(value: float | None) -> str | None:
    """Write a number of 32 bits, given as a double: the shortest text that reads back as the same 32 bits.

    >>> float_text(0.10000000149011612), float_text(123456792.0)
    ('0.1', '123456790.0')
    """
    if value is None:
        return None
    for digits in range(1, 9):
        short = float(f"{value:.{digits}g}")
        try:
            if struct.unpack("f", struct.pack("f", short))[0] == value:
                return repr(short)
        except OverflowError:  # rounded beyond the largest
            continue
    return repr(float(f"{value:.9g}"))


@dataclass(frozen=True)
class Footer:
    """What a file says of itself: its fields in Java, by name, rows by row group and values by column.

    ``twice``: names that more than one field has.
    """

    fields: dict[str, Any]
    groups: list[dict[str, Any]]
    twice: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return sum(group["rowCount"] for group in self.groups)

    def contradicts_itself(self, names: Sequence[str]) -> bool:
        """Tell whether a flat column holds another number of values than its row group has rows."""
        wanted = set(names)
        return any(
            column["valueCount"] != group["rowCount"]
            for group in self.groups
            for column in group["columns"]
            if len(column["path"]) == 1 and column["path"][0] in wanted
        )


def read_parquet(
    session: Any,
    file: SourceFile,
    plain: Path,
    shape: "Source | Enrichment",
    columns: Sequence[str],
    facts: FileFacts,
) -> Any:
    """Make the frame of a Parquet file and note what it holds; ``__line`` is the row's number, from 1.

    Raises Unreadable: corrupt, header-only, duplicate-column, unsupported-type, too-many-columns,
    decoded-too-large.
    """
    del shape
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException

    try:
        footer = _footer(session, plain)
        if footer.twice:
            raise named_twice(file.key, footer.twice[0])
        facts.columns = tuple(footer.fields)
        if len(facts.columns) > MOST_COLUMNS:
            raise too_wide(file.key, len(facts.columns), MOST_COLUMNS)
        taken = [name for name in columns if name in footer.fields]
        kinds = {name: _kind(session, file, name, footer.fields[name]) for name in taken}
        limit = most_rows(plain, len(taken))
        if footer.rows > limit:
            refuse_size(file, limit, len(taken))
        if footer.contradicts_itself(taken):
            refuse_damaged(file)
        if taken:
            schema = ", ".join(f"`{name}` {kind.ddl}" for name, kind in kinds.items())
            frame, line = session.read.schema(schema).parquet(plain.as_uri()), "_metadata.row_index"
        else:  # it will be refused for what it lacks
            frame, line = session.range(footer.rows), "id"
        facts.rows = _decoded(frame, taken)
    except (Py4JJavaError, PySparkException) as error:
        if any(word in str(error) for word in OURS) or not _answers(session):
            raise
        refuse_damaged(file, error)
    if not facts.rows:
        raise no_rows(file.key)
    cells = [f"{_text(name, kinds.get(name))} AS `{name}`" for name in columns]
    places = [f"CAST({file.number} AS INT) AS __file", f"{line} + 1 AS __line"]
    return frame.selectExpr(*cells, *places)


@dataclass(frozen=True)
class _Kind:
    ddl: str
    nanos: bool


def _footer(session: Any, plain: Path) -> Footer:
    hadoop = session._jvm.org.apache.hadoop
    parquet = session._jvm.org.apache.parquet.hadoop
    place = hadoop.fs.Path(plain.as_uri())
    opened = parquet.util.HadoopInputFile.fromPath(place, session._jsc.hadoopConfiguration())
    reader = parquet.ParquetFileReader.open(opened)
    try:
        found = reader.getFooter()
        fields = [(one.getName(), one) for one in found.getFileMetaData().getSchema().getFields()]
        twice = [name for name, times in Counter(name for name, _ in fields).items() if times > 1]
        document = json.loads(parquet.metadata.ParquetMetadata.toJSON(found))
        return Footer(dict(fields), document["blocks"], twice)
    finally:
        reader.close()


def _answers(session: Any) -> bool:
    """Tell whether Spark still works: what it says of a file is worth nothing when it does not."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        return bool(session.range(1).count() == 1)
    except (Py4JError, PySparkException, OSError):
        return False


def _kind(session: Any, file: SourceFile, name: str, field: Any) -> _Kind:
    """Say what Spark reads a field as; a type it cannot read is refused by its column."""
    from pyspark.errors import AnalysisException

    parquet = session._jvm.org.apache.parquet.schema
    spark = session._jvm.org.apache.spark.sql.execution.datasources.parquet
    alone = session._jvm.java.util.ArrayList()
    alone.add(field)
    converter = spark.ParquetToSparkSchemaConverter(session._jsparkSession.sessionState().conf())
    try:
        kind = converter.convert(parquet.MessageType("alone", alone)).apply(0).dataType().sql().lower()
    except AnalysisException as error:
        found = UNREADABLE.search(str(error))
        raise not_flat(file.key, name, found[1] if found else "of a type Spark cannot read") from error
    if NESTED.match(kind):
        raise not_flat(file.key, name, kind)
    return _Kind(kind, "TIMESTAMP(NANOS" in field.toString())


def _decoded(frame: Any, names: Sequence[str]) -> int:
    """Count the rows, after reading every value of these columns: a damaged page is found now or never."""
    values = ", ".join(f"`{name}`" for name in names)
    asked = ["count(*)", *([f"bit_xor(xxhash64({values}))"] if names else [])]
    return int(frame.selectExpr(*asked).first()[0])


def _text(name: str, kind: _Kind | None) -> str:
    if kind is None:
        return "CAST(NULL AS STRING)"
    x = f"`{name}`"
    if kind.nanos:  # which Spark reads as a number: its own moments have six digits
        moment = f"timestamp_micros(CAST((CAST({x} AS DECIMAL(20, 0)) - pmod({x}, 1000)) / 1000 AS BIGINT))"
        whole = f"date_format({moment}, 'yyyy-MM-dd HH:mm:ss')"
        fraction = f"rtrim('0', lpad(CAST(pmod({x}, 1000000000) AS STRING), 9, '0'))"
        return f"rtrim('.', concat({whole}, '.', {fraction}))"
    if kind.ddl in {"double", "float"}:
        return f"{DOUBLE_TEXT if kind.ddl == 'double' else FLOAT_TEXT}({x})"
    return f"CAST({x} AS STRING)"
