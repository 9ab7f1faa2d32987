"""A run's sections in words: what each state decided, and the numbers that decided it."""

import re
from collections.abc import Mapping
from typing import Any

from driftwheel_cli.rendering import measured, printable

Document = Mapping[str, Any]


def section_name(state: str) -> str:
    """Name the section a state writes.

    >>> section_name("TrainingLaunch")
    'training_launch'
    """
    return re.sub("(?<!^)(?=[A-Z])", "_", state).lower()


def sentence(state: str, output: Document | None) -> str:
    """Say what a state left behind; empty for a Choice and for a state that left nothing."""
    word = WORDS.get(state)
    section = (output or {}).get(section_name(state))
    return printable(word(section)) if word is not None and isinstance(section, dict) else ""


def refusals(document: Document) -> list[dict[str, Any]]:
    """List what a run set aside, with the reason of each."""
    found: list[dict[str, Any]] = []
    for name in ("data_arrival", "preprocessing"):
        found += (document.get(name) or {}).get("refused", [])
    return found


def refusal_sentence(refusal: Mapping[str, Any]) -> str:
    """Say of a refusal: file, column, row, what is wrong, what to do.

    >>> refusal_sentence({"key": "data/a/x.csv", "line": 3, "message": "no comma", "hint": "use commas"})
    'data/a/x.csv, row 3: no comma; use commas'
    """
    message = str(refusal.get("message", refusal.get("code", "")))
    key = str(refusal.get("key") or "")
    place = [key] if key and key not in message else []
    if refusal.get("column"):
        place.append(f"column {refusal['column']}")
    if refusal.get("line") is not None:
        place.append(f"row {refusal['line']}")
    hint = refusal.get("hint")
    where = f"{', '.join(place)}: " if place else ""
    return f"{where}{message.rstrip('.')}" + (f"; {hint}" if hint and str(hint) not in message else "")


def verdict(gate: Document) -> dict[str, str]:
    """Give the numbers of a comparison: challenger, champion, gain."""
    metrics = gate.get("metrics") or {}
    facts = {
        name: measured(metrics.get(name))
        for name in ("challenger", "champion", "gain")
        if metrics.get(name) is not None
    }
    return {f"{name} {metrics.get('metric', '')}".strip(): text for name, text in facts.items() if text}


def _data_arrival(section: Document) -> str:
    refused = len(section.get("refused", []))
    text = f"{section['objects']} files, {section['size_bytes']:,} bytes"
    text += f"; {section['held_hours']:,} hours of traffic are held" if section.get("held_hours") else ""
    return f"{section['outcome']}: {text}" + (f", {refused} set aside" if refused else "")


def _preprocessing(section: Document) -> str:
    count = len(section.get("refused", [])) + section.get("more_refused", 0)
    aside = f", {count} set aside" if count else ""
    if section["outcome"] == "unchanged":
        return f"unchanged: the same rows as run {section.get('same_as')}{aside}"
    if section["outcome"] == "refused":
        return "refused: " + "; ".join(refusal_sentence(r) for r in section.get("refused", []))
    rows = ", ".join(f"{name} {count:,}" for name, count in section.get("rows", {}).items() if count)
    positives = section.get("positives")
    share = f", {positives:.1%} positive" if positives is not None else ""
    return f"ready: {rows or 'no rows counted'}{share}{aside}"


def _preprocessing_launch(section: Document) -> str:
    return _job(section, "processing_job")


def _training_launch(section: Document) -> str:
    return _job(section, "training_job")


def _job(section: Document, name: str) -> str:
    seconds = section.get("seconds")
    return str(section[name]) + (f", {seconds} s" if seconds is not None else "")


def _evaluation_gate(section: Document) -> str:
    why = "; ".join(str(reason.get("sentence", reason)) for reason in section.get("reasons", []))
    found = verdict(section).items()
    numbers = ", ".join(f"{name} {value}" for name, value in found if value not in why)
    return f"{section['outcome']}: {why}" + (f" ({numbers})" if numbers else "")


def _approval(section: Document) -> str:
    if "outcome" not in section:
        return "nobody decided in time"
    return str(section["outcome"]) + (f": {section['description']}" if section.get("description") else "")


def _deployment(section: Document) -> str:
    return f"champion {section['sequence']} serves {section['endpoint_config']} at {section['endpoint']}"


def _record_outcome(section: Document) -> str:
    return str(section.get("status", ""))  # the state before has said why


WORDS = {
    "DataArrival": _data_arrival,
    "PreprocessingLaunch": _preprocessing_launch,
    "Preprocessing": _preprocessing,
    "TrainingLaunch": _training_launch,
    "EvaluationGate": _evaluation_gate,
    "Approval": _approval,
    "Deployment": _deployment,
    "RecordOutcome": _record_outcome,
}
