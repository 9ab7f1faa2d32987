import gzip
import json
import re
import shutil
import signal
import tarfile

import numpy as np
import pytest

from driftwheel.algorithms import XGBoostTraining
from driftwheel.algorithms.request import TrainingJob
from driftwheel.deployment.probe import Answered, Probe, compare_answer
from driftwheel.gate import evaluate
from driftwheel.jobs import serve
from driftwheel.jobs.artifact import check
from driftwheel.jobs.evidence import request_change
from driftwheel.recipe.row import load_recipe
from driftwheel.spec import Evaluation


def predictions(job):
    lines = gzip.decompress((job.data / "predictions.csv.gz").read_bytes()).decode().splitlines()
    return lines[0].split(","), [line.split(",") for line in lines[1:]]


def test_a_job_leaves_a_model_with_a_manifest_and_its_evidence(trained):
    manifest = check(trained.model)

    assert {path.name for path in trained.data.iterdir()} == {
        "predictions.csv.gz",
        "probe.json",
        "baseline.json",
        "metrics.json",
    }
    assert (manifest["model"], manifest["run_id"], manifest["xgboost"]) == ("flights", "ab12", "3.2.0")
    assert manifest["feature_names"] == ["origin", "carrier", "temp", "humid", "muggy"]
    assert manifest["feature_types"] == ["c", "c", "q", "q", "q"]
    assert "code/serve.py" in manifest["files"]
    assert trained.metrics()["champion"]["status"] == "absent"
    assert trained.metrics()["rows"] == {"train": 900, "validation": 300, "holdout": 400}
    assert trained.metrics()["peak_memory_mb"] > 0


def test_the_log_holds_the_metrics_the_requests_regular_expressions_look_for(trained):
    wanted = TrainingJob(
        name="n",
        model="m",
        run_id="r",
        spec_digest="s",
        code_sha256="c",
        kind="binary",
        metric="auc",
    )

    for definition in XGBoostTraining().metric_definitions(wanted):
        found = re.findall(definition["Regex"], trained.log.stdout)
        assert len(found) == trained.metrics()["rounds"]
        assert 0.5 < float(found[-1]) <= 1
        # CloudWatch shows a tab as #011.
        assert re.findall(definition["Regex"], trained.log.stdout.replace("\t", "#011")) == found


def test_the_gate_reads_what_the_job_wrote(trained):
    header, rows = predictions(trained)

    verdict = evaluate(
        (trained.data / "predictions.csv.gz"), Evaluation(floor=0.65, slices=["origin"]), "binary", seed=1
    )

    assert header == ["key", "label", "challenger", "champion", "slice.origin", "slice.carrier"]
    assert {row[3] for row in rows} == {""}
    assert verdict.decision == "promote"
    assert verdict.rows == 400


def test_the_same_job_writes_the_same_model_and_predictions(trained, job):
    assert job.run().returncode == 0

    for name in ("model.json", "golden.jsonl", "manifest.json"):
        assert (job.model / name).read_bytes() == (trained.model / name).read_bytes()
    for name in ("predictions.csv.gz", "probe.json", "baseline.json"):
        assert (job.data / name).read_bytes() == (trained.data / name).read_bytes()


def test_the_server_answers_the_probe_as_the_job_did(trained):
    probe = Probe.from_json((trained.data / "probe.json").read_bytes())
    model = serve.model_fn(str(trained.model))

    answer, _ = serve.output_fn(serve.predict_fn(serve.input_fn(probe.body()), model))

    assert isinstance(compare_answer(probe, answer.encode()), Answered)


def test_the_baseline_watches_the_columns_a_request_sends(trained):
    baseline = json.loads((trained.data / "baseline.json").read_text())

    assert set(baseline["columns"]) == {"origin", "carrier", "temp", "humid"}
    assert baseline["rows"] == 1_200
    assert baseline["label"]["n"] == 300
    assert baseline["weights"]["temp"] > baseline["weights"]["carrier"]


@pytest.mark.case("DE-01")
def test_challenger_and_champion_are_scored_on_the_same_rows_each_by_its_own_artifact(
    trained, tmp_path, job, write_prepared
):
    job.prepared = write_prepared(tmp_path / "weak", seed=50, strength=0.2)
    job.champion = trained.pack(tmp_path / "champion")

    assert job.run(champion_manifest_sha256=trained.metrics()["manifest_sha256"]).returncode == 0

    mine, theirs = predictions(job)[1], predictions(trained)[1]
    assert [row[:2] for row in mine] == [row[:2] for row in theirs]
    assert [row[3] for row in mine] == [row[2] for row in theirs]
    assert job.metrics()["champion"] == {"status": "scored", "reason": "", "run_id": "ab12"}
    assert job.metrics()["request_change"] == ""
    data = (job.data / "predictions.csv.gz").read_bytes()
    assert evaluate(data, Evaluation(), "binary", seed=1, champion_expected=True).decision == "reject"


@pytest.mark.case("SE-04")
def test_a_champion_that_was_replaced_since_it_was_judged_is_not_scored(
    trained, tmp_path, job, write_prepared
):
    job.prepared = write_prepared(tmp_path / "weak", seed=50, strength=0.2)
    job.champion = trained.pack(tmp_path / "champion")

    assert job.run(champion_manifest_sha256="0" * 64).returncode == 0

    found = job.metrics()["champion"]
    assert (found["status"], found["run_id"]) == ("unusable", "")
    assert "not the one that was judged" in found["reason"]


@pytest.mark.parametrize("ruin", ["flip", "cut", "absent", "foreign"])
def test_a_champion_that_cannot_be_trusted_is_not_scored_and_the_gate_asks_a_person(
    trained, tmp_path, job, ruin
):
    job.champion = trained.pack(tmp_path / "champion")
    archive = job.champion / "model.tar.gz"
    if ruin == "flip":
        copy = tmp_path / "copy"
        shutil.copytree(trained.model, copy)
        (copy / "params.json").write_text((copy / "params.json").read_text().replace("55.0", "56.0"))
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(copy, ".")
    elif ruin == "cut":
        archive.write_bytes(archive.read_bytes()[:3_000])
    elif ruin == "absent":
        archive.unlink()
    else:
        archive.write_bytes(gzip.compress(b"not a tar"))

    assert job.run().returncode == 0

    found = job.metrics()["champion"]
    assert found["status"] == "unusable"
    assert found["reason"]
    data = (job.data / "predictions.csv.gz").read_bytes()
    verdict = evaluate(data, Evaluation(), "binary", seed=1, champion_expected=True)
    assert verdict.decision == "needs_approval"


def recipe(required=(), inputs=("temp", "wind"), **changes):
    """A champion's or a challenger's recipe: two numbers that may be missing, but for the changes."""
    kept = {"type": "number", "missing": "keep", "null_tokens": [""], "range": None, "outside": "null"}
    columns = [
        {"name": n, "model_input": True, "optional": n not in required} | kept | changes.get(n, {})
        for n in inputs
    ]
    return load_recipe({"version": 1, "columns": columns, "inputs": list(inputs), "features": []}, {})


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (recipe(), ""),
        (recipe(["temp"]), ""),
        (recipe(["temp", "wind"]), "every record must name 'wind'"),
        (recipe(wind={"missing": "reject"}), "a value may not be missing in 'wind'"),
        (recipe(wind={"type": "integer"}), "'wind' is of type integer, not number"),
        (recipe(inputs=["wind", "temp"]), "CSV rows have other cells, in another order"),
        (recipe(inputs=["temp"]), "CSV rows have other cells, without 'wind'"),
        (
            recipe(["rain"], inputs=["temp", "rain"], rain={"missing": "reject"}),
            (
                "every record must name 'rain'; a value may not be missing in 'rain'; "
                "CSV rows have other cells, with 'rain' and without 'wind'"
            ),
        ),
    ],
)
def test_a_change_that_would_refuse_the_champions_requests_is_named(new, said):
    assert request_change(new, recipe(["temp"])) == said
    assert request_change(new, None) == ""


def test_what_the_champions_clients_would_have_to_send_is_told(trained, tmp_path, job, write_manifest):
    job.prepared = shutil.copytree(job.prepared, tmp_path / "prepared")
    recipe = json.loads((job.prepared / "recipe.json").read_bytes())
    recipe["inputs"] = ["humid", "origin", "carrier", "temp"]
    (job.prepared / "recipe.json").write_text(json.dumps(recipe))
    write_manifest(job.prepared)
    job.champion = trained.pack(tmp_path / "champion")

    assert job.run().returncode == 0

    assert job.metrics()["request_change"] == "CSV rows have other cells, in another order"


def test_a_champion_whose_recipe_refuses_some_rows_is_unusable_and_says_which_field(
    trained, tmp_path, job, write_holdout
):
    job.holdout = write_holdout(tmp_path / "gaps")
    path = job.holdout / "holdout.jsonl.gz"
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    lines[0] = re.sub(r'"temp": [-0-9.]+', '"temp": null', lines[0])
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    job.champion = trained.pack(tmp_path / "champion")

    assert job.run().returncode == 0

    assert job.metrics()["champion"]["status"] == "unusable"
    assert "temp (1 rows)" in job.metrics()["champion"]["reason"]
    assert job.metrics()["unscored_fields"] == {"temp": 1}
    assert predictions(job)[1][0][2:4] == ["nan", "nan"]


@pytest.mark.case("DE-14")
def test_a_recipe_that_does_not_reproduce_the_batch_engine_fails_the_job(
    tmp_path, job, write_prepared, write_manifest
):
    job.prepared = write_prepared(tmp_path / "skewed", seed=1)
    path = job.prepared / "golden.jsonl"
    first, *rest = path.read_text().splitlines()
    changed = json.loads(first)
    changed["features"]["muggy"] += 1e-6
    path.write_text("\n".join([json.dumps(changed), *rest]) + "\n")
    write_manifest(job.prepared)

    ended = job.run()

    assert ended.returncode == 1
    assert "golden record 0: feature muggy differs" in job.failure
    assert not (job.model / "manifest.json").exists()


def test_an_input_changed_since_preprocessing_fails_the_job_before_training(tmp_path, job, write_prepared):
    job.prepared = write_prepared(tmp_path / "changed", seed=1)
    (job.prepared / "params.json").write_text("{}")

    ended = job.run()

    assert ended.returncode == 1
    assert job.failure.startswith("ArtifactInvalid: params.json is not the file preprocessing wrote")
    assert "[0]" not in ended.stdout


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"max_depth": "deep"}, "max_depth"),
        ({"kind": "ranking"}, "ranking"),
        ({"num_round": "many"}, "whole numbers"),
    ],
)
def test_a_failure_is_one_short_sentence_a_person_can_act_on(job, asked, words):
    ended = job.run(**asked)

    assert ended.returncode == 1
    assert words in job.failure
    assert len(job.failure) <= 1024
    assert "\n" not in job.failure


@pytest.mark.case("SE-10")
def test_a_fault_nobody_foresaw_tells_its_place_and_no_data(tmp_path, job, write_prepared, write_manifest):
    job.prepared = write_prepared(tmp_path / "broken", seed=1)
    (job.prepared / "recipe.json").write_text('{"version": 1, "columns": [{"name": "canary-4711"}]}')
    write_manifest(job.prepared)

    ended = job.run()

    assert ended.returncode == 1
    assert re.fullmatch(r"KeyError in \w+\.py line \d+", job.failure)
    assert "canary-4711" not in ended.stderr + job.failure


def test_sigterm_keeps_a_checkpoint_publishes_nothing_and_the_next_start_goes_on(job):
    process = job.start(num_round=20_000, early_stopping_rounds=20_000)
    for line in process.stdout:
        if line.startswith("[12]"):
            break
    process.send_signal(signal.SIGTERM)
    rest, err = process.communicate(timeout=60)

    assert process.returncode == 143, err
    assert "a checkpoint is kept" in rest
    assert not (job.model / "manifest.json").exists()
    state = json.loads((job.folder / "checkpoints" / "state.json").read_text())
    assert state["progress"]["rounds"] >= 13

    again = job.start(num_round=20_000, early_stopping_rounds=20_000)
    try:
        lines = iter(again.stdout)
        resumed = next(line for line in lines if line.startswith("["))
        assert resumed.startswith(f"[{state['progress']['rounds']}]")
    finally:
        again.kill()
        again.communicate()


def test_a_regression_is_trained_and_judged(job):
    assert job.run(kind="regression", eval_metric="rmse").returncode == 0

    data = (job.data / "predictions.csv.gz").read_bytes()
    scores = np.array([float(row[2]) for row in predictions(job)[1]])
    assert evaluate(data, Evaluation(metric="rmse"), "regression", seed=1).decision == "promote"
    baseline = json.loads((job.data / "baseline.json").read_text())
    assert (baseline["quality"]["metric"], baseline["quality"]["value"] > 0) == ("rmse", True)
    assert scores.min() < 0.2
    assert scores.max() > 0.8
