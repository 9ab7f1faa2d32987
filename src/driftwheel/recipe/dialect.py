"""What a SQL engine writes in its own way: everything ``sql`` needs beyond the words all engines share."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from driftwheel.recipe.literals import BLANKS

DOUBLE_MAX = "1.7976931348623157e308"
_UPPER, _LOWER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"


class Dialect(ABC):
    """One engine's way of writing; each method takes and returns pieces of SQL unless it says otherwise."""

    text_type: str
    """The engine's name of the text type."""

    @abstractmethod
    def identifier(self, name: str) -> str:
        """Write a name."""

    @abstractmethod
    def quote(self, text: str) -> str:
        """Write a text."""

    @abstractmethod
    def integer(self, value: int) -> str:
        """Write an integer of 64 bits, the smallest too."""

    @abstractmethod
    def matches(self, x: str, pattern: str) -> str:
        """Does the whole text match a pattern (common subset of RE2, Java and Python)?"""

    @abstractmethod
    def group(self, x: str, pattern: str, number: int) -> str:
        """Take one group of a whole match."""

    @abstractmethod
    def replaced(self, x: str, pattern: str, text: str) -> str:
        """Replace every match of a pattern by a plain text."""

    @abstractmethod
    def trimmed(self, x: str, characters: str) -> str:
        """Strip these characters from both ends."""

    def collapsed(self, x: str) -> str:
        """Make every run of blanks one space, and none at the ends."""
        return self.trimmed(self.replaced(x, f"[{BLANKS}]+", " "), " ")

    def plain(self, kind: str, x: str) -> list[tuple[str, str]]:
        """Write tests for the plainest texts of a type as received, and how each is read; none by default.

        ``kind`` is 'number', 'integer', 'timestamp', 'boolean' or 'text' (which ``collapsed`` leaves alone).
        """
        del kind, x
        return []

    def issue(self, kind: str) -> str:
        """Write what is wrong with a cell."""
        return self.quote(kind)

    @abstractmethod
    def number(self, x: str) -> str:
        """Read a number as ``literals.parse_number`` does."""

    @abstractmethod
    def whole(self, x: str) -> str:
        """Read an integer as ``literals.parse_integer`` does."""

    @abstractmethod
    def timestamp(self, x: str) -> str:
        """Read a timestamp as ``literals.parse_timestamp`` does."""

    @abstractmethod
    def part(self, part: str, x: str) -> str:
        """Extract a part of a timestamp text as a DOUBLE."""

    @abstractmethod
    def days(self, start: str, end: str) -> str:
        """Count midnights from one timestamp text to another, as a DOUBLE."""

    @abstractmethod
    def rounded(self, function: str, x: str) -> str:
        """Write ``floor`` or ``ceil`` of a double as a double, however large."""

    @abstractmethod
    def joined(self, parts: Sequence[str]) -> str:
        """Concatenate texts, skipping NULLs."""

    @abstractmethod
    def code(self, x: str, keys: Sequence[str]) -> str:
        """Write the position of a text among ``keys`` from 0 as a DOUBLE, NULL when it is none of them."""

    @abstractmethod
    def pick(self, code: str, values: Sequence[float]) -> str:
        """Write the element of ``values`` at a position (a DOUBLE from 0), NULL for NULL."""

    @abstractmethod
    def total(self, x: str) -> str:
        """Sum doubles as exactly as the engine can."""

    def lowered(self, x: str) -> str:
        """Lower the 26 ASCII letters."""
        return f"translate({x}, '{_UPPER}', '{_LOWER}')"

    def raised(self, x: str) -> str:
        """Raise the 26 ASCII letters."""
        return f"translate({x}, '{_LOWER}', '{_UPPER}')"

    def boolean(self, x: str) -> str:
        """Read true, false, 1 or 0 in any ASCII case."""
        word = self.lowered(x)
        return f"CASE WHEN {word} IN ('true', '1') THEN TRUE WHEN {word} IN ('false', '0') THEN FALSE END"

    def finite(self, x: str) -> str:
        """Is a double neither infinite nor NaN?"""
        return f"abs({x}) <= {DOUBLE_MAX}"
