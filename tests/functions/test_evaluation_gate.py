"""EvaluationGate as shipped: from a training job's evidence to a verdict in the registry."""

import gzip
import hashlib
import io
import json
import random
import tarfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from driftwheel.drift.baseline import build_baseline
from driftwheel.errors import ArtifactInvalid
from driftwheel.ledger.decisions import Decisions

from .conftest import Context, World

RUN_ID = "0f3c5a9be17d2468"
PREFIX = f"runs/flights/{RUN_ID}"
OUTPUT = f"{PREFIX}/training_launch/driftwheel-flights-{RUN_ID}/output/output.tar.gz"
MODEL = OUTPUT.replace("output.tar.gz", "model.tar.gz")
Events = Callable[[str], dict[str, Any]]


def predictions(challenger_noise: float, champion_noise: float | None, rows: int = 2000) -> bytes:
    """Scores around the labels; the larger the noise the worse the model."""
    random = np.random.default_rng(5)
    labels = random.integers(0, 2, rows)
    lines = ["key,label,challenger,champion,slice.origin,slice.carrier"]
    noises = random.normal(size=(2, rows))
    for n, label in enumerate(labels):
        scores = [
            1 / (1 + np.exp(-(label - 0.5 + noise * noises[m, n])))
            for m, noise in enumerate((challenger_noise, champion_noise or 0))
        ]
        champion = f"{scores[1]:.6f}" if champion_noise is not None else ""
        lines.append(f"k{n},{label},{scores[0]:.6f},{champion},JFK,UA")
    return gzip.compress("\n".join(lines).encode() + b"\n", mtime=0)


BASELINE = json.dumps(
    build_baseline(
        {"temp": [30.0, 41.5, None, 52.0], "origin": ["JFK", "EWR", "JFK", None]},
        {"temp": "number", "origin": "category"},
        [0.1, 0.9],
        [0, 1],
        {"temp": 2.0},
    )
).encode()


def write_output(
    world: World, scores: bytes, leave_out: str = "", baseline: bytes = BASELINE, metrics: bytes = b""
) -> None:
    parts = {
        "predictions.csv.gz": scores,
        "baseline.json": baseline,
        "metrics.json": metrics or METRICS,
        "probe.json": b"{}",
    }
    world.put(
        world.artifacts, OUTPUT, packed({name: body for name, body in parts.items() if name != leave_out})
    )
    world.put(world.artifacts, MODEL, MODEL_ARCHIVE)


def packed(files: dict[str, bytes]) -> bytes:
    """A ``.tar.gz`` of these files."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        for name, body in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return target.getvalue()


def model_archive(seed: int = 8, **changed: bytes) -> bytes:
    """A model artifact whose manifest describes it; then some of its files are changed."""
    trees = random.Random(seed).randbytes(40_000).hex()
    names = {"model": f'{{"learner": "{trees}"}}'.encode(), "recipe": b"{}", "params": b"{}"}
    files = {f"{name}.json": body for name, body in names.items()} | {"golden.jsonl": b"{}\n"}
    listed = {name: {"sha256": hashlib.sha256(body).hexdigest()} for name, body in files.items()}
    manifest = json.dumps({"files": listed}).encode()
    return packed(files | {"manifest.json": manifest} | {f"{n}.json": body for n, body in changed.items()})


def manifest_of(archive: bytes) -> str:
    """What a job's evidence says of an archive: the sha256 of the manifest in it."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        manifest = tar.extractfile("manifest.json")
        assert manifest is not None
        return hashlib.sha256(manifest.read()).hexdigest()


MODEL_ARCHIVE = model_archive()
MANIFEST = manifest_of(MODEL_ARCHIVE)
METRICS = json.dumps({"manifest_sha256": MANIFEST}).encode()


CHAMPION = {
    "sequence": 1,
    "run_id": "aa",
    "model_data_url": "s3://m",
    "endpoint_config": "c",
    "model_package_arn": "p",
}


def remembered(world: World, value: float) -> None:
    """What the champion's own run wrote when it was promoted: a number from other rows, which may mislead."""
    evaluation = {"challenger": {"value": value}}
    place = f"runs/flights/{CHAMPION['run_id']}/evaluation_gate/evaluation.json"
    world.put(world.artifacts, place, json.dumps(evaluation).encode())


def test_the_first_good_model_is_promoted_and_registered_as_approved(
    world: World, event: Events, context: Context
) -> None:
    write_output(world, predictions(0.5, None))

    section = world.load("evaluation_gate").handler(event("evaluation_gate"), context)

    assert section["outcome"] == "promote"
    package = world.client("sagemaker").describe_model_package(ModelPackageName=section["model_package_arn"])
    assert package["ModelApprovalStatus"] == "Approved"
    assert section["manifest_sha256"] == MANIFEST
    evaluation = world.read(f"{PREFIX}/evaluation_gate/evaluation.json")
    assert evaluation["challenger"]["value"] == section["metrics"]["challenger"]["value"] > 0.7
    assert world.read(f"{PREFIX}/evaluation_gate/probe.json") == {}
    (decision,) = Decisions(world.table).of_model("flights")
    assert (decision.step, decision.outcome) == ("evaluation_gate", "promote")


def test_the_training_data_is_described_in_the_files_model_monitors_users_know(
    world: World, event: Events, context: Context
) -> None:
    write_output(world, predictions(0.5, None))

    world.load("evaluation_gate").handler(event("evaluation_gate"), context)

    place = f"{PREFIX}/evaluation_gate"
    assert world.read(f"{place}/baseline.json")["rows"] == 4, "the mergeable summaries"
    numbers, words = (
        next(f for f in world.read(f"{place}/statistics.json")["features"] if f["name"] == name)
        for name in ("temp", "origin")
    )
    assert numbers["numerical_statistics"]["common"] == {"num_present": 3, "num_missing": 1}
    assert words["string_statistics"]["distinct_count"] == 2
    constraints = {f["name"]: f for f in world.read(f"{place}/constraints.json")["features"]}
    assert constraints["temp"]["num_constraints"] == {"is_non_negative": True}
    assert constraints["origin"]["string_constraints"] == {"domains": ["EWR", "JFK"]}


@pytest.mark.case("SM-08")
def test_a_group_that_was_made_and_is_not_seen_yet_is_used(
    world: World, event: Events, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_output(world, predictions(0.5, None))
    gate = world.load("evaluation_gate")
    first = gate.handler(event("evaluation_gate"), context)

    def taken(**_: Any) -> None:
        said = {"Code": "ValidationException", "Message": "Model Package Group already exists: arn"}
        raise ClientError({"Error": said}, "CreateModelPackageGroup")

    monkeypatch.setattr(gate.sagemaker, "create_model_package_group", taken)
    monkeypatch.setattr("driftwheel.steps.evaluation_gate.group_exists", lambda *_: False)

    assert gate.handler(event("evaluation_gate"), context)["model_package_arn"].startswith(
        first["model_package_arn"].rpartition("/")[0]
    )


@pytest.mark.parametrize(
    "baseline", [b"{}", b"[]", b"no JSON", b'{"rows": 1, "kinds": {}, "columns": {"a": 1}}']
)
def test_a_baseline_that_is_none_ends_the_run_before_anything_is_registered(
    world: World, event: Events, context: Context, baseline: bytes
) -> None:
    write_output(world, predictions(0.5, None), baseline=baseline)

    with pytest.raises(ArtifactInvalid, match=r"baseline\.json is no drift baseline"):
        world.load("evaluation_gate").handler(event("evaluation_gate"), context)

    assert not world.client("sagemaker").list_model_package_groups()["ModelPackageGroupSummaryList"]


@pytest.mark.case("SE-04")
@pytest.mark.parametrize("metrics", [b"{}", b"[]", b"no JSON", b'{"manifest_sha256": "5"}'])
def test_evidence_that_does_not_name_its_artifact_ends_the_run_before_anything_is_registered(
    world: World, event: Events, context: Context, metrics: bytes
) -> None:
    write_output(world, predictions(0.5, None), metrics=metrics)

    with pytest.raises(ArtifactInvalid, match="does not say which artifact"):
        world.load("evaluation_gate").handler(event("evaluation_gate"), context)

    assert not world.client("sagemaker").list_model_package_groups()["ModelPackageGroupSummaryList"]


@pytest.mark.case("DE-01")
@pytest.mark.parametrize(
    ("challenger", "champion", "outcome", "status"),
    [(0.5, 1.5, "promote", "Approved"), (1.5, 0.5, "reject", "Rejected"), (0.7, 0.7, "reject", "Rejected")],
)
def test_only_a_challenger_that_beats_the_champion_is_promoted(
    world: World,
    event: Events,
    context: Context,
    challenger: float,
    champion: float,
    outcome: str,
    status: str,
) -> None:
    write_output(world, predictions(challenger, champion))
    remembered(world, 0.5)

    section = world.load("evaluation_gate").handler(
        event("evaluation_gate") | {"champion": CHAMPION}, context
    )

    assert section["outcome"] == outcome
    assert set(section["metrics"]) == {"metric", "rows", "challenger", "champion", "gain"}
    package = world.client("sagemaker").describe_model_package(ModelPackageName=section["model_package_arn"])
    assert package["ModelApprovalStatus"] == status


def test_a_model_that_takes_other_requests_waits_for_a_person(
    world: World, event: Events, context: Context
) -> None:
    told = json.dumps({"manifest_sha256": MANIFEST, "request_change": "every record must name 'wind'"})
    write_output(world, predictions(0.5, None), metrics=told.encode())

    section = world.load("evaluation_gate").handler(event("evaluation_gate"), context)

    assert section["outcome"] == "needs_approval"
    assert "request_change" in {reason["code"] for reason in section["reasons"]}


def test_where_approval_is_required_the_version_waits_for_a_person(
    world: World, event: Events, context: Context
) -> None:
    write_output(world, predictions(0.5, None))
    run = event("evaluation_gate")
    run["spec"]["evaluation"]["approval"] = "required"

    section = world.load("evaluation_gate").handler(run, context)

    assert section["outcome"] == "needs_approval"
    package = world.client("sagemaker").describe_model_package(ModelPackageName=section["model_package_arn"])
    assert package["ModelApprovalStatus"] == "PendingManualApproval"


def area_under_curve(scores: bytes, column: int) -> float:
    """Mann and Whitney's count over the file itself: each positive beside each negative."""
    rows = [line.split(",") for line in gzip.decompress(scores).decode().splitlines()[1:]]
    labels = np.array([int(row[1]) for row in rows], dtype=bool)
    values = np.array([float(row[column]) for row in rows])
    above = values[labels][:, None] - values[~labels][None, :]
    return float((above > 0).mean() + (above == 0).mean() / 2)


@pytest.mark.case("DE-01")
def test_both_models_metrics_are_computed_from_this_runs_rows(
    world: World, event: Events, context: Context
) -> None:
    scores = predictions(0.5, 1.5)
    write_output(world, scores)
    remembered(world, 0.999)

    section = world.load("evaluation_gate").handler(
        event("evaluation_gate") | {"champion": CHAMPION}, context
    )

    found = section["metrics"]
    assert section["outcome"] == "promote", "whatever the champion once reached on other rows"
    assert found["challenger"]["value"] == pytest.approx(area_under_curve(scores, 2), abs=1e-6)
    assert found["champion"]["value"] == pytest.approx(area_under_curve(scores, 3), abs=1e-6)


@pytest.mark.case("SM-07")
def test_a_job_without_all_of_its_evidence_is_a_named_fault(
    world: World, event: Events, context: Context
) -> None:
    write_output(world, predictions(0.5, None), leave_out="probe.json")

    with pytest.raises(ArtifactInvalid, match=r"lacks probe\.json"):
        world.load("evaluation_gate").handler(event("evaluation_gate"), context)


BROKEN_MODELS: dict[str, tuple[bytes | None, str]] = {
    "absent": (None, r"model\.tar\.gz is missing"),
    "no bytes": (b"", r"model\.tar\.gz: model\.tar\.gz cannot be unpacked"),
    "cut in the middle": (MODEL_ARCHIVE[: len(MODEL_ARCHIVE) // 2], "cannot be unpacked: EOFError"),
    "one file changed": (
        model_archive(recipe=b"{ }"),
        r"recipe\.json is not the file its manifest describes",
    ),
    "another": (model_archive(9), "not the one that was judged"),
    "empty of files": (packed({}), r"has no manifest\.json: it was never finished"),
}


@pytest.mark.case("SM-07")
@pytest.mark.parametrize("name", BROKEN_MODELS)
def test_a_completed_job_without_a_whole_model_becomes_no_version(
    world: World, event: Events, context: Context, name: str
) -> None:
    body, sentence = BROKEN_MODELS[name]
    write_output(world, predictions(0.5, 1.5))
    if body is None:
        world.client("s3").delete_object(Bucket=world.artifacts, Key=MODEL)
    else:
        world.put(world.artifacts, MODEL, body)

    with pytest.raises(ArtifactInvalid, match=sentence) as caught:
        world.load("evaluation_gate").handler(event("evaluation_gate") | {"champion": CHAMPION}, context)

    assert MODEL in str(caught.value)
    sagemaker = world.client("sagemaker")
    assert not sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"]
    assert Decisions(world.table).of_model("flights") == []


def with_scores(scores: bytes, word: str, column: int, rows: int) -> bytes:
    """The same predictions, with a word in place of a column's first scores."""
    lines = [line.split(",") for line in gzip.decompress(scores).decode().splitlines()]
    for cells in lines[1 : rows + 1]:
        cells[column] = word
    return gzip.compress("\n".join(",".join(cells) for cells in lines).encode() + b"\n", mtime=0)


@pytest.mark.case("SM-07")
@pytest.mark.parametrize("rows", [1, 2_000])
@pytest.mark.parametrize("word", ["nan", "inf", ""])
def test_a_model_whose_scores_are_no_numbers_is_rejected_with_their_count(
    world: World, event: Events, context: Context, word: str, rows: int
) -> None:
    write_output(world, with_scores(predictions(0.5, 1.5), word, 2, rows))

    section = world.load("evaluation_gate").handler(
        event("evaluation_gate") | {"champion": CHAMPION}, context
    )

    assert section["outcome"] == "reject"
    (reason,) = section["reasons"]
    assert reason["code"] == "predictions_unusable"
    assert f"no usable score for {rows} of 2000 rows" in reason["sentence"]
    package = world.client("sagemaker").describe_model_package(ModelPackageName=section["model_package_arn"])
    assert package["ModelApprovalStatus"] == "Rejected"


@pytest.mark.case("SM-07")
def test_a_truncated_archive_of_evidence_is_a_named_fault(
    world: World, event: Events, context: Context
) -> None:
    world.put(world.artifacts, OUTPUT, gzip.compress(b"x" * 2000)[:40])

    with pytest.raises(ArtifactInvalid):
        world.load("evaluation_gate").handler(event("evaluation_gate"), context)


def test_the_section_is_small_enough_to_travel(world: World, event: Events, context: Context) -> None:
    write_output(world, predictions(0.5, 1.5))

    section = world.load("evaluation_gate").handler(
        event("evaluation_gate") | {"champion": CHAMPION}, context
    )

    assert len(json.dumps(section)) < 10_000
