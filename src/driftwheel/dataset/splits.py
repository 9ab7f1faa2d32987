# ruff: noqa: S608  # every name and text below is quoted by literals.identifier and literals.quote
"""Which row trains, which tunes, which judges: decided by time or by a hash of the key, never by chance.

The pinned holdout is the champion's: challengers are judged on its rows until a run that may roll over
replaces them, and none of its rows ever trains.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from driftwheel.dataset.workspace import Workspace
from driftwheel.recipe.literals import identifier, quote
from driftwheel.refusal import Refusal

if TYPE_CHECKING:
    from driftwheel.dataset.duck import DuckWorkspace
    from driftwheel.spec import Split

SPLITS = ("train", "validation", "holdout")


def keep_usable(space: "DuckWorkspace", refused_files: Iterable[int]) -> dict[str, int]:
    """Make ``rows``, a view: labelled, inside the window, one per key; count what stayed behind.

    Of rows with one key those from data files win over captured ones, then the latest file by S3 key, then
    the last line.
    """
    left_out = ", ".join(map(str, refused_files)) or "-1"
    usable = f"__rejected IS NULL AND coalesce(__file, -2) NOT IN ({left_out})"
    space.execute(f"CREATE VIEW usable AS SELECT {space.place} AS __row, * FROM cleaned WHERE {usable}")
    window = "TRUE"
    if space.spec.window.policy == "sliding":
        days = space.spec.window.days
        window = (
            "CAST(__time AS TIMESTAMP) > (SELECT max(CAST(__time AS TIMESTAMP)) FROM usable "
            f"WHERE __label IS NOT NULL) - INTERVAL {days} DAY"
        )
    labelled = f"(SELECT * FROM usable WHERE __label IS NOT NULL AND {window})"
    # Only keys that occur twice are sorted, and only what orders them: most tables have few.
    space.execute(
        "CREATE TABLE older AS SELECT __row FROM (SELECT __row, __key, __origin, __file, __line "
        f"FROM {labelled} WHERE __key IN (SELECT __key FROM {labelled} GROUP BY 1 HAVING count(*) > 1)) "
        "QUALIFY row_number() OVER (PARTITION BY __key "
        "ORDER BY __origin = 'data' DESC, __file DESC, __line DESC) > 1"
    )
    space.execute(f"CREATE VIEW rows AS FROM {labelled} ANTI JOIN older USING (__row)")
    unlabelled, given, inside = space.one(
        "SELECT count(*) FILTER (WHERE __label IS NULL), count(__label), "
        f"count(*) FILTER (WHERE __label IS NOT NULL AND {window}) FROM usable"
    )
    return {
        "unlabelled": unlabelled,
        "outside_window": given - inside,
        "duplicates": inside - space.count("rows"),
    }


def seen_until(space: Workspace, baseline: Mapping[str, Any] | None) -> str | None:
    """Give the last moment the champion was trained on; ``baseline`` is its profile.json.

    None where no holdout is cut by time, and without a champion.
    """
    if baseline is None or space.spec.split.by != "time":
        return None
    spans = [baseline["time"][name] for name in SPLITS[:2] if name in baseline["time"]]
    return max((last for _, last in spans if last), default=None)


def newer(space: Workspace, moment: str | None) -> int:
    """Count the rows after a moment; all of them without one."""
    return space.count(f"rows WHERE __time > {quote(moment)}" if moment else "rows")


def judges(space: Workspace, seen: str | None, taught: Sequence[Path]) -> int:
    """Count the rows of a holdout that the champion was not trained on (see ``assign``)."""
    query = _parting(space, None, seen, taught)
    return space.count(f"(SELECT __split FROM ({query}) AS p WHERE __split = 'holdout') AS j")


def assign(
    space: Workspace, pinned: Iterable[str] | None, seen: str | None = None, taught: Sequence[Path] = ()
) -> Refusal | None:
    """Write ``parted``: the rows with their ``__split``; ``pinned`` are the keys of the pinned holdout.

    With a pinned holdout its keys go to no split, and the rest is parted into train and validation. A
    champion must not be judged on rows it was trained on: a holdout cut by time begins after ``seen``, any
    other leaves out the keys of ``taught``, Parquet files, and the groups they stand in.
    """
    split = space.spec.split
    query = _parting(space, pinned, seen, taught)
    # What two comparisons tell may be told again in every scan; a rank, or the keys of a holdout, may not.
    keep = space.keep if split.by == "stratified" or pinned is not None or taught else space.keep_view
    keep("parted", query)
    found = dict(space.rows("SELECT __split, count(*) FROM parted GROUP BY 1"))
    for name in SPLITS if pinned is None else SPLITS[:2]:
        if not found.get(name):
            return Refusal(
                code="too-few-rows",
                message=f"no row is left for the {name} split ({sum(found.values())} rows by {split.by})",
                column=split.column or next(iter(split.columns), None),
                hint=f"drop more files, or check split: by {split.by} needs rows that differ in it",
            )
    return None


def _parting(space: Workspace, pinned: Iterable[str] | None, seen: str | None, taught: Sequence[Path]) -> str:
    split, pool = space.spec.split, "rows"
    if pinned is not None:
        space.keep_texts("pinned", "key", pinned)
        pool = "(SELECT * FROM rows WHERE __key NOT IN (SELECT key FROM pinned))"
        if split.by in {"key", "group"}:
            pool = f"(SELECT * FROM {pool} WHERE {_outside_holdout(space, split)})"
    elif taught:
        space.keep_parquet("taught", "__key", taught)
        unit = _unit(space, split)
        known = f"SELECT DISTINCT {unit} AS __unit FROM rows WHERE __key IN (SELECT __key FROM taught)"
        known = (
            f"SELECT r.*, __unit IS NOT NULL AS __taught FROM rows r LEFT JOIN ({known}) t ON __unit = {unit}"
        )
        pool = f"({known})"
    case = _case(space, pool, split, pinned is not None, seen, bool(taught))
    kept = ", ".join([*map(identifier, space.columns), "__key", "__label", "__time", "__origin", "__file"])
    return f"SELECT {kept}, {case} AS __split FROM {pool} AS pool"


def _case(space: Workspace, pool: str, split: "Split", pinned: bool, seen: str | None, taught: bool) -> str:
    if split.by == "time":
        return _by_time(space, pool, split, pinned, seen)
    place = space.placed(place_sql(space, split))
    if split.by == "stratified":
        return _by_rank(space, split, place, pinned, taught)
    return (
        f"CASE WHEN __taught AND {place} = 'holdout' THEN 'validation' ELSE {place} END" if taught else place
    )


def _by_time(space: Workspace, pool: str, split: "Split", pinned: bool, seen: str | None) -> str:
    """Cut at the times above which the declared shares lie; rows of one moment stay together.

    Validation is cut from what lies before the holdout: a burst of rows in one second cannot empty it.
    """
    holdout = None if pinned else _cut(space, pool, split.holdout)
    if holdout and seen:
        ((first,),) = space.rows(f"SELECT min(__time) FROM {pool} WHERE __time > {quote(seen)}")
        holdout = max(holdout, quote(first or seen))
    older = pool if holdout is None else f"(SELECT * FROM {pool} WHERE __time < {holdout})"
    validation = _cut(space, older, split.validation / (1 - split.holdout))
    judges = f"WHEN __time >= {holdout} THEN 'holdout' " if holdout else ""
    return f"CASE {judges}WHEN __time >= {validation} THEN 'validation' ELSE 'train' END"


def _cut(space: Workspace, pool: str, share: float) -> str:
    rows = int(space.one(f"SELECT count(*) FROM {pool}")[0])
    place = min(int(rows * (1 - share)), max(rows - 1, 0))
    found = space.rows(f"SELECT __time FROM {pool} ORDER BY __time LIMIT 1 OFFSET {place}")
    return quote(found[0][0]) if found else "NULL"


def place_sql(space: Workspace, split: "Split") -> str:
    """Write what a row alone says of its split: the split by key or group, its hash within a stratum."""
    hashed = hash_sql(space, split)
    if split.by == "stratified":
        return hashed
    tuned = split.holdout + split.validation
    return (
        f"CASE WHEN {hashed} < {_below(split.holdout)} THEN 'holdout' "
        f"WHEN {hashed} < {_below(tuned)} THEN 'validation' ELSE 'train' END"
    )


def _outside_holdout(space: Workspace, split: "Split") -> str:
    """Keep later rows out of training when their hash, or a row of their group, is in the holdout."""
    outside = f"{space.placed(place_sql(space, split))} <> 'holdout'"
    if split.by == "group":
        judged = f"(SELECT {_unit(space, split)} FROM rows WHERE __key IN (SELECT key FROM pinned))"
        outside += f" AND {_unit(space, split)} NOT IN {judged}"
    return outside


def _by_rank(space: Workspace, split: "Split", hashed: str, pinned: bool, taught: bool) -> str:
    """Cut every stratum at the declared shares of its own rows, in the order of their hashes.

    A stratum's cuts move when rows join it: rows the champion was trained on are passed over.
    """
    stratum = _text_of(space, split.columns) if split.columns else "__label"
    order = f"{hashed}, __key"

    def placed(among: str) -> str:
        return f"(row_number() OVER (PARTITION BY {among} ORDER BY {order}) - 1)"

    place = placed(stratum)
    rows = f"count(*) OVER (PARTITION BY {stratum})"
    holdout = 0.0 if pinned else split.holdout
    validation = split.validation / (1 - split.holdout) if pinned else split.holdout + split.validation
    new = f"NOT __taught AND {placed(f'__taught, {stratum}')}" if taught else place
    judged = f"WHEN {new} < {_most(holdout, rows)} THEN 'holdout' " if holdout else ""
    return f"CASE {judged}WHEN {place} < {_most(validation, rows)} THEN 'validation' ELSE 'train' END"


def _most(share: float, rows: str) -> str:
    return f"floor({share!r}e0 * {rows} + 0.5e0)"


def _unit(space: Workspace, split: "Split") -> str:
    """Write what is never parted: the row, or its group."""
    return _text_of(space, split.columns) if split.by == "group" else "__key"


def _text_of(space: Workspace, columns: Iterable[str]) -> str:
    """Write columns as one text, each with its length before it; a missing value is a group of its own."""
    texts = [space.text(name) for name in columns]
    return " || ".join(f"coalesce(length({text}) || ':' || {text}, '-')" for text in texts)


def hash_sql(space: Workspace, split: "Split") -> str:
    """Write the hash that parts a row: of its ``__key``, or of its group."""
    return f"substr(md5({space.dialect.quote(split.salt + '|')} || {_unit(space, split)}), 1, 8)"


def _below(share: float) -> str:
    """Write a share of all hashes as eight hex digits: texts compare alike on every engine."""
    return quote(f"{round(share * 2**32):08x}")
