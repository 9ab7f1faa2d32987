"""Categories that may be one: written with other punctuation, other case, or a slip of the pen."""

import difflib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

CLOSE = 0.86
"""Similarity (difflib's ratio) of two spellings from which a person is asked."""

SHORTEST = 5
"""Shorter words differ by a letter for good reasons: AL and AK."""


@dataclass(frozen=True)
class Alike:
    """A spelling and the more frequent one it resembles."""

    spelling: str
    times: int
    nearest: str


def near_duplicates(counted: Sequence[tuple[str, int]]) -> list[Alike]:
    """Find spellings that resemble a more frequent one; suggested to a person, never applied.

    ``counted`` stands by falling frequency.

    >>> near_duplicates([("US", 900), ("U.S.", 41), ("Peru", 3)])
    [Alike(spelling='U.S.', times=41, nearest='US')]
    """
    found: list[Alike] = []
    folded: dict[str, str] = {}
    for spelling, times in counted:
        bare = folding(spelling)
        if not bare:
            continue
        nearest = folded.get(bare)
        if nearest is None and len(bare) >= SHORTEST and not any(map(str.isdigit, bare)):
            close = difflib.get_close_matches(bare, folded, n=1, cutoff=CLOSE)
            nearest = folded[close[0]] if close else None
        if nearest is None:
            folded[bare] = spelling
        else:
            found.append(Alike(spelling, times, nearest))
    return found


def folding(text: str) -> str:
    """Keep letters and digits, without case and accents.

    >>> folding("  São-Paulo ")
    'saopaulo'
    """
    plain = unicodedata.normalize("NFKD", text).casefold()
    return "".join(c for c in plain if c.isalnum())
