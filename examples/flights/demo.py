"""The whole loop on this machine: `make demo` turns the wheel twice on real data and shows its reasons.

Everything a user does goes through the `driftwheel` command or AWS's own APIs; the stack is the shipped
template.yaml. The exit code is 0 only when every claim of the summary held.
"""

import csv
import json
import os
import random
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
from rich.text import Text

sys.path.insert(0, str(Path(__file__).parent))

import months
from memory import PeakMemory
from prober import Prober
from summary import ALL, Claims, show

from driftwheel.layout import S3Uri
from driftwheel.ledger.runs import RunRow
from driftwheel_cli.connection import Options
from driftwheel_cli.connection import Stack as Connection
from driftwheel_cli.drift_answer import page_beside, print_drift
from driftwheel_cli.following import follow
from driftwheel_cli.main import cli
from driftwheel_cli.rendering import console, printable
from driftwheel_cli.report_command import report_of
from driftwheel_local.server import Stack

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FOLDER = ROOT / ".driftwheel" / "demo"
MODEL = "flights"
TIME_SCALE = 0.01
"""The waits AWS makes you sit through (instances starting, five minutes of canary) shrink a hundredfold."""

TRAFFIC, PER_REQUEST = 24_000, 200
WAIT_SECONDS = 120

OVERRIDES = {
    # A demo is a year in a minute: the model may retrain as soon as it has reason to.
    "cooldown_minutes: 60": "cooldown_minutes: 0, drifted_windows: 1, of_windows: 1",
    "quiet_seconds: 3": "quiet_seconds: 2",
}


class Demo:
    """One telling of the story."""

    def __init__(self, stack: Stack, files: Path) -> None:
        self.stack, self.files = stack, files
        self.out = console()
        self.claims, self.dice = Claims(), random.Random(2013)  # noqa: S311  # a story told the same way
        self.seconds: dict[str, float] = {}
        self.runs: list[RunRow] = []
        self.connection = self._connect()

    def _connect(self) -> Connection:
        return Options(stack=None, local=FOLDER).open()

    @contextmanager
    def act(self, title: str) -> Iterator[None]:
        """Announce a part of the story and time it."""
        self.out.print()
        self.out.rule(Text(title, style="bold"), align="left", style="dim")
        began = time.monotonic()
        yield
        self.seconds[title] = time.monotonic() - began

    def command(self, *arguments: str) -> int:
        """Run a `driftwheel` command as a user would, and show it."""
        shown = " ".join(
            f"'{a}'" if " " in a or "{" in a else Path(a).name if "/" in a else a for a in arguments
        )
        self.out.print(Text(f"$ driftwheel {shown}", style="cyan"))
        here = [os.path.relpath(a) if a.startswith(str(ROOT)) else a for a in arguments]
        answer = cli.main(["--local", str(FOLDER), *here], standalone_mode=False)
        return answer if isinstance(answer, int) else 0

    def until(self, what: str, found: Callable[[], Any]) -> Any:
        """Wait for something, showing that we do."""
        deadline = time.monotonic() + WAIT_SECONDS
        with self.out.status(what):
            while time.monotonic() < deadline:
                if answer := found():
                    return answer
                time.sleep(0.1)
        raise click.ClickException(f"{what}: not within {WAIT_SECONDS} s; see {FOLDER}/logs/stack.log")

    def following(self, before: int) -> RunRow:
        """Follow the next run, state by state, to its end."""
        rows: list[RunRow] = self.until(
            "waiting for the next run to start",
            lambda: rows if len(rows := self.connection.ledger.runs.of_model(MODEL)) > before else None,
        )
        run = follow(self.connection, rows[0])
        self.runs.append(run)
        self.out.print(Text(printable(f"→ {run.status}: {run.outcome}"), style="bold"))
        return run

    def winter(self) -> None:
        """Drop January and February; a first champion comes out."""
        spec = (HERE / "model.yaml").read_text(encoding="utf-8")
        for given, wanted in OVERRIDES.items():
            assert given in spec, given
            spec = spec.replace(given, wanted)
        (self.files / "model.yaml").write_text(spec, encoding="utf-8")
        self.command("register", str(self.files / "model.yaml"))
        names = [
            months.write_month(months.flights(), month, self.files / f"flights-2013-{month:02d}.csv")
            for month in (1, 2)
        ]
        skies = [
            months.write_month(months.weather(), month, self.files / f"weather-2013-{month:02d}.csv")
            for month in (1, 2, 3)
        ]
        self.command("drop", *map(str, skies), "--role", "enrich-0")
        self.command("drop", *map(str, names))
        run = self.following(0)
        champion = self.connection.ledger.champions.get(MODEL)
        metrics = self.metrics(run)
        self.claims.check(
            run.status == "promoted" and champion is not None and champion.run_id == run.run_id,
            "winter's files became a champion",
            f"{metrics['metric']} {interval(metrics['challenger'])} on {metrics['rows']:,} pinned rows",
        )

    def ask(self) -> None:
        """Ask the endpoint about one real flight."""
        record, label = next(months.requests(range(3, 4), 1, random.Random(5)))  # noqa: S311
        code = self.command("predict", MODEL, json.dumps(record))
        self.claims.check(code == 0, "the endpoint answers over HTTP", f"one flight of March (late: {label})")

    def traffic(self) -> None:
        """Send what later months would ask; their labels come late."""
        runtime, endpoint = self.connection.client("sagemaker-runtime"), self.connection.endpoint_of(MODEL)
        labels, batch = [], []  # type: list[tuple[str, int]], list[dict[str, Any]]
        began, sent = time.monotonic(), 0

        def send() -> None:
            body = json.dumps({"records": batch})
            name = f"traffic-{sent:06d}"
            runtime.invoke_endpoint(
                EndpointName=endpoint, ContentType="application/json", InferenceId=name, Body=body
            )

        with self.out.status("March to June ask the winter model") as status:
            for number, (record, label) in enumerate(months.requests(range(3, 7), TRAFFIC, self.dice)):
                if label is not None:
                    labels.append((f"traffic-{sent:06d}/{number % PER_REQUEST}", label))
                batch.append(record)
                if len(batch) == PER_REQUEST:
                    send()
                    batch.clear()
                    sent += 1
                    status.update(f"March to June ask the winter model: {number + 1:,} flights")
        self.out.print(
            f"{TRAFFIC:,} flights of March to June in {sent} requests, {time.monotonic() - began:.1f} s; "
            "the endpoint captures them as SageMaker does"
        )
        path = self.files / "labels-2013-03-06.csv"
        with path.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([("inference_id", "label"), *labels])
        self.command("label", MODEL, str(path))
        self.until("waiting for the captured traffic in S3", lambda: self.captured() >= sent)

    def captured(self) -> int:
        """Count the captured requests that lie in S3 by now."""
        s3, bucket = self.connection.client("s3"), self.connection.names.artifact_bucket
        listed = s3.list_objects_v2(Bucket=bucket, Prefix=f"capture/{MODEL}/").get("Contents", [])
        bodies = (s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"] for entry in listed)
        return sum(1 for body in bodies for _ in body.iter_lines())

    def drift(self) -> None:
        """Let the scheduled check find the season, retrain and swap the model under load."""
        before = self.connection.ledger.champions.get(MODEL)
        assert before is not None
        record, _ = next(months.requests(range(6, 7), 1, random.Random(5)))  # noqa: S311
        runtime = self._connect().client("sagemaker-runtime")
        with Prober(runtime, before.endpoint, record) as prober:
            self.out.print(
                "the clock moves on by five minutes: the schedule (rate(5 minutes)) wakes drift_check"
            )
            known = len(self.connection.ledger.runs.of_model(MODEL))
            self.stack.clock.advance(300)
            finding = self.until(
                "waiting for the drift check",
                lambda: (
                    found
                    if (found := self.connection.ledger.findings.get(MODEL))
                    and found.champion_sequence == before.sequence
                    else None
                ),
            )
            report = self.document(finding.report_uri)
            print_drift(MODEL, report, finding.report_uri)
            self.drift_page = page_beside(finding.report_uri)
            run = self.following(known)
            time.sleep(0.3)
        after = self.connection.ledger.champions.get(MODEL)
        assert after is not None
        metrics = self.metrics(run)
        moved = [feature for feature in report["features"] if feature["status"] == "drifted"]
        moved.sort(key=lambda feature: excess(furthest(feature)), reverse=True)
        self.claims.check(
            finding.severity == "major" and moved,
            "the scheduled check found the season",
            ", ".join(f"{f['name']} {furthest(f)['kind']} {furthest(f)['effect']:.2f}" for f in moved[:4]),
        )
        captured = self.run_document(run)["preprocessing"]["rows"]["captured"]
        self.claims.check(
            captured > 1_000,
            "the next data set is made of live traffic",
            f"{captured:,} captured rows with labels",
        )
        gain = metrics.get("gain")
        self.claims.check(
            run.status == "promoted" and run.kind == "drift" and gain and gain["low"] > 0,
            "the challenger beat the champion on the same rows",
            f"{metrics['metric']} {interval(metrics['champion'])} → {interval(metrics['challenger'])}, "
            f"gain {interval(gain)}, {metrics['rows']:,} rows",
        )
        self.claims.check(
            after.endpoint == before.endpoint and after.sequence == before.sequence + 1,
            "it was deployed to the same endpoint",
            f"{after.endpoint}: {before.endpoint_config} → {after.endpoint_config}",
        )
        self.claims.check(
            not prober.failures and len(prober.scores) == 2,  # the old and the new model's
            "no request failed during the swap",
            f"{prober.failures.total()} of {prober.asked:,} failed, slowest {prober.slowest * 1000:.0f} ms, "
            f"{len(prober.scores)} different answers to one question",
        )

    def worse(self) -> None:
        """Drop a month whose labels mean nothing; the champion stays."""
        before = self.connection.ledger.champions.get(MODEL)
        known = len(self.connection.ledger.runs.of_model(MODEL))
        path = months.write_month(
            months.flights(), 3, self.files / "flights-2013-03.csv", shuffle_labels=self.dice
        )
        self.command("drop", str(path))
        run = self.following(known)
        after = self.connection.ledger.champions.get(MODEL)
        self.claims.check(
            run.status == "rejected" and after == before,
            "worse data was trained and rejected",
            run.outcome,
        )
        self.command("decisions", MODEL, "--limit", "6")

    def reports(self) -> None:
        """Write a page for each run, and fetch the one drift_check wrote."""
        folder = FOLDER / "reports"
        folder.mkdir()
        place = S3Uri.parse(self.drift_page)
        (folder / "drift.html").write_bytes(self.connection.objects.read(place))
        self.out.print(f"the page of the drift check: {os.path.relpath(folder / 'drift.html')}")
        pages = [
            report_of(self.connection, run, folder / f"{number}-{run.kind}-{run.status}.html")
            for number, run in enumerate(self.runs, 1)
        ]
        self.claims.check(
            all(run.run_id in page.read_text() for run, page in zip(self.runs, pages, strict=True)),
            "every run has a page that opens offline",
            ", ".join(os.path.relpath(page) for page in pages),
        )

    def document(self, uri: str) -> Any:
        """Read a JSON artifact."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return json.load(self.connection.client("s3").get_object(Bucket=bucket, Key=key)["Body"])

    def run_document(self, run: RunRow) -> dict[str, Any]:
        """Read a run's own record."""
        found: dict[str, Any] = self.document(str(self.connection.layout(run).record))
        return found

    def metrics(self, run: RunRow) -> dict[str, Any]:
        """Read what the gate measured; raises ClickException with the run's own words when it never did."""
        gate = self.run_document(run).get("evaluation_gate")
        if gate is None:
            raise click.ClickException(f"run {run.run_id} never reached the gate: {run.outcome}")
        found: dict[str, Any] = gate["metrics"]
        return found


def interval(estimate: dict[str, Any] | None) -> str:
    """Write an estimate with its confidence interval."""
    if estimate is None:
        return "none"
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"


def excess(test: dict[str, Any]) -> float:
    """Say how many times a test's effect is what counts as strong."""
    return float(test["effect"] / test["strong"])


def furthest(feature: dict[str, Any]) -> dict[str, Any]:
    """Pick a column's test that is furthest beyond its threshold."""
    found: dict[str, Any] = max(feature["tests"], key=excess)
    return found


def main() -> int:
    """Tell the story; 0 when every claim held."""
    began = time.monotonic()
    shutil.rmtree(FOLDER, ignore_errors=True)
    with ExitStack() as exits:
        peak = exits.enter_context(PeakMemory())
        files = FOLDER / "files"
        files.mkdir(parents=True)
        out = console()
        with out.status("starting the local stack from template.yaml (the first start builds its functions)"):
            stack = exits.enter_context(Stack(FOLDER, ROOT / "template.yaml", time_scale=TIME_SCALE))
        demo = Demo(stack, files)
        demo.seconds["the stack starts from template.yaml"] = time.monotonic() - began
        out.print(f"the local stack serves the shipped template.yaml at {stack.endpoint_url}")
        for title, tell in (
            ("January and February arrive: flights and weather, two sources", demo.winter),
            ("A real flight is asked for", demo.ask),
            ("Spring and summer ask the winter model", demo.traffic),
            ("The scheduled check finds drift; the model is retrained and swapped under load", demo.drift),
            ("A month with shuffled labels arrives", demo.worse),
            ("Each run is written down as a page", demo.reports),
        ):
            with demo.act(title):
                tell()
        show(demo.connection, demo.claims, demo.runs, demo.seconds | {ALL: time.monotonic() - began}, peak)
        out.print(f"\nlook around: {FOLDER}; go on: driftwheel --local {FOLDER.relative_to(ROOT)} up")
    return 0 if demo.claims.hold else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except click.ClickException as error:
        error.show()
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
