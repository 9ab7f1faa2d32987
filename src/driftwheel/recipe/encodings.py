# ruff: noqa: ARG002  # every encoding has the same four sides, needed or not
"""What the model sees of a column or feature when its values alone will not do: the fitted encodings.

Every encoding stands once with its four sides together: which outputs it gives, what it learns from the
training rows, its SQL, and the same for one record. Fitted values are JSON. Standard library only: the model
server runs this file.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from driftwheel.recipe.dialect import DOUBLE_MAX, Dialect

Declared = Mapping[str, Any]
Fitted = Mapping[str, Any]
Output = tuple[str, str]
"""Name and kind: 'q' is a quantity, 'c' the integer code of a category."""

MOST_CATEGORIES = 1_000
"""Categories of one input that get a code, the most frequent first; rarer ones are missing values.

A tree splits on sets of categories: codes seen a handful of times teach it nothing but noise.
"""

HEX = "0123456789abcdef"


class Rows(Protocol):
    """The training rows an encoding is fitted on; ``x`` is the SQL of the encoded value."""

    def fetch(self, select: str, rest: str = "") -> list[tuple[Any, ...]]:
        """Run ``SELECT select FROM rows rest``."""

    def total(self, x: str) -> str:
        """Write the sum of doubles."""

    def counted(self, x: str, most: int) -> list[tuple[Any, int]]:
        """Give the most frequent values with their counts: by falling frequency, then value."""

    def order_statistics(self, x: str, shares: Sequence[float]) -> list[float]:
        """Give the values at these shares of the sorted non-null values; empty when there are none."""


class Encoding(Protocol):
    """One way to turn a value into the numbers a model reads."""

    takes: frozenset[str]

    def outputs(self, name: str, fitted: Fitted) -> list[Output]:
        """Name what it gives."""

    def fit(self, rows: Rows, x: str, declared: Declared) -> dict[str, Any]:
        """Learn from the training rows."""

    def sql(self, x: str, fitted: Fitted, dialect: Dialect) -> list[str]:
        """Write one expression (DOUBLE) for each output."""

    def compiled(self, fitted: Fitted) -> Callable[[Any], Sequence[float | None]]:
        """Compute the outputs of one value."""


def number(value: float) -> str:
    """Write a finite number as SQL of a double, in every dialect."""
    text = repr(float(value))
    return text if "e" in text else f"{text}e0"


LARGEST = float(DOUBLE_MAX)


def bounded(value: float) -> float | None:
    """Give a finite number as it is, infinity as None."""
    return value if -LARGEST <= value <= LARGEST else None


def bounded_sql(x: str) -> str:
    """SQL of ``bounded``."""
    return f"(CASE WHEN abs({x}) <= {DOUBLE_MAX} THEN {x} END)"


def steady(value: float) -> float:
    """Round to 12 significant digits: sums of many doubles depend on their order beyond that."""
    return float(f"{value:.12g}")


class Code:
    """The default of a category: its place by falling frequency, which trees split on as a set."""

    takes = frozenset({"text"})

    def outputs(self, name: str, fitted: Fitted) -> list[Output]:
        """One category code."""
        return [(name, "c")]

    def fit(self, rows: Rows, x: str, declared: Declared) -> dict[str, Any]:
        """Learn the categories; ``rare`` counts those left out."""
        keys = [value for value, _ in rows.counted(x, MOST_CATEGORIES)]
        if len(keys) < MOST_CATEGORIES:
            return {"keys": keys, "rare": 0}
        distinct = int(rows.fetch(f"count(DISTINCT {x})")[0][0])
        return {"keys": keys, "rare": distinct - len(keys)}

    def sql(self, x: str, fitted: Fitted, dialect: Dialect) -> list[str]:
        """NULL for a category never seen."""
        return [dialect.code(x, fitted["keys"])]

    def compiled(self, fitted: Fitted) -> Callable[[Any], Sequence[float | None]]:
        """None for a category never seen."""
        codes = {key: (float(place),) for place, key in enumerate(fitted["keys"])}
        return lambda value: codes.get(value, (None,))


class Ordinal:
    """Categories in a declared order become 0, 1, 2, …; any other text is missing."""

    takes = frozenset({"text"})

    def outputs(self, name: str, fitted: Fitted) -> list[Output]:
        """One quantity."""
        return [(name, "q")]

    def fit(self, rows: Rows, x: str, declared: Declared) -> dict[str, Any]:
        """Nothing is learned: the order is declared."""
        return {"keys": list(declared["order"])}

    def sql(self, x: str, fitted: Fitted, dialect: Dialect) -> list[str]:
        """NULL for a text outside the order."""
        return [dialect.code(x, fitted["keys"])]

    def compiled(self, fitted: Fitted) -> Callable[[Any], Sequence[float | None]]:
        """None for a text outside the order."""
        return Code().compiled(fitted)


class OneHot:
    """One column of 0 and 1 for each frequent category and one for all others; a missing value is all 0."""

    takes = frozenset({"text"})

    def outputs(self, name: str, fitted: Fitted) -> list[Output]:
        """``<name>_1`` … in order of falling frequency, then ``<name>_other``."""
        places = [str(n + 1) for n in range(len(fitted["keys"]))]
        return [(f"{name}__{place}", "q") for place in [*places, "other"]]

    def fit(self, rows: Rows, x: str, declared: Declared) -> dict[str, Any]:
        """Keep at most ``most`` categories, each with ``minimum_share`` of the rows that have a value."""
        counted = rows.counted(x, declared["most"])
        given = int(rows.fetch(f"count({x})")[0][0])
        least = declared["minimum_share"] * given
        return {"keys": [value for value, count in counted if count >= least]}

    def sql(self, x: str, fitted: Fitted, dialect: Dialect) -> list[str]:
        """Never NULL."""
        keys = [dialect.quote(key) for key in fitted["keys"]]
        found = [f"(CASE WHEN {x} = {key} THEN 1e0 ELSE 0e0 END)" for key in keys]
        known = f"{x} IN ({', '.join(keys)})" if keys else "FALSE"
        return [*found, f"(CASE WHEN {x} IS NULL OR {known} THEN 0e0 ELSE 1e0 END)"]

    def compiled(self, fitted: Fitted) -> Callable[[Any], Sequence[float | None]]:
        """Never None."""
        size = len(fitted["keys"]) + 1
        rows = {
            key: tuple(float(n == place) for n in range(size)) for place, key in enumerate(fitted["keys"])
        }
        nothing, other = (0.0,) * size, (*(0.0,) * (size - 1), 1.0)
        return lambda value: nothing if value is None else rows.get(value, other)


class TargetMean:
    """A category becomes the mean of the target over its training rows, drawn towards the overall mean.

    ``(n · mean + smoothing · prior) / (n + smoothing)``; missing and unseen categories get the prior
    (Micci-Barreca, A preprocessing scheme for high-cardinality categorical attributes, SIGKDD 2001).
    Training rows get the value learned without their own fold (see ``fit.fit_folds``): else the model would
    read its own answers.
    """

    takes = frozenset({"text"})

    def outputs(self, name: str, fitted: Fitted) -> list[Output]:
        """One quantity."""
        return [(name, "q")]

    def fit(self, rows: Rows, x: str, declared: Declared) -> dict[str, Any]:
        """Learn from the rows' ``__label``."""
        prior = mean_of(rows, "__label") or 0.0
        smoothing = declared["smoothing"]
        found = rows.fetch(
            f"{x}, {rows.total('__label')}, count(__label)",
            f"WHERE {x} IS NOT NULL AND __label IS NOT NULL "
            f"GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT {MOST_CATEGORIES}",
        )
        means = [steady((total + smoothing * prior) / (count + smoothing)) for _, total, count in found]
        return {"prior": prior, "keys": [key for key, _, _ in found], "means": means}

    def sql(self, x: str, fitted: Fitted, dialect: Dialect) -> list[str]:
        """Never NULL."""
        picked = dialect.pick(dialect.code(x, fitted["keys"]), fitted["means"])
        return [f"coalesce({picked}, {number(fitted['prior'])})"]

    def compiled(self, fitted: Fitted) -> Callable[[Any], Sequence[float | None]]:
        """Never None."""
        means = {key: (mean,) for key, mean in zip(fitted["keys"], fitted["means"], strict=True)}
        prior = (fitted["prior"],)
        return lambda value: means.get(value, prior)


class Hash:
    """A category becomes one of ``buckets`` codes by the MD5 of its UTF-8 bytes: for endless categories.

    The first four hexadecimal digits, modulo the number of buckets: digit by digit, since engines turn
    hexadecimal texts into numbers differently.
    """

    takes = frozenset({"text"})

    def outputs(self, name: str, fitted: Fitted) -> list[Output]:
        """One category code."""
        return [(name, "c")]

    def fit(self, rows: Rows, x: str, declared: Declared) -> dict[str, Any]:
        """Nothing is learned."""
        return {"buckets": declared["buckets"]}

    def sql(self, x: str, fitted: Fitted, dialect: Dialect) -> list[str]:
        """NULL for NULL."""
        digits = [
            f"(instr('{HEX}', substr(md5({x}), {place}, 1)) - 1) * {16 ** (4 - place)}"
            for place in range(1, 5)
        ]
        return [f"CAST(({' + '.join(digits)}) % {fitted['buckets']} AS DOUBLE)"]

    def compiled(self, fitted: Fitted) -> Callable[[Any], Sequence[float | None]]:
        """None for None."""
        buckets = fitted["buckets"]

        def compute(value: Any) -> Sequence[float | None]:
            if value is None:
                return (None,)
            digest = hashlib.md5(value.encode(), usedforsecurity=False).hexdigest()
            return (float(int(digest[:4], 16) % buckets),)

        return compute


class QuantileBins:
    """A number becomes the place of its bin between quantiles of the training rows: 0, 1, 2, …."""

    takes = frozenset({"number"})

    def outputs(self, name: str, fitted: Fitted) -> list[Output]:
        """One quantity."""
        return [(name, "q")]

    def fit(self, rows: Rows, x: str, declared: Declared) -> dict[str, Any]:
        """Learn the inner edges; quantiles that fall together make one."""
        bins = declared["bins"]
        return {"edges": sorted(set(rows.order_statistics(x, [n / bins for n in range(1, bins)])))}

    def sql(self, x: str, fitted: Fitted, dialect: Dialect) -> list[str]:
        """NULL for NULL; an edge belongs to the bin above it."""
        edges = fitted["edges"]
        whens = " ".join(f"WHEN {x} < {number(edge)} THEN {n}e0" for n, edge in enumerate(edges))
        return [f"(CASE WHEN {x} IS NULL THEN NULL {whens} ELSE {len(edges)}e0 END)"]

    def compiled(self, fitted: Fitted) -> Callable[[Any], Sequence[float | None]]:
        """None for None."""
        edges = fitted["edges"]
        return lambda value: (None if value is None else float(bisect_right(edges, value)),)


class Scale:
    """A number becomes ``(x - shift) / size``: by mean and deviation, range, or quartiles."""

    takes = frozenset({"number"})

    def outputs(self, name: str, fitted: Fitted) -> list[Output]:
        """One quantity."""
        return [(name, "q")]

    def fit(self, rows: Rows, x: str, declared: Declared) -> dict[str, Any]:
        """Learn shift and size; a column without any spread is only shifted."""
        shift, size = SCALES[declared["method"]](rows, x)
        return {"shift": shift, "size": size if size > 0 else 1.0}

    def sql(self, x: str, fitted: Fitted, dialect: Dialect) -> list[str]:
        """NULL for NULL, and beyond the range of a double."""
        return [bounded_sql(f"(({x} - {number(fitted['shift'])}) / {number(fitted['size'])})")]

    def compiled(self, fitted: Fitted) -> Callable[[Any], Sequence[float | None]]:
        """None for None."""
        shift, size = fitted["shift"], fitted["size"]
        return lambda value: (None if value is None else bounded((value - shift) / size),)


def mean_of(rows: Rows, x: str) -> float | None:
    """Give the mean, to 12 digits; None of nothing. Values are divided before they are added: no overflow."""
    count = rows.fetch(f"count({x})")[0][0]
    return steady(rows.fetch(rows.total(f"{x} / {number(count)}"))[0][0]) if count else None


def _standard(rows: Rows, x: str) -> tuple[float, float]:
    mean = mean_of(rows, x)
    if mean is None:
        return 0.0, 1.0
    low, high = rows.fetch(f"min({x}), max({x})")[0]
    spread = high / 2 - low / 2  # squares of shares of the spread: they cannot overflow
    if not spread > 0:
        return mean, 0.0
    share = f"(({x} / 2e0 - {number(mean / 2)}) / {number(spread)})"
    total, count = rows.fetch(f"{rows.total(f'{share} * {share}')}, count({x})")[0]
    return mean, steady((total / count) ** 0.5 * spread) * 2


def _min_max(rows: Rows, x: str) -> tuple[float, float]:
    low, high = rows.fetch(f"min({x}), max({x})")[0]
    return (0.0, 1.0) if low is None else (float(low), _size(low, high))


def _robust(rows: Rows, x: str) -> tuple[float, float]:
    found = rows.order_statistics(x, [0.25, 0.5, 0.75])
    return (found[1], _size(found[0], found[2])) if found else (0.0, 1.0)


def _size(low: float, high: float) -> float:
    return min(float(high - low), LARGEST)


SCALES: dict[str, Callable[[Rows, str], tuple[float, float]]] = {
    "standard": _standard,
    "min_max": _min_max,
    "robust": _robust,
}

ENCODINGS: dict[str, Encoding] = {
    "code": Code(),
    "ordinal": Ordinal(),
    "one_hot": OneHot(),
    "target_mean": TargetMean(),
    "hash": Hash(),
    "quantile_bins": QuantileBins(),
    "scale": Scale(),
}


def encoded(recipe: Mapping[str, Any]) -> Iterable[tuple[str, str | None, Declared]]:
    """Give the model's inputs in their order: name, encoding (None: the number itself), its declaration."""
    inputs = [(c["name"], c["type"]) for c in recipe["columns"] if c["model_input"]]
    inputs += [(feature["name"], feature["type"]) for feature in recipe["features"]]
    declared = recipe.get("encode", {})
    for name, kind in inputs:
        if name in declared:
            yield name, declared[name]["encoding"], declared[name]
        else:
            yield name, "code" if kind in {"category", "text"} else None, {}


def output_names(recipe: Mapping[str, Any], params: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name what the model reads, in order: output, its kind ('q' or 'c'), the column or feature it is of."""
    found: list[tuple[str, str, str]] = []
    for name, encoding, _ in encoded(recipe):
        given = (
            [(name, "q")]
            if encoding is None
            else ENCODINGS[encoding].outputs(name, fitted_of(name, encoding, params))
        )
        found += [(output, kind, name) for output, kind in given]
    return found


def fitted_of(name: str, encoding: str, params: Mapping[str, Any]) -> Fitted:
    """Find what an encoding learned; raises KeyError when the parameters belong to another recipe."""
    if encoding == "code":
        return {"keys": params["categories"][name]}
    found: Fitted = params["encodings"][name]
    return found
