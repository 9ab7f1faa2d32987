"""SE-07: hostile names, values and error texts in every page we write, opened in a real browser."""

import csv
import re

import pytest

from driftwheel.discovery.survey import survey
from driftwheel.drift import page as drift
from driftwheel_cli.report import profile
from driftwheel_cli.report.artifacts import Artifacts
from driftwheel_cli.report.page import page_of

from .pages import browse, hostile, listening, payload, widths

ESTIMATE = {"value": 0.7, "low": 0.6, "high": 0.8}
RUN = {
    "model": "flights",
    "run_id": "ab12",
    "started": {"kind": "drift", "reason": "major drift", "at": "2026-01-01T10:00:00+00:00"},
    "preprocessing": {
        "rolled_over": True,
        "refused": [{"code": "encoding", "key": "data/x.csv", "line": 3, "message": "not UTF-8"}],
    },
    "record_outcome": {"status": "promoted", "sentence": "champion 2 serves", "at": "2026-01-01T10:01:00"},
}
SLICE = {"column": "origin", "value": "EWR", "rows": 9, "gain": ESTIMATE, "worse": True}
VERDICT = {
    "metric": "auc",
    "rows": 10996,
    "positives": 2962,
    "confidence": 0.95,
    "challenger": ESTIMATE,
    "champion": ESTIMATE,
    "gain": ESTIMATE,
    "also": {"f1": {"challenger": 0.25, "champion": None}},
    "reasons": [{"sentence": "auc 0.7386 against the champion's 0.7000"}],
    "slices": [SLICE],
}
PROFILE = {
    "rows": {"read": 75244, "train": 51306, "holdout": 10996},
    "sources": [{"key": "data/a.csv", "role": "source", "rows": 75244, "rejected": 2, "bad_lines": 1}],
    "captured": {"files": 3, "rows": 24030, "labelled": 23289},
    "rejected_by_rule": {"temp: outside range": 2},
    "columns": {
        "temp": {
            "type": "number",
            "given": 90,
            "missing": 10,
            "histogram": {"edges": [0.0, 1.0, 2.0], "counts": [3, 4]},
        },
        "origin": {"type": "category", "given": 100, "missing": 0, "top": [["EWR", 60], ["JFK", 40]]},
    },
    "time": {"train": ["2013-01-01 00:00:00", "2013-02-01 00:00:00"], "holdout": [None, None]},
    "suspected_leakage": [{"feature": "cheat", "auc": 1.0}],
}
TEST = {"kind": "psi", "effect": 4.2, "adjusted": 0.0, "slight": 0.02, "strong": 0.2, "magnitude": "strong"}
DRIFT = {
    "sentence": "Major drift: temp",
    "severity": "major",
    "findings": [
        {"feature": "temp", "kind": "fault", "sentence": "temp holds words"},
        {"feature": "(quality)", "kind": "drift", "sentence": "Live auc is 0.6"},
    ],
    "model": "flights",
    "at": "2026-11-24T09:30:00+00:00",
    "champion": "ab12",
    "since": {"temp": "2026-11-24T09:30:00+00:00"},
    "windows": ["2026-11-24T08:30:00+00:00 none", "2026-11-24T09:30:00+00:00 fault"],
    "history": [{"at": "2026-11-24T09:30:00+00:00", "coverage": 0.5}],
    "course": {
        "metric": "auc",
        "by": "day",
        "periods": [{"at": "2026-11-24", "rows": 9, "coverage": 0.5, "value": 0.6, "low": 0.5, "high": 0.7}],
    },
    "slices": {
        "metric": "auc",
        "measured": [
            {
                "column": "origin",
                "slice": "EWR",
                "rows": 9,
                "coverage": 0.5,
                "value": 0.6,
                "low": 0.5,
                "high": 0.7,
            }
        ],
        "few": 2,
        "not_captured": ["carrier"],
    },
    "window": {
        "first": "2026-11-24T08:00:00Z",
        "last": "2026-11-24T09:00:00Z",
        "labels": {"known": 9, "corrected": 1, "repeated": 1},
    },
    "reference": {"used": "season"},
    "decision": {"outcome": "refuse", "code": "data_fault", "sentence": "live data is broken"},
    "notice": {"since": "today", "next": "the champion serves", "do": "mend `temp`"},
    "domain_classifier": {
        "job": "dw-flights-domain-1",
        "at": "2026-11-24T09:30:00+00:00",
        "state": "answered",
        "reason": "",
        "sentence": "rows can be told apart",
        "importances": [{"name": "temp", "share": 0.9}],
    },
    "rows": 24030,
    "baseline_rows": 42491,
    "tests_made": 66,
    "significance": 0.01,
    "quality": {
        "metric": "auc",
        "labelled": 23289,
        "value": 0.675,
        "low": 0.667,
        "high": 0.683,
        "since": "2026-11-24T08:00Z",
        "until": "2026-11-24T08:59Z",
        "beside": [{"metric": "f1", "value": 0.5, "low": 0.4, "high": 0.6, "before": 0.5}],
    },
    "features": [
        {
            "name": "temp",
            "status": "drifted",
            "weight": 0.09,
            "tests": [TEST],
            "statistics": {"before": {"mean": 1.0, "missing": 0.0}, "now": {"mean": 2.0, "missing": 0.5}},
            "shape": {"before": [0.5, 0.5], "now": [0.1, 0.9], "edges": [0.0, 1.0, 2.0], "names": []},
            "moved": [{"name": "from 55.1", "before": 0.01, "now": 0.55}],
        },
        {
            "name": "origin",
            "status": "stable",
            "weight": 0.1,
            "tests": [TEST | {"magnitude": "none"}],
            "shape": {"before": [0.5, 0.5], "now": [0.4, 0.6], "edges": [], "names": ["EWR", "JFK"]},
            "moved": [],
        },
        {
            "name": "(prediction)",
            "status": "drifted",
            "weight": 0.0,
            "tests": [TEST],
            "shape": {"before": [1.0], "now": [1.0], "edges": [0.0, 1.0], "names": []},
            "moved": [],
        },
    ],
}
POLICY = re.compile(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>")


def surveyed(folder, attack):
    """A survey of a file with hostile cells and a hostile column's name."""
    path = folder / "rows.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "colour", "<img src=x onerror=parent.postMessage('hostile')>", "answer"])
        for row in range(200):
            writer.writerow([f"k{row}", f"{'red' if row % 3 else 'blue'}{attack}", row % 17, row % 2])
    return survey([path], folder / "work", "answer", lambda _: None)


@pytest.mark.case("SE-07")
def test_no_script_of_a_hostile_report_runs_and_no_request_leaves(tmp_path):
    (tmp_path / "work").mkdir()
    with listening() as heard:
        attack = payload(heard.origin)
        record = {
            name: hostile(part, attack)
            for name, part in (("run", RUN), ("verdict", VERDICT), ("profile", PROFILE), ("drift", DRIFT))
        }
        pages = {
            "run": page_of(Artifacts(**record), states=[(f"Deployment{attack}", 5.0, f"champion{attack}")]),
            "drift": drift.page_of(record["drift"], f"title{attack}", [f"about{attack}"]),
            "profile": profile.page_of(surveyed(tmp_path, attack), f"model{attack}"),
        }
        assert all(POLICY.search(page) for page in pages.values())
        assert all(page.count("hostile-fetch") > 3 for page in pages.values())
        # Escaping and the policy each have to do alone.
        pages |= {f"{name}-without-policy": POLICY.sub("", page) for name, page in pages.items()}
        control = f"parent.postMessage('control','*');fetch('{heard.origin}/control')"
        pages["control"] = f"<!doctype html><script>{control}</script>"
        raw = re.sub(r"<meta [^>]*>", "", attack)  # no policy forbids a page to be left
        meta = POLICY.search(pages["run"]).group()
        pages["raw-with-policy"] = f"<!doctype html><head>{meta}</head><body>{raw}"

        browse(pages, heard, tmp_path)

        assert heard.messages == ["control"]
        assert heard.requests == ["/control"]
        (tmp_path / "raw").mkdir()
        browse({"raw": f"<!doctype html><body>{raw}"}, heard, tmp_path / "raw")

    assert "hostile" in heard.messages  # neither escaped nor under a policy it does run
    assert len(heard.requests) > 1


def test_every_page_fits_a_screen_of_300_pixels(tmp_path):
    long = "a_column_whose_name_is_longer_than_any_screen_of_a_phone_is_wide"
    (tmp_path / "work").mkdir()
    wide = hostile({"run": RUN, "verdict": VERDICT, "profile": PROFILE, "drift": DRIFT}, f" {long}")
    pages = {
        "run": page_of(Artifacts(**wide), states=[(f"Deployment {long}", 5.0, long)]),
        "drift": drift.page_of(wide["drift"], long, [long]),
        "profile": profile.page_of(surveyed(tmp_path, long), long),
        "control": f"<!doctype html><body><pre>{long * 3}",
    }

    found = widths(pages, tmp_path, 300)

    assert found.pop("control") > 300, "what does not fit is seen"
    assert found.keys() == {"run", "drift", "profile"}
    assert max(found.values()) <= 300, found
