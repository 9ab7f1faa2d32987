"""The test build: the shipped source with hooks that kill or hold, at each function's begin and end too.

And with a server that can be told to break down while it serves.
"""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from driftwheel.hooks import MODULE, VARIABLE, Point
from driftwheel.ledger.tokens import Kind

ROOT = Path(__file__).parents[2]
COPIED = ("src", "functions", "statemachine")
BUILT = ROOT / ".driftwheel" / "campaign"
"""What is built of it is kept: only what changed is built again."""

POINTS: tuple[str, ...] = get_args(Point)
STEPS = (
    "data_arrival",
    "preprocessing_launch",
    "preprocessing",
    "training_launch",
    "evaluation_gate",
    "approval",
    "deployment",
    "record_outcome",
    "trigger",
    "job_callback",
)
"""The functions a run needs: those of its states, the one that starts it and the one that wakes it."""
WAITS: tuple[str, ...] = get_args(Kind)
STAGED = {
    "ledger/tokens.py": ("before_delete_token", "{parked.kind}", WAITS),
    "steps/training_launch.py": ("after_create_job", "training_launch", ("training_launch",)),
    "steps/preprocessing_launch.py": ("after_create_job", "preprocessing_launch", ("preprocessing_launch",)),
}
"""Points that a run passes at several stages, by file: the test build says at which."""
PASSED = tuple(
    dict.fromkeys(
        [
            *(point for point in POINTS if all(point != staged for staged, _, _ in STAGED.values())),
            *(f"{point}@{stage}" for point, _, stages in STAGED.values() for stage in stages),
            *(f"end_{step}" for step in STEPS),
        ]
    )
)
"""Every point at every stage that passes it, and the end of every function: what can be aimed at."""
OF_SPARK = {"after_create_job@preprocessing_launch", "before_delete_token@processing_job"}
OF_SPARK |= {"end_preprocessing_launch"}
OF_APPROVAL = {"before_delete_token@model_package", "end_approval"}
"""What only the runs of a large data set, and only those that ask a person, pass."""

KILLED_TOGETHER = (
    ("after_ledger_put", "end_training_launch"),
    ("after_lease", "before_delete_token@training_job"),
    ("end_trigger", "after_update_endpoint"),
    ("end_data_arrival", "end_deployment"),
    ("end_preprocessing", "before_champion_cas"),
    ("after_create_job@training_launch", "after_champion_cas"),
    ("end_evaluation_gate", "end_job_callback"),
    ("end_record_outcome", "before_delete_token@endpoint"),
    ("before_delete_token@model_package", "end_approval"),
    ("after_create_job@preprocessing_launch", "before_delete_token@processing_job"),
    ("end_preprocessing_launch",),
)
"""Places that one run is killed at, one after the other: a retry or a redelivery must bear more than one."""

STARTING_SECONDS = 3
"""The lease of a run that is being started lasts so long here, and 300 s as shipped."""

DARK = "dark.now"
"""A folder beside the aims while the whole stack is down."""

DOOM = "doom.json"
"""A file beside the aims while invocations are killed by chance: the seed, and the share of them."""
HELD = "held"
"""What is aimed at a point where whoever comes waits until the mark of its coming is gone."""
SPOILED = "spoiled.json"
"""A file beside the aims: an instance that loads its model now answers 500 so many seconds after the first
request that it is asked to score; the golden records have been asked before."""
CALLED = 12
"""A doomed invocation ends after at most so many of its calls of AWS, else when it would have answered."""

HOOKS = '''
"""Kills or holds the process that first reaches a point somebody aimed at, or kills the stack; or a share."""

import json
import os
import pathlib
import random
import signal
import time

from botocore.client import BaseClient

AIMED = pathlib.Path(os.environ["{variable}"])


class Doom:
    """Whether this process's invocation is to be killed, and after how many more of its calls of AWS."""

    def __init__(self):
        self.left, self.mark = None, None

    def begin(self, step):
        self.left = None
        try:
            seed, share = json.loads((AIMED / "{doom}").read_text())
        except FileNotFoundError:
            return
        with (AIMED / f"{{step}}.invoked").open("ab", buffering=0) as count:
            count.write(b".")  # appended whole: where it ends is the invocation's own number
            nth = count.tell()
        dice = random.Random(f"{{seed}}/{{step}}/{{nth}}")
        if dice.random() < share:
            self.left, self.mark = dice.randint(1, {called}), AIMED / f"{{step}}.{{nth}}.killed"

    def called(self):
        if self.left is not None:
            self.left -= 1
            if not self.left:
                self.end()

    def end(self):
        if self.left is not None:
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)


doom = Doom()
_call = BaseClient._make_api_call


def _called(client, *of):
    answer = _call(client, *of)
    doom.called()
    return answer


BaseClient._make_api_call = _called


def reach(point):
    (AIMED / f"{{point}}.seen").touch()
    hit = AIMED / f"{{point}}.hit"
    try:
        whom = (AIMED / point).read_text()
        whole = whom == "stack"
        if whole:
            (AIMED / "{dark}").mkdir()  # the stack ends once, whoever else gets somewhere meanwhile
        (AIMED / point).rename(hit)  # one process alone takes the aim
    except FileNotFoundError:
        return
    except FileExistsError:
        signal.pause()
    if whom == "{held}":
        while hit.exists():
            time.sleep(0.02)
        return
    os.kill(os.getppid() if whole else os.getpid(), signal.SIGKILL)
    signal.pause()
'''

SERVING = """

import json as _json
import pathlib as _pathlib
import time as _time

_AIMED = _pathlib.Path({aimed!r})
_load, _predict, _spoiled = model_fn, predict_fn, {{}}


def model_fn(model_dir):
    model = _load(model_dir)
    if (_AIMED / "{spoiled}").exists():
        _spoiled["after"] = _json.loads((_AIMED / "{spoiled}").read_text())
    return model


def predict_fn(rows, model):
    if _spoiled:
        begun = _spoiled.setdefault("begun", _time.monotonic())
        well = _time.monotonic() - begun < _spoiled["after"]
        with (_AIMED / ("{spoiled}.well" if well else "{spoiled}.failed")).open("ab", buffering=0) as count:
            count.write(b".")
        if not well:
            raise RuntimeError("spoiled")
    return _predict(rows, model)
"""

WRAPPED = """

from driftwheel.hooks import reached as _reached
from {module} import doom as _doom

_handler = handler


def handler(event, context):
    _doom.begin("{step}")
    _reached("begin_{step}")
    answer = _handler(event, context)
    _reached("end_{step}")
    _doom.end()
    return answer
"""


def made(target: Path, aimed: Path, environment: Mapping[str, str]) -> Path:
    """Copy the source to ``target``, put the hooks in, and give the template that runs it."""
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in COPIED:
        shutil.copytree(ROOT / name, target / name, ignore=ignored)
    hooks = HOOKS.format(variable=VARIABLE, dark=DARK, doom=DOOM, called=CALLED, held=HELD)
    (target / "src" / f"{MODULE}.py").write_text(hooks, encoding="utf-8")
    for step in STEPS:
        app = target / "functions" / step / "app.py"
        app.write_text(
            app.read_text(encoding="utf-8") + WRAPPED.format(step=step, module=MODULE), encoding="utf-8"
        )
    serving = target / "src" / "driftwheel" / "jobs" / "serve.py"
    with serving.open("a", encoding="utf-8") as code:
        code.write(SERVING.format(aimed=str(aimed), spoiled=SPOILED))
    for place, (point, stage, _) in STAGED.items():
        staged = f'reached(f"{point}@{stage}")'
        _replace(target / "src" / "driftwheel" / place, rf'reached\("{point}"\)', staged)
    trigger = target / "src" / "driftwheel" / "steps" / "trigger.py"
    _replace(trigger, r"STARTING_SECONDS = 300\n", f"STARTING_SECONDS = {STARTING_SECONDS}\n")
    template = target / "template.yaml"
    shutil.copy2(ROOT / "template.yaml", template)
    lines = [f'{name}: "{value}"' for name, value in (environment | {VARIABLE: str(aimed)}).items()]
    before = r"( +)POWERTOOLS_LOG_LEVEL: INFO\n"
    _replace(template, before, r"\g<0>" + "".join(rf"\g<1>{line}\n" for line in lines))
    return template


def _replace(path: Path, before: str, after: str) -> None:
    text, count = re.subn(before, after, path.read_text(encoding="utf-8"))
    if count != 1:
        raise ValueError(f"{path} holds {before!r} {count} times: the source has moved on")
    path.write_text(text, encoding="utf-8")
