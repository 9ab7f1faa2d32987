import csv
import gzip
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.unit.descriptors import still_open

from driftwheel.algorithms import XGBoostTraining
from driftwheel.algorithms.request import TrainingJob
from driftwheel.errors import ArtifactInvalid, SpecInvalid
from driftwheel.jobs.container import Container, Hyperparameters
from driftwheel.jobs.evidence import Champion, write_json, write_predictions
from driftwheel.jobs.tables import HoldoutRow, read_holdout, read_raw, read_table

ENVIRONMENT = {"SM_MODEL_DIR": "/opt/ml/model", "SM_OUTPUT_DATA_DIR": "/opt/ml/output/data"}


def test_folders_come_from_the_toolkits_variables():
    container = Container.from_env(ENVIRONMENT | {"SM_CHANNEL_TRAIN": "/opt/ml/input/data/train"})

    assert str(container.output) == "/opt/ml/output"
    assert str(container.checkpoints) == "/opt/ml/checkpoints"
    assert {name: str(path) for name, path in container.channels.items()} == {
        "train": "/opt/ml/input/data/train"
    }


def test_checkpoints_follow_a_moved_base_folder():
    assert (
        str(Container.from_env(ENVIRONMENT | {"SAGEMAKER_BASE_DIR": "/job"}).checkpoints)
        == "/job/checkpoints"
    )


@pytest.mark.parametrize("missing", ENVIRONMENT)
def test_a_missing_variable_is_named(missing):
    with pytest.raises(SpecInvalid, match=missing):
        Container.from_env({name: value for name, value in ENVIRONMENT.items() if name != missing})


def arguments(hyperparameters, decode):
    """What the container's toolkit makes of hyperparameters: sorted, and decoded."""
    found = []
    for name, value in sorted(hyperparameters.items()):
        if not name.startswith("sagemaker_"):
            found += [f"--{name}", str(decode(value))]
    return found


def json_where_possible(text):
    try:
        return json.loads(text)
    except ValueError:
        return text


@pytest.mark.parametrize("decode", [json_where_possible, str], ids=["toolkit", "verbatim"])
@pytest.mark.parametrize("run_id", ["ab12", "12e5", "0000", "1234", "true", "null"])
def test_what_the_request_says_is_what_the_job_reads(decode, run_id):
    job = TrainingJob(
        name="n",
        model="flights",
        run_id=run_id,
        spec_digest="d",
        code_sha256="e" * 64,
        kind="binary",
        metric="f1",
        slices=("origin", "carrier"),
    )
    request = XGBoostTraining(hyperparameters={"max_depth": 6, "eta": 0.1}, rounds=50).hyperparameter_strings(
        job
    )

    found = Hyperparameters.from_arguments(arguments(request, decode))

    assert found == Hyperparameters(
        model="flights",
        run_id=run_id,
        kind="binary",
        eval_metric="logloss",
        rounds=50,
        early_stopping_rounds=20,
        seed=7,
        slices=("origin", "carrier"),
        code_sha256="e" * 64,
        booster={"max_depth": "6", "learning_rate": "0.1"},
    )


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (["--kind"], "pairs"),
        (["kind", "binary"], "pairs"),
        (["--kind", "ranking"], "ranking"),
        (["--kind", "binary", "--model", "m"], "run_id"),
        (
            [
                "--kind",
                "binary",
                "--model",
                "m",
                "--run_id",
                "r",
                "--eval_metric",
                "auc",
                "--num_round",
                "ten",
                "--early_stopping_rounds",
                "5",
                "--seed",
                "1",
            ],
            "whole numbers",
        ),
    ],
)
def test_odd_hyperparameters_are_named(given, word):
    with pytest.raises(SpecInvalid, match=word):
        Hyperparameters.from_arguments(given)


def test_an_input_that_preprocessing_did_not_write_is_refused(tmp_path):
    (tmp_path / "train.parquet").write_bytes(b"changed")
    (tmp_path / "manifest.json").write_text('{"files": {"train.parquet": {"sha256": "00", "bytes": 1}}}')
    folders = {f"SM_CHANNEL_{name}": str(tmp_path) for name in ("TRAIN", "MANIFEST")}
    container = Container.from_env(ENVIRONMENT | folders)

    with pytest.raises(ArtifactInvalid, match=r"train\.parquet is not the file preprocessing wrote"):
        container.check_inputs({"train": "train.parquet"})


def test_a_table_keeps_missing_values_and_codes(tmp_path):
    path = tmp_path / "train.parquet"
    columns = {"x.a": [1.5, None], "x.kind": [0.0, 2.0], "raw.a": [1.5, None], "raw.s": ["x", None]}
    pq.write_table(pa.table(columns | {"__label": [0.0, 1.0]}), path)

    table = read_table(path, ["kind", "a"])
    raw = read_raw([path, path])

    np.testing.assert_array_equal(table.features, np.array([[0, 1.5], [2, np.nan]], dtype=np.float32))
    np.testing.assert_array_equal(raw["a"], [1.5, np.nan, 1.5, np.nan])
    assert raw["s"] == ["x", None, "x", None]


def test_a_table_without_a_feature_rows_or_labels_is_refused(tmp_path):
    path = tmp_path / "train.parquet"
    pq.write_table(pa.table({"x.a": [1.0], "__label": pa.array([None], pa.float64())}), path)
    with pytest.raises(ArtifactInvalid, match=r"x\.b"):
        read_table(path, ["a", "b"])
    with pytest.raises(ArtifactInvalid, match="without a label"):
        read_table(path, ["a"])
    pq.write_table(pa.table({"x.a": pa.array([], pa.float64()), "__label": pa.array([], pa.float64())}), path)
    with pytest.raises(ArtifactInvalid, match="no rows"):
        read_table(path, ["a"])


@pytest.mark.parametrize("text", ['{"key": "k"}\n', "[]\n", "{\n"])
def test_a_damaged_holdout_names_its_line(tmp_path, text):
    path = tmp_path / "holdout.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"key": "a", "label": 1, "record": {}}\n' + text.encode()))

    with pytest.raises(ArtifactInvalid, match="line 2") as refused:
        read_holdout(path)

    assert refused.tb  # which holds the frames, and with them what they opened
    assert still_open(path) == []


@pytest.mark.case("SE-08")
def test_predictions_are_the_same_bytes_and_no_spreadsheet_runs_them(tmp_path):
    rows = [
        HoldoutRow("a", 1.0, {"carrier": "=cmd|'/c calc'!A1", "delay": -1.5}),
        HoldoutRow("b", 0.0, {"carrier": None, "delay": 2}),
    ]
    paths = [tmp_path / "one.gz", tmp_path / "two.gz"]
    for path in paths:
        write_predictions(
            path,
            rows,
            np.array([0.5, 0.25]),
            Champion("scored", np.array([0.1, np.nan])),
            ["carrier", "delay"],
        )

    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert gzip.decompress(paths[0].read_bytes()).decode().splitlines() == [
        "key,label,challenger,champion,slice.carrier,slice.delay",
        "a,1.0,0.5,0.1,'=cmd|'/c calc'!A1,-1.5",
        "b,0.0,0.25,nan,,2",
    ]


@pytest.mark.case("SE-08")
@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"], ids=repr)
def test_whatever_a_spreadsheet_takes_for_a_formula_stays_a_text(tmp_path, start):
    formula = f"{start}1+cmd|'/c calc'!A1"
    rows = [HoldoutRow("a", 1.0, {"carrier": formula, "delay": -1.5})]

    write_predictions(tmp_path / "p.gz", rows, np.array([0.5]), Champion("absent"), ["carrier", "delay"])

    text = gzip.decompress((tmp_path / "p.gz").read_bytes()).decode()
    (cells,) = [*csv.reader(io.StringIO(text, newline=""))][1:]
    assert cells == ["a", "1.0", "0.5", "", f"'{formula}", "-1.5"]


def test_json_never_holds_nan(tmp_path):
    write_json(tmp_path / "x.json", {"a": float("nan"), "b": [1.0, float("inf")]})

    assert json.loads((tmp_path / "x.json").read_text()) == {"a": None, "b": [1.0, None]}
