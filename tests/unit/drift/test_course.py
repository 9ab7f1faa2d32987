"""Quality by the hour and by slice, whatever way the labels came."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from driftwheel.drift import kept
from driftwheel.drift.answered import MOST_VALUES, Answered, AnswerLog
from driftwheel.drift.course import by_slice, course, with_latest_labels
from driftwheel.drift.kept import Kept, kept_from_bytes
from driftwheel.drift.labels import LabelReader
from driftwheel.drift.quality import measure
from driftwheel.drift.summaries import Summary
from driftwheel.drift.window import Window

BEGIN = datetime(2026, 11, 23, 22, tzinfo=UTC)


class Traffic:
    """Scored rows with labels, 400 an hour, in which one depot is harder to predict than the other."""

    def __init__(self, hours: int) -> None:
        rng = np.random.default_rng(3)
        rows = 400 * hours
        self.times = [f"{BEGIN + timedelta(hours=n // 400):%Y-%m-%dT%H}:30:00Z" for n in range(rows)]
        self.ids = [f"r{n // 4}/{n % 4}" for n in range(rows)]
        self.depots = rng.choice(["North", "South"], rows).tolist()
        skill = np.where(np.array(self.depots) == "North", 2.0, 0.5)
        self.labels = (rng.random(rows) < 0.4).astype(float).tolist()
        self.scores = (1 / (1 + np.exp(-rng.normal(np.array(self.labels) * skill, 1)))).tolist()

    def answered(self, known: dict[str, float]) -> Answered:
        log = AnswerLog(["depot"])
        for start in range(0, len(self.ids), 300):  # batches that know nothing of hours
            part = slice(start, start + 300)
            found = [known.get(name) for name in self.ids[part]]
            log.add(self.times[part], self.scores[part], found, {"depot": self.depots[part]})
        return log.build()

    def kept(self) -> Kept:
        found = Kept()
        for hour in dict.fromkeys(time[:13] for time in self.times):
            mine = [n for n, time in enumerate(self.times) if time.startswith(hour)]
            parts = ([column[n] for n in mine] for column in (self.times, self.ids, self.scores))
            found = found.add(hour, *parts)
        return found


def read(lines: list[str]) -> LabelReader:
    reader = LabelReader()
    reader.read(["\n".join(["inference_id,label", *lines]).encode()], "labels/m/1.csv")
    return reader


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return Traffic(hours=5)


def test_labels_in_any_order_twice_and_corrected_end_in_the_same_figures(traffic: Traffic) -> None:
    truth = dict(zip(traffic.ids, traffic.labels, strict=True))
    told = [f"{name},{label}" for name, label in truth.items()]
    wrong = [f"{name},{1 - label}" for name, label in list(truth.items())[:200]]
    again = told[:150]
    random.Random(5).shuffle(told)

    labels = read([*wrong, *told, *again])

    assert (labels.corrected, labels.repeated) == (200, 150)
    assert course([traffic.answered(labels.known)], "auc") == course([traffic.answered(truth)], "auc")


def test_each_hour_is_measured_as_if_alone_and_a_late_label_changes_the_past(traffic: Traffic) -> None:
    truth = dict(zip(traffic.ids, traffic.labels, strict=True))
    early = {name: truth[name] for name in traffic.ids[400:]}

    before, after = (course([traffic.answered(known)], "auc") for known in (early, truth))

    assert [p["at"] for p in after["periods"]][:2] == ["2026-11-23T22:00Z", "2026-11-23T23:00Z"]
    first = after["periods"][0]
    alone = measure(np.array(traffic.scores[:400]), np.array(traffic.labels[:400]), "auc")
    assert (first["value"], first["low"]) == (round(alone.value or 0, 6), round(alone.low or 0, 6))
    assert (first["rows"], first["labelled"], first["coverage"]) == (400, 400, 1.0)
    assert before["periods"][0] == {
        "at": "2026-11-23T22:00Z", "rows": 400, "labelled": 0, "coverage": 0.0,
    }  # fmt: skip
    assert before["periods"][1:] == after["periods"][1:]


def test_more_than_two_days_are_told_by_the_day() -> None:
    found = course([Traffic(hours=50).answered({})], "auc")

    assert found["by"] == "day"
    assert [(p["at"], p["rows"]) for p in found["periods"]] == [
        ("2026-11-23", 800),
        ("2026-11-24", 9_600),
        ("2026-11-25", 9_600),
    ]


def test_every_slice_is_measured_by_its_own_rows(traffic: Traffic) -> None:
    truth = dict(zip(traffic.ids, traffic.labels, strict=True))

    found = by_slice(traffic.answered(truth), "auc", ["depot", "driver"])

    values = {one["slice"]: one for one in found["measured"]}
    for depot, one in values.items():
        mine = np.array(traffic.depots) == depot
        alone = measure(np.array(traffic.scores)[mine], np.array(traffic.labels)[mine], "auc")
        assert one["value"] == round(alone.value or 0, 6)
        assert one["rows"] == one["labelled"] == mine.sum()
    assert values["North"]["low"] > values["South"]["high"]
    assert (found["few"], found["not_captured"]) == (0, ["driver"])


def test_a_slice_of_few_labels_is_counted_and_not_measured(traffic: Traffic) -> None:
    few = dict(zip(traffic.ids[:40], traffic.labels[:40], strict=True))

    found = by_slice(traffic.answered(few), "auc", ["depot"])

    assert (found["measured"], found["few"]) == ([], 2)


def test_a_column_of_free_text_stays_small() -> None:
    log = AnswerLog(["note"])
    names = [f"n{n}" for n in range(3 * MOST_VALUES)]
    log.add(["2026-11-23T22:00:00Z"] * len(names), [0.5] * len(names), [1.0] * len(names), {"note": names})

    found = log.build()

    assert len(found.slices["note"].values) == MOST_VALUES
    assert (found.slices["note"].codes[MOST_VALUES:] == -1).all()
    assert by_slice(found, "auc", ["note"])["few"] == len(names)


def test_what_is_kept_joins_like_what_was_read(traffic: Traffic) -> None:
    truth = dict(zip(traffic.ids[::2], traffic.labels[::2], strict=True))
    found = kept_from_bytes(traffic.kept().to_bytes())

    joined = found.joined(truth, "2099")

    assert course([joined], "auc") == course([traffic.answered(truth)], "auc")
    assert found.to_bytes() == traffic.kept().to_bytes()


def test_kept_hours_are_forgotten_and_those_of_the_window_left_out(traffic: Traffic) -> None:
    truth = dict(zip(traffic.ids, traffic.labels, strict=True))
    found = traffic.kept().since("2026-11-23T23")

    hours = [p["at"][11:13] for p in course([found.joined(truth, "2026-11-24T02")], "auc")["periods"]]

    assert hours == ["23", "00", "01"]
    assert found.read == found.hours
    assert (
        course([found.joined(truth, "2099")], "auc")["periods"]
        == (course([traffic.kept().joined(truth, "2099")], "auc")["periods"][1:])
    )


def test_more_rows_than_are_kept_are_sampled_by_id_whatever_their_order(
    traffic: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "MOST_ROWS", 1_000)
    truth = dict(zip(traffic.ids, traffic.labels, strict=True))

    found = traffic.kept()
    (period, *_) = course([found.joined(truth, "2099")], "auc")["periods"]

    assert len(found.ids) == len(set(found.ids.tolist())) == 1_000
    assert sum(found.rows.values()) == len(traffic.ids)
    assert period["rows"] == 400
    assert 130 < period["labelled"] < 270
    assert period["coverage"] == 1.0


@pytest.mark.parametrize("body", [b"", b"{}", b"\x80", Kept(hours=("a",)).to_bytes()[:-2]])
def test_a_damaged_file_is_no_kept_answers(body: bytes) -> None:
    with pytest.raises(ValueError, match="not kept answers"):
        kept_from_bytes(body)


def test_a_window_without_labels_is_judged_by_the_latest_hours_that_have_enough(traffic: Traffic) -> None:
    known: dict[str, float] = {}
    for hour, share in ((0, 1.0), (1, 0.4), (2, 0.4), (3, 0.0)):
        rows = range(400 * hour, 400 * hour + int(400 * share))
        known |= {traffic.ids[n]: traffic.labels[n] for n in rows}
    earlier, window = traffic.answered(known), Window(Summary(0, {}), answered=AnswerLog().build())

    quality = with_latest_labels(window, earlier, "auc").quality

    assert quality is not None
    assert (quality.since, quality.until) == ("2026-11-23T23:00Z", "2026-11-24T00:59Z")
    assert (quality.labelled, quality.predicted) == (320, 800)
    little: Any = traffic.answered(dict(list(known.items())[:100]))
    assert with_latest_labels(window, little, "auc").quality is None
