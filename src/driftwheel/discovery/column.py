# ruff: noqa: S608  # every name and text below is quoted by literals.identifier and literals.quote
"""What one column of texts is: its type by the recipe's own grammar, its gaps, its oddities."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from driftwheel.discovery.spellings import Alike, near_duplicates
from driftwheel.recipe.duck import DUCK
from driftwheel.recipe.literals import (
    boolean_sql,
    collapse_sql,
    double_sql,
    identifier,
    integer_sql,
    number_sql,
    parse_timestamp,
    quote,
    timestamp_sql,
    trim_sql,
)
from driftwheel.recipe.notation import (
    Rule,
    form_rule,
    iso_text,
    iso_text_sql,
    number_rule,
    plain_number,
    plain_number_sql,
)

NULLS = ("NA", "N/A", "n/a", "na", "NULL", "null", "None", "nan", "NaN", "-", "?", "NaT", "#N/A")
"""Words that often stand for a missing value; among numbers and dates they can stand for nothing else."""

SENTINELS = (-1.0, -9.0, -99.0, -999.0, -9999.0, -99999.0, 99.0, 999.0, 9999.0, 99999.0, 999999.0)
NO_DAYS = frozenset(
    {"0001-01-01", "1601-01-01", "1753-01-01", "1899-12-30", "1899-12-31", "1900-01-01", "1901-01-01"}
    | {"1970-01-01", "2038-01-19", "2099-12-31", "2999-12-31", "9999-12-31"}
)
"""Where calendars of programs begin or end: what a default or a missing date is often written as."""

READABLE = 0.98
"""Share of the given values a type must read to be proposed."""

FORMS = (
    "DD/MM/YYYY",
    "MM/DD/YYYY",
    "DD.MM.YYYY",
    "DD-MM-YYYY",
    "YYYY/MM/DD",
    "YYYYMMDD",
    "D/M/YYYY",
    "M/D/YYYY",
)
CLOCKS = ("", " hh:mm", " hh:mm:ss")
NOTATIONS = ((".", ","), (",", "."), (",", " "), (".", " "), (".", "'"), (",", None), (".", None))
SIGNS = re.compile(r"[$€£¥%]|\b[A-Z]{3}\b")
SHARES = (0.01, 0.25, 0.5, 0.75, 0.99)
ID_NAMES = ("id", "key", "number", "no")
SAMPLE = 1_000
TOP = 500
SHOWN, SHOWN_LENGTH = 4, 40
"""Examples in a note, and characters of each."""
MIXED = 0.5
"""Share of a text column's values that look like numbers, or dates, above which that is worth a word."""
MIXTURES = (
    (
        "dates",
        r"[0-9]{1,4}[-/. ][0-9A-Za-z]{1,9}[-/. ][0-9]{1,4}([ T].*)?",
        "declare timestamp with every one of its forms, or export one",
    ),
    (
        "numbers",
        r"([A-Z]{3}|[$€£¥])? ?[+-]?[0-9][0-9.,' ]*([eE][+-]?[0-9]+)? ?([A-Z]{3}|[$€£¥%])?",
        "export one way, or mend the source: a declared notation reads one of them",
    ),
)
MOST_CLASSES = 50
BINS = 20


@dataclass
class Found:
    """A column: counts of its values, the type proposed, and what a person should look at (``notes``)."""

    name: str
    type: str
    rows: int
    given: int
    distinct: int
    null_tokens: list[str] = field(default_factory=list)
    forms: list[str] = field(default_factory=list)
    notation: dict[str, Any] | None = None
    numbers: dict[str, float] = field(default_factory=dict)
    moments: tuple[str, str] | None = None
    histogram: dict[str, Any] | None = None
    top: list[tuple[str, int]] = field(default_factory=list)
    alike: list[Alike] = field(default_factory=list)
    identifier: bool = False
    mixed: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def missing(self) -> float:
        """Share of the rows without a value."""
        return 1 - self.given / self.rows if self.rows else 0.0

    @property
    def scattered(self) -> bool:
        """Is it a text with hardly any value twice?"""
        return self.textual and self.distinct > max(TOP, self.given / 2)

    @property
    def classes(self) -> bool:
        """Is it a text of a few values, each an answer that could be asked for?"""
        return self.type == "category" and not self.scattered and 2 < self.distinct <= MOST_CLASSES

    @property
    def textual(self) -> bool:
        """Is it a category or a text?"""
        return self.type in {"category", "text"}


def look_at(connection: Any, name: str) -> Found:
    """Look at one column of the table ``raw``."""
    x = f"({trim_sql(identifier(name))})"
    rows, given, distinct, padded, longest = connection.execute(
        f"SELECT count(*), count(nullif({x}, '')), count(DISTINCT nullif({x}, '')), "
        f"count(*) FILTER (WHERE {x} <> {identifier(name)}), max(length({x})) FROM raw"
    ).fetchone()
    words = connection.execute(
        f"SELECT {x}, count(*) FROM raw WHERE {x} IN ({', '.join(map(quote, NULLS))}) "
        "GROUP BY 1 ORDER BY 2 DESC, 1"
    ).fetchall()
    found = Found(name, "category", rows, given, distinct)
    if padded:
        found.notes.append(f"{padded:,} values have blanks around them: trimmed")
    if not given:
        found.notes.append("no row has a value")
        return found
    tokens = [word for word, _ in words]
    absent = ", ".join(map(quote, tokens or [""]))
    values = f"(SELECT {x} AS v, __line FROM raw WHERE {x} <> '' AND {x} NOT IN ({absent}))"
    _decide(connection, found, values, longest)
    if found.textual:
        _describe_texts(connection, found, name)
        if tokens and len(words) == 1 and found.type == "category":
            found.notes.append(
                f"'{tokens[0]}' stays a value ({words[0][1]:,} rows); is it a word for missing?"
            )
    else:
        found.null_tokens = tokens
        found.given -= sum(count for _, count in words)
        if found.type in {"number", "integer"}:
            _describe_numbers(connection, found, values)
        elif found.type == "timestamp":
            _describe_moments(connection, found, values)
        else:
            found.top = _frequent(connection, f"SELECT v FROM {values}")
    if found.distinct == 1:
        found.notes.append("it is the same in every row: it can teach a model nothing")
    return found


def _decide(connection: Any, found: Found, values: str, longest: int) -> None:
    count, whole, number, boolean, moment, zeros, digits = connection.execute(
        f"SELECT count(*), count({integer_sql('v')}), count({number_sql('v')}), count({boolean_sql('v')}), "
        f"count({timestamp_sql('v')}), count(*) FILTER (WHERE regexp_full_match(v, '0[0-9]+')), "
        f"max(length(v)) FILTER (WHERE regexp_full_match(v, '[0-9]+')) FROM {values}"
    ).fetchone()
    if not count:
        return
    found.identifier = found.distinct == found.given and found.given > 1
    if boolean == count and 2 <= found.distinct <= 4:  # a lone 1 is a number
        found.type = "boolean"
    elif zeros or ((digits or 0) > 18 and whole + zeros < count + 1):
        found.identifier = True
        found.notes.append(
            "digits with leading zeros, or too many for an integer: kept as text, exactly as written"
        )
    elif whole >= READABLE * count:
        found.type = "integer"
    elif number >= READABLE * count:
        found.type = "number"
    elif moment >= READABLE * count:
        found.type = "timestamp"
    else:
        _decide_written(connection, found, values, count)
    readable = {"integer": whole, "number": number, "timestamp": moment}.get(found.type)
    if readable is not None and (readable < count or found.forms or found.notation):
        _note_misfits(connection, found, values)
    called = found.name.lower().endswith(ID_NAMES)
    found.identifier = found.identifier and (found.textual or (found.type == "integer" and called))
    if found.type == "category" and longest > 60 and found.distinct > found.given / 2:
        found.type = "text"


def _decide_written(connection: Any, found: Found, values: str, count: int) -> None:
    sample = connection.execute(f"SELECT v FROM {values} LIMIT {SAMPLE}").fetchall()
    few = list(dict.fromkeys(text for (text,) in sample))

    def fits(parse: Callable[[str], object], read: str) -> bool:
        # Most ways to write are ruled out by a few texts, read here by the twin of what the database runs.
        if sum(parse(text) is not None for text in few) < READABLE / 2 * len(few):
            return False
        return bool(
            connection.execute(f"SELECT count({read}) FROM {values}").fetchone()[0] >= READABLE * count
        )

    forms = (form + clock for form in FORMS for clock in CLOCKS)
    fitting = []
    for form in forms:
        rule = form_rule(form)
        if fits(partial(_moment, rule), timestamp_sql(iso_text_sql("v", [rule], DUCK))):
            fitting.append(form)
    if fitting:
        found.type, found.forms = "timestamp", fitting[:1]
        others = [form for form in fitting if form.replace("D/M", "M/D") != form]
        if len(others) > 1 or (len(fitting) > 1 and fitting[0][:2] != fitting[1][:2]):
            found.notes.append(f"its dates fit {' and '.join(fitting[:2])}: say which is meant")
        return
    symbols = sorted({sign for (text,) in sample for sign in SIGNS.findall(text)})[:4]
    for decimal, group in NOTATIONS:
        if decimal == "." and group is None and not symbols:
            continue
        rule = number_rule(decimal, group, symbols)
        if fits(partial(plain_number, rule=rule), plain_number_sql("v", rule, DUCK)):
            found.type = "number"
            found.notation = {"decimal": decimal, "group": group, "symbols": symbols}
            return
    _note_mixture(connection, found, values, count)


def _note_misfits(connection: Any, found: Found, values: str) -> None:
    """Tell how many values the type proposed cannot read, the first line of one, and a few of them."""
    read = integer_sql("v")
    if found.type == "number":
        read = _number_of(found)
    elif found.type == "timestamp":
        read = timestamp_sql(iso_text_sql("v", [form_rule(form) for form in found.forms], DUCK))
    misfits = f"(SELECT v, __line FROM {values} WHERE ({read}) IS NULL)"
    count, line = connection.execute(f"SELECT count(*), min(__line) FROM {misfits}").fetchone()
    if count:
        some = connection.execute(
            f"SELECT v FROM {misfits} GROUP BY v ORDER BY min(__line) LIMIT {SHOWN}"
        ).fetchall()
        shown = ", ".join(repr(text[:SHOWN_LENGTH]) for (text,) in some)
        found.notes.append(
            f"{count:,} values are no {found.type} and become missing: {shown}, first in line {line:,}"
        )


def _note_mixture(connection: Any, found: Found, values: str, count: int) -> None:
    """Tell of numbers or dates written in several ways: as texts they are nothing to learn from."""
    for what, shape, remedy in MIXTURES:
        like = f"regexp_full_match(v, {quote(shape)})"
        written = "regexp_replace(regexp_replace(v, '[0-9]+', '0', 'g'), '[A-Za-z]+', 'a', 'g')"
        ways = connection.execute(
            f"SELECT count(*) AS n, arg_min(v, __line), min(__line) AS line FROM {values} WHERE {like} "
            f"GROUP BY {written} ORDER BY n DESC, line"
        ).fetchall()
        alike = sum(times for times, *_ in ways)
        if alike < MIXED * count:
            continue
        found.mixed = True
        listed = ", ".join(
            f"{times:,} like {text[:SHOWN_LENGTH]!r} (line {line:,})" for times, text, line in ways[:SHOWN]
        )
        others = f", and {count - alike:,} that are none" if alike < count else ""
        if len(ways) > 1:
            found.notes.append(f"{what} written in several ways, kept as text: {listed}{others}; {remedy}")
        else:
            found.notes.append(
                f"they look like {what} and too many cannot be read, kept as text: {listed}{others}"
            )
        return


def _moment(rule: Rule, text: str) -> str | None:
    return parse_timestamp(iso_text(text, [rule]))


def _number_of(found: Found) -> str:
    if found.notation is None:
        return number_sql("v")
    rule = number_rule(found.notation["decimal"], found.notation["group"], found.notation["symbols"])
    return plain_number_sql("v", rule, DUCK)


def _describe_numbers(connection: Any, found: Found, values: str) -> None:
    table = f"(SELECT {_number_of(found)} AS n FROM {values})"
    low, high, mean, quantiles = connection.execute(
        f"SELECT min(n), max(n), avg(n), quantile_disc(n, {list(SHARES)}) FROM {table}"
    ).fetchone()
    if low is None:
        return
    names = ("p01", "p25", "p50", "p75", "p99")
    found.numbers = {"minimum": low, "maximum": high, "mean": mean} | dict(zip(names, quantiles, strict=True))
    spread = found.numbers["p75"] - found.numbers["p25"]
    far = connection.execute(
        f"SELECT count(*) FROM {table} WHERE n < {double_sql(quantiles[1] - 3 * spread)} "
        f"OR n > {double_sql(quantiles[3] + 3 * spread)}"
    ).fetchone()[0]
    if far and spread > 0:
        found.notes.append(f"{far:,} values lie more than 3 interquartile ranges outside the middle half")
    listed = ", ".join(map(double_sql, SENTINELS))
    for value, times in connection.execute(
        f"SELECT n, count(*) FROM {table} WHERE n IN ({listed}) GROUP BY 1 ORDER BY 1"
    ).fetchall():
        outside = value < quantiles[1] - 3 * spread or value > quantiles[3] + 3 * spread
        if outside and value in {low, high}:
            found.notes.append(
                f"{value:g} stands {times:,} times far outside the others: a word for missing? "
                f'then null_tokens: ["", "{value:g}"]'
            )
    found.histogram = _histogram(connection, table, low, high)


def _histogram(connection: Any, table: str, low: float, high: float) -> dict[str, Any]:
    """Count the values ``n`` of a table in bins of one width."""
    width = (high - low) / BINS or 1.0
    place = f"CAST(floor((n - {double_sql(low)}) / {double_sql(width)}) AS INTEGER)"
    counts = dict(
        connection.execute(
            f"SELECT least({place}, {BINS - 1}), count(*) FROM {table} WHERE n IS NOT NULL GROUP BY 1"
        ).fetchall()
    )
    edges = [low + width * n for n in range(BINS + 1)]
    return {"edges": edges, "counts": [counts.get(n, 0) for n in range(BINS)]}


def _describe_moments(connection: Any, found: Found, values: str) -> None:
    text = iso_text_sql("v", [form_rule(form) for form in found.forms], DUCK) if found.forms else "v"
    read = f"(SELECT {timestamp_sql(text)} AS t FROM {values})"
    first, last = connection.execute(f"SELECT min(t), max(t) FROM {read}").fetchone()
    if first is None:
        return
    found.moments = first, last
    days = ", ".join(map(quote, sorted(NO_DAYS)))
    for day, times in connection.execute(
        f"SELECT substr(t, 1, 10) AS day, count(*) FROM {read} WHERE day IN ({days}) GROUP BY 1 ORDER BY 1"
    ).fetchall():
        if day in {first[:10], last[:10]}:
            found.notes.append(
                f'{day} stands {times:,} times: a word for missing? then null_tokens: ["", "{day}"]'
            )
    seconds = f"(SELECT epoch(CAST(t AS TIMESTAMP)) AS n FROM {read})"
    low, high = connection.execute(f"SELECT min(n), max(n) FROM {seconds}").fetchone()
    found.histogram = _histogram(connection, seconds, low, high)


def _frequent(connection: Any, query: str) -> list[tuple[str, int]]:
    """Count the most frequent values ``v`` of a query."""
    counted: list[tuple[str, int]] = connection.execute(
        f"SELECT v, count(*) AS n FROM ({query}) WHERE v <> '' GROUP BY 1 ORDER BY n DESC, v LIMIT {TOP}"
    ).fetchall()
    return counted


def _describe_texts(connection: Any, found: Found, name: str) -> None:
    found.top = _frequent(connection, f"SELECT {collapse_sql(identifier(name))} AS v FROM raw")
    if found.mixed:  # other spellings of a number are other numbers
        return
    if found.scattered:
        found.notes.append(f"{found.distinct:,} different values: an id, or encode it (hash, target_mean)")
    elif not found.identifier:
        found.alike = near_duplicates(found.top)


def worth_showing(notes: Sequence[str], most: int = 8) -> list[str]:
    """Keep the first notes; say how many are left out."""
    rest = len(notes) - most
    return [*notes[:most], *([f"and {rest} more"] if rest > 0 else [])]
