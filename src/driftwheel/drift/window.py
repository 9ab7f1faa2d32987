"""One window of live traffic, reduced to what a drift check needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from driftwheel.drift.answered import Answered
from driftwheel.drift.cells import Floats
from driftwheel.drift.column import ColumnSummary, NumberSummary, column_from_json
from driftwheel.drift.estimate import cells_of
from driftwheel.drift.quality import Metric, Quality, beside, measure
from driftwheel.drift.summaries import Column, Summariser, Summary, summarise_column, summary_from_json
from driftwheel.drift.tally import NumberTally


@dataclass(frozen=True)
class Window:
    """What was asked, what was answered and, where labels have arrived, what was true."""

    summary: Summary
    prediction: NumberSummary | None = None
    label: ColumnSummary | None = None
    quality: Quality | None = None
    beside: list[Quality] = field(default_factory=list)
    answers: Floats = field(default_factory=lambda: np.zeros(0))
    """How many scores lie in each cell of ``drift/estimate.py``."""
    answered: Answered | None = None
    """By the hour and by slice, where rows were read one by one."""
    about: dict[str, Any] = field(default_factory=dict)


class WindowBuilder:
    """Collects batches of captured rows into a window, without keeping the rows.

    Scores and labels of labelled rows are kept (16 bytes a row): a rank metric needs them all.
    """

    def __init__(self, baseline: Mapping[str, Any]) -> None:
        self._kinds: dict[str, str] = baseline["kinds"]
        self._like_label = column_from_json(baseline["label"]["summary"])
        self._metric: Metric = baseline["quality"]["metric"]
        self._prediction = NumberTally(column_from_json(baseline["prediction"]))
        self._summariser = Summariser(self._kinds, summary_from_json(baseline))
        self._scores: list[Floats] = []
        self._labels: list[Floats] = []
        self._predicted = 0
        self._edges: list[float] = baseline.get("calibration", {}).get("edges", [0.0, 1.0])
        self._answers = np.zeros(len(self._edges) - 1)

    def add(
        self,
        columns: Mapping[str, Column],
        scores: Column,
        labels: Column | None = None,
    ) -> None:
        """Add cleaned columns (a watched one that is absent counts as missing), scores and labels.

        None or NaN among scores or labels means not known. Raises ValueError when lengths differ.
        """
        rows = len(scores)
        given = {name: columns.get(name, [None] * rows) for name in self._kinds}
        if wrong := {name: len(column) for name, column in given.items() if len(column) != rows}:
            raise ValueError(f"{rows} scores but columns of other lengths: {wrong}")
        self._summariser.add(given)
        said = np.asarray(scores, dtype=np.float64)
        self._prediction.add(said)
        self._predicted += rows
        self._answers += cells_of(said, self._edges)
        if labels is not None:
            if len(labels) != rows:
                raise ValueError(f"{rows} scores but {len(labels)} labels")
            true = np.asarray(labels, dtype=np.float64)
            known = np.isfinite(true) & np.isfinite(said)
            self._labels.append(true[known])
            self._scores.append(said[known])

    def build(self, answered: Answered | None = None, **about: Any) -> Window:
        """Give the window; ``about`` (its times, malformed lines, …) is carried into the report."""
        labels = np.concatenate([np.zeros(0), *self._labels])
        scores = np.concatenate([np.zeros(0), *self._scores])
        kind = "number" if isinstance(self._like_label, NumberSummary) else "boolean"
        return Window(
            summary=self._summariser.build(),
            prediction=self._prediction.summary() if self._predicted else None,
            label=summarise_column(labels, kind, self._like_label) if len(labels) else None,
            quality=measure(scores, labels, self._metric, self._predicted) if len(labels) else None,
            beside=beside(scores, labels, self._metric, self._predicted) if len(labels) else [],
            answers=self._answers,
            answered=answered,
            about=about,
        )
