"""How a column or feature is encoded for the model, as its owner declares it (``encode``)."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Declared(BaseModel):
    """One encoding; ``driftwheel.recipe.encodings`` says what each computes."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Ordinal(Declared):
    """A category with an order of its own: its first text is 0, the next 1."""

    encoding: Literal["ordinal"]
    order: Annotated[list[str], Field(min_length=2)]


class OneHot(Declared):
    """0 and 1 for each frequent category; the rare ones share a column."""

    encoding: Literal["one_hot"]
    most: int = Field(20, ge=1, le=200)
    minimum_share: float = Field(0.01, ge=0, lt=1)


class TargetMean(Declared):
    """The target's mean over a category's training rows, learned out of fold for the rows it trains."""

    encoding: Literal["target_mean"]
    smoothing: float = Field(20.0, gt=0)
    folds: int = Field(5, ge=2, le=16)


class Hash(Declared):
    """One of a fixed number of buckets."""

    encoding: Literal["hash"]
    buckets: int = Field(64, ge=2, le=1_000)


class QuantileBins(Declared):
    """The place between quantiles of the training rows."""

    encoding: Literal["quantile_bins"]
    bins: int = Field(10, ge=2, le=100)


class Scale(Declared):
    """Shifted and divided: by mean and standard deviation, by the range, or by median and quartiles."""

    encoding: Literal["scale"]
    method: Literal["standard", "min_max", "robust"] = "standard"


class DateParts(Declared):
    """One feature ``<column>_<part>`` for each part of a timestamp column."""

    encoding: Literal["date_parts"]
    parts: Annotated[list[Literal["isodow", "hour", "month", "day", "year", "doy"]], Field(min_length=1)]


Encoding = Annotated[
    Ordinal | OneHot | TargetMean | Hash | QuantileBins | Scale | DateParts, Field(discriminator="encoding")
]
