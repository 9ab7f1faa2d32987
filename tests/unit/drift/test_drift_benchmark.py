"""A small turn of ``benchmarks/drift.py``: the files it draws, our side, and the peers installed here."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def scripts():
    before, found = list(sys.path), {}
    sys.path.insert(0, str(ROOT / "benchmarks"))
    for name in (
        "drift_data",
        "peers/driftwheel_table",
        "peers/driftwheel_capture",
        "peers/drift_engines",
        "drift",
        "verdicts",
        "peer_verdicts",
    ):
        spec = importlib.util.spec_from_file_location(Path(name).name, ROOT / "benchmarks" / f"{name}.py")
        found[Path(name).name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found[Path(name).name])
    yield found
    sys.path[:] = before
    for name in ("drift_data", "drift", "verdicts"):
        sys.modules.pop(name, None)


def test_the_planted_changes_are_found_and_a_plain_query_runs_beside(scripts, tmp_path):
    ours, engines = scripts["driftwheel_table"], scripts["drift_engines"]
    files = scripts["drift"].Files(tmp_path)
    before, now = files.parquet(20_000, changed=False), files.parquet(20_000, changed=True)

    known = json.loads(json.dumps(ours.known_table(before, tmp_path)))
    flags = [finding.feature for finding in ours.table(known, now, tmp_path).findings]

    assert scripts["drift"].judged(flags) == "9 of 9 | -"
    assert engines.decode_only(now) == []
    assert "cat_04" not in engines.duckdb(before, engines.reduced_of(before))
    assert set(engines.QUERIES) | set(engines.JUDGES) < {*scripts["drift"].TABLE, *scripts["drift"].SLOW}


@pytest.mark.parametrize("encoding", ["CSV", "BASE64"])
def test_captured_requests_come_to_a_verdict_and_the_parsers_run_beside(scripts, tmp_path, encoding):
    path = scripts["drift"].Files(tmp_path).capture(2_000, encoding)
    ours = scripts["driftwheel_capture"]

    report = ours.capture(json.loads(json.dumps(ours.known_capture(20_000))), path)

    assert report.rows == 2_000
    assert {"num_01", "num_03", "(correlations)"} <= {finding.feature for finding in report.findings}
    assert scripts["drift_engines"].capture_duckdb(path) == []
    assert scripts["drift_engines"].capture_msgspec(path) == []


def test_an_engine_that_breaks_or_takes_too_long_loses_only_its_own_figures(scripts, tmp_path, capsys):
    drift = scripts["drift"]
    slow = tmp_path / "slow.py"
    slow.write_text("import sys, time\nprint('{}')\nsys.stdout.flush()\ntime.sleep(float(sys.argv[1]))\n")

    def measured(engine):
        seconds = {"driftwheel": 0, "capture_driftwheel": 60}[engine]
        return drift.run(engine, str(slow), seconds, seconds=1) | {"said": {"wall": 1, "cpu": 2, "flags": []}}

    found = drift.all_of(["capture_driftwheel", "driftwheel"], measured)
    drift.show(found, "driftwheel", verdicts=False)

    rows = capsys.readouterr().out.splitlines()
    assert rows[2].startswith("| capture_driftwheel | failed: not done after 1 s")
    assert rows[3].endswith("| 1.00 | 1.00 | 1.00 | 1.00 |")
    assert {row.count("|") for row in rows} == {11}


def test_peers_and_driftwheel_judge_the_same_windows(scripts, tmp_path):
    peers, engines = scripts["peer_verdicts"], scripts["drift_engines"]
    random = np.random.default_rng(3)
    before, now = peers.window(random, 5_000, changed=False), peers.window(random, 5_000, changed=True)
    path = tmp_path / "now.parquet"
    pq.write_table(pa.concat_tables([peers.arrow(*now), peers.arrow(*now)]), path)

    cut = list(engines.windows("scipy", path, 5_000))

    assert {"weibull", "gappy", "label", "(correlations)"} <= {*peers.ours(before, [now])[0]}
    assert [one.num_rows for one in cut] == [5_000, 5_000]
    assert peers.show("peer", [[]], [["weibull"]]).startswith("| peer | 0 of 1 (0% to 79%)")
