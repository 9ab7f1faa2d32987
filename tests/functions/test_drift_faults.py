"""DriftCheck on broken data: told to a person, told to the policy, answered by no training."""

import json
from typing import Any

import pytest

from driftwheel.ledger.findings import Findings

from .conftest import Context, World
from .test_drift_check import capture, live, rides

__all__ = ["live"]


def test_a_dead_sensor_is_alerted_and_blocks_retraining(
    live: World, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture(live, [ride | {"temp": 41.0} for ride in rides(1_000, shift=0, seed=4)])
    module = live.load("drift_check")
    told: list[Any] = []
    sent: list[Any] = []
    monkeypatch.setattr(module.sns, "publish", lambda **request: told.append(request["Message"]))
    monkeypatch.setattr(module.events, "put_events", lambda **request: sent.extend(request["Entries"]))

    headline = module.handler({"kind": "manual", "model": "rides"}, context)["rides"]

    assert (headline["severity"], headline["blocks_retraining"]) == ("fault", True)
    (line,) = told
    assert line.startswith("rides: Broken data in temp: retraining waits until it is mended.")
    (entry,) = sent
    assert json.loads(entry["Detail"])["findings"][0]["code"] == "constant"
    finding = Findings(live.table).get("rides")
    assert finding is not None
    assert (finding.severity, finding.fault) == ("none", headline["sentence"])
