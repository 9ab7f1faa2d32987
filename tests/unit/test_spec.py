"""``model.yaml``: what is wrong is named with its place, and nothing is read as what it does not say."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from driftwheel.errors import SpecInvalid
from driftwheel.recipe.declare import read_model
from driftwheel.spec import ModelSpec, load_spec

ROOT = Path(__file__).parents[2]
GOOD: dict[str, Any] = {
    "model": "parcels",
    "source": {"prefix": "data/parcels/", "key": ["id"]},
    "enrich": [{"prefix": "data/weather/", "on": ["depot"]}],
    "columns": {
        "id": {"type": "category"},
        "at": {"type": "timestamp"},
        "depot": {"type": "category"},
        "weight": {"type": "number"},
    },
    "target": {"column": "late", "expression": "weight > 3"},
}


def changed(path: str, value: Any) -> str:
    document: Any = copy.deepcopy(GOOD)
    *way, last = path.split(".")
    part = document
    for name in way:
        part = part[int(name)] if isinstance(part, list) else part.setdefault(name, {})
    part[last] = value
    return yaml.safe_dump(document)


WRONG = {
    "misspelt": ("sorce", {}, "sorce: unknown field 'sorce'; did you mean 'source'? (line "),
    "nested": (
        "columns.weight.tpye",
        "number",
        "columns.weight.tpye: unknown field 'tpye'; did you mean 'type'? (line ",
    ),
    "name": ("model", "Parcels!", "model: 'Parcels!' is not of the form "),
    "prefix": ("source.prefix", "parcels/", "must look like data/<name>/"),
    "up": ("source.prefix", "data/../", "must look like data/<name>/"),
    "inside": ("enrich.0.prefix", "data/parcels/weather/", "lies inside 'data/parcels/'"),
    "key": ("source.key", ["no"], "source.key: 'no' is not declared under columns"),
    "join": ("enrich.0.on", ["no"], "enrich.on: 'no' is not declared under columns"),
    "slice": ("evaluation.slices", ["no"], "evaluation.slices: 'no' is not declared"),
    "time": ("split", {"by": "time"}, "name the timestamp column to split by time"),
    "time type": ("split", {"by": "time", "column": "weight"}, "'weight' must be a timestamp column"),
    "range": ("columns.depot.range", [0, 1], "range: only for integer and number columns"),
    "bounds": ("columns.weight.range", [2, 1], "lower bound 2 is above upper bound 1"),
    "median": ("columns.depot.missing", "median", "median needs a number, this column is category"),
    "canonical": ("columns.weight.canonical", {"a": ["b"]}, "canonical: only for category and text"),
    "identifier": ("columns.two words", {"type": "number"}, "'two words': a column or feature is letters"),
    "reserved": ("features.__key", "weight", "'__key': a column or feature is letters"),
    "case": ("columns.Weight", {"type": "number"}, "'weight' and 'Weight' differ in case only"),
    "clash": ("features.weight", "weight * 2", "are already columns"),
    "days": ("window.policy", "sliding", "days: say how many days the sliding window keeps"),
    "half life": ("window.policy", "weighted", "half_life_days: give it together with policy: weighted"),
    "no half": ("window.half_life_days", 5, "half_life_days: give it together with policy: weighted"),
    "undated": (
        "window",
        {"policy": "weighted", "half_life_days": 5},
        "a weighted window needs split.column",
    ),
    "window": ("window", {"policy": "sliding", "days": 5}, "a sliding window needs split.column"),
    "parameter": ("training.hyperparameters", {"max_deph": 3}, "'max_deph' is not a parameter"),
    "mode": ("deployment.mode", "yolo", "deployment"),
}


@pytest.mark.parametrize(("path", "value", "words"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_named_with_its_place(path: str, value: Any, words: str) -> None:
    with pytest.raises(SpecInvalid) as error:
        load_spec(changed(path, value), "models/parcels/model.yaml")

    assert str(error.value).startswith("models/parcels/model.yaml has 1 wrong field(s):\n")
    assert words in str(error.value)


@pytest.mark.parametrize("text", ["a: [", "- 1", "", "\x00"])
def test_what_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(SpecInvalid, match=r"model\.yaml"):
        load_spec(text)


def test_a_field_is_refused_with_its_line_and_a_yaml_error_names_the_file() -> None:
    text = (
        "model: parcels\nsource: {prefix: data/parcels/, key: [id]}\ncolumns:\n  weight:\n    mising: mode\n"
    )
    with pytest.raises(SpecInvalid, match=r"unknown field 'mising'; did you mean 'missing'\? \(line 5\)"):
        load_spec(text)
    with pytest.raises(SpecInvalid, match=r"in a\.yaml, line 1") as refused:
        load_spec(b"a: [", "a.yaml")
    assert "string" not in str(refused.value)


def test_on_and_no_and_numbers_with_colons_stay_what_they_say() -> None:
    text = changed("columns.depot.canonical", {"Norway": ["NO"]}).replace("'NO'", "NO").replace("'on'", "on")

    spec = load_spec(text)

    assert spec.columns["depot"].canonical == {"Norway": ["NO"]}
    assert spec.enrich[0].on == ["depot"]


def test_a_prefix_says_which_role_its_files_have() -> None:
    spec = ModelSpec.model_validate(GOOD)

    assert spec.prefixes == {"data/parcels/": "source", "data/weather/": "enrich-0"}


def test_the_example_is_valid() -> None:
    assert load_spec((ROOT / "examples/flights/model.yaml").read_bytes()).model == "flights"


@pytest.mark.parametrize(
    ("feature", "column", "words"),
    [
        ("weight * ", "", "features.load: 'weight *' is not an SQL expression (an operand or an argument is"),
        ("sum(weight)", "", "features.load: "),
        ("weight * 2", ", canonical: {a: [b], c: [b]}", "columns.depot.canonical: 'b' stands for both"),
    ],
)
def test_what_does_not_compile_is_refused_with_its_line(feature: str, column: str, words: str) -> None:
    text = (
        "model: parcels\nsource: {prefix: data/parcels/, key: [id]}\ncolumns:\n  id: {type: text}\n"
        f"  late: {{type: boolean}}\n  weight: {{type: number}}\n  depot: {{type: category{column}}}\n"
        f"target: {{column: late}}\nfeatures:\n  load: {feature}\n"
    )
    line = 7 if column else 10

    with pytest.raises(SpecInvalid) as refused:
        read_model(text, "a.yaml")

    assert str(refused.value).startswith(f"a.yaml: {words}")
    assert str(refused.value).endswith(f" (line {line})")
