r"""The one grammar of literals: each rule stands twice, as Python and as DuckDB SQL, side by side.

A text outside the grammar is *not* guessed at: it becomes null and is counted as a bad literal. The grammar
is ASCII only (Python would read ``'٣'`` as 3; DuckDB reads ``'0x10'`` as 16 and rounds ``'2.5'``). ``re`` and
RE2 read the patterns alike: no ``\d``, no ``\s``, no ``$``.

A function that ends in ``_sql`` takes and returns a piece of SQL over a VARCHAR.
"""

import math
import re
import unicodedata
from datetime import datetime, timedelta

BLANKS = " \t\n\v\f\r\u00a0"
"""What is trimmed: ASCII white space and the no-break space (engines differ on the latter, so we name it)."""

LONGEST = 100
"""Characters of the longest number or timestamp: nobody needs more, and parsers stay fast on junk."""

SMALLEST_INTEGER, LARGEST_INTEGER = -(2**63), 2**63 - 1

NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?"
INTEGER = r"[+-]?[0-9]+(?:\.0*)?"
"""``5.0`` is the integer 5 (a column with gaps is often exported so); ``5.5`` and ``5e3`` are none."""

TIMESTAMP = (
    r"([0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01]))"
    r"(?:[T ]((?:[01][0-9]|2[0-3]):[0-5][0-9])(?::([0-5][0-9])(?:\.[0-9]{1,9})?)?"
    r"(Z|[+-](?:[01][0-9]|2[0-3])(?::[0-5][0-9])?)?)?"
)
PLAIN_TIMESTAMP = (
    r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
    r"(?:[T ](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9])?"
)
"""A date, or a date with seconds and no zone: what most files hold, and what needs no arithmetic."""
OFFSET = r"([+-])([0-9]{2})(?::([0-9]{2}))?"

_UPPER, _LOWER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"
_TO_LOWER = str.maketrans(_UPPER, _LOWER)
_TO_UPPER = str.maketrans(_LOWER, _UPPER)
_RUN_OF_BLANKS = re.compile(f"[{BLANKS}]+")
_NUMBER, _INTEGER, _TIMESTAMP = (re.compile(pattern) for pattern in (NUMBER, INTEGER, TIMESTAMP))
_TRUE, _FALSE = ("true", "1"), ("false", "0")


def quote(text: str) -> str:
    """Write a text as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Write a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def double_sql(value: float) -> str:
    """Write a finite number as a DOUBLE literal (without an exponent DuckDB would make it a DECIMAL)."""
    text = repr(float(value))
    return text if "e" in text else f"{text}e0"


def trim(text: str) -> str:
    """Strip blanks from both ends."""
    return text.strip(BLANKS)


def trim_sql(x: str) -> str:
    """SQL of ``trim``."""
    return f"trim({x}, {quote(BLANKS)})"


def fold(text: str) -> str:
    """Give one form to texts that look alike: Unicode NFKC.

    DuckDB has no NFKC and this runs without its Python functions (they need numpy), so the batch engine
    looks folds up in a small table of the values that change (``duck.find_folds``).
    """
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def collapse(text: str) -> str:
    """Make every run of blanks one space, and none at the ends."""
    return _RUN_OF_BLANKS.sub(" ", text).strip(" ")


def collapse_sql(x: str) -> str:
    """SQL of ``collapse``."""
    return rf"trim(regexp_replace({x}, '[ \t\n\x{{0b}}\f\r\x{{a0}}]+', ' ', 'g'), ' ')"


def lower(text: str) -> str:
    """Lower the 26 ASCII letters; all others stay (languages disagree about them, and so do engines)."""
    return text.translate(_TO_LOWER)


def lower_sql(x: str) -> str:
    """SQL of ``lower``: DuckDB's own is six times faster, and the same where all characters are ASCII."""
    return _ascii_sql("lower", x, f"translate({x}, '{_UPPER}', '{_LOWER}')")


def upper(text: str) -> str:
    """Raise the 26 ASCII letters."""
    return text.translate(_TO_UPPER)


def upper_sql(x: str) -> str:
    """SQL of ``upper``."""
    return _ascii_sql("upper", x, f"translate({x}, '{_LOWER}', '{_UPPER}')")


def _ascii_sql(function: str, x: str, otherwise: str) -> str:
    return f"CASE WHEN strlen({x}) = length({x}) THEN {function}({x}) ELSE {otherwise} END"


def parse_number(text: str) -> float | None:
    """Read a trimmed number; None when it is none, or too large for a double."""
    if len(text) > LONGEST or not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value + 0.0 if math.isfinite(value) else None  # + 0.0: minus zero is zero


def number_sql(x: str) -> str:
    """SQL of ``parse_number``."""
    value = f"try_cast({x} AS DOUBLE)"
    return (
        f"CASE WHEN length({x}) <= {LONGEST} AND regexp_full_match({x}, '{NUMBER}') AND isfinite({value}) "
        f"THEN CASE WHEN {value} = 0 THEN 0e0 ELSE {value} END END"
    )


def parse_integer(text: str) -> int | None:
    """Read a trimmed integer of 64 bits; None when it is none."""
    if len(text) > LONGEST or not _INTEGER.fullmatch(text):
        return None
    value = int(text.partition(".")[0])
    return value if SMALLEST_INTEGER <= value <= LARGEST_INTEGER else None


def integer_sql(x: str) -> str:
    """SQL of ``parse_integer``."""
    return (
        f"CASE WHEN length({x}) <= {LONGEST} AND regexp_full_match({x}, '{INTEGER}') "
        f"THEN try_cast(split_part({x}, '.', 1) AS BIGINT) END"
    )


def parse_boolean(text: str) -> bool | None:
    """Read a trimmed true/false/1/0 in any ASCII case; None when it is none."""
    word = lower(text)
    return True if word in _TRUE else False if word in _FALSE else None


def boolean_sql(x: str) -> str:
    """SQL of ``parse_boolean``."""
    word = f"({lower_sql(x)})"
    return (
        f"CASE WHEN {x} IN {_TRUE!r} THEN TRUE WHEN {x} IN {_FALSE!r} THEN FALSE "
        f"WHEN {word} IN {_TRUE!r} THEN TRUE WHEN {word} IN {_FALSE!r} THEN FALSE END"
    )


def parse_timestamp(text: str) -> str | None:
    """Read a trimmed timestamp into UTC ``YYYY-MM-DD HH:MM:SS``; None when it is none.

    No zone means UTC; fractions of a second are dropped; years are 0001 to 9999.
    """
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        return None
    date, clock, seconds, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{date} {clock or '00:00'}:{seconds or '00'}")
        if zone and zone != "Z":
            offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6] or 0))
            moment = moment - offset if zone[0] == "+" else moment + offset
    except (ValueError, OverflowError):  # 30 February, or a year before 1 or after 9999
        return None
    return moment.isoformat(" ")


def timestamp_sql(x: str) -> str:
    """SQL of ``parse_timestamp``."""
    clock = f"CASE WHEN length({x}) > 10 THEN substr({x}, 12, 5) ELSE '00:00' END"
    seconds = f"CASE WHEN substr({x}, 17, 1) = ':' THEN substr({x}, 18, 2) ELSE '00' END"
    local = f"try_cast(substr({x}, 1, 10) || ' ' || {clock} || ':' || {seconds} AS TIMESTAMP)"
    zone = f"regexp_extract({x}, '{OFFSET}\\z', %d)"  # a date alone ends like an offset: hence the length
    minutes = (
        f"CASE WHEN length({x}) > 16 AND {zone % 1} <> '' THEN CAST({zone % 1} || '1' AS BIGINT) * "
        f"(60 * CAST({zone % 2} AS BIGINT) + coalesce(try_cast({zone % 3} AS BIGINT), 0)) ELSE 0 END"
    )
    utc = f"({local} - to_minutes({minutes}))"
    first, last = "TIMESTAMP '0001-01-01 00:00:00'", "TIMESTAMP '9999-12-31 23:59:59'"
    plain = f"length({x}) IN (10, 19) AND regexp_full_match({x}, '{PLAIN_TIMESTAMP}')"
    rest = f"CASE WHEN length({x}) = 10 THEN ' 00:00:00' ELSE ' ' || substr({x}, 12) END"
    day = f"substr({x}, 1, 10)"
    written = f"CASE WHEN try_cast({day} AS DATE) >= DATE '0001-01-01' THEN {day} || {rest} END"
    return (
        f"CASE WHEN {plain} THEN {written} WHEN regexp_full_match({x}, '{TIMESTAMP}') AND {local} >= {first} "
        f"AND {utc} BETWEEN {first} AND {last} THEN strftime({utc}, '%Y-%m-%d %H:%M:%S') END"
    )
