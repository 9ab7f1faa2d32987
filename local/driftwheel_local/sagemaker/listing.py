"""One page of a List operation: filtered, sorted, cut, as every List* of SageMaker does it."""

from collections.abc import Mapping, Sequence
from typing import Any

from driftwheel_local.sagemaker import validation
from driftwheel_local.sagemaker.refusals import invalid

_TIMES = {"CreationTime": "CreationTime", "LastModifiedTime": "LastModifiedTime"}


def page(
    operation: str,
    records: Sequence[Mapping[str, Any]],
    request: Mapping[str, Any],
    *,
    name: str,
    status: str | None = None,
) -> dict[str, Any]:
    """Answer the operation's output for `records`; `name` and `status` are the members they carry.

    Knows NameContains, StatusEquals, the four time filters, SortBy, SortOrder, MaxResults and NextToken;
    summaries hold only what the output shape declares. Newest first unless asked otherwise.
    """
    kept = [record for record in records if _matches(record, request, name, status)]
    by = request.get("SortBy", "CreationTime")
    key = {"Name": name, "Status": status or name}.get(by, _TIMES.get(by, "CreationTime"))
    ascending = request.get("SortOrder", "Descending") == "Ascending"
    kept.sort(key=lambda record: (record.get(key, 0), record[name]), reverse=not ascending)
    token = request.get("NextToken", "0")
    if not token.isdigit():
        raise invalid(f"Invalid NextToken {token!r}")
    start, size = int(token), request.get("MaxResults", 10)
    output = validation.operation("sagemaker", operation).output_shape
    assert output is not None
    (member,) = (key for key, shape in output.members.items() if shape.type_name == "list")
    answer: dict[str, Any] = {member: kept[start : start + size]}
    if start + size < len(kept):
        answer["NextToken"] = str(start + size)
    selected: dict[str, Any] = validation.select(output, answer)
    return selected


def _matches(record: Mapping[str, Any], request: Mapping[str, Any], name: str, status: str | None) -> bool:
    if request.get("NameContains", "").lower() not in record[name].lower():
        return False
    if status and "StatusEquals" in request and record[status] != request["StatusEquals"]:
        return False
    for member in _TIMES:
        after, before = request.get(f"{member}After"), request.get(f"{member}Before")
        if after is not None and record[member] <= after:
            return False
        if before is not None and record[member] >= before:
            return False
    return True
