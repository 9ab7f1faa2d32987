"""Whole recipes and rows for hypothesis: every kind of column with rules of its own, features, encodings."""

from typing import Any

from hypothesis import strategies as st
from tests.unit.recipe import test_expressions, test_literals

from driftwheel.errors import SpecInvalid
from driftwheel.recipe.declare import declare
from driftwheel.spec import ModelSpec

KINDS = test_expressions.NAMES
"""The columns of generated expressions: a, b are numbers, s, r texts, p, q booleans, t, u times."""

EXACT = (*test_expressions.INEXACT, "**")
NULLS = st.sampled_from([[""], ["", "NA"], ["", "-999", "0"], ["", "abc"]])


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), strategy)


def column(kind: str, **rules: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Declare a column; a rule that is None is not declared."""
    found = st.fixed_dictionaries({"type": st.just(kind), **rules})
    return found.map(lambda declared: {name: rule for name, rule in declared.items() if rule is not None})


def missing(*fills: Any, fitted: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    """Say what becomes of a missing value."""
    ways = [{"missing": way} for way in ("keep", "reject", *fitted)]
    return st.sampled_from(ways + [{"missing": "constant", "fill": fill} for fill in fills])


RANGE = {
    "range": optional(st.sampled_from([[-40, 1000], [0, 100], [-1, 1], [5, 5]])),
    "outside": st.sampled_from(["null", "clip", "reject"]),
    "outliers": optional(
        st.sampled_from([{"action": "clip", "fence": 1.5}, {"action": "null"}, {"action": "clip"}])
    ),
}
NOTATION = st.sampled_from([{"decimal": ",", "group": "."}, {"group": ",", "symbols": ["$", "%"]}])
NUMBERS = st.one_of(
    column("number", null_tokens=NULLS, notation=optional(NOTATION), **RANGE),
    column("integer", null_tokens=st.sampled_from([[""], ["", "-999"]]), **RANGE),
    column("number", unit=st.just("degF"), convert=st.just("degC"), **RANGE),
)
TEXTS = column(
    "category",
    null_tokens=NULLS,
    canonical=optional(st.sampled_from([{"US": ["United States", "ﬁ"]}, {"O'H": ["'", "a b"], "x": ["us"]}])),
)
TIMES = column("timestamp", forms=optional(st.sampled_from([["D/M/YYYY"], ["YYYYMMDD", "DD.MM.YYYY hh:mm"]])))
OF_KIND = {
    "number": (NUMBERS, missing(7, 0, fitted=("median", "mean", "mode"))),
    "text": (TEXTS, missing("none", "é", fitted=("mode",))),
    "boolean": (column("boolean"), missing(True, False, fitted=("mode",))),
    "timestamp": (TIMES, missing("2024-02-29", fitted=("mode",))),
}
ENCODINGS = {
    "number": [
        {"encoding": "scale", "method": "standard"},
        {"encoding": "scale", "method": "min_max"},
        {"encoding": "scale", "method": "robust"},
        {"encoding": "quantile_bins", "bins": 3},
    ],
    "text": [
        {"encoding": "one_hot", "most": 2, "minimum_share": 0.1},
        {"encoding": "ordinal", "order": ["abc", "US", "none"]},
        {"encoding": "target_mean", "smoothing": 2.0, "folds": 2},
        {"encoding": "hash", "buckets": 5},
    ],
    "timestamp": [{"encoding": "date_parts", "parts": ["hour", "isodow", "doy"]}],
    "boolean": [],
}
EXPRESSIONS = st.one_of(test_expressions.numbers, test_expressions.booleans, test_expressions.texts).filter(
    lambda text: not any(name in text for name in EXACT)
)


@st.composite
def recipes(draw: st.DrawFn) -> dict[str, Any]:
    """Draw what ``model.yaml`` could say, compiled; expressions the declaration refuses are left out."""
    columns = {name: draw(OF_KIND[kind][0]) | draw(OF_KIND[kind][1]) for name, kind in KINDS.items()}
    encode = {
        name: draw(st.sampled_from(ENCODINGS[kind]))
        for name, kind in KINDS.items()
        if ENCODINGS[kind] and draw(st.booleans())
    }
    document: dict[str, Any] = {
        "model": "m",
        "source": {"prefix": "data/m/", "key": ["k"]},
        "columns": columns
        | {"k": {"type": "text", "feature": False}, "answer": {"type": "boolean", "feature": False}},
        "target": {"column": "answer"},
        "encode": encode,
        "features": {},
    }
    for number, expression in enumerate(draw(st.lists(EXPRESSIONS, max_size=4))):
        features = document["features"] | {f"f{number}": expression}
        try:
            declare(ModelSpec.model_validate(document | {"features": features}))
        except SpecInvalid:
            continue
        document["features"] = features
    return declare(ModelSpec.model_validate(document))


PLAIN = {
    "number": ["1", "-2.5", "0", "77", "1e3", "-999", "1.234,5", "$1,000", "12 %", None],
    "text": ["abc", "US", " us ", "United  States", "é", "a b", "none", "NA", None],
    "boolean": ["true", "0", "FALSE", "1", "yes", None],
    "timestamp": ["2024-02-29", "2023-12-31T23:59:59Z", "3/4/2024", "20240403", "31.12.2023 23:59", None],
}
ODD = [text for text in test_literals.ADVERSARIAL if "\x00" not in text]
ROWS = st.lists(
    st.fixed_dictionaries(
        {name: st.one_of(st.sampled_from(PLAIN[k]), st.sampled_from(ODD)) for name, k in KINDS.items()}
    ),
    min_size=4,
    max_size=12,
)


def numbered(rows: list[dict[str, Any]], names: list[str]) -> list[tuple[Any, ...]]:
    """Give every row its key and its answer, in the order of the columns."""
    return [
        tuple(({"k": f"k{n:03d}", "answer": str(n % 2)} | row)[name] for name in names)
        for n, row in enumerate(rows)
    ]
