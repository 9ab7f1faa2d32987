"""A champion's live traffic, joined with the labels known now, against what it learned from: the verdict."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from driftwheel.aws.objects import Objects
from driftwheel.drift.baseline import VERSION
from driftwheel.drift.column import column_from_json
from driftwheel.drift.course import labelled_hours, told, with_latest_labels
from driftwheel.drift.faults import TRAFFIC, unusable_traffic
from driftwheel.drift.finding import DriftReport
from driftwheel.drift.hours import BrokenHours, causes_of, hours_to_read, read_hours, shown_by
from driftwheel.drift.labels import LabelReader
from driftwheel.drift.live import read_window
from driftwheel.drift.reference import Reference, check_against
from driftwheel.drift.row_sample import RowSample
from driftwheel.drift.summaries import Summary, summary_from_json
from driftwheel.drift.window import Window
from driftwheel.errors import ArtifactInvalid, ObjectGone
from driftwheel.hours import HOUR
from driftwheel.layout import RunLayout, S3Uri, capture_prefix
from driftwheel.ledger.champions import ChampionRow
from driftwheel.ledger.objects import Objects as ObjectLedger
from driftwheel.ledger.objects import current
from driftwheel.recipe.row import RowRecipe, load_recipe
from driftwheel.spec import ModelSpec
from driftwheel.steps.domain import sample_of
from driftwheel.steps.earlier import earlier_answers
from driftwheel.steps.reference import Traffic, as_captured, whole_hour

READ_TWICE = 5_000_000
"""Rows up to which a broken window's hours are read a second time: a check has 300 seconds for both."""
REMEDY = "retrain the model: its training job writes a new one"


@dataclass(frozen=True)
class Judged:
    """The verdict over a window, the window, and the baseline of the champion that answered it."""

    baseline: dict[str, Any]
    window: Window
    report: DriftReport
    sample: RowSample | None = None
    """Rows for the domain classifier, where one is declared."""
    long: bool = False
    """The window is longer than the time between two checks: a broken hour can hide in it."""
    broken: BrokenHours | None = None
    """Of a window that was found broken."""
    labelled: Mapping[str, int] = field(default_factory=dict)
    """The champion's labelled rows by the hour of their answer."""


def judge(
    spec: ModelSpec,
    champion: ChampionRow,
    ledger: ObjectLedger,
    objects: Objects,
    bucket: str,
    now: datetime,
    *,
    accept: bool,
    held: Collection[str] = (),
) -> Judged:
    """Read the window and the labels known now, and compare.

    ``accept``: it counts, so that it may be the next one's reference, and its broken hours are looked for. No
    season is made of hours that are ``held``.
    Raises ArtifactInvalid when the champion's baseline or recipe cannot be read.
    """
    learned = RunLayout(bucket, spec.model, champion.run_id).step("preprocessing")
    recipe = load_recipe(
        objects.read_json(learned / "recipe.json"), objects.read_json(learned / "params.json")
    )
    baseline = _baseline(champion, recipe, objects)
    labels = LabelReader()
    rows = [row for row in current(ledger.of_model(spec.model)) if row.role == "labels"]
    for row in sorted(rows, key=lambda row: row.received):
        with suppress(ObjectGone):  # its owner deleted it: what it said no longer counts
            labels.read(objects.stream(row.bucket, row.key, row.version), row.key)
    traffic = Traffic(spec, champion, baseline, recipe, objects, bucket, held)
    reference = traffic.accepted()
    read = _newest(traffic, labels, reference, now)
    slices, metric = spec.evaluation.slices, baseline["quality"]["metric"]
    earlier = earlier_answers(traffic, labels, read.since, now)
    window = with_latest_labels(read.window, earlier, metric)
    if spec.drift.reference == "season" and read.until:
        reference = traffic.season(read.since, read.until, now)
    report = told(
        check_against(baseline, reference, window, spec.drift, traffic.units), window, earlier, metric, slices
    )
    if accept:
        traffic.accept(report, window)
    broken = None
    if accept and report.blocks_retraining:
        before = [summary_from_json(baseline)]
        if reference and reference.summary.rows >= spec.drift.minimum_rows:  # else it was not compared with
            before.append(reference.summary)
        broken = _broken(traffic, read, report, before, now)
    labelled = labelled_hours([part for part in (earlier, window.answered) if part is not None])
    return Judged(baseline, window, report, read.sample, read.long, broken, labelled)


@dataclass(frozen=True)
class _Read:
    """A window as it was read, and from when to when that was."""

    since: datetime
    until: datetime | None
    window: Window
    sample: RowSample | None
    long: bool = False


def _newest(traffic: Traffic, labels: LabelReader, accepted: Reference | None, now: datetime) -> _Read:
    """Read the shortest window that has rows enough, or too many that are of no use; else the longest."""
    spans, drift = traffic.windows(now, accepted), traffic.spec.drift
    declared = (drift.window_hours or 0) * 60 > max(60, drift.every_minutes)
    read = replace(_read(traffic, labels, *next(spans)), long=declared)
    for span in spans:
        if read.window.summary.rows >= drift.minimum_rows or unusable_traffic(read.window.about):
            break
        read = replace(_read(traffic, labels, *span), long=True)
    return read


def _broken(
    traffic: Traffic, read: _Read, report: DriftReport, before: list[Summary], now: datetime
) -> BrokenHours:
    """Name a broken window's hours; those that can speak for themselves are read again, in what broke alone.

    In a window too large to be read twice none speaks: better too much is held than no word of the fault.
    Requests that cannot be read have no time but that of their file: beside them no hour can speak.
    """
    assert read.window.answered is not None
    rows, causes = read.window.answered.rows, causes_of(report)
    if TRAFFIC in causes:
        end = read.until or now
        filed = [at for at in traffic.captured() if whole_hour(read.since) <= at < end]
        return BrokenHours(frozenset({*rows, *(as_captured(at)[:HOUR] for at in filed)}), {})
    wanted = hours_to_read(rows, report.minimum_rows)
    if not wanted or report.rows > READ_TWICE:
        return BrokenHours(frozenset(rows), {})
    kinds = {name: traffic.baseline["kinds"][name] for name in causes}
    files = _captures(traffic.objects, traffic.bucket, traffic.spec.model, read.since)
    since, until = as_captured(read.since), as_captured(read.until) if read.until else ""
    found = read_hours(traffic.recipe, files, kinds, before[0], wanted, since=since, until=until)
    return BrokenHours(frozenset(rows), shown_by(found, before, traffic.units))


def _read(traffic: Traffic, labels: LabelReader, since: datetime, until: datetime | None) -> _Read:
    spec = traffic.spec
    sample = sample_of(traffic.baseline["kinds"]) if spec.drift.domain_classifier else None
    window = read_window(
        traffic.baseline,
        traffic.recipe,
        _captures(traffic.objects, traffic.bucket, spec.model, since),
        labels,
        since=as_captured(since),
        until=as_captured(until) if until else "",
        slices=spec.evaluation.slices,
        sample=sample,
    )
    return _Read(since, until, window, sample)


def _baseline(champion: ChampionRow, recipe: RowRecipe, objects: Objects) -> dict[str, Any]:
    """Read the champion's baseline; raises ArtifactInvalid when it is none, or of another schema."""
    document: dict[str, Any] = objects.read_json(S3Uri.parse(champion.baseline_uri))
    try:
        known, version = set(document["kinds"]), document["version"]
        whole = summary_from_json(document)
        for part in (document["prediction"], document["label"]["summary"]):
            column_from_json(part)
        complete = set(whole.columns) == known == set(document["weights"]) and "metric" in document["quality"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactInvalid(f"{champion.baseline_uri} is no drift baseline: {error!r}; {REMEDY}") from error
    if version != VERSION or not complete:
        raise ArtifactInvalid(f"{champion.baseline_uri} is no drift baseline of version {VERSION}; {REMEDY}")
    if strange := sorted(known - set(recipe.inputs)):
        raise ArtifactInvalid(
            f"{champion.baseline_uri} is of another schema: the model does not read {strange[0]}; {REMEDY}"
        )
    return document


def _captures(
    objects: Objects, bucket: str, model: str, since: datetime
) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Open captured files from the hour of ``since`` on; the hour is part of the key."""
    hour = since.strftime("%Y/%m/%d/%H")
    for entry in objects.list(bucket, f"{capture_prefix(model)}/"):
        if "/".join(entry["Key"].split("/")[-5:-1]) >= hour:
            yield entry["Key"], objects.stream(bucket, entry["Key"])
