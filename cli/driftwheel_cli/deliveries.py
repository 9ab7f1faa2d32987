"""``register``, ``drop`` and ``label``: files go to the landing bucket; what becomes of them is followed."""

import time
from dataclasses import asdict
from pathlib import Path

import click

from driftwheel.drift.labels import LabelReader
from driftwheel.layout import DATA, LABELS, MODELS
from driftwheel.ledger.models import owner_of
from driftwheel.recipe.declare import read_model
from driftwheel.spec import ModelSpec
from driftwheel.triggers.messages import ignored
from driftwheel_cli.arrivals import Dropped, Fate, follow_arrivals
from driftwheel_cli.connection import Options, Stack
from driftwheel_cli.failures import CommandFailed
from driftwheel_cli.rendering import console, print_json, print_line, print_table, size

READ_BYTES = 1 << 20
POLL_SECONDS = 0.25

existing_file = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.argument("file", type=existing_file)
@click.option("--timeout", type=click.IntRange(min=0), default=60, show_default=True, help="Seconds to wait.")
@click.pass_obj
def register(options: Options, file: Path, timeout: int) -> None:
    """Register or change a model.

    FILE is its model.yaml. The file is checked here first; then it is uploaded and the command waits
    until it counts.

    Example: driftwheel register examples/flights/model.yaml
    """
    body = file.read_bytes()
    spec = read_model(body, str(file))
    stack = options.open()
    key = f"{MODELS}{spec.model}/model.yaml"
    version = _upload(stack, file, key)
    deadline = time.monotonic() + timeout
    with console(stderr=True).status(f"waiting until {spec.model} is registered"):
        while not _registered(stack, spec, version):
            if time.monotonic() >= deadline:
                raise CommandFailed(
                    f"uploaded to {key}, but the trigger has not taken it within {timeout} s; "
                    "driftwheel logs trigger says what it does"
                )
            time.sleep(POLL_SECONDS)
    prefixes = ", ".join(f"{prefix} ({role})" for prefix, role in spec.prefixes.items())
    print_line(f"model {spec.model} is registered; it watches {prefixes}")


@click.command()
@click.argument("files", metavar="FILE...", type=existing_file, nargs=-1, required=True)
@click.option("--model", help="Whose data it is (needed when several models are registered).")
@click.option("--prefix", help="The landing folder instead of a model's own, such as data/flights/.")
@click.option("--role", help="source (default) or enrich-0, enrich-1, …: which part of the model's data.")
@click.option("--wait", is_flag=True, help="Follow until every file has come to its end; exit 1 when badly.")
@click.option(
    "--timeout", type=click.IntRange(min=1), default=3600, show_default=True, help="Seconds to wait at most."
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@click.pass_obj
def drop(
    options: Options,
    files: tuple[Path, ...],
    model: str | None,
    prefix: str | None,
    role: str | None,
    wait: bool,
    timeout: int,
    as_json: bool,
) -> None:
    """Deliver data files.

    A file of a name that was delivered before replaces that one.

    Example: driftwheel drop weather.csv --model flights --role enrich-0 --wait
    """
    if prefix and (model or role):
        raise click.UsageError("--prefix says it all: leave --model and --role out")
    names = [file.name for file in files]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise click.UsageError(f"two files are called {twice[0]}: the second would replace the first")
    stack = options.open()
    folder, owner = _folder(stack, model, prefix, role)
    marker = next((name for name in names if ignored(folder + name)), None)
    if marker:
        raise CommandFailed(
            f"{marker} looks like a marker or a half-written file and would be ignored: rename it"
        )
    if wait and owner is None:
        raise CommandFailed(f"no registered model watches {folder}: there is nothing to wait for")
    dropped = [
        Dropped(str(file), folder + file.name, _upload(stack, file, folder + file.name)) for file in files
    ]
    if not wait or owner is None:
        _print_dropped(dropped, files, as_json=as_json)
        if owner is None and not as_json:
            print_line(f"no registered model watches {folder} yet; the files wait for one that does")
        return
    if not as_json:
        _print_dropped(dropped, files, as_json=False)
    fates = follow_arrivals(stack, owner, dropped, timeout_seconds=timeout)
    _print_fates(fates, as_json=as_json)
    if any(fate.bad for fate in fates):
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("model")
@click.argument("file", type=existing_file)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@click.pass_obj
def label(options: Options, model: str, file: Path, as_json: bool) -> None:
    """Deliver labels: what turned out to be true.

    FILE is CSV with inference_id,label, or SageMaker's ground-truth JSONL. Every line is checked here
    first. A file of a name that was delivered before replaces that one.

    Example: driftwheel label flights labels-2013-06.csv
    """
    reader = LabelReader()
    with file.open("rb") as body:
        reader.read(iter(lambda: body.read(READ_BYTES), b""), file.name)
    bad = sum(reader.malformed.values())
    if bad:
        raise CommandFailed(
            f"{bad} line(s) cannot be read, nothing was uploaded: {'; '.join(reader.examples)}; "
            "CSV needs the columns inference_id,label with a number, true or false as label"
        )
    if not reader.known:
        raise CommandFailed(f"{file} holds no label: CSV needs the columns inference_id,label")
    stack = options.open()
    stack.spec(model)
    key = f"{LABELS}{model}/{file.name}"
    if ignored(key):
        raise CommandFailed(f"{file.name} looks like a half-written file and would be ignored: rename it")
    version = _upload(stack, file, key)
    if as_json:
        print_json(
            {"key": key, "version": version, "labels": len(reader.known), "corrected": reader.corrected}
        )
    else:
        print_line(f"{len(reader.known):,} labels delivered as {key} (version {version})")


def _folder(
    stack: Stack, model: str | None, prefix: str | None, role: str | None
) -> tuple[str, ModelSpec | None]:
    """Say where files go, and whose they are."""
    if prefix is not None:
        folder = f"{prefix.rstrip('/')}/"
        if not folder.startswith(DATA):
            raise click.UsageError(f"--prefix must begin with {DATA}, got {prefix}")
        specs = stack.models()
        owner = owner_of(f"{folder}x", specs)
        return folder, next((spec for spec in specs if owner and spec.model == owner.model), None)
    spec = stack.spec(model) if model else stack.only_model()
    folders = {role: folder for folder, role in spec.prefixes.items()}
    wanted = role or "source"
    if wanted not in folders:
        raise click.UsageError(f"--role: model {spec.model} has {', '.join(folders)}, not {wanted}")
    return folders[wanted], spec


def _upload(stack: Stack, file: Path, key: str) -> str:
    """Upload a file, in parts when it is large, and name its version."""
    s3 = stack.client("s3")
    s3.upload_file(str(file), stack.names.landing_bucket, key)
    return str(s3.head_object(Bucket=stack.names.landing_bucket, Key=key).get("VersionId", ""))


def _registered(stack: Stack, spec: ModelSpec, version: str) -> bool:
    """Tell whether this version of model.yaml counts; raises CommandFailed when the trigger refused it."""
    item = stack.table.get("MODELS", spec.model)
    if item is not None and item["version"] == version:
        return True
    for decision in stack.ledger.decisions.of_model(spec.model):
        if decision.id == f"spec-{version}":
            raise CommandFailed(f"the deployed stack refuses it: {decision.reason}")
    return False


def _print_dropped(dropped: list[Dropped], files: tuple[Path, ...], *, as_json: bool) -> None:
    if as_json:
        print_json([asdict(one) for one in dropped])
        return
    rows = [
        (one.file, one.key, one.version, size(file.stat().st_size))
        for one, file in zip(dropped, files, strict=True)
    ]
    print_table("delivered", ("file", "key", "version", "size"), rows)


def _print_fates(fates: list[Fate], *, as_json: bool) -> None:
    if as_json:
        print_json([asdict(fate) | {"bad": fate.bad} for fate in fates])
        return
    rows = [(fate.file, fate.state, fate.run_id, fate.run_status, fate.reason) for fate in fates]
    print_table("what became of it", ("file", "state", "run", "run ended", "reason"), rows)


COMMANDS = (register, drop, label)
