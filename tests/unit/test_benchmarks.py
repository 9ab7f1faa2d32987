"""The preprocessing benchmarks still run, their peers still mean what the recipes say, and a cap is a cap."""

import ast
import importlib.util
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from driftwheel.recipe.literals import fold
from driftwheel.spec import load_spec

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"


def module(name: str):
    path = BENCHMARKS / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"benchmarks_{path.stem}", path)
    found = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = found  # where its dataclasses look themselves up
    spec.loader.exec_module(found)
    return found


def run(*arguments: str) -> str:
    command = [sys.executable, str(BENCHMARKS / arguments[0]), *arguments[1:]]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def test_driftwheel_is_measured_at_every_size() -> None:
    told = run("preprocessing.py", "--rows", "1500", "--growth", "1", "2", "--engines", "driftwheel_prepare")

    assert told.count("| driftwheel_prepare | ok |") == 2
    assert "| 2\N{MULTIPLICATION SIGN} | driftwheel_prepare |" in told


def test_a_benchmark_that_is_stopped_leaves_no_engine_behind(tmp_path: Path) -> None:
    peers = tmp_path / "peers"
    peers.mkdir()
    sleep = "import os, sys, time; open(sys.argv[2], 'w').write(str(os.getpid())); time.sleep(60)"
    (peers / "driftwheel_sleep.py").write_text(sleep)
    told, out = tmp_path / "pid", tmp_path / "out"
    code = (
        f"import sys; sys.path.insert(0, {str(BENCHMARKS)!r}); import engines; from pathlib import Path; "
        f"engines.HERE = Path({str(tmp_path)!r}); "
        f"engines.measure('driftwheel_sleep', [{str(told)!r}], Path({str(out)!r}))"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as benchmark:
        for _ in range(300):
            if told.exists() and told.read_text():
                break
            time.sleep(0.1)
        benchmark.terminate()
        assert benchmark.wait(30) == 128 + signal.SIGTERM

    assert not Path(f"/proc/{told.read_text()}").exists()


def test_the_fitted_part_is_measured_on_rows_cleaned_once(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    benchmark = module("fitted_part")

    cleaned = benchmark.write_cleaned(tmp_path, 2_000)
    found = benchmark.measure("driftwheel_fitted", [cleaned], tmp_path / "out")

    assert found.ended == "ok"
    assert set(found.said["keys"]["plan"]) == {"free", "pro", "team", "enterprise"}
    assert (tmp_path / "out/validation.parquet").exists()


@pytest.mark.parametrize(
    ("meaning", "declared"),
    [("meaning", "benchmarks/model.yaml"), ("flights_meaning", "examples/flights/model.yaml")],
)
def test_what_the_peers_do_is_what_the_recipe_declares(meaning: str, declared: str) -> None:
    peers = module(f"peers/{meaning}")
    spec = load_spec((ROOT / declared).read_bytes())
    columns = spec.columns.items()

    assert {name: tuple(c.range) for name, c in columns if c.range} == peers.RANGES
    assert {name for name, c in columns if c.missing == "median"} == set(peers.FILLED)
    spellings = {
        fold(text).lower(): value
        for _, column in columns
        for value, texts in column.canonical.items()
        for text in [value, *texts]
    }
    assert spellings == peers.CANONICAL


def test_the_peers_part_the_rows_as_the_recipes_declare() -> None:
    events = load_spec((BENCHMARKS / "model.yaml").read_bytes())
    flights = load_spec((ROOT / "examples/flights/model.yaml").read_bytes())
    ours, theirs = module("peers/meaning"), module("peers/flights_meaning")

    assert f"{events.split.salt}|" == ours.SALT
    share = events.split.holdout
    assert f"{round(share * 2**32):08x}" == ours.HOLDOUT
    assert f"{round((share + events.split.validation) * 2**32):08x}" == ours.VALIDATION
    assert tuple(flights.source.key) == theirs.KEY
    assert (flights.split.validation, flights.split.holdout) == (theirs.VALIDATION, theirs.HOLDOUT)
    route = flights.encode["route"]
    assert (route.smoothing, route.folds) == (theirs.SMOOTHING, theirs.FOLDS)
    assert flights.target.expression == f"arr_delay > {theirs.LATE_MINUTES}"
    assert theirs.key("a", 1) == module("peers/flights_meaning").key("a", "1")


def test_every_peer_is_python_and_pinned() -> None:
    for path in sorted((BENCHMARKS / "peers").glob("*.py")):
        ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted((BENCHMARKS / "peers").glob("*.in")):
        asked = path.read_text(encoding="utf-8").split()
        locked = re.findall(
            r"^(\S+)==(\S+)", path.with_suffix(".txt").read_text(encoding="utf-8"), re.MULTILINE
        )
        assert {line for line in asked if "==" in line} <= {f"{name}=={version}" for name, version in locked}
        assert {re.split(r"[=<>]", line)[0] for line in asked} <= {name for name, _ in locked}


TAKE = "import sys; print(len(bytearray(int(sys.argv[1]) << 20)))"


def test_a_process_beyond_its_cap_is_killed_and_one_within_it_is_not() -> None:
    caps = module("caps")
    ended = []
    try:
        for megabytes in (20, 300):
            with caps.memory_cap(100) as group:
                command = group.joining([sys.executable, "-c", TAKE, str(megabytes)])
                ended.append((subprocess.run(command, check=False).returncode, group.killed))
    except caps.CapUnavailable as error:
        assert "run it as root" in str(error)  # noqa: PT017  # no group may be made here: it must say so
    else:
        assert ended == [(0, False), (-9, True)]


@pytest.mark.parametrize(
    ("membership", "controllers", "folder", "limits"),
    [
        (
            "4:memory:/box\n0::/\n",
            "",
            "memory/box",
            {"memory.limit_in_bytes": "104857600", "memory.memsw.limit_in_bytes": "104857600"},
        ),
        ("0::/box\n", "cpu memory pids", ".", {"memory.max": "104857600", "memory.swap.max": "0"}),
    ],
)
def test_a_cap_counts_swap_too_in_both_versions(
    tmp_path: Path, monkeypatch, membership: str, controllers: str, folder: str, limits: dict[str, str]
) -> None:
    caps = module("caps")
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / "cgroup.controllers").write_text(controllers)
    (tmp_path / "own").write_text(membership)
    written = {}
    made = Path.mkdir

    def as_the_kernel(self, *args, **kwargs) -> None:  # a new group has its files at once
        made(self, *args, **kwargs)
        for name in limits:
            (self / name).write_text("")

    def as_the_kernel_removes(self) -> None:
        written.update({path.name: path.read_text() for path in self.iterdir()})

    monkeypatch.setattr(Path, "mkdir", as_the_kernel)
    monkeypatch.setattr(Path, "rmdir", as_the_kernel_removes)

    with caps.memory_cap(100, tmp_path, tmp_path / "own") as group:
        assert group.folder.parent == tmp_path / folder

    assert written == limits


def test_without_a_control_group_for_memory_a_cap_is_refused_with_a_remedy(tmp_path: Path) -> None:
    caps = module("caps")
    (tmp_path / "cgroup.controllers").write_text("hugetlb")
    (tmp_path / "own").write_text("0::/\n")

    with (
        pytest.raises(caps.CapUnavailable, match="no control group rules memory"),
        caps.memory_cap(100, tmp_path, tmp_path / "own"),
    ):
        pass
    with (
        pytest.raises(caps.CapUnavailable, match="run it as root"),
        caps.memory_cap(100, tmp_path / "nowhere", tmp_path / "own"),
    ):
        pass
