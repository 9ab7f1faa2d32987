"""What a model's owner writes: ``model.yaml``, validated.

Every field is refused when misspelt (``extra="forbid"``); the message names the field and its place.
"""

import re
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from driftwheel.algorithms import Training, XGBoostTraining
from driftwheel.deployment import Canary, Deployment
from driftwheel.drift.limits import DriftTestName, Limits
from driftwheel.encode import Encoding
from driftwheel.errors import SpecInvalid
from driftwheel.recipe.notation import form_rule
from driftwheel.units import conversion

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

NAME = r"[a-z0-9](-?[a-z0-9])*"
"""A model's name becomes part of SageMaker names (``[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}``) and of S3 keys."""

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

SYMBOL = r"^([^0-9+\-.,eE\s]|[^0-9+\-.,\s]{2,})$"
"""A currency or percent sign: nothing that a number itself may hold (a lone e is an exponent)."""

Number = int | float


class Part(BaseModel):
    """A frozen piece of ``model.yaml`` that refuses fields it does not know.

    A validator of its own is built when one is first asked for: most parts are only read within a whole.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Source(Part):
    """Where the main rows come from and what makes one row unique."""

    prefix: str
    format: Literal["csv", "jsonl", "parquet"] = "csv"
    delimiter: str = Field(",", min_length=1, max_length=1)
    key: Annotated[list[str], Field(min_length=1)]

    @field_validator("prefix")
    @classmethod
    def _prefix_is_a_folder_of_data(cls, value: str) -> str:
        return _data_prefix(value)


class Enrichment(Part):
    """A second source, joined to the main rows."""

    prefix: str
    format: Literal["csv", "jsonl", "parquet"] = "csv"
    delimiter: str = Field(",", min_length=1, max_length=1)
    on: Annotated[list[str], Field(min_length=1)]
    how: Literal["left", "inner"] = "left"

    @field_validator("prefix")
    @classmethod
    def _prefix_is_a_folder_of_data(cls, value: str) -> str:
        return _data_prefix(value)


class Notation(Part):
    """How the numbers of a CSV column are written, when not like 1234.5.

    ``symbols`` may stand before or behind the number, one at a time; ``%`` among them divides by 100.
    """

    decimal: Literal[".", ","] = "."
    group: Literal[",", ".", " ", "'"] | None = None
    symbols: list[Annotated[str, Field(max_length=8, pattern=SYMBOL)]] = []

    @model_validator(mode="after")
    def _marks_differ(self) -> "Notation":
        if self.group == self.decimal:
            raise ValueError(f"group: {self.group!r} is the decimal mark already")
        return self


class Outliers(Part):
    """What happens to numbers beyond ``fence`` interquartile ranges of the training rows (Tukey 1977)."""

    action: Literal["clip", "null"]
    fence: float = Field(3.0, ge=1)


class Column(Part):
    """One column as it arrives: its type, and what cleaning does to it.

    ``feature: false`` keeps a column out of the model (it may still feed expressions, keys or slices).
    ``range``, ``null_tokens`` and ``fill`` are in the unit the data comes in (``unit``); expressions and the
    model see it converted to ``convert``. ``optional``: a file may lack the column, a request the field.
    """

    type: Literal["category", "text", "integer", "number", "boolean", "timestamp"]
    feature: bool = True
    optional: bool = False
    unit: str | None = None
    convert: str | None = None
    notation: Notation | None = None
    forms: list[str] = []
    null_tokens: list[str] = [""]
    canonical: dict[str, list[str]] = {}
    range: tuple[Number, Number] | None = None
    outside: Literal["null", "clip", "reject"] = "null"
    missing: Literal["keep", "reject", "median", "mean", "mode", "constant"] = "keep"
    fill: bool | Number | str | None = None
    outliers: Outliers | None = None
    description: str | None = None

    @model_validator(mode="after")
    def _rules_fit_the_type(self) -> "Column":
        numeric = self.type in {"integer", "number"}
        if self.range is not None and not numeric:
            raise ValueError(f"range: only for integer and number columns, this one is {self.type}")
        if self.range is not None and self.range[0] > self.range[1]:
            raise ValueError(f"range: lower bound {self.range[0]} is above upper bound {self.range[1]}")
        if self.missing in {"median", "mean"} and not numeric:
            raise ValueError(f"missing: {self.missing} needs a number, this column is {self.type}; use mode")
        if self.canonical and self.type not in {"category", "text"}:
            raise ValueError(f"canonical: only for category and text columns, this one is {self.type}")
        return self

    @model_validator(mode="after")
    def _forms_fit_the_type(self) -> "Column":
        numeric = self.type in {"integer", "number"}
        for field in ("notation", "outliers", "convert"):
            if getattr(self, field) is not None and not numeric:
                raise ValueError(f"{field}: only for integer and number columns, this one is {self.type}")
        if self.notation is not None and self.type == "integer":
            raise ValueError("notation: declare the column as number; integers are written plainly")
        if self.forms and self.type != "timestamp":
            raise ValueError(f"forms: only for timestamp columns, this one is {self.type}")
        for form in self.forms:
            form_rule(form)
        if self.convert is not None:
            if self.unit is None:
                raise ValueError("convert: say the unit the data comes in as unit")
            conversion(self.unit, self.convert)
        if (self.missing == "constant") != (self.fill is not None):
            raise ValueError("fill: give it together with missing: constant")
        return self


class Target(Part):
    """What is predicted: an SQL expression over columns, or a column that holds it already."""

    column: str = "target"
    expression: str | None = None
    kind: Literal["binary", "regression"] = "binary"


class Split(Part):
    """Which rows train, which tune, which judge.

    ``by: time`` takes the latest rows as holdout and those before as validation: a random holdout overstates
    quality where data drifts. ``by: key`` hashes the row key (md5 of salt and key, first eight hex digits);
    ``by: group`` hashes ``columns`` instead, so that no group stands in two splits; ``by: stratified`` gives
    every class (or every value of ``columns``) its declared shares exactly.
    ``rollover``: when the pinned holdout is replaced by the newest rows. ``drift`` does it only for runs
    started by drift: a bad file that arrives can never choose its own judge.
    """

    by: Literal["time", "key", "group", "stratified"] = "key"
    column: str | None = None
    columns: list[str] = []
    validation: float = Field(0.15, gt=0, lt=0.5)
    holdout: float = Field(0.15, gt=0, lt=0.5)
    rollover: Literal["drift", "always", "never"] = "drift"
    salt: str = "driftwheel"

    @model_validator(mode="after")
    def _time_needs_a_column(self) -> "Split":
        if self.by == "time" and self.column is None:
            raise ValueError("column: name the timestamp column to split by time")
        if self.by == "group" and not self.columns:
            raise ValueError("columns: name the columns that make one group")
        if self.columns and self.by not in {"group", "stratified"}:
            raise ValueError(f"columns: a split by {self.by} has none; write by: group or by: stratified")
        return self


class Evaluation(Part):
    """When a challenger is good enough."""

    metric: Literal["auc", "logloss", "f1", "rmse", "mae"] = "auc"
    floor: float | None = None
    minimum_gain: float = 0.0
    confidence: float = Field(0.95, gt=0.5, lt=1)
    minimum_rows: int = Field(200, ge=20)
    slices: list[str] = []
    slice_tolerance: float = Field(0.05, ge=0)
    suspicious: float = 0.999
    approval: Literal["automatic", "required"] = "automatic"


class Drift(Part):
    """What counts as drift in live traffic, beside what, and how often to look.

    ``reference``: ``training`` (the champion's baseline), ``last_accepted`` (the latest window in which
    nothing was found; the next one begins where it ended) or ``season`` (earlier traffic of the same UTC
    hour, weekday or month, whichever ``season`` names). Training is compared with in any case.
    ``window_hours`` judges the last whole hours; without it, the last ``every_minutes`` (whole hours, one at
    least), or as much more, back to the promotion, as ``minimum_rows`` needs.
    ``domain_classifier`` lets a training job after each check tell rows of the window from training rows: one
    job at a time, paid for like any training job, whose answer stands in a later check's report.
    """

    every_minutes: int = Field(60, ge=1)
    tests: list[DriftTestName] = list(Limits.tests)
    reference: Literal["training", "last_accepted", "season"] = "training"
    season: Annotated[list[Literal["hour", "weekday", "month"]], Field(min_length=1)] = ["hour", "weekday"]
    window_hours: int | None = Field(None, ge=1, le=720)
    minimum_rows: int = Field(Limits.minimum_rows, ge=50)
    significance: float = Field(Limits.significance, gt=0, lt=0.5)
    psi_threshold: float = Field(Limits.psi_threshold, gt=0)
    major_share: float = Field(Limits.major_share, gt=0, le=1)
    retrain_at: Literal["minor", "major", "never"] = "major"
    domain_classifier: bool = False

    @property
    def limits(self) -> Limits:
        """What a check needs to know of it."""
        return Limits(
            tests=tuple(self.tests),
            minimum_rows=self.minimum_rows,
            significance=self.significance,
            psi_threshold=self.psi_threshold,
            major_share=self.major_share,
        )

    @model_validator(mode="after")
    def _a_season_needs_windows(self) -> "Drift":
        if self.reference == "season" and self.window_hours is None:
            raise ValueError("window_hours: say how many hours a window has, to compare it with its season")
        return self


class Triggers(Part):
    """When a run may start.

    Drift must show in ``drifted_windows`` of the last ``of_windows`` checks before it retrains.
    ``cost_per_day`` bounds a UTC day's trainings, each paid at ``cost_per_training_hour``; both are in one
    currency, yours.
    """

    quiet_seconds: int = Field(60, ge=0, le=86_400)
    minimum_labelled_rows: int = Field(500, ge=1)
    drifted_windows: int = Field(2, ge=1)
    of_windows: int = Field(3, ge=1, le=24)
    cooldown_minutes: int = Field(60, ge=0)
    runs_per_day: int = Field(12, ge=1)
    cost_per_day: float | None = Field(None, gt=0)
    cost_per_training_hour: float | None = Field(None, gt=0)
    give_up_after: int = Field(3, ge=1)

    @model_validator(mode="after")
    def _bounds_can_be_met(self) -> "Triggers":
        if self.drifted_windows > self.of_windows:
            raise ValueError(
                f"drifted_windows: {self.drifted_windows} of {self.of_windows} windows can never be reached"
            )
        if (self.cost_per_day is None) != (self.cost_per_training_hour is None):
            raise ValueError("cost_per_day: give it together with cost_per_training_hour")
        return self


class Window(Part):
    """Which past rows stay in the next training set, and how much they count.

    ``expanding`` keeps all, ``sliding`` those of the last ``days``, ``weighted`` all, a row weighing half as
    much with every ``half_life_days`` of its age. ``captured_per_hour`` bounds the captured rows of any hour:
    a caller who floods the endpoint does not choose what is learned.
    """

    policy: Literal["expanding", "sliding", "weighted"] = "expanding"
    days: int | None = Field(None, ge=1)
    half_life_days: float | None = Field(None, gt=0)
    captured_per_hour: int = Field(100_000, ge=1)

    @model_validator(mode="after")
    def _policies_have_their_days(self) -> "Window":
        if self.policy == "sliding" and self.days is None:
            raise ValueError("days: say how many days the sliding window keeps")
        if (self.policy == "weighted") != (self.half_life_days is not None):
            raise ValueError("half_life_days: give it together with policy: weighted")
        return self


class Preprocessing(Part):
    """Which engine prepares a data set, and the machine of Spark's job.

    ``auto`` takes Spark when the dropped files, as they lie in S3, are larger than ``spark_above_gb`` (10**9
    bytes): a function holds no more than that. Both engines give the same rows.
    """

    engine: Literal["auto", "duckdb", "spark"] = "auto"
    spark_above_gb: float = Field(2.0, gt=0)
    instance: str = Field("ml.m5.4xlarge", pattern=r"^ml\.[a-z0-9]+\.[a-z0-9]+$")
    instance_count: Literal[1] = 1
    volume_gb: int = Field(200, ge=1, le=16384)
    max_runtime_seconds: int = Field(4 * 3600, ge=60, le=5 * 24 * 3600)

    def engine_for(self, size_bytes: int) -> Literal["duckdb", "spark"]:
        """Decide by the size of the data set."""
        if self.engine != "auto":
            return self.engine
        return "spark" if size_bytes > self.spark_above_gb * 1e9 else "duckdb"


class Quality(Part):
    """What a data set must be like before money is spent on it."""

    minimum_rows: int = Field(200, ge=20)
    minimum_class_rows: int = Field(20, ge=1)
    maximum_rejected_share: float = Field(0.05, ge=0, le=1)


class ModelSpec(Part):
    """One model: its data, recipe, training, judgement, deployment and upkeep."""

    model: str = Field(pattern=f"^{NAME}$", max_length=24)
    source: Source
    enrich: list[Enrichment] = []
    columns: Annotated[dict[str, Column], Field(min_length=1)]
    features: dict[str, str] = {}
    encode: dict[str, Encoding] = {}
    target: Target
    split: Split = Split()
    window: Window = Window()
    quality: Quality = Quality()
    preprocessing: Preprocessing = Preprocessing()
    training: Training = XGBoostTraining()
    evaluation: Evaluation = Evaluation()
    deployment: Deployment = Canary()
    drift: Drift = Drift()
    triggers: Triggers = Triggers()

    @model_validator(mode="after")
    def _names_are_distinct(self) -> "ModelSpec":
        for name in (*self.columns, *self.features):
            if not IDENTIFIER.fullmatch(name) or name.startswith("__"):
                raise ValueError(
                    f"'{name}': a column or feature is letters, digits and _, not starting with __"
                )
        seen: dict[str, str] = {}
        for name in (*self.columns, *self.features):
            if seen.setdefault(name.lower(), name) != name:
                raise ValueError(
                    f"'{name}' and '{seen[name.lower()]}' differ in case only: SQL takes them for one"
                )
        clash = set(self.columns) & set(self.features)
        if clash:
            raise ValueError(f"features: {sorted(clash)} are already columns; give the feature another name")
        return self

    @model_validator(mode="after")
    def _names_refer_to_something(self) -> "ModelSpec":
        known = {
            "source.key": self.source.key,
            "split.column": [self.split.column] if self.split.column else [],
            "enrich.on": [name for enrichment in self.enrich for name in enrichment.on],
            "split.columns": self.split.columns,
            "evaluation.slices": self.evaluation.slices,
            "target.column": [] if self.target.expression else [self.target.column],
        }
        for place, names in known.items():
            for name in names:
                if name not in self.columns:
                    raise ValueError(f"{place}: '{name}' is not declared under columns")
        for name in self.encode:
            if name not in self.columns and name not in self.features:
                raise ValueError(f"encode: '{name}' is neither a column nor a feature")
        if self.window.policy != "expanding" and self.split.column is None:
            raise ValueError(
                f"window: a {self.window.policy} window needs split.column, the timestamp rows are dated by"
            )
        if self.split.column and self.columns[self.split.column].type != "timestamp":
            raise ValueError(f"split.column: '{self.split.column}' must be a timestamp column")
        prefixes = [self.source.prefix, *(e.prefix for e in self.enrich)]
        for one in prefixes:
            for other in prefixes:
                if one is not other and one.startswith(other):
                    raise ValueError(f"prefix {one!r} lies inside {other!r}: a file would belong to both")
        return self

    @model_validator(mode="after")
    def _columns_fit_the_sources(self) -> "ModelSpec":
        for name in self.source.key:
            if self.columns[name].optional:
                raise ValueError(f"columns.{name}.optional: a key column must stand in every file")
        written = [name for name, column in self.columns.items() if column.notation]
        formats = {self.source.format, *(e.format for e in self.enrich)}
        if written and formats != {"csv"}:
            raise ValueError(
                f"columns.{written[0]}.notation: only CSV holds numbers as text; the sources are "
                f"{', '.join(sorted(formats))}"
            )
        return self

    @model_validator(mode="after")
    def _budget_pays_for_one_training(self) -> "ModelSpec":
        price, budget = self.triggers.cost_per_training_hour, self.triggers.cost_per_day
        longest = self.training.max_runtime_seconds / 3_600
        if price is not None and budget is not None and price * longest > budget:
            raise ValueError(
                f"triggers.cost_per_day: {budget:g} does not pay for one training of max_runtime_seconds "
                f"({price * longest:.2f}): raise it or shorten training.max_runtime_seconds"
            )
        return self

    @property
    def prefixes(self) -> dict[str, str]:
        """Landing prefix → role of its objects (``source`` or ``enrich-<n>``)."""
        return {self.source.prefix: "source"} | {e.prefix: f"enrich-{i}" for i, e in enumerate(self.enrich)}


def load_spec(text: str | bytes, name: str = "model.yaml") -> ModelSpec:
    """Read a ``model.yaml``.

    Raises SpecInvalid with one line per wrong field: where it is, what is wrong, what was given.
    """
    from driftwheel.yaml12 import line_of, read_yaml  # noqa: PLC0415  # most functions and checks read no model.yaml

    document = read_yaml(text, name)
    if not isinstance(document, dict):
        raise SpecInvalid(f"{name} must be a mapping that starts with 'model: <name>'")
    try:
        return ModelSpec.model_validate(document)
    except ValidationError as error:
        lines = [
            f"  {'.'.join(map(str, e['loc'])) or '(file)'}: {_said(e)} (line {line_of(text, e['loc'])})"
            for e in error.errors()
        ]
        raise SpecInvalid(f"{name} has {len(lines)} wrong field(s):\n" + "\n".join(lines)) from error


def _said(error: "ErrorDetails") -> str:
    """Word what pydantic found wrong for the owner of a ``model.yaml``."""
    facts = error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            import difflib  # noqa: PLC0415  # only a mistake needs it

            schema = ModelSpec.model_json_schema()
            known = {
                name for part in (schema, *schema["$defs"].values()) for name in part.get("properties", {})
            }
            near = difflib.get_close_matches(str(error["loc"][-1]), sorted(known), 1)
            return f"unknown field '{error['loc'][-1]}'" + (f"; did you mean '{near[0]}'?" if near else "")
        case "union_tag_invalid":
            return f"'{facts['tag']}' is none of {facts['expected_tags']}"
        case "string_pattern_mismatch":
            return f"{str(error['input'])[:60]!r} is not of the form {facts['pattern']}"
    return error["msg"].removeprefix("Value error, ")


def _data_prefix(value: str) -> str:
    if not re.fullmatch(r"data/([A-Za-z0-9_.=-]+/)+", value) or ".." in value:
        raise ValueError("must look like data/<name>/ (letters, digits, _ . = -) and end with a slash")
    return value
