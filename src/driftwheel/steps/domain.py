"""The domain classifier beside a drift check: ask for one job, read what the last one said.

A check never waits for it. One job of a model is at work at a time; its name follows from the check's time,
so a check that is repeated asks for the same job.
"""

import gzip
import json
import math
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from driftwheel.algorithms.domain import DomainJob, domain_request
from driftwheel.aws.objects import Objects
from driftwheel.aws.sagemaker import create_once, existing
from driftwheel.deployment.names import resource_name
from driftwheel.drift.row_sample import RowSample
from driftwheel.errors import ArtifactInvalid, CapacityExceeded, ObjectGone
from driftwheel.jobs.artifact import Limits, read_members
from driftwheel.layout import RunLayout, S3Uri, domain_prefix
from driftwheel.ledger.domains import DomainRow, Domains
from driftwheel.spec import ModelSpec
from driftwheel.vpc import Vpc

MOST_ROWS = 20_000
"""Of the window, as many as the job takes of the training rows."""

ANSWER = re.compile("domain.json")
LIMITS = Limits(members=1, total_bytes=1_000_000)
APART_BY_THEMSELVES = frozenset({"timestamp", "text"})
"""Kinds by which rows of two times can always be told apart."""


@dataclass(frozen=True)
class DomainJobs:
    """What a check needs to ask for jobs; ``bundle`` gives the archive with the job's code."""

    client: Any
    objects: Objects
    stack: str
    bucket: str
    role_arn: str
    kms_key_arn: str
    vpc: Vpc
    bundle: Callable[[], tuple[str, bytes]]


def sample_of(kinds: dict[str, str]) -> RowSample:
    """Give what the rows to show are collected in: columns by kind, but those of time and free text."""
    return RowSample([name for name, kind in kinds.items() if kind not in APART_BY_THEMSELVES], MOST_ROWS)


def read_answer(model: str, domains: Domains, jobs: DomainJobs) -> DomainRow | None:
    """Read the latest job of a model, and its answer when it has just ended."""
    row = domains.get(model)
    if row is None or row.state != "asked":
        return row
    found = existing(jobs.client, "training_job", {"TrainingJobName": row.job}) or {}
    status = found.get("TrainingJobStatus", "gone")
    if status in {"InProgress", "Stopping"}:
        return row
    if status == "Completed":
        try:
            row = replace(row, state="answered", answer=_answer(row.output_uri, jobs.objects))
        except (ArtifactInvalid, ObjectGone) as error:
            row = replace(row, state="failed", reason=str(error)[:500])
    else:
        row = replace(row, state="failed", reason=str(found.get("FailureReason", status))[:500])
    domains.record(row)
    return row


def ask(
    spec: ModelSpec,
    run_id: str,
    at: datetime,
    window: tuple[dict[str, str], RowSample],
    domains: Domains,
    jobs: DomainJobs,
) -> None:
    """Write a window's rows, with the kinds of columns, and start its job, unless one is at work.

    An account that is full leaves it to the next check.
    """
    kinds, sample = window
    stamp = at.strftime("%Y%m%dT%H%M%SZ")
    last = domains.get(spec.model)
    if last is not None and last.state == "asked" and last.at != at.isoformat():
        return
    run = RunLayout(jobs.bucket, spec.model, run_id)
    place = S3Uri(jobs.bucket, domain_prefix(spec.model, stamp))
    question = {
        "kinds": {name: kinds[name] for name in sample.columns},
        "significance": spec.drift.significance,
        "minimum_rows": max(spec.drift.minimum_rows, 100),
    }
    rows = [[_cell(value) for value in row] for row in sample.rows()]
    lines = [json.dumps(line, ensure_ascii=False, allow_nan=False) for line in (question, *rows)]
    packed = gzip.compress("\n".join(lines).encode(), mtime=0)
    jobs.objects.write(place / "window.jsonl.gz", packed, "application/gzip")
    jobs.objects.write(place / "sourcedir.tar.gz", jobs.bundle()[1], "application/gzip")
    name = resource_name(jobs.stack, spec.model, f"domain-{stamp}")
    request = domain_request(
        DomainJob(
            name=name,
            model=spec.model,
            stack=jobs.stack,
            train=str(run.step("preprocessing") / "train.parquet"),
            window=str(place / "window.jsonl.gz"),
            code=str(place / "sourcedir.tar.gz"),
            output_uri=str(place),
            region=jobs.client.meta.region_name,
            role_arn=jobs.role_arn,
            kms_key_id=jobs.kms_key_arn,
            vpc=jobs.vpc,
        )
    )
    try:
        create_once(
            jobs.client, "training_job", request, {"TrainingJobName": name}, {"RoleArn": jobs.role_arn}
        )
    except CapacityExceeded:
        return
    domains.record(
        DomainRow(spec.model, name, at.isoformat(), str(place / name / "output" / "output.tar.gz"))
    )


def told(row: DomainRow | None) -> dict[str, Any] | None:
    """Word the latest job for a report."""
    if row is None:
        return None
    return {"job": row.job, "at": row.at, "state": row.state, "reason": row.reason} | row.answer


def _cell(value: Any) -> Any:
    """Write what is no number (``INVALID``) as missing: XGBoost refuses infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _answer(output_uri: str, objects: Objects) -> dict[str, Any]:
    uri = S3Uri.parse(output_uri)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "output.tar.gz"
        objects.download(uri.bucket, uri.key, "", path)
        for member in read_members(path, LIMITS, ANSWER):
            document = json.loads(member.content)
            if isinstance(document, dict) and {"verdict", "sentence", "importances"} <= document.keys():
                return document
    raise ArtifactInvalid(f"{output_uri} holds no answer of the domain classifier")
