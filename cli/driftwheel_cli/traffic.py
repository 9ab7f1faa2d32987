"""``predict`` and ``drift``: ask the endpoint; ask whether its traffic has moved."""

import csv
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from botocore.exceptions import ClientError

from driftwheel.capture import CaptureWriter, CapturingRuntime
from driftwheel.layout import S3Uri
from driftwheel_cli.connection import Options, Stack
from driftwheel_cli.drift_answer import page_beside, print_drift
from driftwheel_cli.failures import CommandFailed
from driftwheel_cli.rendering import print_json, print_table

MOST_RECORDS = 5_000
"""Records per request: the endpoint takes 10,000, InvokeEndpoint 6 MB."""

NO_ENDPOINT = frozenset({"ValidationError", "ValidationException", "ResourceNotFound"})


@click.command()
@click.argument("model")
@click.argument("record", required=False)
@click.option(
    "--file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Records as JSON (one object, a list, or {records: [...]}) or as CSV with a header.",
)
@click.option("--inference-id", help="Names the request, so that a label can be joined to it later.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@click.pass_obj
def predict(
    options: Options,
    model: str,
    record: str | None,
    file: Path | None,
    inference_id: str | None,
    as_json: bool,
) -> None:
    """Ask the model's endpoint.

    RECORD is JSON with raw named fields: every input, be it with null; only those that are optional in
    model.yaml may be left out.

    Example: driftwheel predict flights '{"time_hour": "2013-03-01 17:00:00", "carrier": "UA",
    "origin": "EWR", "dest": "ORD", "sched_dep_time": 1700, "distance": 719, "temp": 39.9, "dewp": 26.1,
    "humid": 57.3, "wind_dir": 260, "wind_speed": 13.8, "precip": 0, "pressure": 1011.9, "visib": null}'
    """
    if (record is None) == (file is None):
        raise click.UsageError("give one record as JSON, or --file with records")
    records = _records_of_file(file) if file is not None else _records(str(record), "RECORD")
    if not records:
        raise CommandFailed(f"{file} holds no record")
    stack = options.open()
    deployment = stack.spec(model).deployment
    runtime = stack.client("sagemaker-runtime")
    scores: list[float] = []
    with ExitStack() as closing:
        if deployment.captured_by == "writer":
            writer = CaptureWriter(
                stack.client("s3"),
                stack.names.artifact_bucket,
                model,
                stack.endpoint_of(model),
                percentage=deployment.capture,
            )
            closing.callback(_say_what_was_lost, writer)
            runtime = CapturingRuntime(runtime, closing.enter_context(writer))
        for number_, batch in enumerate(_batches(records)):
            identity = inference_id if number_ == 0 or inference_id is None else f"{inference_id}-{number_}"
            scores += _ask(stack, runtime, model, batch, identity)
    if as_json:
        print_json({"predictions": [{"score": score} for score in scores]})
    else:
        print_table(
            f"predictions of {model}", ("record", "score"), [(str(i), s) for i, s in enumerate(scores)]
        )


@click.command()
@click.argument("model")
@click.option("--all", "every", is_flag=True, help="Show the tests that found nothing as well.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON: the whole report.")
@click.option(
    "--html",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the report as one page that opens offline.",
)
@click.option(
    "--window",
    type=click.IntRange(1, 720),
    metavar="HOURS",
    help="Judge the last whole hours only, whatever model.yaml says; nothing is recorded, nobody is told.",
)
@click.pass_obj
def drift(
    options: Options, model: str, every: bool, as_json: bool, html: Path | None, window: int | None
) -> None:
    """Check live traffic for drift now.

    The champion's newest traffic (the last hour or so, as much more as drift.minimum_rows needs)
    is compared with what it learned from; each test has its effect, its threshold and its corrected p.

    Example: driftwheel drift flights --window 24
    """
    stack = options.open()
    stack.spec(model)
    if stack.ledger.champions.get(model) is None:
        raise CommandFailed(f"{model} has no champion yet: there is no traffic to check")
    event = {"kind": "asked", "model": model} | ({"window_hours": window} if window else {})
    answer = stack.client("lambda").invoke(
        FunctionName=stack.names.drift_check_function, Payload=json.dumps(event)
    )
    document = json.loads(answer["Payload"].read() or b"{}")
    if answer.get("FunctionError"):
        said = document.get("errorMessage", document) if isinstance(document, dict) else document
        raise CommandFailed(f"drift_check failed: {said}; driftwheel logs drift_check says more")
    told = document.get(model)
    if told is None:
        raise CommandFailed(f"drift_check did not look at {model}: it has no champion")
    report = stack.objects.read_json(S3Uri.parse(told["report_uri"]))
    if html:
        # numpy takes a tenth of a second to import; other answers do without it.
        from driftwheel.drift.page import page_of  # noqa: PLC0415

        html.write_text(page_of(report, model), encoding="utf-8")
    if as_json:
        print_json(report | {"report_uri": told["report_uri"], "page_uri": page_beside(told["report_uri"])})
    else:
        print_drift(model, report, told["report_uri"], every=every)


def _records_of_file(file: Path) -> list[Any]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CommandFailed(f"{file} is not UTF-8 text (byte {error.start}): save it as UTF-8") from error
    if file.suffix.lower() != ".csv":
        return _records(text, str(file))
    try:
        rows = list(csv.DictReader(text.splitlines(keepends=True), strict=True))
    except csv.Error as error:
        raise CommandFailed(f"{file} is not CSV: {error}") from error
    for line, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise CommandFailed(f"{file}, row {line}: another number of cells than the header has columns")
    return rows


def _records(text: str, name: str) -> list[Any]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise CommandFailed(f"{name} is not JSON: {error.msg} at character {error.pos}") from error
    except (ValueError, RecursionError) as error:
        raise CommandFailed(f"{name} is JSON nobody needs: too deep, or a number too long") from error
    if isinstance(document, dict):
        if document.keys() == {"records"}:
            document = document["records"]
        else:
            document = [document["record"] if document.keys() == {"record"} else document]
    if not isinstance(document, list) or not all(isinstance(record, dict) for record in document):
        raise CommandFailed(
            f'{name} must be an object of named fields, a list of them, or {{"records": [...]}}'
        )
    return document


def _batches(records: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(records), MOST_RECORDS):
        yield records[start : start + MOST_RECORDS]


def _say_what_was_lost(writer: CaptureWriter) -> None:
    if lost := writer.counts.dropped:
        click.echo(f"{lost} requests were answered but not captured: S3 did not take them", err=True)


def _ask(stack: Stack, runtime: Any, model: str, records: list[Any], inference_id: str | None) -> list[float]:
    endpoint = stack.endpoint_of(model)
    request = {
        "EndpointName": endpoint,
        "ContentType": "application/json",
        "Accept": "application/json",
        "Body": json.dumps({"records": records}).encode(),
    } | ({"InferenceId": inference_id} if inference_id else {})
    try:
        body = runtime.invoke_endpoint(**request)["Body"].read()
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "ModelError":
            raise CommandFailed(f"the endpoint refused it: {_original(error)}") from error
        if code in NO_ENDPOINT and stack.ledger.champions.get(model) is None:
            raise CommandFailed(f"{model} has no champion yet: nothing serves") from error
        raise
    try:
        return [float(one["score"]) for one in json.loads(body)["predictions"]]
    except (ValueError, KeyError, TypeError) as error:
        raise CommandFailed(
            f'endpoint {endpoint} did not answer {{"predictions": [{{"score": …}}]}}: {body[:200]!r}'
        ) from error


def _original(error: ClientError) -> str:
    """What the container said: a message with row and field where it is ours."""
    response: dict[str, Any] = dict(error.response)
    said = str(response.get("OriginalMessage") or response["Error"].get("Message", ""))
    try:
        return str(json.loads(said)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return said


COMMANDS = (predict, drift)
