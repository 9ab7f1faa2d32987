"""What a run would start and cost is said before it costs anything."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from driftwheel.spec import load_spec
from driftwheel_cli.costs import FUNCTIONS, SPARK_FUNCTION, ceiling, prices_text, read_prices
from driftwheel_cli.failures import CommandFailed
from driftwheel_cli.main import cli
from driftwheel_local.template import read_template

from .conftest import ROOT

SPEC = """
model: parcels
source: {prefix: data/parcels/, key: [id]}
enrich: [{prefix: data/depots/, on: [depot]}]
columns:
  id: {type: category, feature: false}
  depot: {type: category}
  size: {type: number, missing: median}
  weight: {type: number, missing: median}
  late: {type: boolean, feature: false}
target: {column: late}
quality: {minimum_rows: 20, minimum_class_rows: 2}
evaluation: {minimum_rows: 20}
training: {algorithm: xgboost, instance: ml.m5.xlarge, max_runtime_seconds: 1800}
deployment: {mode: all_at_once, instance: ml.c5.large, instance_count: 2}
triggers: {runs_per_day: 3}
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.yaml"
    path.write_text(SPEC, encoding="utf-8")
    return path


@pytest.fixture
def parcels(tmp_path: Path) -> Path:
    rows = [f"p{n},{'NSE'[n % 3]},{n % 17},{str(n % 5 == 0).lower()}" for n in range(300)]
    path = tmp_path / "parcels.csv"
    path.write_text("\n".join(["id,depot,weight,late", *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def depots(tmp_path: Path) -> Path:
    path = tmp_path / "depots.csv"
    path.write_text("depot,size\nN,1\nS,2\nE,3\n", encoding="utf-8")
    return path


def plan(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["plan", *map(str, arguments)])


def test_the_plan_says_what_becomes_of_the_rows_and_what_a_run_costs_at_most(
    model: Path, parcels: Path, depots: Path
) -> None:
    answer = plan(model, parcels, "--with", "enrich-0", depots, "--json")

    assert answer.exit_code == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert found["outcome"] == "ready"
    assert found["rows"]["read"] == 300
    costs = {cost["what"]: cost["cost"] for cost in found["run"]["costs"]}
    assert costs["training job"] == pytest.approx(0.230 / 2)
    assert costs["second fleet while traffic moves"] == pytest.approx(2 * 0.102 * 1560 / 3600)
    assert found["run"]["at_most"] == pytest.approx(sum(costs.values()))
    assert found["month"]["costs"][0]["cost"] == pytest.approx(2 * 730 * 0.102)
    assert parcels.exists()
    assert depots.exists()


def test_a_person_reads_the_ceiling_of_a_day(model: Path, parcels: Path, depots: Path) -> None:
    answer = plan(model, parcels, "--with", "enrich-0", depots)

    assert "ready to train on" in answer.stdout
    assert "at most 3 runs a day (triggers.runs_per_day)" in answer.stdout
    assert "2026-11-24" in answer.stdout


def test_data_a_run_would_refuse_exits_1_and_names_the_reason(
    model: Path, parcels: Path, depots: Path
) -> None:
    parcels.write_text(parcels.read_text(encoding="utf-8").replace("true", "false"), encoding="utf-8")

    answer = plan(model, parcels, "--with", "enrich-0", depots)

    assert answer.exit_code == 1
    assert "label-single-class" in answer.stdout
    assert "no training job" in answer.stdout


def test_a_joined_source_without_a_file_is_asked_for(model: Path, parcels: Path) -> None:
    answer = plan(model, parcels)

    assert answer.exit_code == 1
    assert "--with enrich-0 FILE" in answer.stderr


def test_an_unknown_role_is_refused_naming_those_there_are(model: Path, parcels: Path) -> None:
    answer = plan(model, parcels, "--with", "enrich-1", parcels)

    assert answer.exit_code == 1
    assert "source, enrich-0" in answer.stderr


def test_an_edited_table_of_prices_counts(model: Path, parcels: Path, depots: Path, tmp_path: Path) -> None:
    table = json.loads(prices_text())
    table["instance_hour"]["ml.m5.xlarge"] = 1000
    edited = tmp_path / "prices.json"
    edited.write_text(json.dumps(table), encoding="utf-8")

    answer = plan(model, parcels, "--with", "enrich-0", depots, "--prices", edited, "--json")

    assert json.loads(answer.stdout)["run"]["at_most"] > 500


def test_an_instance_without_a_price_is_named_before_the_data_are_read(model: Path, parcels: Path) -> None:
    model.write_text(SPEC.replace("ml.m5.xlarge", "ml.p5.48xlarge"), encoding="utf-8")

    answer = plan(model, parcels, "--with", "enrich-0", parcels)

    assert answer.exit_code == 1
    assert "ml.p5.48xlarge" in answer.stderr
    assert "--prices" in answer.stderr


@pytest.mark.parametrize("text", ["{", '{"currency": "USD"}', prices_text().replace("0.115", "-1")])
def test_a_broken_table_of_prices_is_named(text: str, tmp_path: Path) -> None:
    broken = tmp_path / "prices.json"
    broken.write_text(text, encoding="utf-8")

    with pytest.raises(CommandFailed, match=r"prices\.json"):
        read_prices(broken)


def test_the_printed_table_is_the_one_that_is_used() -> None:
    answer = CliRunner().invoke(cli, ["plan", "--print-prices"])

    assert answer.exit_code == 0
    assert json.loads(answer.stdout) == json.loads(prices_text())


def test_the_functions_counted_are_those_of_the_template() -> None:
    template = read_template(ROOT / "template.yaml")
    default = template["Globals"]["Function"]
    declared = {}
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            own = default | resource["Properties"]
            declared[str(own["CodeUri"]).split("/")[1]] = (own["Timeout"], own["MemorySize"])

    assert {name: declared[name] for name in FUNCTIONS} == FUNCTIONS
    assert declared["preprocessing_launch"] == SPARK_FUNCTION


def test_every_instance_type_that_may_be_tried_is_counted() -> None:
    plain, prices = load_spec(SPEC), read_prices(None)
    dear = max(prices.instance_hour, key=prices.of_instance)
    falling_back = plain.model_copy(
        update={"training": plain.training.model_copy(update={"fallback_instances": [dear]})}
    )

    extra = ceiling(falling_back, prices, 0).of_run - ceiling(plain, prices, 0).of_run

    hours = plain.training.max_runtime_seconds / 3600
    assert extra == pytest.approx(hours * prices.of_instance(dear))
    trained = [cost.quantity for cost in ceiling(falling_back, prices, 0).run if "training" in cost.what]
    assert [each.split()[2].strip(",") for each in trained] == [plain.training.instance, dear]


def test_a_spot_job_is_counted_at_the_full_price() -> None:
    plain = load_spec(SPEC)
    spot = plain.model_copy(update={"training": plain.training.model_copy(update={"spot": True})})

    assert ceiling(spot, read_prices(None), 0).of_run == ceiling(plain, read_prices(None), 0).of_run


def test_a_large_data_set_pays_for_a_spark_job_and_one_more_state() -> None:
    spec, prices = load_spec(SPEC), read_prices(None)

    small, large = (ceiling(spec, prices, 0, size) for size in (2_000_000_000, 2_000_000_001))

    assert not [cost for cost in small.run if "Spark" in cost.what]
    (job,) = [cost for cost in large.run if "Spark" in cost.what]
    assert job.amount == pytest.approx(4 * prices.of_instance("ml.m5.4xlarge"))
    assert any(cost.quantity.startswith("12 transitions") for cost in large.run)


def test_a_name_that_is_no_file_and_no_model_says_both(tmp_path: Path) -> None:
    data = tmp_path / "a.csv"
    data.write_text("x\n1\n")

    result = CliRunner().invoke(
        cli, ["--local", str(tmp_path / "no-stack"), "plan", "nosuchmodel", str(data)]
    )

    assert result.exit_code == 1
    assert "there is no file nosuchmodel; as the name of a registered model: " in result.stderr
