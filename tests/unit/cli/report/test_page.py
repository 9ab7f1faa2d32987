"""The page of a run: its numbers are there, hostile values stay text, and nothing is fetched."""

import copy
import re
from typing import Any

from driftwheel_cli.report.artifacts import Artifacts
from driftwheel_cli.report.page import page_of

HOSTILE = "<script>alert(1)</script>$x^2$ 'a' \"b\" & \x1b[31m"
RUN: dict[str, Any] = {
    "model": "flights",
    "run_id": "ab12",
    "started": {"kind": "drift", "reason": "major drift", "at": "2026-01-01T10:00:00+00:00"},
    "preprocessing": {
        "rolled_over": True,
        "refused": [{"code": "encoding", "key": "data/x.csv", "line": 3, "message": "not UTF-8"}],
    },
    "record_outcome": {"status": "promoted", "sentence": "champion 2 serves", "at": "2026-01-01T10:01:00"},
}
ESTIMATE = {"value": 0.7386, "low": 0.7298, "high": 0.7474}
VERDICT: dict[str, Any] = {
    "metric": "auc",
    "rows": 10996,
    "positives": 2962,
    "confidence": 0.95,
    "challenger": ESTIMATE,
    "champion": {"value": 0.7, "low": 0.69, "high": None},
    "gain": {"value": 0.0386, "low": 0.0321, "high": 0.0449},
    "also": {"f1": {"challenger": 0.25, "champion": None}},
    "reasons": [{"sentence": "auc 0.7386 against the champion's 0.7000"}],
    "slices": [
        {
            "column": "origin",
            "value": "EWR",
            "rows": 9,
            "gain": {"value": -0.1, "low": -0.2, "high": -0.01},
            "worse": True,
        }
    ],
}
PROFILE: dict[str, Any] = {
    "rows": {"read": 75244, "train": 51306, "holdout": 10996},
    "sources": [
        {"key": "data/flights/a.csv", "role": "source", "rows": 75244, "rejected": 2, "bad_lines": 1}
    ],
    "captured": {"files": 3, "rows": 24030, "labelled": 23289},
    "rejected_by_rule": {"temp: outside range": 2},
    "columns": {
        "temp": {
            "type": "number",
            "given": 90,
            "missing": 10,
            "bad_literal": 1,
            "histogram": {"edges": [0.0, 1.0, 2.0], "counts": [3, 4]},
        },
        "origin": {"type": "category", "given": 100, "missing": 0, "top": [["EWR", 60], ["JFK", 40]]},
    },
    "time": {"train": ["2013-01-01 00:00:00", "2013-02-01 00:00:00"], "holdout": [None, None]},
    "suspected_leakage": [
        {"feature": "cheat", "auc": 1.0},
        {"feature": "ended", "auc": 0.9995, "by": "gaps"},
        {"feature": "after", "r2": 0.9999},
    ],
    "notes": ["data/flights/a.csv has column '<new>' that model.yaml does not declare: left out"] * 41,
}
TEST = {
    "kind": "psi",
    "effect": 4.24,
    "adjusted": 0.0,
    "slight": 0.02,
    "strong": 0.2,
    "magnitude": "strong",
}
DRIFT: dict[str, Any] = {
    "sentence": "Major drift: temp",
    "rows": 24030,
    "baseline_rows": 42491,
    "tests_made": 66,
    "significance": 0.01,
    "quality": {"metric": "auc", "labelled": 23289, "value": 0.675, "low": 0.667, "high": 0.683},
    "features": [
        {
            "name": "temp",
            "weight": 0.09,
            "tests": [TEST],
            "moved": [{"name": "from 55.1", "before": 0.01, "now": 0.55}],
        },
        {"name": "calm", "weight": 0.5, "tests": [TEST | {"magnitude": "none"}], "moved": []},
    ],
}


def page(**changes: Any) -> str:
    parts: dict[str, Any] = {"run": RUN, "verdict": VERDICT, "profile": PROFILE, "drift": DRIFT} | changes
    return page_of(Artifacts(**copy.deepcopy(parts)), states=[("Deployment", 5.04, "champion 2")])


def text(html: str) -> str:
    """What a reader sees outside the drawings."""
    without = re.sub(r"<(svg|style)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", without).split())


def test_the_headline_says_how_it_ended_and_which_numbers_decided() -> None:
    seen = text(page())

    assert "flights promoted auc 0.7386 against the champion&#39;s 0.7000; champion 2 serves" in seen
    assert "started 2026-01-01 10:00:00 UTC by drift: major drift." in seen


def test_every_table_shows_its_numbers() -> None:
    seen = text(page())

    assert "challenger 0.7386 0.7298 0.7474 champion 0.7000 0.6900 open gain 0.0386 0.0321 0.0449" in seen
    assert "also f1 challenger 0.25 " in seen
    assert "temp strong 9.0 % psi 4.24 0.2 &lt; 1e-300" in seen
    assert "75,244 0 0 0 0 0 51,306 0 10,996" in seen
    assert "data/flights/a.csv source 75,244 3" in seen
    assert "23,289 of 24,030 labelled" in seen
    assert "temp: outside range: 2" in seen
    assert "cheat tells the label almost alone" in seen
    assert "whether ended has a value tells the label almost alone" in seen
    assert "after tells the label almost alone (R² 0.9999)" in seen
    assert "has column &#39;&lt;new&gt;&#39; that model.yaml does not declare" in seen
    assert "and 1 more in profile.json" in seen
    assert "data/x.csv, row 3: not UTF-8" in seen
    assert "10.0 % missing" in seen
    assert "Deployment 5.0 champion 2" in seen
    assert "calm" not in seen


def test_what_a_run_never_came_to_is_named() -> None:
    ended = RUN | {"record_outcome": {"status": "refused", "sentence": "too few rows"}}

    seen = text(page(run=ended, verdict=None, profile=None, drift=None))

    assert "flights refused too few rows" in seen
    assert "This run never reached the gate" in seen
    assert "No profile is recorded" in seen
    assert "The drift report is not recorded any more" in seen


def test_what_is_not_drawn_is_said() -> None:
    run = copy.deepcopy(PROFILE)
    run["columns"] |= {
        "tail": {"type": "category", "given": 90, "missing": 0, "distinct": 1234},
        "when": {"type": "timestamp", "given": 9, "missing": 0, "first": "2013-01-01", "last": "2013-02-01"},
    }
    pinned = run | {"time": {"train": PROFILE["time"]["train"]}}

    page, other = (page_of(Artifacts(RUN, VERDICT, found, None, None), []) for found in (run, pinned))

    assert "1,234 different values, not shown" in page
    assert "2013-01-01 to 2013-02-01" in page
    assert "The holdout judges; it is never trained on." in page
    assert "The holdout judges" not in other
    assert "pinned by an earlier run" in other


def test_a_first_champion_has_nobody_to_be_compared_with() -> None:
    first = VERDICT | {"champion": None, "gain": None, "slices": []}

    html = page(verdict=first)

    assert "there was no champion yet" in text(html)
    assert "It scored 10,996 pinned rows" in text(html)
    assert "Both scored" not in html
    assert "gain in auc" not in html


def test_hostile_values_stay_text_everywhere_drawings_included() -> None:
    profile = copy.deepcopy(PROFILE)
    profile["columns"] = {HOSTILE: PROFILE["columns"]["temp"], "o": PROFILE["columns"]["origin"]}
    profile["columns"]["o"] = {**profile["columns"]["o"], "top": [[HOSTILE, 3]]}
    profile["sources"][0]["key"] = HOSTILE
    verdict = copy.deepcopy(VERDICT)
    verdict["slices"][0]["value"] = HOSTILE
    verdict["reasons"][0]["sentence"] = HOSTILE
    drift = copy.deepcopy(DRIFT)
    drift["features"][0] |= {"name": HOSTILE, "moved": [{"name": HOSTILE, "before": 0.1, "now": 0.2}]}

    html = page(run=RUN | {"model": HOSTILE}, profile=profile, verdict=verdict, drift=drift)

    assert "<script" not in html
    assert "onload" not in html
    assert "&lt;script&gt;" in html
    assert "$x^2$" in html


def test_the_page_fetches_nothing_and_runs_nothing() -> None:
    html = page()

    assert "default-src 'none'" in html
    assert set(re.findall(r"https?://[^\"'<\s]+", html)) <= {
        "http://www.w3.org/1999/xlink",
        "http://www.w3.org/2000/svg",
    }
    assert not re.search(r"<(script|link|iframe|img|object)\b|\son\w+=|\bsrc=|url\((?!#)", html)
    references = re.findall(r"href=\"([^\"]*)\"", html)
    assert all(reference.startswith("#") for reference in references)


def test_the_same_run_gives_the_same_bytes() -> None:
    assert page() == page()


def test_a_page_stays_small() -> None:
    many = {f"column_{n}": PROFILE["columns"]["temp"] for n in range(1_000)}

    html = page(profile=PROFILE | {"columns": many})

    assert "960 further columns" in html
    assert len(html) < 1_500_000
