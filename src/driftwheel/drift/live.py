"""From captured files and late labels to the window a check judges."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from driftwheel.drift.answered import AnswerLog
from driftwheel.drift.cleaned import CleaningReader
from driftwheel.drift.labels import LabelReader
from driftwheel.drift.row_sample import RowSample
from driftwheel.drift.window import Window, WindowBuilder
from driftwheel.recipe.row import RowRecipe

Files = Iterable[tuple[str, Iterable[bytes]]]
"""(key, its bytes in chunks of any size), opened one after the other."""


def read_window(
    baseline: Mapping[str, Any],
    recipe: RowRecipe,
    captures: Files,
    labels: LabelReader,
    *,
    since: str = "",
    until: str = "",
    slices: Sequence[str] = (),
    sample: RowSample | None = None,
) -> Window:
    """Read captured traffic once, join the labels known so far, and keep only summaries.

    ``since`` and ``until`` (exclusive; ISO 8601 UTC with Z) choose requests by their inference time. The
    window's ``about`` says how many rows, labels and unreadable lines there were. ``slices`` are columns to
    tell answers apart by; those that no request carries are left out. ``sample`` is offered every row.
    """
    reader = CleaningReader(recipe)
    window = WindowBuilder(baseline)
    answers = AnswerLog(name for name in slices if name in recipe.inputs)
    labelled = 0
    first = last = ""
    for name, chunks in captures:
        for batch in reader.read(chunks, name, since=since, until=until):
            found = batch.labels(labels.known)
            labelled += len(found) - found.count(None)
            window.add(batch.columns, batch.scores, found)
            told = {name: batch.values(name, recipe.column_types[name]) for name in answers.slices}
            answers.add(batch.times, batch.scores, found, told)
            if sample is not None:
                shown = {name: batch.values(name, recipe.column_types[name]) for name in sample.columns}
                sample.add(shown, len(batch))
            first = min(filter(None, [first, *batch.times]), default="")
            last = max(last, *batch.times)
    return window.build(
        answers.build(),
        since=since,
        until=until,
        first=first,
        last=last,
        requests=reader.captured.requests,
        rows=reader.rows,
        labelled_rows=labelled,
        refused_rows=reader.refused,
        labels={"known": len(labels.known), "corrected": labels.corrected, "repeated": labels.repeated},
        malformed={"captures": dict(reader.captured.malformed), "labels": dict(labels.malformed)},
        examples=[*reader.captured.examples, *labels.examples],
    )
