"""Importing moto's Step Functions without EC2, which costs as much as all the rest."""

import importlib
import importlib.util
import sys


def import_step_functions() -> None:
    """Import moto's Step Functions interpreter, keeping out what its Batch task drags in.

    It needs one enum of `moto.batch.utils`; the package's `__init__` would import moto's EC2 (a second of
    zones and instance types). The package is left unimported, so a later `import moto.batch` is a real one.
    """
    if "moto.batch" in sys.modules:
        return
    spec = importlib.util.find_spec("moto.batch")
    if spec is None:
        raise ImportError("moto.batch is missing: moto is not the pinned version")
    sys.modules["moto.batch"] = importlib.util.module_from_spec(spec)
    try:
        importlib.import_module("moto.stepfunctions.parser.models")
    finally:
        del sys.modules["moto.batch"]
