"""The page of a drift check: small at any width of a table, told in words, drawn from few numbers."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from driftwheel.drift.answered import AnswerLog
from driftwheel.drift.baseline import build_baseline
from driftwheel.drift.check import check
from driftwheel.drift.course import told
from driftwheel.drift.history import extend, found_since
from driftwheel.drift.limits import Limits
from driftwheel.drift.page import MOST_BYTES, page_of
from driftwheel.drift.pair import Pair
from driftwheel.drift.shape import BINS, MOST_NAMED, shape_of
from driftwheel.drift.summaries import summarise_column
from driftwheel.drift.window import WindowBuilder

BEGIN = datetime(2026, 11, 23, 14, tzinfo=UTC)
HOSTILE = "<script>x</script>\"'&\x1b[31m\u202e"
HOURS = 20


def table(width: int, rows: int, seed: int, *, moved: bool, name: str = "column") -> dict[str, Any]:
    """Draw numbers, counts and categories; of a moved table every third column has drifted."""
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {}
    for place in range(width):
        far = moved and place % 3 == 0
        if place % 4 == 3:
            shares = [0.4, 0.3, 0.15, 0.1, 0.05]
            values = [f"{name} {n}" for n in range(5)]
            columns[f"{name} {place}"] = rng.choice(values, rows, p=shares[::-1] if far else shares)
        elif place % 4 == 2:
            columns[f"{name} {place}"] = rng.poisson(11 if far else 8, rows).astype(float)
        else:
            columns[f"{name} {place}"] = rng.normal(72 if far else 60, 10, rows)
    return columns


def document(width: int, *, name: str = "column", fault: bool = False) -> dict[str, Any]:
    """Make the report of a drifted window with a day of history, as drift_check writes it."""
    before = table(width, 2_000, 1, moved=False, name=name)
    kinds = {n: "number" if values.dtype.kind == "f" else "category" for n, values in before.items()}
    rng = np.random.default_rng(2)
    truth = (rng.random(1_000) < 0.3).astype(float)
    scores = 1 / (1 + np.exp(-rng.normal(truth * 1.2, 0.8)))
    baseline = build_baseline(before, kinds, scores, truth, dict.fromkeys(kinds, 1.0))
    now = table(width, 1_000, 3, moved=True, name=name)
    if fault:
        now[f"{name} 1"] = np.full(1_000, 60.0)
    builder = WindowBuilder(baseline)
    builder.add(now, scores, truth)
    log = AnswerLog(["depot"])
    times = [f"{BEGIN + timedelta(hours=n // 50):%Y-%m-%dT%H}:00:00Z" for n in range(1_000)]
    log.add(times, scores.tolist(), truth.tolist(), {"depot": [f"{name} {n % 3}" for n in range(1_000)]})
    labels = {"known": 1_000, "corrected": 7, "repeated": 2}
    window = builder.build(
        log.build(),
        labels=labels,
        first="2026-11-24T08:00:00Z",
        last="2026-11-24T13:00:00Z",
        labelled_rows=1_000,
    )
    report = told(check(baseline, window, Limits()), window, None, "auc", ["depot", "driver"])
    history: list[dict[str, Any]] = []
    since: dict[str, str] = {}
    for hour in range(HOURS):
        at = (BEGIN + timedelta(hours=hour)).isoformat()
        history, since = extend(history, report, at, 60), found_since(since, report, at)
    return json.loads(json.dumps(report.to_json())) | {
        "model": name,
        "at": at,
        "champion": "ab12",
        "windows": [f"{one['at']} {one['severity']}" for one in history],
        "history": history,
        "since": since,
        "decision": {"outcome": "wait", "code": "waiting_for_labels", "sentence": f"{name} waits"},
        "notice": {"since": "yesterday", "next": f"{name} waits", "do": "`driftwheel label` them"},
    }


@pytest.mark.parametrize("width", [31, 100])
def test_a_page_is_at_most_200_kb_and_draws_every_column(width: int) -> None:
    page = page_of(document(width))

    assert len(page.encode()) <= 120_000
    # Every column, what the model answers, the labels, the windows and quality over time.
    assert page.count("<figure>") == width + 4


def test_a_page_of_many_columns_with_long_hostile_names_leaves_pictures_out_and_says_so() -> None:
    found = document(400, name=HOSTILE * 8)
    for finding in found["findings"]:
        finding["sentence"] = '"' * 9_999
    page = page_of(found)

    assert len(page.encode()) <= MOST_BYTES
    assert "further pictures are left out; report.json has them" in page
    assert "more in report.json" in page
    assert not re.search(r"<script|\x1b|\u202e", page)


def test_a_page_says_what_of_the_traffic_could_not_be_read_and_why() -> None:
    malformed = {
        "captures": {"data is not JSON": 3, "<b>": 1_100},
        "labels": {"a label that is no number": 2},
    }
    found = document(3)
    assert "cannot be read" not in page_of(found)

    found["window"] |= {"requests": 4_000, "malformed": malformed, "refused_rows": 7}
    page = page_of(found)

    assert "1,103 of 4,000 captured requests cannot be read: &lt;b&gt; (1,100); data is not JSON (3)." in page
    assert "2 lines of labels cannot be read: a label that is no number (2)." in page
    assert "7 rows lack a required value." in page


def test_the_same_document_gives_the_same_bytes_from_the_check_and_from_the_file() -> None:
    found = document(7)

    assert page_of(found) == page_of(json.loads(json.dumps(found)))


def test_a_page_runs_nothing_and_fetches_nothing() -> None:
    page = page_of(document(7, name=HOSTILE, fault=True))

    assert "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'" in page
    assert not re.search(
        r"<(script|link|iframe|img|object|base)\b|\son\w+=|\b(src|href)=|url\(|https?:", page
    )


def test_a_page_says_what_broke_what_drifted_since_when_and_what_to_do() -> None:
    page = page_of(document(7, fault=True))
    seen = " ".join(re.sub(r"<[^>]+>", " ", page).split())

    assert "Data faults and their likely causes" in seen
    assert "column 1 is 60 in all 1,000 rows" in seen
    assert "A dead sensor, or a default filled in. since 2026-11-23 14:00 UTC" in seen
    assert "Next column waits You driftwheel label them" in seen
    assert "The last 20 windows, 2026-11-23 14:00 UTC to 2026-11-24 09:00 UTC: 20 with a finding" in seen
    assert "wait (waiting for labels): column waits." in seen
    assert "1,000 of 1,000 rows have a label (100.0 %)" in seen


def test_a_page_says_how_good_the_answers_were_by_every_metric_slice_and_hour() -> None:
    page = page_of(document(7))
    seen = " ".join(re.sub(r"<[^>]+>", " ", page).split())

    assert re.search(r"auc 0\.\d+ 0\.\d+ to 0\.\d+ 0\.\d+ f1 0\.\d+ .* logloss 0\.\d+", seen)
    assert "of the answers of each hour from 2026-11-23 14:00 UTC to 2026-11-24 09:00 UTC" in seen
    assert "1,000 labels known for this model: 7 corrected by a later one, 2 came again unchanged" in seen
    assert re.search(r"depot = column 0 0\.\d+ 0\.\d+ to 0\.\d+ 334 100\.0 % depot = column 1 0\.\d+", seen)
    assert "No request carries driver: no slices by it." in seen


def test_a_page_says_whether_a_classifier_told_the_rows_apart_and_by_what() -> None:
    job = {"job": "dw-rides-domain-1", "at": "2026-11-24T08:00:00+00:00", "reason": ""}
    answer = {"sentence": "rows can be told apart", "importances": [{"name": HOSTILE, "share": 0.75}]}

    def seen(**found: Any) -> str:
        page = page_of(document(3) | {"domain_classifier": job | found})
        assert "<script" not in page
        return " ".join(re.sub(r"<[^>]+>", " ", page).split())

    answered = seen(state="answered", **answer)
    assert "Can rows be told apart? rows can be told apart. column share of gain" in answered
    assert "75.0 % job dw-rides-domain-1 , on the window of the check of 2026-11-24 08:00 UTC" in answered
    assert "The domain classifier is at work: job dw-rides-domain-1" in seen(state="asked")
    assert "gave no answer: AlgorithmError" in seen(state="failed", reason="AlgorithmError")


def test_a_document_without_history_or_labels_has_a_page_of_what_it_has() -> None:
    report = {
        key: value
        for key, value in document(3).items()
        if key not in {"history", "quality", "since", "course", "slices"}
    }

    page = page_of(report)

    assert "its quality is not known" in page
    assert "Drifted columns" in page


@pytest.mark.parametrize(
    ("values", "edges"),
    [
        ([0.0] * 50 + [1.0] * 50, [-0.5, 0.5, 1.5]),
        ([7.0] * 9, [6.93, 7.07]),
        ([float(n) for n in range(48)], [n * 3 - 0.5 for n in range(17)]),
    ],
)
def test_bins_of_whole_numbers_hold_equally_many_of_them(values: list[float], edges: list[float]) -> None:
    column = summarise_column(values, "number")
    shape = shape_of(Pair(column, column))

    assert shape is not None
    assert shape.edges == pytest.approx(edges)
    assert sum(shape.now) == pytest.approx(1.0, abs=1e-3)


def test_a_shape_has_few_bins_and_few_names_whatever_the_column() -> None:
    rng = np.random.default_rng(1)
    wild = summarise_column(np.exp(rng.normal(0, 50, 5_000)), "number")
    many = summarise_column([f"z{n}" for n in rng.integers(0, 900, 5_000)], "category")
    numbers, names = shape_of(Pair(wild, wild)), shape_of(Pair(many, many))

    assert numbers is not None
    assert len(numbers.now) <= BINS + 1
    assert names is not None
    assert len(names.names) == MOST_NAMED
    empty = summarise_column([None, None], "number")
    assert shape_of(Pair(wild, empty)) is None
