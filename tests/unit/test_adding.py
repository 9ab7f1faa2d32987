"""docs/adding.md is true: its examples run, its files exist, every member is where it says."""

import inspect
import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
import pytest
import yaml
from pydantic import Discriminator, Tag, TypeAdapter

from driftwheel.algorithms import ALGORITHMS, XGBoostTraining
from driftwheel.deployment import MODES, Linear
from driftwheel.drift.battery import TESTS
from driftwheel.drift.pair import Pair
from driftwheel.drift.summaries import summarise_column
from driftwheel.sources.kinds import KINDS
from driftwheel.spec import Enrichment, Source, load_spec

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "adding.md").read_text(encoding="utf-8")
PLACES = (ROOT, ROOT / "src" / "driftwheel", *(ROOT / "tests" / "unit").iterdir())


def examples(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def example(language: str, beginning: str) -> str:
    return next(text for text in examples(language) if beginning in text)


class MyTraining(XGBoostTraining):
    algorithm: Literal["mine"] = "mine"  # type: ignore[assignment]


def numbers(seed: int, mean: float) -> list[float]:
    return list(np.random.default_rng(seed).normal(mean, 1, 4_000))


def test_the_drift_test_of_the_page_tells_a_shift_from_chance() -> None:
    names: dict[str, Any] = {}
    exec(example("python", "class MeanShift"), names)
    test = names["MeanShift"]()
    before = summarise_column(numbers(1, 0), "number")
    pairs = [Pair(before, summarise_column(numbers(2, mean), "number", like=before)) for mean in (0, 3)]

    same, shifted = (test.score(pair) for pair in pairs)

    assert same.effect < test.slight
    assert same.p_value > 0.01
    assert shifted.effect > test.strong
    assert shifted.p_value < 1e-9
    assert 0 < test.noise(pairs[0], 0.01) < test.noise(pairs[0], 1e-6)


def test_a_second_algorithm_is_chosen_by_name_and_xgboost_where_none_is_named() -> None:
    given = (Annotated, Any, Discriminator, MyTraining, Tag, XGBoostTraining)
    names: dict[str, Any] = {one.__name__: one for one in given}
    exec(example("python", "def _algorithm"), names)
    training: TypeAdapter[Any] = TypeAdapter(names["Training"])

    assert type(training.validate_python({"rounds": 40})) is XGBoostTraining
    assert type(training.validate_python({"algorithm": "mine"})) is MyTraining
    assert training.validate_python(MyTraining()) == MyTraining()
    assert names["ALGORITHMS"][: len(ALGORITHMS)] == ALGORITHMS


def test_the_deployment_mode_of_the_page_is_the_one_that_ships() -> None:
    shown = example("python", "class Linear").strip()
    shipped = re.sub(r'\n? +""".*?"""\n', "\n", inspect.getsource(Linear), flags=re.DOTALL)

    assert [line for line in shown.splitlines() if line.strip()] == [
        line for line in shipped.splitlines() if line.strip()
    ]


def test_the_model_and_the_join_of_the_page_are_accepted() -> None:
    spec = load_spec(example("yaml", "model: parcels"))
    (join,) = yaml.safe_load(example("yaml", "enrich:").replace("on:", "'on':"))["enrich"]

    assert spec.training == XGBoostTraining()
    assert (spec.evaluation.metric, spec.deployment.mode, spec.drift.every_minutes) == ("auc", "canary", 60)
    assert Enrichment.model_validate(join).on == ["origin", "time_hour"]


def test_every_format_of_a_source_has_its_module() -> None:
    for shape in (Source, Enrichment):
        assert set(get_args(shape.model_fields["format"].annotation)) == set(KINDS)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([\w/.-]+\.(?:py|json|md|yaml|toml|txt))`", PAGE))))
def test_every_file_the_page_names_exists(name: str) -> None:
    assert name == "model.yaml" or any((place / name).is_file() for place in PLACES)


@pytest.mark.parametrize("union", ["TESTS", "DriftTestName", "ALGORITHMS", "Deployment", "MODES", "KINDS"])
def test_every_place_a_member_is_entered_is_named(union: str) -> None:
    assert f"`{union}`" in PAGE


def test_a_member_is_a_file_of_its_own() -> None:
    for members in (TESTS, MODES, ALGORITHMS):
        assert len({member.__module__ for member in members}) == len(members)
