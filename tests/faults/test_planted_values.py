"""SE-10: no sentence about what cannot be read quotes a cell; nobody turns debug logs on."""

import logging
from pathlib import Path

import pytest

from driftwheel.jobs.payload import CSV, JSON, RequestRefused, parse
from driftwheel.steps.came_back import why
from tests.security.rules import ROOT

from .test_refused_files import GOOD, MORE, made

SECRET = "AKIAIOSFODNN7CANARY"  # the oracle's form of a key, of no account
CODE = sorted(path for folder in ("src", "functions") for path in (ROOT / folder).rglob("*.py"))

BODIES = {
    "every weight": b"\n".join(
        line.replace(b",N,", b",N," + SECRET.encode()) if number else line
        for number, line in enumerate(MORE.splitlines())
    ),
    "every label": MORE.replace(b"True", SECRET.encode()).replace(b"False", SECRET.encode()),
    "an open quote": MORE + b'p9999,"' + SECRET.encode() + b",1,True\n",
    "another encoding": MORE + b"p9999,Troms\xf8 " + SECRET.encode() + b",1,True\n",
    "a NUL": MORE + SECRET.encode() + b"\0,N,1,True\n",
    "ragged lines": MORE + b"".join(b"%s%d,N\n" % (SECRET.encode(), number) for number in range(90)),
    "no Parquet": b"PAR1" + SECRET.encode() * 9 + b"PAR1",
    "JSON in a CSV file": b'{"id": "' + SECRET.encode() + b'"}\n' * 9,
}
WEIGHT = {"type": "number", "missing": "reject"}


@pytest.mark.case("SE-10")
@pytest.mark.parametrize("name", BODIES)
def test_no_sentence_about_a_file_that_cannot_be_used_quotes_a_cell(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    columns = {
        "id": {"type": "category", "feature": False},
        "depot": {"type": "category"},
        "weight": WEIGHT,
        "late": {"type": "boolean", "feature": False},
    }
    features = {"ratio": "weight / 0", "depth": "ln(weight)"}

    found = made(tmp_path, {"a.csv": GOOD, "bad.csv": BODIES[name]}, columns=columns, features=features)

    said = [refusal.message + str(refusal.hint) for _, refusal in found.refused]
    assert said or found.problem, "the file is to be of no use"
    assert SECRET not in "".join((*said, str(found.problem), caplog.text, *capfd.readouterr()))


REQUESTS = {
    "no JSON": (f'{{"weight": {SECRET}', JSON),
    "a bare text": (f'"{SECRET}"', JSON),
    "a list of texts": (f'["{SECRET}"]', JSON),
    "no number": (f'{{"weight": NaN, "depot": "{SECRET}"}}', JSON),
    "a broken quote": (f'"{SECRET}"x,1\n', CSV),
    "no text": (SECRET.encode() + b"\xff", JSON),
}


@pytest.mark.case("SE-10")
@pytest.mark.parametrize("name", REQUESTS)
def test_no_answer_to_a_request_that_cannot_be_read_quotes_it(name: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        parse(*REQUESTS[name])

    assert SECRET not in refused.value.body() + why(refused.value)


@pytest.mark.case("SE-10")
def test_nothing_deployed_turns_the_sdks_debug_log_on() -> None:
    """botocore's debug log holds every request's body: only a person who changes the code can ask for it."""
    turns_on = ("set_stream_logger", "basicConfig", "setLevel", 'getLogger("boto', "set_debug_logger")
    guard = ROOT / "src" / "driftwheel" / "aws" / "__init__.py"  # tests/functions/test_debug_logs.py

    found = [path for path in CODE if any(word in path.read_text(encoding="utf-8") for word in turns_on)]
    assert found == [guard]
    assert guard.read_text(encoding="utf-8").count("setLevel(logging.WARNING)") == 1
    assert "LOG_LEVEL: DEBUG" not in (ROOT / "template.yaml").read_text(encoding="utf-8")
