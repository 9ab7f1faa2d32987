"""DuckDB alone on benchmarks/model.yaml, by its own casts: the engine without a grammar and a record.

Nothing is counted, set aside or described. Spills beyond the limit given; the last line of a key counts.
"""

import json
import sys
from pathlib import Path

import duckdb
from meaning import CANONICAL, FILLED, HOLDOUT, INTEGERS, NULLS, NUMBERS, RANGES, SALT, TEXTS, VALIDATION

out, source, memory = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
settings = {"memory_limit": f"{memory}MB", "threads": 2, "temp_directory": str(out / "spill")}
con = duckdb.connect(str(out / "rows.duckdb"), config=settings)
names = open(source).readline().strip().split(",")


def cell(name: str) -> str:
    """Trim, join blanks of texts, and make the words for missing NULL."""
    text = f"trim({name})"
    if name in TEXTS:
        text = rf"regexp_replace({text}, '\s+', ' ', 'g')"
    words = ", ".join(f"'{word}'" for word in NULLS.get(name, [""]))
    return f"CASE WHEN {text} NOT IN ({words}) THEN {text} END AS {name}"


def value(name: str) -> str:
    """Type a cell."""
    if name == "country":
        cases = " ".join(f"WHEN '{key}' THEN '{found}'" for key, found in CANONICAL.items())
        return f"CASE lower(country) {cases} ELSE country END AS country"
    kinds = dict.fromkeys(INTEGERS, "BIGINT") | dict.fromkeys(NUMBERS, "DOUBLE")
    kinds |= {"event_time": "TIMESTAMP", "signup": "DATE", "label": "DOUBLE"}
    if name not in kinds:
        return name
    typed = f"try_cast({name} AS {kinds[name]})"
    if name in RANGES:
        low, high = RANGES[name]
        typed = f"CASE WHEN {typed} BETWEEN {low} AND {high} THEN {typed} END"
    return f"{typed} AS {name}"


columns = ", ".join(f"'{name}': 'VARCHAR'" for name in names)
place = f"substr(md5('{SALT}' || md5(length(event_id) || ':' || event_id)), 1, 8)"
con.execute(
    f"CREATE TABLE cleaned AS SELECT *, CASE WHEN {place} < '{HOLDOUT}' THEN 'holdout' "
    f"WHEN {place} < '{VALIDATION}' THEN 'validation' ELSE 'train' END AS split "
    f"FROM (SELECT {', '.join(map(value, names))} FROM (SELECT {', '.join(map(cell, names))} "
    f"FROM read_csv('{source}', columns = {{{columns}}}, header = true, auto_detect = false))) "
    "WHERE label IS NOT NULL AND event_id IS NOT NULL"
)
con.execute(
    "CREATE TABLE older AS SELECT row FROM (SELECT event_id, rowid AS row FROM cleaned WHERE event_id IN "
    "(SELECT event_id FROM cleaned GROUP BY 1 HAVING count(*) > 1)) "
    "QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY row DESC) > 1"
)
con.execute("CREATE VIEW kept AS FROM cleaned WHERE rowid NOT IN (SELECT row FROM older)")
middles = ", ".join(f"quantile_cont({name}, 0.5)" for name in FILLED)
medians = con.execute(f"SELECT {middles} FROM kept WHERE split = 'train'").fetchone()
filled = {name: f"coalesce({name}, {middle!r})" for name, middle in zip(FILLED, medians, strict=True)}
codes = []
for name in TEXTS:
    con.execute(
        f"CREATE TABLE codes_{name} AS SELECT {name}, CAST(row_number() OVER (ORDER BY n DESC, {name}) - 1 "
        f"AS DOUBLE) AS code FROM (SELECT {name}, count(*) AS n FROM kept WHERE split = 'train' "
        f"AND {name} IS NOT NULL GROUP BY 1) QUALIFY code < 1000"
    )
    codes.append(f'(SELECT code FROM codes_{name} c WHERE c.{name} = kept.{name}) AS "x.{name}"')
features = [
    *(f"{x} AS {name}" for name, x in filled.items()),
    f"{filled['temp']} * {filled['humidity']} / 100 AS feels_like",
    "CASE WHEN visits <> 0 THEN amount / visits END AS per_visit",
    "CAST(hour(event_time) AS DOUBLE) AS hour",
    *codes,
]
counts = dict(con.execute("SELECT split, count(*) FROM kept GROUP BY 1").fetchall())
for split in counts:
    con.execute(
        f"COPY (SELECT * EXCLUDE (split, {', '.join(FILLED)}), {', '.join(features)} FROM kept "
        f"WHERE split = '{split}') TO '{out / split}.parquet' (FORMAT parquet, COMPRESSION zstd)"
    )
print(json.dumps({"splits": counts}))
