"""The oracle: invariants I1 to I12 over the evidence of one model at rest."""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from driftwheel.deployment.leftovers import KEPT_CHAMPIONS
from driftwheel.ledger.runs import RunRow, losses
from driftwheel.steps.trigger import MOST_REPEATS

from .evidence import Evidence

SETTLED = {"used", "superseded", "quarantined", "rejected", "duplicate", "ignored"}
SAME_ROWS = re.compile(r"the same rows as run (\w+)")
WITHOUT_MODEL = {"failed", "aborted"}
TOLD = {"failed", "refused", "rejected", "aborted"}
DAY = 86_400
REMOVED_SECONDS = 900
"""An endpoint at which no champion serves is removed at the reconciler's next tick but one, at the latest."""
PAYLOAD_BYTES, HISTORY_EVENTS = 200_000, 20_000
ERRORS = Path(__file__).parents[2] / "docs" / "errors.md"
CODES = frozenset(re.findall(r"\n\| `([a-z-]+)` \|[^|]+\|[^|]*\w[^|]*\|", ERRORS.read_text(encoding="utf-8")))
"""The closed list of what a file is refused for, each with what to do, as people read it."""


def assert_invariants(evidence: Evidence) -> None:
    """Raise AssertionError with every invariant that does not hold, by its number."""
    broken = [*violations(evidence)]
    assert not broken, "\n".join(broken)


def violations(evidence: Evidence) -> Iterator[str]:
    for judge in (
        nothing_lost,
        no_double_training,
        champion_keeps_serving,
        one_truth,
        monotone,
        no_orphans,
        clear_error,
        no_leak,
        settled,
        small,
        deterministic,
        evidence_kept,
    ):
        yield from judge(evidence)


def nothing_lost(evidence: Evidence) -> Iterator[str]:
    known = {(row.key, row.version): row for row in evidence.objects}
    for place in evidence.delivered or {}:
        if place not in known:
            yield f"I1 nothing lost: {place} was delivered and is nowhere"
    if evidence.delivered is not None:
        for place in known.keys() - evidence.delivered.keys():
            yield f"I1 nothing lost: {place} is entered and was never delivered"
    for place, row in known.items():
        if row.state not in SETTLED and place not in evidence.held_back:
            yield f"I1 nothing lost: {place} is still {row.state}"
        if row.state in {"superseded", "quarantined", "rejected", "duplicate", "ignored"} and not row.reason:
            yield f"I1 nothing lost: {place} is {row.state} without a reason"
        if (same := SAME_ROWS.match(row.reason)) is not None:
            learned = next((run.status for run in evidence.runs if run.run_id == same[1]), "nowhere")
            if learned not in {"promoted", "rejected"}:
                yield f"I1 nothing lost: {place} has {same[0]}, which is {learned}"
    if evidence.dead_letters:
        yield f"I1 nothing lost: {evidence.dead_letters} messages lie in a dead letter queue"


def no_double_training(evidence: Evidence) -> Iterator[str]:
    """At most one job for a content, whatever became of it, but for what the ledger says was tried again.

    The next run on a content may train if no run before it came to a model (`Runs.claim_data`); on exactly
    the same objects it must have been asked for by a person, or all before it were cut off (`_again`).
    """
    runs = sorted(evidence.runs, key=lambda run: run.fence)
    able = Counter(run_id for name, (run_id, _) in evidence.jobs.items() if name not in evidence.machineless)
    for run_id, count in able.items():
        if count > 1:
            yield f"I2 no double training: run {run_id} has {count} jobs"
    learned = [run for run in runs if able[run.run_id] and run.run_id in evidence.digests]
    for number, run in enumerate(learned):
        for before in learned[:number]:
            if evidence.digests[before.run_id] == evidence.digests[run.run_id]:
                yield from _learned_again(evidence, before, run)
    started = [run for run in runs if run.run_id in evidence.frozen]
    started.sort(key=lambda run: evidence.frozen[run.run_id])
    for _, same in groupby(started, key=lambda run: evidence.frozen[run.run_id]):
        yield from _repeated([*same])


def _learned_again(evidence: Evidence, before: RunRow, run: RunRow) -> Iterator[str]:
    what = f"I2 no double training: run {run.run_id} learned what run {before.run_id}, {before.status}, had"
    if before.status not in WITHOUT_MODEL:
        yield what
    is_same = evidence.frozen.get(before.run_id) == evidence.frozen.get(run.run_id)
    if is_same and before.status != "aborted" and run.kind != "manual":
        yield f"{what}, from the same objects, and nobody asked"


def _repeated(same: list[RunRow]) -> Iterator[str]:
    """Judge the runs on exactly the same objects, in the order they were started."""
    for number, run in enumerate(same[1:], start=1):
        if run.kind == "manual":
            continue
        if number > MOST_REPEATS or any(before.status != "aborted" for before in same[:number]):
            ended = ", ".join(before.status for before in same[:number])
            yield f"I2 no double training: run {run.run_id} is one too many on its objects, after {ended}"


def champion_keeps_serving(evidence: Evidence) -> Iterator[str]:
    if evidence.wrong_answers:
        yield f"I3 champion keeps serving: {evidence.wrong_answers} failed or wrong answers"
    if evidence.champion is not None and evidence.endpoint is None:
        yield "I3 champion keeps serving: its endpoint is gone"


def one_truth(evidence: Evidence) -> Iterator[str]:
    champion, endpoint = evidence.champion, evidence.endpoint
    if champion is None or endpoint is None:
        return
    if endpoint["EndpointConfigName"] != champion.endpoint_config:
        yield f"I4 one truth: champion {champion.endpoint_config}, serves {endpoint['EndpointConfigName']}"
    if evidence.serving and evidence.serving != champion.model_data_url:
        yield f"I4 one truth: champion {champion.model_data_url}, answers {evidence.serving}"
    if evidence.history and evidence.history[0] != champion:
        yield f"I4 one truth: the newest of the history is {evidence.history[0].sequence}"


def monotone(evidence: Evidence) -> Iterator[str]:
    sequences = [row.sequence for row in reversed(evidence.history)]
    if sequences != list(range(1, len(sequences) + 1)):
        yield f"I5 monotone: champions {sequences}"
    seen: set[str] = set()
    for row in reversed(evidence.history):
        if row.run_id in seen and row.sequence not in evidence.rolled_back:
            yield f"I5 monotone: run {row.run_id} came back as {row.sequence} without a recorded rollback"
        seen.add(row.run_id)
    statuses = {run.run_id: run.status for run in evidence.runs}
    for row in evidence.history:
        if statuses.get(row.run_id, "promoted") not in {"promoted", "failed", "aborted"}:
            yield f"I5 monotone: run {row.run_id} was champion and ended {statuses[row.run_id]}"


def no_orphans(evidence: Evidence) -> Iterator[str]:
    runs = {run.run_id for run in evidence.runs}
    for name, (run_id, status) in evidence.jobs.items():
        if run_id not in runs:
            yield f"I6 no orphans: job {name} belongs to no run"
        if status in {"InProgress", "Stopping"}:
            yield f"I6 no orphans: job {name} still runs"
    served = [*evidence.history[:KEPT_CHAMPIONS], *([evidence.champion] if evidence.champion else [])]
    kept = {row.endpoint_config for row in served}
    swept = evidence.now - (evidence.swept_after_days + 1) * DAY  # daily
    for kind, names in (("endpoint config", evidence.configs), ("model", evidence.models)):
        for name, since in names.items():
            if not any(name.endswith(run_id) for run_id in runs):
                yield f"I6 no orphans: {kind} {name} belongs to no run"
            elif name not in kept and since < swept:
                yield f"I6 no orphans: {kind} {name} is needed by nothing, and no sweep took it"
    known = {row.endpoint for row in evidence.history}
    for name, since in evidence.endpoints.items():
        if name not in known and (evidence.champion or since < evidence.now - REMOVED_SECONDS):
            yield f"I6 no orphans: endpoint {name} never had a champion"
    for stray in evidence.strays:
        yield f"I6 no orphans: {stray}"


def clear_error(evidence: Evidence) -> Iterator[str]:
    for run in evidence.runs:
        if run.ended_at and not run.outcome:
            yield f"I7 clear error: run {run.run_id} ended {run.status} without a sentence"
        if run.status in TOLD and run.status not in evidence.bad_ends:
            yield f"I7 clear error: run {run.run_id} {run.status}, and the command's exit code is 0"
        told = (evidence.alerts or Counter())[run.run_id]
        if evidence.alerts is not None and run.status in TOLD and not told and not _in_vain(evidence, run):
            yield f"I7 clear error: run {run.run_id} {run.status}, and nobody was told"
        if told > max(1, evidence.tellings[run.run_id]):
            yield f"I7 clear error: run {run.run_id} {run.status}, and people were told {told} times"
        for text in evidence.messages.get(run.run_id, []):
            if not re.search(r"\nYou: \w", text):
                yield f"I7 clear error: run {run.run_id} {run.status}, and nobody was told what to do"
    for row in evidence.objects:
        if row.state == "quarantined" and row.reason.partition(":")[0] not in CODES:
            yield f"I7 clear error: {row.key} is quarantined for {row.reason[:40]!r}, a code nobody knows"
        if row.state == "quarantined" and not row.run_id:
            yield f"I7 clear error: {row.key} is quarantined by no run"


def _in_vain(evidence: Evidence, run: RunRow) -> bool:
    """Tell whether drift tried on after people were told that it cannot improve: that is not told again."""
    earlier = (other for other in evidence.runs if other.fence <= run.fence)
    newest_first = sorted(earlier, key=lambda other: other.fence, reverse=True)
    return run.kind == "drift" and losses(newest_first) > evidence.patience


def no_leak(evidence: Evidence) -> Iterator[str]:
    for canary in evidence.canaries:
        for place, text in evidence.outputs.items():
            if canary in text:
                yield f"I8 no leak: a planted value that begins {canary[:4]!r} came out in {place}"


def settled(evidence: Evidence) -> Iterator[str]:
    for name, (status, error) in evidence.executions.items():
        if status == "RUNNING":
            yield f"I9 settled: execution {name} runs"
        if error.startswith(("States.Runtime", "States.ParameterPathFailure", "States.DataLimitExceeded")):
            yield f"I9 settled: execution {name} ended in {error}"
    for run in evidence.runs:
        if run.status == "running":
            yield f"I9 settled: run {run.run_id} is entered as running"
    if evidence.lease is not None and evidence.lease.expires_at > evidence.now:
        yield f"I9 settled: the lease is with {evidence.lease.run_id}"
    for parked in evidence.tokens:
        yield f"I9 settled: a token is parked under {parked.arn}"


def small(evidence: Evidence) -> Iterator[str]:
    if evidence.largest_payload > PAYLOAD_BYTES:
        yield f"I10 small: a payload of {evidence.largest_payload} bytes"
    if evidence.longest_history > HISTORY_EVENTS:
        yield f"I10 small: a history of {evidence.longest_history} events"


def deterministic(evidence: Evidence) -> Iterator[str]:
    for given, found in evidence.prepared.items():
        if len(found) > 1:
            yield f"I11 deterministic: of {given} came {sorted(found)}"


def evidence_kept(evidence: Evidence) -> Iterator[str]:
    for place, (received, kept) in evidence.quarantined.items():
        if received != kept:
            yield f"I12 evidence kept: {place} was received as {len(received)} bytes, kept as {len(kept)}"
    for url, digests in evidence.model_digests.items():
        if len(digests) > 1:
            yield f"I12 evidence kept: {url} has been {len(digests)} different models"
