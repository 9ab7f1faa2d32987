# ruff: noqa: S608  # every name and text below is quoted by literals.identifier and literals.quote
"""Several sources into one table of cleaned rows: ``cleaned``.

Rows are cleaned as they are read and never held as text. Without enrichments they go straight to
``cleaned``; otherwise to ``source`` and ``enrich_<n>``, which are joined without multiplying rows. Captured
traffic whose labels arrived comes last. Every row keeps where it came from (``__file``,
``__line``, ``__origin``).
"""

from collections.abc import Collection, Iterable
from pathlib import Path

from driftwheel.dataset import checks
from driftwheel.dataset.captured import stage_captured
from driftwheel.dataset.cleaned import derived
from driftwheel.dataset.duck import DuckWorkspace
from driftwheel.dataset.files import Assembled, CaptureFile, DataFile, FileFacts, LabelFile
from driftwheel.dataset.splits import SPLITS, place_sql
from driftwheel.recipe.duck import DUCK, cleaning_query
from driftwheel.recipe.literals import identifier, quote
from driftwheel.recipe.sql import rejected_sql, rewritten
from driftwheel.sources.file import SourceFile, Through, picked_sql
from driftwheel.sources.kinds import load
from driftwheel.sources.refusal import Unreadable
from driftwheel.spec import Enrichment, Source

NOT_CAPTURED = (
    "FALSE AS __captured, CAST(NULL AS VARCHAR) AS __id, CAST(NULL AS VARCHAR) AS __at, "
    "CAST(NULL AS DOUBLE) AS __told"
)


def read_files(space: DuckWorkspace, files: Iterable[DataFile]) -> Assembled:
    """Append every file to the table of its role; a file that cannot be read is refused, the others stay.

    ``files`` may download lazily: each local copy is removed as soon as it was read.
    """
    found = Assembled()
    shapes: dict[str, Source | Enrichment] = {"source": space.spec.source}
    shapes |= {f"enrich-{n}": enrichment for n, enrichment in enumerate(space.spec.enrich)}
    through = _way(space)
    nothing = (
        f"SELECT {picked_sql(space.columns, {})}CAST(NULL AS INTEGER) AS __file, "
        "CAST(NULL AS BIGINT) AS __line WHERE FALSE"
    )
    for role in shapes:
        space.keep_none(table_of(space, role), through(nothing, ascii_only=True))
    for number, file in enumerate(files):
        facts = found.files[number] = FileFacts(file.role, file.key, file.version)
        try:
            loaded = load(
                space.connection,
                SourceFile(file.path, file.key, number),
                shapes[file.role],
                space.columns,
                table_of(space, file.role),
                through,
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
            space.execute(f"DELETE FROM {table_of(space, facts.role)} WHERE __file = {number}")
    return found


def table_of(space: DuckWorkspace, role: str) -> str:
    """Name the table of a role."""
    return role.replace("-", "_") if space.spec.enrich else "cleaned"


def _way(space: DuckWorkspace) -> Through:
    """Clean rows as they are read; where nothing is joined to them, finish them too."""

    def through(query: str, *, ascii_only: bool = False) -> str:
        cleaned = cleaning_query(space.connection, f"({query})", space.recipe, folded=ascii_only)
        return (
            cleaned if space.spec.enrich else _finished(space, f"SELECT *, {NOT_CAPTURED} FROM ({cleaned})")
        )

    return through


def join(space: DuckWorkspace, found: Assembled) -> None:
    """Write ``cleaned`` from the source rows and the columns of every enrichment.

    For each key of an enrichment its last row counts (latest file by S3 key, last line): rows never multiply.
    """
    if not space.spec.enrich:
        return
    own = {name for n in found.readable("source") for name in found.files[n].columns}
    for number, enrichment in enumerate(space.spec.enrich):
        seen = {name for n in found.readable(f"enrich-{number}") for name in found.files[n].columns}
        gives = [name for name in space.columns if name in seen - own - set(enrichment.on)]
        own |= set(gives)
        _join_one(space, f"enrich_{number}", enrichment, gives)
        missed, kept = space.one("SELECT count(*) FILTER (WHERE __match IS NULL), count(*) FROM wider")
        found.unmatched += missed if enrichment.how == "left" else space.count("source") - kept
        space.execute("ALTER TABLE wider DROP COLUMN __match")
        for old in (f"enrich_{number}", "source"):
            space.execute(f"DROP TABLE {old}")
        space.execute("ALTER TABLE wider RENAME TO source")
    rejected = f"{rejected_sql(space.recipe, DUCK)} AS __rejected"
    joined = f"SELECT * REPLACE ({rejected}), {NOT_CAPTURED} FROM source"
    finished = _finished(space, joined)
    space.keep_none("cleaned", finished)
    space.execute(f"INSERT INTO cleaned {finished}")
    space.execute("DROP TABLE source")


def _join_one(space: DuckWorkspace, table: str, enrichment: Enrichment, gives: list[str]) -> None:
    """Write ``wider``: ``source`` with the columns an enrichment gives, and ``__match``."""
    keys = [identifier(name) for name in enrichment.on]
    stages = ("", "__issue.", "__given.")
    given = [identifier(stage + name) for name in gives for stage in stages]
    theirs: dict[str, int] = {}
    for (name, _), (word, bit) in rewritten(space.recipe).items():
        theirs[word] = theirs.get(word, 0) | (bit if name in gives else 0)
    words = list(map(identifier, theirs))
    latest = (
        f"SELECT {_list([*keys, *given, *words])}, TRUE AS __match FROM {table} QUALIFY "
        f"row_number() OVER (PARTITION BY {_list(keys)} ORDER BY __file DESC, __line DESC) = 1"
    )
    issues = {identifier(f"__issue.{name}") for name in gives}
    replaced = _list(
        f"CASE WHEN __match THEN r.{x} ELSE {DUCK.issue('missing')} END AS {x}"
        if x in issues
        else f"r.{x} AS {x}"
        for x in given
    )
    marked = _list(
        f"l.{word} | coalesce(r.{word} & {bits}, 0) AS {word}"
        for word, bits in zip(words, theirs.values(), strict=True)
    )
    replace = f" REPLACE ({replaced}, {marked})" if gives else ""
    same = " AND ".join(f"l.{key} = r.{key}" for key in keys)
    side = "INNER" if enrichment.how == "inner" else "LEFT"
    space.execute(
        f"CREATE TABLE wider AS SELECT l.*{replace}, r.__match AS __match "
        f"FROM source l {side} JOIN ({latest}) r ON {same}"
    )


def read_captured(
    space: DuckWorkspace,
    captures: Iterable[CaptureFile],
    labels: Iterable[LabelFile],
    held_hours: Collection[str] = (),
) -> dict[str, int]:
    """Append captured requests whose labels arrived to ``cleaned``; predictions never become labels.

    ``labels`` stand in the order they arrived: a later one corrects an earlier one. What was asked in one of
    ``held_hours`` is left out.
    """
    staged = space.folder / "captured.csv"  # one COPY is a hundred times faster than row by row inserts
    most = space.spec.window.captured_per_hour
    counts = stage_captured(staged, space.recipe, most, captures, labels, held_hours)
    if counts["labelled"]:
        _take_captured(space, staged)
    staged.unlink()
    return counts


def _take_captured(space: DuckWorkspace, staged: Path) -> None:
    kinds = dict.fromkeys(space.columns, "VARCHAR")
    kinds |= {"__line": "BIGINT", "__id": "VARCHAR", "__at": "VARCHAR", "__told": "DOUBLE"}
    typed = _list(f"{quote(name)}: '{kind}'" for name, kind in kinds.items())
    reader = (
        f"read_csv({quote(str(staged))}, columns={{{typed}}}, header=false, delim=',', "
        "quote='\"', escape='\"', nullstr='', auto_detect=false)"
    )
    query = f"(SELECT *, CAST(NULL AS INTEGER) AS __file, TRUE AS __captured FROM {reader})"
    cleaned = cleaning_query(space.connection, query, space.recipe)
    space.execute(f"INSERT INTO cleaned BY NAME {_finished(space, cleaned)}")


def _finished(space: DuckWorkspace, query: str) -> str:
    """Write the rows of ``cleaned``: values, issues, label, key, time; if rejected the rule and value."""
    dropped = ["__rejected", "__captured", "__told", "__at", *(f"__given.{name}" for name in space.columns)]
    dropped += [f"__issue.{name}" for name in space.columns if name not in space.judged]
    finished = f"SELECT * EXCLUDE ({_list(map(identifier, dropped))}), {_list(derived(space))} FROM ({query})"
    split = space.spec.split
    if split.by == "time":
        return finished
    place = place_sql(space, split)
    if split.by != "stratified":  # one byte, and compared as one
        place = f"CAST({place} AS ENUM({', '.join(map(quote, SPLITS))}))"
    return f"SELECT *, {place} AS __place FROM ({finished})"


def _list(parts: Iterable[str]) -> str:
    return ", ".join(parts)
