"""What CreateStateMachine refuses in a definition that moto's parser accepts."""

import json
from collections.abc import Iterator
from typing import Any

_PATHS = {"InputPath", "OutputPath"}
_STEP = {"Next", "End"} | _PATHS
_RESULT = {"ResultPath", "Parameters"}
_FAULTS = {"Retry", "Catch", "ResultSelector"}

# https://states-language.net/spec.html, JSONPath fields only: the local interpreter runs no JSONata (D16).
FIELDS: dict[str, frozenset[str]] = {
    name: frozenset({"Type", "Comment", "QueryLanguage"} | fields)
    for name, fields in {
        "Task": _STEP
        | _RESULT
        | _FAULTS
        | {
            "Resource",
            "Credentials",
            "TimeoutSeconds",
            "TimeoutSecondsPath",
            "HeartbeatSeconds",
            "HeartbeatSecondsPath",
        },
        "Pass": _STEP | _RESULT | {"Result"},
        "Wait": _STEP | {"Seconds", "SecondsPath", "Timestamp", "TimestampPath"},
        "Choice": _PATHS | {"Choices", "Default"},
        "Succeed": _PATHS,
        "Fail": {"Error", "ErrorPath", "Cause", "CausePath"},
        "Parallel": _STEP | _RESULT | _FAULTS | {"Branches"},
        "Map": _STEP
        | _RESULT
        | _FAULTS
        | {"ItemProcessor", "Iterator", "ItemsPath", "ItemSelector", "MaxConcurrency", "MaxConcurrencyPath"}
        | {"ItemReader", "ResultWriter", "Label", "ToleratedFailureCount", "ToleratedFailureCountPath"},
    }.items()
}
_MACHINE = frozenset({"Comment", "StartAt", "States", "TimeoutSeconds", "Version", "QueryLanguage"})
_RETRIER = frozenset(
    {
        "ErrorEquals",
        "IntervalSeconds",
        "MaxAttempts",
        "BackoffRate",
        "MaxDelaySeconds",
        "JitterStrategy",
        "Comment",
    }
)
_CATCHER = frozenset({"ErrorEquals", "ResultPath", "Next", "Comment"})


def definition_faults(definition: str) -> list[str]:
    """List what is wrong with a definition as AWS words it, empty when nothing is."""
    try:
        machine = json.loads(definition)
    except ValueError as fault:
        return [f"INVALID_JSON_DESCRIPTION: {fault}"]
    if not isinstance(machine, dict):
        return ["SCHEMA_VALIDATION_FAILED: the definition is not a JSON object at /"]
    return list(_machine_faults(machine, "", _MACHINE))


def _machine_faults(machine: dict[str, Any], at: str, known: frozenset[str]) -> Iterator[str]:
    yield from _unknown(machine, known, at or "/")
    states = machine.get("States")
    if not isinstance(states, dict) or not states:
        yield f"SCHEMA_VALIDATION_FAILED: States must hold at least one state at {at}/States"
        return
    if machine.get("StartAt") not in states:
        yield f"MISSING_TRANSITION_TARGET: Missing 'Next' target: {machine.get('StartAt')} at {at}/StartAt"
    for name, state in states.items():
        yield from _state_faults(state, f"{at}/States/{name}", states, name)


def _state_faults(state: Any, at: str, states: dict[str, Any], name: str) -> Iterator[str]:
    kind = state.get("Type") if isinstance(state, dict) else None
    if kind not in FIELDS:
        yield f"SCHEMA_VALIDATION_FAILED: Type must be one of {', '.join(FIELDS)}, not {kind!r} at {at}/Type"
        return
    if len(name) > 80:
        yield f"SCHEMA_VALIDATION_FAILED: a state's name has at most 80 characters at {at}"
    if state.get("QueryLanguage", "JSONPath") != "JSONPath":
        yield f"SCHEMA_VALIDATION_FAILED: the local interpreter runs JSONPath only at {at}/QueryLanguage"
    yield from _unknown(state, FIELDS[kind], at)
    if "Next" in FIELDS[kind] and ("Next" in state) == ("End" in state):
        yield f"SCHEMA_VALIDATION_FAILED: exactly one of Next and End must be set at {at}"
    if kind == "Task" and not isinstance(state.get("Resource"), str):
        yield f"SCHEMA_VALIDATION_FAILED: a Task needs a Resource at {at}/Resource"
    for retrier in state.get("Retry", []):
        yield from _unknown(retrier, _RETRIER, f"{at}/Retry")
    for catcher in state.get("Catch", []):
        yield from _unknown(catcher, _CATCHER, f"{at}/Catch")
    for target, where in _targets(state, at):
        if target not in states:
            yield f"MISSING_TRANSITION_TARGET: Missing 'Next' target: {target} at {where}"
    for where, inner in _inner_machines(state, at):
        yield from _machine_faults(inner, where, _MACHINE | {"ProcessorConfig"})


def _targets(state: dict[str, Any], at: str) -> Iterator[tuple[Any, str]]:
    for field in ("Next", "Default"):
        if field in state:
            yield state[field], f"{at}/{field}"
    for field in ("Choices", "Catch"):
        for index, rule in enumerate(state.get(field, [])):
            yield rule.get("Next"), f"{at}/{field}[{index}]/Next"


def _inner_machines(state: dict[str, Any], at: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for index, branch in enumerate(state.get("Branches", [])):
        yield f"{at}/Branches[{index}]", branch
    for field in ("ItemProcessor", "Iterator"):
        if field in state:
            yield f"{at}/{field}", state[field]


def _unknown(found: dict[str, Any], known: frozenset[str], at: str) -> Iterator[str]:
    for field in found:
        if field not in known:
            yield f"SCHEMA_VALIDATION_FAILED: Field '{field}' is not supported at {at}"
