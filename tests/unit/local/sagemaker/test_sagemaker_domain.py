"""The domain classifier's job, from the check's question to the report's answer, as a process here."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tests.bench.faults import Faults
from tests.bench.table import MemoryTable
from tests.security.iam import VPC

from driftwheel.aws.objects import Objects
from driftwheel.drift.row_sample import RowSample
from driftwheel.jobs.code import bundle
from driftwheel.ledger.domains import Domains
from driftwheel.ledger.table import Table
from driftwheel.spec import ModelSpec
from driftwheel.steps.domain import DomainJobs, ask, read_answer, told

from .conftest import BUCKET, ROLE, Account, until

SPEC = ModelSpec.model_validate(
    {
        "model": "rides",
        "source": {"prefix": "data/rides/", "key": ["id"]},
        "columns": {
            "id": {"type": "integer", "feature": False},
            "temp": {"type": "number"},
            "city": {"type": "category"},
            "late": {"type": "boolean", "feature": False},
        },
        "target": {"column": "late"},
        "drift": {"minimum_rows": 300, "domain_classifier": True},
    }
)
KINDS = {"temp": "number", "city": "category"}
KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
AT = datetime(2026, 11, 27, 15, 5, tzinfo=UTC)


def drawn(seed: int, mean: float) -> dict[str, list[object]]:
    rng = np.random.default_rng(seed)
    return {
        "temp": rng.normal(mean, 1, 800).tolist(),
        "city": rng.choice(["JFK", "LGA"], 800).tolist(),
    }


def test_a_question_becomes_a_process_and_its_answer_the_reports(account: Account, tmp_path: Path) -> None:
    columns = {f"raw.{name}": values for name, values in drawn(1, 0.0).items()}
    pq.write_table(pa.table(columns), tmp_path / "train.parquet")
    account.put("runs/rides/r1/preprocessing/train.parquet", (tmp_path / "train.parquet").read_bytes())
    domains = Domains(Table(MemoryTable(Faults())))
    jobs = DomainJobs(account.sagemaker, Objects(account.s3), "dw", BUCKET, ROLE, KEY, VPC, bundle)
    sample = RowSample(list(KINDS), 500)
    sample.add(drawn(2, 1.5), 800)

    ask(SPEC, "r1", AT, (KINDS, sample), domains, jobs)
    ask(SPEC, "r1", AT, (KINDS, sample), domains, jobs)
    row = until(lambda: read_answer("rides", domains, jobs), lambda row: row.state != "asked", 60)

    answer = told(row)
    assert answer is not None
    assert (row.state, row.reason) == ("answered", "")
    assert (answer["verdict"], answer["importances"][0]["name"]) == ("drift", "temp")
    assert (answer["baseline_rows"], answer["window_rows"]) == (800, 500)
    (job,) = account.sagemaker.list_training_jobs()["TrainingJobSummaries"]
    assert job["TrainingJobName"] == answer["job"] == "dw-rides-domain-20261127T150500Z"
