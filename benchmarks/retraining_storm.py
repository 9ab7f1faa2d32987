"""Thirty days of hourly checks in worlds that ask for retraining all the time: what does the policy allow?

The product's trigger, policy, lease, run index, decision ledger and run's end work on a table and a bucket in
memory; what is made up is the world alone: what each check finds, and how each training ends.
"""

import argparse
import json
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.bench.buckets import MemoryS3
from tests.bench.faults import Faults
from tests.bench.table import MemoryTable

from driftwheel.aws.objects import Objects
from driftwheel.layout import RunLayout, capture_prefix
from driftwheel.ledger.champions import ChampionRow
from driftwheel.ledger.findings import Finding
from driftwheel.ledger.objects import Delivered
from driftwheel.ledger.table import Table
from driftwheel.run import (
    DeploymentSection,
    EvaluationGateSection,
    PreprocessingSection,
    Run,
    TrainingLaunchSection,
)
from driftwheel.spec import load_spec
from driftwheel.steps import record_outcome, trigger
from driftwheel.triggers.windows import remember

MODEL, ARTIFACTS, LANDING = "flights", "artifacts", "landing"
SPEC = """
model: flights
source: {prefix: data/flights/, key: [id]}
columns: {id: {type: integer, feature: false}, x: {type: number}, late: {type: boolean, feature: false}}
target: {column: late}
training: {algorithm: xgboost, max_runtime_seconds: 3600}
triggers: {cost_per_day: 0.5, cost_per_training_hour: 0.23}
"""
"""A training hour of ml.m5.xlarge at a rounded price, half a dollar a day; all else is the default."""

TRAINING = timedelta(minutes=20)
BEGIN = datetime(2026, 1, 5, tzinfo=UTC)


@dataclass(frozen=True)
class World:
    """What a world does: the check's word at each hour, its labels, how trainings end, files that arrive."""

    name: str
    severity: Callable[[int, random.Random], str]
    ending: str = "rejected"
    labelled_rows: int = 5_000
    files_an_hour: int = 0


WORLDS = (
    World("1 % of windows falsely major", lambda _, dice: "major" if dice.random() < 0.01 else "none"),
    World("drift, no labels", lambda _h, _d: "major", labelled_rows=0),
    World("drift, useless labels", lambda _h, _d: "major"),
    World("drift, every training fails", lambda _h, _d: "major", ending="failed"),
    World("flapping every hour, useless labels", lambda hour, _: "major" if hour % 2 else "none"),
    World("flapping by chance, useless labels", lambda _, dice: dice.choice(["major", "none"])),
    World("drift that every new model only moves", lambda _h, _d: "major", ending="promoted"),
    World("two useless files an hour, and drift", lambda _h, _d: "major", files_an_hour=2),
)


@dataclass
class Month:
    """What happened."""

    trainings: Counter[int] = field(default_factory=Counter)
    cost: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    answers: Counter[str] = field(default_factory=Counter)
    alerts: Counter[str] = field(default_factory=Counter)
    decisions: int = 0
    most_at_once: int = 0


class Stack:
    """One stack in memory; it also is the Step Functions client that accepts executions."""

    def __init__(self) -> None:
        faults = Faults()
        self.s3 = MemoryS3(faults)
        self.table, self.objects = Table(MemoryTable(faults)), Objects(self.s3)
        self.ledger = trigger.Ledger.of(self.table)
        self.wheel = trigger.Wheel(
            ARTIFACTS, "arn:aws:states:::stateMachine:loop", "c" * 64, 72, self, self.objects
        )
        self.ends = record_outcome.Ledger.of(self.table)
        self.running: list[tuple[datetime, Run]] = []
        self.spec = load_spec(SPEC)
        self.month = Month()
        self.ledger.models.register(self.spec, version="v1", at=BEGIN.isoformat())
        self.arrive("labels", "labels/flights/all.csv", BEGIN)
        self.promote("r0", BEGIN)

    def start_execution(self, *, input: str, **_: str) -> dict[str, str]:  # noqa: A002  # AWS's name
        """Accept a run; it ends after its training's time."""
        run = Run.model_validate_json(input)
        self.running.append((datetime.fromisoformat(run.started.at) + TRAINING, run))
        self.month.most_at_once = max(self.month.most_at_once, len(self.running))
        return {"executionArn": "arn:aws:states:::execution:loop:" + run.run_id}

    def arrive(self, role: str, key: str, now: datetime) -> None:
        """Put an object and enter it."""
        put = self.s3.put_object(Bucket=LANDING, Key=key, Body=key.encode())
        self.ledger.objects.deliver(
            Delivered(
                model=MODEL,
                role=role,
                bucket=LANDING,
                key=key,
                version=put["VersionId"],
                etag=put["ETag"].strip('"'),
                size=len(key),
                sequencer=put["VersionId"],
                received=now.isoformat(),
            )
        )

    def promote(self, run_id: str, now: datetime) -> None:
        """Move the champion, as the callback of a deployment does."""
        before = self.ledger.champions.get(MODEL)
        sequence = before.sequence + 1 if before else 1
        uri = f"s3://{ARTIFACTS}/{run_id}"
        self.ledger.champions.move(
            ChampionRow(MODEL, sequence, run_id, "e", "c", uri, "arn", uri, now.isoformat(), "simulated")
        )

    def check(self, severity: str, labelled_rows: int, now: datetime) -> None:
        """Record what a check found, and the traffic it was found in."""
        champion, last = self.ledger.champions.get(MODEL), self.ledger.findings.get(MODEL)
        assert champion is not None
        same = last is not None and last.champion_sequence == champion.sequence
        windows = remember(
            last.windows if last and same else [], now.isoformat(), severity, self.spec.drift.every_minutes
        )
        # What a finding says of severities is the closed list its own class declares.
        found: Any = severity
        self.ledger.findings.record(
            Finding(MODEL, now.isoformat(), champion.sequence, found, "", labelled_rows, "s3://r", windows)
        )
        key = f"{capture_prefix(MODEL)}/e/serving/{now:%Y/%m/%d/%H}/x.jsonl"
        self.s3.put_object(Bucket=ARTIFACTS, Key=key, Body=now.isoformat().encode())

    def decide(self, now: datetime) -> None:
        """Wake the trigger, once for each tick or nudge."""
        decided = trigger.reconsider(MODEL, self.ledger, self.wheel, now)
        self.month.answers[decided.answer.code] += 1

    def finish(self, ending: str, now: datetime) -> None:
        """End what is due, by the product's own record of outcomes, and wake the trigger as it does."""
        for due, run in [one for one in self.running if one[0] <= now]:
            self.running.remove((due, run))
            day = (datetime.fromisoformat(run.started.at) - BEGIN).days
            self.month.trainings[day] += 1
            ended = ended_as(run, ending)
            if ending == "promoted":
                self.promote(run.run_id, due)
            outcome = record_outcome.record(ended, due.isoformat(), self.objects, self.ends, ARTIFACTS)
            price = self.spec.triggers.cost_per_training_hour or 0.0
            self.month.cost[day] += price / 3_600 * record_outcome.billed_seconds(ended, due.isoformat())
            if alert := outcome.alert:
                self.month.alerts[alert.subject.partition(": ")[2]] += 1
            self.decide(due)


def ended_as(run: Run, ending: str) -> Run:
    """Attach the sections a run would have got."""
    here = str(RunLayout(ARTIFACTS, run.model, run.run_id).step("preprocessing"))
    sections: dict[str, Any] = {"preprocessing": PreprocessingSection(outcome="ready", uri=here)}
    if ending == "failed":
        return run.model_copy(update=sections | {"failure": {"Error": "TrainingFailed", "Cause": "no"}})
    sections["training_launch"] = TrainingLaunchSection(
        training_job="j",
        training_job_arn="arn",
        model_data_url="s3://m",
        output_uri="s3://o",
        code_sha256="c" * 64,
        billable_seconds=int(TRAINING.total_seconds()),
    )
    verdict: Any = "promote" if ending == "promoted" else "reject"
    sections["evaluation_gate"] = EvaluationGateSection(
        outcome=verdict,
        reasons=[{"sentence": "auc 0.70, gain 0.000"}],
        metrics={},
        model_package_arn="arn",
        evaluation_uri="s3://e",
    )
    if ending == "promoted":
        sections["deployment"] = DeploymentSection(
            outcome="deployed", endpoint="e", endpoint_config="c", sequence=1
        )
    return run.model_copy(update=sections)


def simulate(world: World, *, days: int, seed: int) -> Month:
    """Let a world turn: every hour a check and a wake-up, and a tick in between."""
    dice, stack = random.Random(seed), Stack()
    for hour in range(1, days * 24 + 1):
        now = BEGIN + timedelta(hours=hour)
        stack.finish(world.ending, now)
        for number in range(world.files_an_hour):
            stack.arrive("source", f"data/flights/{hour}-{number}.csv", now - timedelta(minutes=5))
        stack.check(world.severity(hour, dice), world.labelled_rows, now)
        for minutes in (0, 15, 30, 45):
            stack.finish(world.ending, now + timedelta(minutes=minutes))
            stack.decide(now + timedelta(minutes=minutes))
    stack.month.decisions = len(list(stack.table.query(f"DECISION#{MODEL}")))
    return stack.month


def main() -> int:
    """Print a table; fail when a budget was broken or two runs were at work at once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    triggers = load_spec(SPEC).triggers
    assert triggers.cost_per_day is not None
    kept = True
    if not given.json:
        print("| world | trainings | most in a day | dearest day | alerts | rows in the ledger | answers |")
        print("|---|---|---|---|---|---|---|")
    for world in WORLDS:
        month = simulate(world, days=given.days, seed=given.seed)
        most, dearest = max(month.trainings.values(), default=0), max(month.cost.values(), default=0)
        # The budget looks at the day a run starts on, and one more may be dearer than expected: none here is.
        kept &= most <= triggers.runs_per_day and dearest <= triggers.cost_per_day + 1e-9
        kept &= month.most_at_once <= 1
        if given.json:
            print(json.dumps({"world": world.name} | asdict(month)))
            continue
        answers = ", ".join(f"{code} {count}" for code, count in month.answers.most_common())
        alerts = ", ".join(f"{what} {count}" for what, count in month.alerts.items()) or "none"
        print(
            f"| {world.name} | {month.trainings.total()} | {most} | {dearest:.2f} | {alerts} "
            f"| {month.decisions} | {answers} |"
        )
    print(
        f"\nbudgets kept: {kept} (runs_per_day {triggers.runs_per_day}, cost_per_day {triggers.cost_per_day})"
    )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
