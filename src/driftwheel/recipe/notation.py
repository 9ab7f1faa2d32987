r"""How a column's owner writes numbers and dates, rewritten into the one grammar of ``literals``.

A declared notation is compiled once into regular expressions of the common subset (ASCII classes, no ``\d``,
no look-around) and applied to text only: a JSON number has no notation. Each rule stands twice, as Python and
as SQL.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from driftwheel.recipe.dialect import Dialect
from driftwheel.recipe.literals import LONGEST, parse_number

SPACES = "[ \u00a0\u202f]"
"""What may stand between groups of digits when ``group`` is a space: plain, no-break and narrow no-break."""

FORM = re.compile(r"YYYY|MM|DD|hh|mm|ss|M|D|[-/. :T,]")
DIGITS = {
    "YYYY": "([0-9]{4})",
    "MM": "([0-9]{2})",
    "DD": "([0-9]{2})",
    "M": "([0-9]{1,2})",
    "D": "([0-9]{1,2})",
    "hh": "([0-9]{2})",
    "mm": "([0-9]{2})",
    "ss": "([0-9]{2})",
}
PARTS = ("YYYY", "MM", "DD", "hh", "mm", "ss")

Rule = Mapping[str, Any]


def number_rule(decimal: str, group: str | None, symbols: Sequence[str]) -> dict[str, Any]:
    """Compile a notation of numbers: decimal mark, mark between groups of three, signs around the number.

    One symbol (``€``, ``EUR``, ``%``) may stand before or behind, with a blank between. ``12 %`` is 0.12.
    """
    mark = re.escape(decimal)
    between = SPACES if group == " " else re.escape(group) if group else None
    whole = f"[0-9]{{1,3}}(?:{between}[0-9]{{3}})+|[0-9]+" if between else "[0-9]+"
    body = f"((?:{whole})(?:{mark}[0-9]*)?|{mark}[0-9]+)((?:[eE][+-]?[0-9]{{1,4}})?)"
    signs = "|".join(map(_escaped, symbols))
    around = f"(?:{signs})" if signs else None
    before = f"(?:{around}{SPACES}?)?" if around else ""
    behind = f"(?:{SPACES}?{around})?" if around else ""
    return {
        "pattern": f"([+-]?){before}{body}{behind}",
        "decimal": decimal,
        "group": between,
        "percent": "%" in symbols,
    }


def _escaped(text: str) -> str:
    return "".join(f"\\{one}" if one.isascii() and not one.isalnum() else one for one in text)


def plain_number(text: str, rule: Rule) -> float | None:
    """Read a trimmed number of a declared notation; None when it is none.

    >>> plain_number("-1.234,5 €", number_rule(",", ".", ["€"]))
    -1234.5
    """
    match = re.fullmatch(rule["pattern"], text) if len(text) <= LONGEST else None
    if match is None:
        return None
    sign, body, exponent = match.groups()
    digits = re.sub(rule["group"], "", body) if rule["group"] else body
    value = parse_number(sign + digits.replace(rule["decimal"], ".") + exponent)
    return value / 100.0 if value is not None and rule["percent"] and "%" in text else value


def plain_number_sql(x: str, rule: Rule, d: Dialect) -> str:
    """SQL of ``plain_number``."""
    body = d.group(x, rule["pattern"], 2)
    if rule["group"]:
        body = d.replaced(body, rule["group"], "")
    body = f"replace({body}, {d.quote(rule['decimal'])}, '.')"
    sign, exponent = (d.group(x, rule["pattern"], number) for number in (1, 3))
    value = f"({d.number(f'({sign} || {body} || {exponent})')})"
    if rule["percent"]:
        value = f"(CASE WHEN contains({x}, '%') THEN {value} / 100e0 ELSE {value} END)"
    return f"CASE WHEN length({x}) <= {LONGEST} AND {d.matches(x, rule['pattern'])} THEN {value} END"


def form_rule(form: str) -> dict[str, Any]:
    """Compile a form of dates such as ``DD/MM/YYYY`` or ``M/D/YYYY hh:mm``.

    Raises ValueError when it names a part twice, lacks year, month or day, or reads ISO dates differently.
    """
    pieces = FORM.findall(form)
    if "".join(pieces) != form:
        raise ValueError(
            f"'{form}': write it with YYYY, MM or M, DD or D, hh, mm, ss and - / . : , T or blanks"
        )
    found = [{"M": "MM", "D": "DD"}.get(piece, piece) for piece in pieces if piece in DIGITS]
    if len(set(found)) != len(found) or not {"YYYY", "MM", "DD"} <= set(found):
        raise ValueError(f"'{form}': it needs YYYY, MM and DD once each")
    if form.startswith("YYYY-") and not form.startswith(("YYYY-MM-DD", "YYYY-M-D")):
        raise ValueError(f"'{form}': a text like 2024-05-06 is read as year, month, day everywhere")
    if ("mm" in found and "hh" not in found) or ("ss" in found and "mm" not in found):
        raise ValueError(f"'{form}': minutes need hours, and seconds need minutes")
    pattern = "".join(DIGITS.get(piece) or re.escape(piece) for piece in pieces)
    return {"pattern": pattern, "groups": [found.index(part) + 1 if part in found else 0 for part in PARTS]}


def iso_text(text: str, rules: Sequence[Rule]) -> str:
    """Rewrite a trimmed date of the first form that fits into ISO 8601; any other text stays as it is.

    >>> iso_text("6/5/2024", [form_rule("D/M/YYYY")])
    '2024-05-06 00:00:00'
    """
    for rule in rules:
        match = re.fullmatch(rule["pattern"], text)
        if match:
            year, *rest = (match.group(group).zfill(2) if group else "00" for group in rule["groups"])
            month, day, hour, minute, second = rest
            return f"{year}-{month}-{day} {hour}:{minute}:{second}"
    return text


def iso_text_sql(x: str, rules: Sequence[Rule], d: Dialect) -> str:
    """SQL of ``iso_text``."""
    if not rules:
        return x
    whens = []
    for rule in rules:
        year, month, day, hour, minute, second = (
            f"lpad({d.group(x, rule['pattern'], group)}, {width}, '0')" if group else "'00'"
            for group, width in zip(rule["groups"], (4, 2, 2, 2, 2, 2), strict=True)
        )
        written = (
            f"{year} || '-' || {month} || '-' || {day} || ' ' || {hour} || ':' || {minute} || ':' || {second}"
        )
        whens.append(f"WHEN {d.matches(x, rule['pattern'])} THEN {written}")
    return f"CASE {' '.join(whens)} ELSE {x} END"
