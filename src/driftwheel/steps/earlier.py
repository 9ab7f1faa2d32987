"""What labels that are known now say of answers given before the window: each captured file is read once."""

from datetime import datetime

from driftwheel.drift.answered import Answered
from driftwheel.drift.cleaned import CleaningReader
from driftwheel.drift.kept import Kept, kept_from_bytes
from driftwheel.drift.labels import LabelReader
from driftwheel.hours import HOUR
from driftwheel.layout import S3Uri, answers_key
from driftwheel.steps.reference import LONGEST_WINDOW, SETTLED, Traffic, as_captured, whole_hour

MOST_HOURS = 24
"""Hours read anew in one check at least, twice as many as pass from check to check, the newest first: what is
left waits for the next one."""

MOST_READ = 1_000_000
"""Rows after which no further hour is begun: a million take some seconds."""


def earlier_answers(traffic: Traffic, labels: LabelReader, since: datetime, now: datetime) -> Answered | None:
    """Join the champion's answers of the last ``LONGEST_WINDOW`` before the window with every label known.

    None when the window begins with the champion, or nothing is labelled. Hours are read when their files
    have all come (``SETTLED``) and kept beside the report; a check that is repeated, or two at once, read
    the same and write the same, and what one forgets the next reads again.
    """
    first = max(datetime.fromisoformat(traffic.champion.promoted_at), now - LONGEST_WINDOW)
    if not labels.known or whole_hour(since) <= whole_hour(first):
        return None
    place = S3Uri(traffic.bucket, answers_key(traffic.spec.model, traffic.champion.run_id))
    found = _read(traffic, place)
    kept = found.since(_name(first))
    captured, begun = traffic.captured(), sum(kept.rows.values())
    due = [
        hour
        for hour in sorted(captured, reverse=True)
        if whole_hour(first) <= hour < whole_hour(since) and hour + SETTLED < now
    ]
    most = max(MOST_HOURS, 2 * traffic.spec.drift.every_minutes // 60)
    for hour in [hour for hour in due if _name(hour) not in kept.read][:most]:
        if sum(kept.rows.values()) - begun > MOST_READ:
            break
        kept = _with(kept, hour, traffic, captured[hour], first)
    if kept is not found:
        traffic.objects.write(place, kept.to_bytes())
    return kept.joined(labels.known, _name(since))


def _read(traffic: Traffic, place: S3Uri) -> Kept:
    """Read what is kept; a damaged file is nothing kept."""
    if not any(entry["Key"] == place.key for entry in traffic.objects.list(place.bucket, place.key)):
        return Kept()
    try:
        return kept_from_bytes(traffic.objects.read(place))
    except ValueError:
        return Kept()


def _with(kept: Kept, hour: datetime, traffic: Traffic, keys: list[str], first: datetime) -> Kept:
    reader = CleaningReader(traffic.recipe, traffic.recipe.inputs[:1])
    times: list[str] = []
    ids: list[str] = []
    scores: list[float | None] = []
    for key in sorted(keys):
        chunks = traffic.objects.stream(traffic.bucket, key)
        for batch in reader.read(chunks, key, since=as_captured(first)):
            times += batch.times
            ids += batch.ids
            scores += batch.scores
    return kept.add(_name(hour), times, ids, scores)


def _name(at: datetime) -> str:
    return as_captured(at)[:HOUR]
