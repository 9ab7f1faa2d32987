"""Importing moto's Step Functions and Systems Manager without EC2: 0.6 s and 100 MB that nobody here uses."""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


def import_lean() -> None:
    """Import the modules of moto that would drag in EC2, so that later imports find them there."""
    # One enum of moto.batch.utils is needed; the package's __init__ imports EC2.
    with _standing_in("moto.batch", _empty_package("moto.batch")):
        importlib.import_module("moto.stepfunctions.parser.models")
    # RunCommand looks for EC2 instances by their tags; parameters do not.
    stand_in = ModuleType("moto.ec2")
    stand_in.__dict__["ec2_backends"] = _Later()
    with _standing_in("moto.ec2", stand_in):
        importlib.import_module("moto.ssm.models")


class _Later:
    """moto's EC2 backends, imported when somebody asks for one."""

    def __getitem__(self, account: str) -> Any:
        return importlib.import_module("moto.ec2").ec2_backends[account]


@contextmanager
def _standing_in(name: str, module: ModuleType) -> Iterator[None]:
    """Let `module` be the import `name` for a while; a real one that is there already stays."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = module
    try:
        yield
    finally:
        del sys.modules[name]


def _empty_package(name: str) -> ModuleType:
    """Answer the package without having run its `__init__`; its submodules can be imported."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        raise ImportError(f"{name} is missing: moto is not the pinned version")
    return importlib.util.module_from_spec(spec)
