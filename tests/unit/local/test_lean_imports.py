import subprocess
import sys

from moto import backends
from moto.core import loaders, utils

from driftwheel_local import patches

SCRIPT = """
import sys
from driftwheel_local.lean_imports import import_lean

import_lean()
from moto.ssm import models
from moto.stepfunctions.parser import models as _
assert "moto.ec2.models" not in sys.modules

assert models.ec2_backends["123456789012"]["us-east-1"].all_reservations() == []
from moto.batch import batch_backends
from moto.ec2 import ec2_backends
assert ec2_backends["123456789012"]["us-east-1"] is models.ec2_backends["123456789012"]["us-east-1"]
assert batch_backends["123456789012"]["us-east-1"].list_jobs
"""


def test_ec2_is_left_out_until_somebody_asks_for_it():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)

    assert not done.stderr
    assert done.returncode == 0


def test_moto_looks_for_its_modules_and_service_models_once(monkeypatch):
    asked = []
    monkeypatch.setattr(
        loaders.Loader, "load_service_model", lambda _, *names: asked.append(names) or {"metadata": {}}
    )
    known = set(backends.list_of_moto_modules())
    utils.get_service_model.cache_clear()

    patches.patch_lookups()
    try:
        utils.get_service_model("sqs")
        assert asked == [("sqs", "service-2")]
        assert backends.list_of_moto_modules() is backends.list_of_moto_modules()
        assert set(backends.list_of_moto_modules()) == known
    finally:
        patches.undo()
        utils.get_service_model.cache_clear()
