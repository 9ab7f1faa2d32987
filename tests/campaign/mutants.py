"""The twelve mutants: planted one by one into a copy of the source, each must turn a test of a case red.

Where the campaign names two ways of one fault, the second is planted by itself too (``M2b``).
"""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
COPIED = ("src", "functions", "statemachine", "tests", "examples", "events", "local", "cli", "docs", "scan")
SINGLE = ("template.yaml", "pyproject.toml")
WALKS = "tests/faults/test_walks.py"
CRASHES = "tests/faults/test_crashes.py"
LOAD = "tests/faults/test_load.py"
LEDGER = "tests/unit/ledger/test_ledger.py"


@dataclass(frozen=True)
class Mutant:
    """One planted fault: the text before and after, and the tests that must notice."""

    id: str
    planted: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]


FROM_THE_STORE = """\
    if event.champion is not None and verdict.champion and verdict.challenger:
        from driftwheel.layout import RunLayout

        place = RunLayout(settings.artifact_bucket, event.model, event.champion.run_id)
        stored = objects.read_json(place.step("evaluation_gate") / "evaluation.json")["challenger"]["value"]
        better = verdict.challenger.value - stored > event.spec.evaluation.minimum_gain
        champion = verdict.champion.model_copy(update={"value": stored})
        decision = "promote" if better else "reject"
        verdict = verdict.model_copy(update={"champion": champion, "decision": decision})
"""
"""What the tempting gate does; it works wherever the champion's run left its evaluation."""

MUTANTS = (
    Mutant(
        "M1",
        "drop the ConditionExpression",
        "src/driftwheel/ledger/table.py",
        '{"Item": stored(item) | {MARK: mark}, "ConditionExpression": "attribute_not_exists(pk)"}',
        '{"Item": stored(item) | {MARK: mark}}',
        (LEDGER,),
    ),
    Mutant(
        "M2",
        "compare sequencers as plain strings",
        "src/driftwheel/ledger/objects.py",
        'return sequencer.upper().rstrip("0")',
        "return sequencer",
        (LEDGER,),
    ),
    Mutant(
        "M2b",
        "compare sequencers with the old padding, on the left",
        "src/driftwheel/ledger/objects.py",
        'return sequencer.upper().rstrip("0")',
        "return sequencer.upper().rjust(24, '0')",
        (LEDGER,),
    ),
    Mutant(
        "M3",
        "wait only for InService",
        "src/driftwheel/deployment/verification.py",
        "    if config != wanted.config_name:\n",
        "    if config == '':\n",
        ("tests/unit/deployment/test_verification.py", "tests/functions/test_job_callback.py"),
    ),
    Mutant(
        "M4",
        "read by key instead of by versionId",
        "src/driftwheel/aws/objects.py",
        'return {"Bucket": bucket, "Key": key} | ({"VersionId": version} if version else {})',
        'return {"Bucket": bucket, "Key": key}',
        ("tests/functions/test_data_arrival.py",),
    ),
    Mutant(
        "M5",
        "retry ResourceLimitExceeded zero times",
        "src/driftwheel/aws/sagemaker.py",
        'BUSY = frozenset({"ResourceLimitExceeded", ',
        "BUSY = frozenset({",
        ("tests/functions/test_boundary.py", "tests/functions/test_deployment.py"),
    ),
    Mutant(
        "M6",
        "random job name",
        "src/driftwheel/steps/training_launch.py",
        "name = job_name(run, place.stack, attempt)",
        'name = job_name(run, place.stack, attempt) + __import__("secrets").token_hex(4)',
        (CRASHES, "tests/functions/test_deployment.py"),
    ),
    Mutant(
        "M7",
        "deduplicate by event id, which moto holds constant",
        "src/driftwheel/steps/trigger.py",
        "    if key.startswith(MODELS):\n",
        '    seen = {"pk": "EVENT", "sk": "7bf73129"}\n'
        "    if key.startswith(DATA) and not ledger.objects._table.put_new(seen):\n"
        "        return []\n"
        "    if key.startswith(MODELS):\n",
        (CRASHES, WALKS),
    ),
    Mutant(
        "M8",
        "take the champion's metric from the store: what its own run wrote when it was promoted",
        "functions/evaluation_gate/app.py",
        "    verdict = judge(event, evidence)\n",
        "    verdict = judge(event, evidence)\n" + FROM_THE_STORE,
        ("tests/functions/test_evaluation_gate.py",),
    ),
    Mutant(
        "M9",
        "a catch-all that marks success",
        "src/driftwheel/steps/record_outcome.py",
        "return Outcome(\"failed\", f\"{run.failure.get('Error', 'fault')}: {_cause(run.failure)}\")",
        'return Outcome("promoted", "all is well")',
        ("tests/faults/test_states.py", "tests/functions/test_record_outcome.py"),
    ),
    Mutant(
        "M10",
        "no fencing",
        "src/driftwheel/ledger/leases.py",
        "        if held is None or (held.run_id, held.fence) != (run_id, fence):\n",
        "        if held is None and fence < 0:\n",
        (LEDGER, "tests/functions/test_job_callback.py"),
    ),
    Mutant(
        "M11",
        "delete the old config at once",
        "src/driftwheel/steps/deployment.py",
        "    update_endpoint(clients.sagemaker, request)\n",
        "    update_endpoint(clients.sagemaker, request)\n"
        '    clients.sagemaker.delete_endpoint_config(EndpointConfigName=found["EndpointConfigName"])\n',
        (CRASHES,),
    ),
    Mutant(
        "M12",
        "log the row on error",
        "src/driftwheel/jobs/failure.py",
        'reason = f"{type(error).__name__} in {Path(last.filename).name} line {last.lineno}"',
        'reason = f"{type(error).__name__} in {Path(last.filename).name} line {last.lineno}: {error}"',
        ("tests/unit/jobs/test_train.py", "tests/unit/jobs/test_domain_job.py"),
    ),
)


@dataclass(frozen=True)
class Verdict:
    """Whether a mutant was noticed, by which tests, and how long it took."""

    mutant: Mutant
    red: tuple[str, ...]
    seconds: float


def copied(target: Path) -> Path:
    """Copy what the tests need; caches and builds stay behind."""
    ignored = shutil.ignore_patterns("__pycache__", ".driftwheel", "*.egg-info")
    for name in COPIED:
        shutil.copytree(ROOT / name, target / name, ignore=ignored)
    for name in SINGLE:
        shutil.copy2(ROOT / name, target / name)
    return target


def plant(tree: Path, mutant: Mutant) -> None:
    """Replace the one place; raises ValueError when the source has moved on."""
    path = tree / mutant.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.before) != 1:
        raise ValueError(
            f"{mutant.id}: {mutant.file} holds {mutant.before!r} {text.count(mutant.before)} times"
        )
    path.write_text(text.replace(mutant.before, mutant.after), encoding="utf-8")


def judged(tree: Path, mutant: Mutant) -> Verdict:
    """Plant one mutant, run its cases, take it out again, and ask one that was red once more.

    Raises RuntimeError when pytest could not run them, which is neither red nor survival, and when that one
    is red without the mutant too.
    """
    path = tree / mutant.file
    whole = path.read_bytes()
    plant(tree, mutant)
    began = time.monotonic()
    try:
        ended = tested(tree, mutant.tests)
    finally:
        path.write_bytes(whole)
    if ended.returncode not in (0, 1):
        raise RuntimeError(f"{mutant.id}: pytest ended with {ended.returncode}:\n{ended.stdout[-2_000:]}")
    red = tuple(
        line.removeprefix("FAILED ").split(" - ")[0]
        for line in ended.stdout.splitlines()
        if line.startswith("FAILED ")
    )
    seconds = time.monotonic() - began
    if red and (again := tested(tree, red[-1:])).returncode != 0:
        raise RuntimeError(f"{mutant.id}: {red[-1]} is red without it too:\n{again.stdout[-2_000:]}")
    return Verdict(mutant, red if ended.returncode == 1 else (), seconds)


def tested(tree: Path, tests: tuple[str, ...]) -> "subprocess.CompletedProcess[str]":
    """Run those tests that stand for a case against the copy's own source."""
    places = os.pathsep.join(str(tree / name) for name in ("src", "local", "cli"))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-m",
        "case",
        "-p",
        "no:cacheprovider",
        "--tb=no",
        "-rf",
        *tests,
    ]
    return subprocess.run(
        command,
        cwd=tree,
        env=os.environ | {"PYTHONPATH": places},
        capture_output=True,
        text=True,
        timeout=1_200,
        check=False,
    )
