"""What tells the label almost alone is named, whatever it tells it by; what only helps is not."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from driftwheel.dataset import DataFile, Inputs, Prepared, prepare
from driftwheel.spec import ModelSpec

ROWS = 400
BASE: dict[str, Any] = {
    "model": "parcels",
    "source": {"prefix": "data/parcels/", "key": ["id"]},
    "columns": {
        "id": {"type": "category", "feature": False},
        "weight": {"type": "number"},
        "late": {"type": "number", "feature": False},
    },
    "target": {"column": "late"},
    "split": {"by": "key"},
    "quality": {"minimum_rows": 20, "minimum_class_rows": 10},
}
NUMBER, CATEGORY = {"type": "number", "missing": "median"}, {"type": "category"}
LEAKS: dict[str, tuple[dict[str, Any], str]] = {
    "a copy": (NUMBER, "{late}"),
    "its opposite, shifted": (NUMBER, "{opposite}"),
    "a category whose order says nothing": (CATEGORY, "{kind}"),
    "that it has a value": (NUMBER, "{given}"),
}
"""A column, and how a row's cell is written."""


def prepared(
    folder: Path, declared: dict[str, Any], cells: list[str], labels: list[float], **changes: Any
) -> Prepared:
    lines = ["id,weight,other,late"]
    dice = random.Random(3)
    for n, (cell, late) in enumerate(zip(cells, labels, strict=True)):
        lines.append(f"p{n},{dice.gauss(late, 0.5)},{cell},{late}")
    path = folder / "a.csv"
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    (folder / "out").mkdir()
    spec = ModelSpec.model_validate(BASE | {"columns": BASE["columns"] | {"other": declared}} | changes)
    return prepare(
        spec, Inputs(files=[DataFile("source", "data/parcels/a.csv", path)]), folder / "out", memory_mb=400
    )


def told(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "out" / "profile.json").read_text())[
        "suspected_leakage"
    ]
    return found


@pytest.mark.case("DA-15")
@pytest.mark.parametrize("leak", LEAKS)
def test_what_tells_a_yes_or_no_alone_is_named(tmp_path: Path, leak: str) -> None:
    declared, cell = LEAKS[leak]
    labels = [float(n % 3 == 0) for n in range(ROWS)]
    cells = [
        cell.format(
            late=late,
            opposite=7 - late,
            kind=f"{'bdf' if late else 'ace'}"[n % 2],
            given=n % 5 if late else "",
        )
        for n, late in enumerate(labels)
    ]

    found = prepared(tmp_path, declared, cells, labels)

    assert found.leakage == ["other"]
    assert {each["auc"] for each in told(tmp_path)} == {1.0}
    assert [each["by"] for each in told(tmp_path) if "by" in each] == ["gaps"] or "value" not in leak


@pytest.mark.case("DA-15")
def test_what_tells_a_number_alone_is_named_by_the_share_it_explains(tmp_path: Path) -> None:
    dice = random.Random(5)
    labels = [dice.gauss(30, 8) for _ in range(ROWS)]
    target = {"target": {"column": "late", "kind": "regression"}, "evaluation": {"metric": "mae"}}

    found = prepared(tmp_path, NUMBER, [f"{3 - 2 * late}" for late in labels], labels, **target)

    assert found.leakage == ["other"]
    assert told(tmp_path) == [{"feature": "other", "r2": 1.0}]


@pytest.mark.parametrize(("suspicious", "named"), [(0.94, ["other"]), (0.96, [])])
def test_a_category_that_is_seldom_wrong_is_measured_by_how_seldom(
    tmp_path: Path, suspicious: float, named: list[str]
) -> None:
    labels = [float(n % 2 == 0) for n in range(ROWS)]
    # Right in 24 rows of 25, an AUC of some 0.95; neither order nor frequency of the values tells anything.
    cells = [("ace", "bdf")[bool(late) ^ (n % 25 == 0)][n // 2 % 3] for n, late in enumerate(labels)]

    found = prepared(tmp_path, CATEGORY, cells, labels, evaluation={"suspicious": suspicious})

    assert found.leakage == named


def test_rare_ones_among_random_categories_are_no_leak(tmp_path: Path) -> None:
    dice = random.Random(5)
    labels = [float(n % 25 == 0) for n in range(ROWS)]  # a mean that counts a row itself has an AUC of 0.82
    cells = [f"shop {dice.randrange(10)}" for _ in range(ROWS)]

    found = prepared(tmp_path, CATEGORY, cells, labels, evaluation={"suspicious": 0.75})

    assert found.leakage == ["weight"]


def test_what_only_helps_is_not_named(tmp_path: Path) -> None:
    dice = random.Random(5)
    labels = [float(n % 3 == 0) for n in range(ROWS)]
    # A value of its own in each row knows its row's label, and nothing else.
    cells = [f"k{n}" if n % 2 else f"k{dice.randrange(40)}" for n in range(ROWS)]

    assert prepared(tmp_path, CATEGORY, cells, labels).leakage == []
