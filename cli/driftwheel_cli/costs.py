"""What a run may cost at most, from the declaration and a table of prices anybody can edit."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, ValidationError

from driftwheel.spec import ModelSpec
from driftwheel_cli.failures import CommandFailed

HOURS_OF_A_MONTH = 730

FUNCTIONS = {
    "data_arrival": (300, 512),
    "preprocessing": (900, 3008),
    "training_launch": (60, 512),
    "evaluation_gate": (300, 1769),
    "deployment": (60, 512),
    "record_outcome": (60, 512),
}
"""Function of a run → (timeout in seconds, memory in MB), as template.yaml has them."""

SPARK_FUNCTION = (900, 1024)
"""The function that starts Spark's job: only for a data set larger than the model declares."""

TRANSITIONS = 11
"""States a promoted run enters at most, approval by a person included (docs/architecture.md)."""


class Prices(BaseModel):
    """Prices of one region, without free tier, taxes or discounts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    currency: str
    region: str
    noted: str
    instance_hour: Mapping[str, NonNegativeFloat]
    lambda_gb_second: NonNegativeFloat
    state_transition: NonNegativeFloat
    s3_gb_month: NonNegativeFloat

    def of_instance(self, name: str) -> float:
        """Give the price of an hour; raises CommandFailed naming the table's entry that is missing."""
        if name not in self.instance_hour:
            raise CommandFailed(
                f"the price table has no {name}: add it under instance_hour to a copy of the table "
                "(driftwheel plan --print-prices > prices.json) and name the copy with --prices"
            )
        return self.instance_hour[name]


@dataclass(frozen=True)
class Cost:
    """One line of the plan: what is paid for, how much of it at most, and what that costs."""

    what: str
    quantity: str
    amount: float


@dataclass(frozen=True)
class Ceiling:
    """What one run may cost at most, and what stands afterwards costs a month."""

    run: list[Cost]
    month: list[Cost]

    @property
    def of_run(self) -> float:
        """The most one run costs."""
        return sum(cost.amount for cost in self.run)

    @property
    def of_month(self) -> float:
        """What a month of serving costs."""
        return sum(cost.amount for cost in self.month)


def prices_text() -> str:
    """Give the table that is shipped."""
    return files("driftwheel_cli").joinpath("prices.json").read_text(encoding="utf-8")


def read_prices(path: Path | None) -> Prices:
    """Read a table of prices, the shipped one without ``path``; raises CommandFailed naming what is wrong."""
    text = prices_text() if path is None else path.read_text(encoding="utf-8")
    try:
        return Prices.model_validate(json.loads(text))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise CommandFailed(f"{path}: {place}: {first['msg']}") from error
    except ValueError as error:
        raise CommandFailed(f"{path} is not a table of prices in JSON: {error}") from error


def ceiling(spec: ModelSpec, prices: Prices, stored_bytes: int, dropped_bytes: int = 0) -> Ceiling:
    """Add up what one run of a model may cost.

    The functions that do a run's work are counted once at their timeouts, the training job at
    ``max_runtime_seconds`` (a spot job at the full price) and again on each of ``fallback_instances``: a
    machine may fail in its last minute. The second fleet of a swap is counted for as long as SageMaker may
    take. ``stored_bytes`` is what the run keeps in S3; ``dropped_bytes``, the size of the data set, decides
    whether Spark prepares it. Not counted: what a retried function repeats, the functions that start, ask
    and wake, requests to S3, DynamoDB, SQS and EventBridge, logs: cents (docs/cost.md).
    """
    training, mode = spec.training, spec.deployment
    hours = training.instance_count * training.max_runtime_seconds / 3600
    swap = mode.instance_count * mode.limit_seconds / 3600
    spark = spec.preprocessing.engine_for(dropped_bytes) == "spark"
    functions = [*FUNCTIONS.values(), *([SPARK_FUNCTION] if spark else [])]
    transitions = TRANSITIONS + spark
    gb_seconds = sum(seconds * megabytes / 1024 for seconds, megabytes in functions)
    run = [
        Cost("Lambda functions", f"{gb_seconds:,.0f} GB-s", gb_seconds * prices.lambda_gb_second),
        Cost("Step Functions", f"{transitions} transitions", transitions * prices.state_transition),
        *(
            Cost(
                "training job again, if its machine fails" if attempt else "training job",
                f"{training.instance_count} x {instance}, {training.max_runtime_seconds:,} s",
                hours * prices.of_instance(instance),
            )
            for attempt, instance in enumerate(training.instances)
        ),
        Cost(
            "second fleet while traffic moves",
            f"{mode.instance_count} x {mode.instance}, {mode.limit_seconds:,} s",
            swap * prices.of_instance(mode.instance),
        ),
    ]
    if spark:
        machine = spec.preprocessing
        price = prices.of_instance(machine.instance) * machine.instance_count
        quantity = f"{machine.instance_count} x {machine.instance}, {machine.max_runtime_seconds:,} s"
        run.insert(2, Cost("Spark processing job", quantity, price * machine.max_runtime_seconds / 3600))
    serving = mode.instance_count * HOURS_OF_A_MONTH
    gigabytes = stored_bytes / 1e9
    month = [
        Cost(
            "endpoint",
            f"{mode.instance_count} x {mode.instance}, {HOURS_OF_A_MONTH} h",
            serving * prices.of_instance(mode.instance),
        ),
        Cost("S3, data and this run's files", f"{gigabytes:,.3f} GB", gigabytes * prices.s3_gb_month),
    ]
    return Ceiling(run, month)
