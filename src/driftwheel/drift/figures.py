"""Numbers, names and moments as a page shows them: whatever came from data is escaped and cut."""

import html
from typing import Any

LONGEST_NAME = 48
LONGEST_SENTENCE = 600


def digits(value: Any) -> str:
    """Write a number as people read it.

    >>> digits(0.73861), digits(10996), digits(9999.5), digits(None)
    ('0.7386', '10,996', '10,000', 'none')
    """
    if value is None:
        return "none"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if 1e3 <= abs(value) < 1e12 else f"{value:.4g}"


def share(value: float) -> str:
    """Write a share in per cent; a probability too small for that keeps its exponent.

    >>> share(0.125), share(1e-9)
    ('12.5 %', '1e-09')
    """
    return f"{value:.1%}".replace("%", " %") if value == 0 or value >= 0.001 else f"{value:.0e}"


def counted(number: int, thing: str) -> str:
    """Write a number of things.

    >>> counted(1, "window"), counted(2_000, "window")
    ('1 window', '2,000 windows')
    """
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def p_value(value: float) -> str:
    """Write a corrected p-value; below the smallest float it is said to be smaller.

    >>> p_value(0.0), p_value(0.0123)
    ('< 1e-300', '0.0123')
    """
    return digits(value) if value else "< 1e-300"


def short(text: Any, longest: int = LONGEST_NAME) -> str:
    r"""Cut a text; control characters and those that turn the direction of writing are shown as dots.

    >>> short("a\x1b[31m\u202eb", 6)
    'a·[31…'
    """
    shown = "".join(c if c.isprintable() else "·" for c in str(text))
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def safe(text: Any, longest: int = LONGEST_NAME) -> str:
    """Cut and escape a text, for an element or a quoted attribute."""
    return html.escape(short(text, longest))


def sentence(text: Any) -> str:
    """Escape a sentence of ours, which may quote names and values out of data."""
    return safe(text, LONGEST_SENTENCE)


def moment(at: Any) -> str:
    """Write an ISO 8601 UTC time to the minute.

    >>> moment("2026-11-24T09:30:12.123456+00:00")
    '2026-11-24 09:30 UTC'
    """
    return f"{safe(str(at)[:16].replace('T', ' '))} UTC"
