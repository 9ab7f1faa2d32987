"""Categories that may be one: other punctuation or case, a slip of the pen, initials."""

import difflib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CLOSE = 0.86
"""Similarity (difflib's ratio) of two spellings from which a person is asked."""

SHORTEST = 5
"""Shorter words differ by a letter for good reasons: AL and AK."""

INITIALS = re.compile(r"(?:[^\W\d_]\.){2,}|(?:[^\W\d_]\. ?){2,}[^\W\d_]?|[A-Z]{2,5}")
"""Letters with dots, or a few capitals."""


@dataclass(frozen=True)
class Alike:
    """A spelling and the more frequent one it resembles."""

    spelling: str
    times: int
    nearest: str


def near_duplicates(counted: Sequence[tuple[str, int]]) -> list[Alike]:
    """Find spellings that resemble a more frequent one; suggested to a person, never applied.

    ``counted`` stands by falling frequency.

    >>> near_duplicates([("US", 900), ("U.S.A.", 41), ("Peru", 3)])
    [Alike(spelling='U.S.A.', times=41, nearest='US')]
    """
    found: list[Alike] = []
    folded: dict[str, str] = {}
    initials: dict[str, str] = {}
    for spelling, times in counted:
        bare = folding(spelling)
        if not bare:
            continue
        nearest = folded.get(bare)
        if nearest is None and len(bare) >= SHORTEST and not any(map(str.isdigit, bare)):
            close = difflib.get_close_matches(bare, folded, n=1, cutoff=CLOSE)
            nearest = folded[close[0]] if close else None
        if nearest is None:
            nearest = _same_initials(spelling, bare, initials)
        if nearest is None:
            folded[bare] = spelling
            initials.setdefault(_initials(spelling, bare), spelling)
        else:
            found.append(Alike(spelling, times, nearest))
    return found


def _initials(spelling: str, bare: str) -> str:
    """Give what initials would be written of it: itself, or the first letters of its words; or nothing."""
    if INITIALS.fullmatch(spelling.strip()):
        return bare
    words = [folding(word) for word in spelling.split()]
    return "".join(word[:1] for word in words) if len(words) > 1 else ""


def _same_initials(spelling: str, bare: str, known: Mapping[str, str]) -> str | None:
    """Find what has the same initials; with dots one letter more or less is the same country still."""
    own = _initials(spelling, bare)
    if len(own) < 2:  # one letter stands for anything
        return None
    for other, other_spelling in known.items():
        written = [text for text in (spelling, other_spelling) if INITIALS.fullmatch(text.strip())]
        dotted = any("." in text for text in written)
        shorter, longer = sorted((own, other), key=len)
        near = own == other or (dotted and len(shorter) > 1 and longer[:-1] == shorter)
        if written and near:
            return other_spelling
    return None


def folding(text: str) -> str:
    """Keep letters and digits, without case and accents.

    >>> folding("  São-Paulo ")
    'saopaulo'
    """
    plain = unicodedata.normalize("NFKD", text).casefold()
    return "".join(c for c in plain if c.isalnum())
