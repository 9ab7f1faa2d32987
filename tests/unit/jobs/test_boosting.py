import os
import signal

import numpy as np
import pytest
import xgboost as xgb

from driftwheel.errors import ArtifactInvalid
from driftwheel.jobs.boosting import Fitted, Interruption, Stopped, fit, refit, weights_of
from driftwheel.jobs.checkpoints import Checkpoints, fingerprint
from driftwheel.jobs.container import Hyperparameters
from driftwheel.jobs.tables import Table

NAMES, TYPES = ["a", "b", "kind"], ["q", "q", "c"]


def settings(**changes):
    return Hyperparameters(
        **{
            "model": "m",
            "run_id": "r",
            "kind": "binary",
            "eval_metric": "auc",
            "rounds": 25,
            "early_stopping_rounds": 50,
            "seed": 7,
            "booster": {"max_depth": "3"},
            **changes,
        }
    )


def table(seed, rows=400):
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(rows, 3)).astype(np.float32)
    features[:, 2] = generator.integers(0, 8, size=rows)
    features[::7, 1] = np.nan
    labels = (features[:, 0] + np.isin(features[:, 2], (1, 5)) + generator.normal(size=rows) > 0.5).astype(
        float
    )
    return Table(features, labels)


def run(folder, interruption=None, **changes) -> Fitted:
    return fit(
        table(1),
        table(2),
        NAMES,
        TYPES,
        settings(**changes),
        cpus=1,
        checkpoints=Checkpoints(folder, "same"),
        interruption=interruption or Interruption(),
    )


class StopAfter(Interruption):
    """SIGTERM that arrives while a given round is under way."""

    def __init__(self, rounds):
        super().__init__()
        self._left = rounds

    @property
    def arrived(self):
        self._left -= 1
        self._arrived = self._left <= 0
        return self._arrived


def test_metrics_are_printed_as_xgboost_prints_them(tmp_path, capsys):
    run(tmp_path, rounds=3)

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[2].startswith("[2]\ttrain-auc:")
    assert "\tvalidation-auc:" in lines[2]


def test_the_kept_trees_end_at_the_best_round(tmp_path):
    fitted = run(tmp_path, rounds=200, early_stopping_rounds=5)

    assert fitted.rounds == fitted.best_round + 6
    assert fitted.booster.num_boosted_rounds() == fitted.best_round + 1


@pytest.mark.case("SM-05")
@pytest.mark.parametrize("stopped_after", [1, 7, 20])
def test_a_training_resumed_after_sigterm_grows_the_trees_of_an_uninterrupted_one(tmp_path, stopped_after):
    whole = run(tmp_path / "whole")
    with pytest.raises(Stopped):
        run(tmp_path / "parts", StopAfter(stopped_after))

    resumed = run(tmp_path / "parts")

    assert resumed.resumed_from == stopped_after
    assert resumed.best_round == whole.best_round
    assert resumed.booster.save_raw("json") == whole.booster.save_raw("json")


def test_a_resumed_training_that_samples_goes_on_to_the_same_number_of_rounds(tmp_path):
    sampled = {"subsample": "0.7", "colsample_bytree": "0.7"}
    with pytest.raises(Stopped):
        run(tmp_path, StopAfter(7), booster=sampled)

    resumed = run(tmp_path, booster=sampled)

    assert (resumed.resumed_from, resumed.rounds) == (7, 25)
    assert resumed.best_score > 0.75


def test_without_a_signal_at_most_ten_rounds_are_lost(tmp_path):
    run(tmp_path, rounds=35)

    kept = ["state.json", "trees-000020.json", "trees-000030.json"]  # the last, and the one before it
    assert sorted(path.name for path in tmp_path.iterdir()) == kept


def test_a_copy_of_the_folder_made_while_it_is_saved_again_can_be_resumed(tmp_path):
    """SageMaker copies file by file: the state of one moment, the trees of the next."""
    run(tmp_path / "used", rounds=20)
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "state.json").write_bytes((tmp_path / "used" / "state.json").read_bytes())
    run(tmp_path / "used", rounds=30)

    for path in (tmp_path / "used").glob("trees-*"):
        (copy / path.name).write_bytes(path.read_bytes())

    assert run(copy, rounds=30).resumed_from == 20


def test_a_checkpoint_of_other_data_or_settings_is_not_resumed(tmp_path):
    run(tmp_path, rounds=20)

    assert Checkpoints(tmp_path, "same").resume() is not None
    assert Checkpoints(tmp_path, "other").resume() is None


@pytest.mark.parametrize("ruin", ["trees-000020.json", "state.json"])
def test_a_damaged_checkpoint_means_starting_anew_not_failing(tmp_path, ruin):
    run(tmp_path, rounds=20)
    (tmp_path / ruin).write_bytes(b"{")

    assert run(tmp_path, rounds=20).resumed_from == 0


def test_the_fingerprint_changes_with_settings_and_with_data(tmp_path):
    data = tmp_path / "train.parquet"
    data.write_bytes(b"one")
    first = fingerprint(settings(), data)

    assert fingerprint(settings(), data) == first
    assert fingerprint(settings(seed=8), data) != first
    data.write_bytes(b"two")
    assert fingerprint(settings(), data) != first


def test_a_regression_stops_by_its_error(tmp_path):
    fitted = run(tmp_path, kind="regression", eval_metric="rmse", rounds=10)

    assert 0 < fitted.best_score < 1


def test_a_validation_split_of_one_class_is_named(tmp_path):
    one = Table(table(2).features, np.zeros(400))

    with (
        pytest.warns(UserWarning, match="only positive or negative"),
        pytest.raises(ArtifactInvalid, match="both classes"),
    ):
        fit(
            table(1),
            one,
            NAMES,
            TYPES,
            settings(),
            cpus=1,
            checkpoints=Checkpoints(tmp_path, "x"),
            interruption=Interruption(),
        )


def test_an_owner_cannot_override_objective_or_threads(tmp_path):
    fitted = run(tmp_path, rounds=2, booster={"objective": "reg:squarederror", "max_depth": "2"})

    assert (
        fitted.booster.predict(xgb.DMatrix(table(3).features, feature_names=NAMES, feature_types=TYPES)).max()
        < 1
    )


def test_sigterm_is_remembered_until_it_is_safe():
    interruption = Interruption()
    before = signal.getsignal(signal.SIGTERM)
    try:
        interruption.listen()
        interruption.check()
        os.kill(os.getpid(), signal.SIGTERM)

        with pytest.raises(Stopped):
            interruption.check()
    finally:
        signal.signal(signal.SIGTERM, before)


def logloss(booster, rows):
    data = xgb.DMatrix(rows.features, feature_names=NAMES, feature_types=TYPES, enable_categorical=True)
    scores = booster.predict(data)
    return -np.mean(np.log(np.where(rows.labels == 1, scores, 1 - scores)))


def test_the_second_pass_learns_from_the_validation_rows_too_and_grows_no_more_rounds(tmp_path):
    first = run(tmp_path)

    second = refit(first, [table(1), table(2)], NAMES, TYPES, settings(), cpus=1, interruption=Interruption())

    assert second.booster.num_boosted_rounds() == first.best_round + 1
    assert logloss(second.booster, table(2)) < logloss(first.booster, table(2)) - 0.02
    assert second.validation_scores is first.validation_scores


def test_sigterm_stops_the_second_pass(tmp_path):
    first = run(tmp_path)

    class Now(Interruption):
        def check(self):
            raise Stopped

    with pytest.raises(Stopped):
        refit(first, [table(1)], NAMES, TYPES, settings(), cpus=1, interruption=Now())


def turned(rows, *, early):
    """A rule that turned round: old rows say the opposite of new ones, and there are more of them."""
    generator = np.random.default_rng(5)
    features = generator.normal(size=(rows, 3)).astype(np.float32)
    features[:, 2] = 0
    old = np.arange(rows) < early * rows
    labels = ((features[:, 0] > 0) ^ old).astype(float)
    return Table(features, labels, np.where(old, 0.0, 100.0))


@pytest.mark.parametrize(("half_life_days", "learns_the_new"), [(0.0, False), (1_000.0, False), (10.0, True)])
def test_rows_lose_half_their_weight_with_every_half_life(tmp_path, half_life_days, learns_the_new):
    past, now = turned(600, early=0.7), turned(200, early=0.0)
    wanted = settings(half_life_days=half_life_days, rounds=10)
    parts = {"names": NAMES, "types": TYPES, "settings": wanted, "cpus": 1, "interruption": Interruption()}

    fitted = fit(past, past, checkpoints=Checkpoints(tmp_path, "f"), **parts)
    again = refit(fitted, [past, past], **parts)

    for booster in (fitted.booster, again.booster):
        said = booster.predict(
            xgb.DMatrix(now.features, feature_names=NAMES, feature_types=TYPES, enable_categorical=True)
        )
        assert (np.mean((said > 0.5) == (now.labels > 0.5)) > 0.9) == learns_the_new


def test_weights_have_mean_one_and_a_row_without_a_time_counts_as_the_oldest():
    weights = weights_of(np.array([0.0, 30.0, 60.0, np.nan]), 30.0)

    assert weights.mean() == pytest.approx(1.0)
    assert (weights / weights[0]).tolist() == pytest.approx([1.0, 2.0, 4.0, 1.0])
    assert weights_of(np.full(3, np.nan), 30.0).tolist() == [1.0, 1.0, 1.0]
