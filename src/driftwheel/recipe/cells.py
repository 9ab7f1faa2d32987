"""Plain cells of CSV as bytes side by side: read a column at a time, without an object for each cell.

A cell is looked at in words of eight bytes, its last byte first. What is not plain is left to the grammar.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

_DIGITS = 16
"""Characters of the longest plain number, its sign apart; of two words."""

_LONGEST_KEY = 32
"""Bytes of the longest cell that is told from others by its words."""

_COMMA, _NEWLINE, _MINUS = 44, 10, 45
_U = np.uint64
_BYTES = np.array([(2**64 - 1) ^ (2 ** (64 - 8 * n) - 1) for n in range(9)], dtype=np.uint64)
"""How many bytes of a word are kept, the last ones → the mask that keeps them."""
_ONES, _HIGHS = _U(0x0101010101010101), _U(0x8080808080808080)
_ZEROS, _DOTS = _U(0x3030303030303030), _U(0x2E2E2E2E2E2E2E2E)
_POWERS = 10.0 ** np.arange(_DIGITS)
_EXACT = _U(2**53)


@dataclass(frozen=True)
class Few:
    """A column of few different values: for each row the place of its value in ``values``."""

    codes: Places
    values: Sequence[Any]

    def __len__(self) -> int:
        return len(self.codes)

    def __iter__(self) -> Iterator[Any]:
        return (self.values[code] for code in self.codes.tolist())

    def __getitem__(self, row: int) -> Any:
        return self.values[self.codes[row]]


class Cells:
    """A column of cells: ``starts`` and ``ends`` are places in ``text``, which begins with 32 other bytes."""

    def __init__(self, text: bytes, starts: Places, ends: Places) -> None:
        self._text, self._starts, self._ends = text, starts, ends
        self._sizes = ends - starts

    def __len__(self) -> int:
        return len(self._starts)

    def text(self, row: int) -> str:
        """Give one cell."""
        return self._text[self._starts[row] : self._ends[row]].decode()

    def texts(self) -> list[str]:
        """Give all cells."""
        pairs = zip(self._starts.tolist(), self._ends.tolist(), strict=True)
        return [self._text[start:end].decode() for start, end in pairs]

    def numbers(self, *, whole: bool) -> tuple[Floats, Places]:
        """Give the plain numbers, NaN where a cell is empty, and the places of cells that are neither.

        Plain are at most 16 digits, with one dot among them unless they are to be ``whole``, after a minus or
        nothing. Each is what ``float`` says: a whole number up to 2**53, divided once by a power of ten.
        """
        negative = np.frombuffer(self._text, np.uint8)[self._starts] == _MINUS
        sizes = self._sizes - (negative & (self._sizes > 0))
        right, left = (self._word(n, sizes, _ZEROS) for n in range(2))
        in_right, in_left = _first(right), _first(left)
        behind, before = in_right != 0, (in_right == 0) & (in_left != 0)
        carried = left >> _U(56)
        right = np.where(behind, _without(right, in_right) | carried, right)
        left = np.where(
            behind,
            (left << _U(8)) | _U(0x30),
            np.where(before, _without(left, in_left) | _U(0x30), left),
        )
        dotted = behind | before
        mantissa = _eight(left) * _U(10**8) + _eight(right)
        plain = (sizes >= 1 + dotted) & (sizes <= _DIGITS) & _all_digits(right) & _all_digits(left)
        plain &= mantissa <= _EXACT
        if whole:
            plain &= ~dotted
        decimals = np.where(behind, 7 - _place(in_right), np.where(before, 15 - _place(in_left), 0))
        found = mantissa.astype(np.float64) / _POWERS[decimals]
        np.negative(found, out=found, where=negative)
        found += 0.0  # minus zero is zero
        found[~plain] = np.nan
        return found, np.flatnonzero(~plain & (self._sizes > 0))

    def few(self, most: int) -> Few | None:
        """Give the different texts and each row's; None when one is long, or there are more than ``most``."""
        if not len(self) or self._sizes.max() > _LONGEST_KEY:
            return None
        words = [self._word(n, self._sizes) for n in range(-(-int(self._sizes.max()) // 8))]
        key = self._sizes.astype(np.uint64)
        for word in words:
            key = key * _U(0x9E3779B97F4A7C15) + word
        different = np.unique(key)
        if len(different) > most:
            return None
        codes = np.searchsorted(different, key)
        one = np.empty(len(different), dtype=np.int64)
        one[codes] = np.arange(len(codes))
        like = one[codes]
        # Two texts may share a key: then they are told apart one by one.
        if any((part != part[like]).any() for part in (self._sizes, *words)):
            return None
        return Few(codes, [self.text(row) for row in one.tolist()])

    def _word(self, number: int, sizes: Places, rest: np.uint64 | None = None) -> Words:
        """Give eight bytes of each cell, counted from its end; those before it are of ``rest``, or 0."""
        every: Words = np.ndarray((len(self._text) - 7,), "<u8", self._text, strides=(1,))
        word: Words = every[self._ends - 8 * (number + 1)].astype(np.uint64, copy=False)
        mask = _BYTES[np.clip(sizes - 8 * number, 0, 8)]
        word &= mask
        if rest is not None:
            word |= rest & ~mask
        return word


def cut(texts: list[str], names: Sequence[str]) -> dict[str, Cells] | None:
    """Cut rows of plain CSV into columns; None unless each text is one row with a cell for every name."""
    try:
        joined = "\n".join(texts).encode()
    except UnicodeEncodeError:
        return None
    text = b"\n" * 32 + joined
    codes = np.frombuffer(joined, np.uint8)
    marks = np.flatnonzero((codes == _COMMA) | (codes == _NEWLINE)) + 32
    rows, width = len(texts), len(names)
    if len(marks) + 1 != rows * width or joined.count(b"\n") != rows - 1:
        return None
    ends = np.append(marks, len(text)).reshape(rows, width)
    if (np.frombuffer(text, np.uint8)[ends[:-1, -1]] != _NEWLINE).any():
        return None
    starts = np.append(32, marks + 1).reshape(rows, width)
    return {
        name: Cells(text, np.ascontiguousarray(starts[:, n]), np.ascontiguousarray(ends[:, n]))
        for n, name in enumerate(names)
    }


def _first(word: Words) -> Words:
    """Give the high bit of each word's first byte that is a dot; 0 where none is."""
    other = word ^ _DOTS
    found = (other - _ONES) & ~other & _HIGHS
    return found & (~found + _U(1))


def _without(word: Words, dot: Words) -> Words:
    """Take a dot out: the bytes before it move up by one."""
    below = (dot >> _U(7)) - _U(1)
    above = ~((dot << _U(1)) - _U(1))
    moved: Words = (word & above) | ((word & below) << _U(8))
    return moved


def _place(dot: Words) -> Places:
    below = (dot >> _U(7)) - _U(1)
    found: Places = (((below & _ONES) * _ONES) >> _U(56)).astype(np.int64)
    return found


def _all_digits(word: Words) -> npt.NDArray[np.bool_]:
    high = _U(0xF0F0F0F0F0F0F0F0)
    digits = (word & high) | (((word + _U(0x0606060606060606)) & high) >> _U(4))
    return np.asarray(digits == _U(0x3333333333333333))


def _eight(word: Words) -> Words:
    """Read eight digits, the first in the lowest byte: pairs, fours, eight (Lemire 2018)."""
    word = word & _U(0x0F0F0F0F0F0F0F0F)
    word = (word * _U(2561)) >> _U(8)
    word = ((word & _U(0x00FF00FF00FF00FF)) * _U(6553601)) >> _U(16)
    eight: Words = ((word & _U(0x0000FFFF0000FFFF)) * _U(42949672960001)) >> _U(32)
    return eight
