import shutil
import threading
import time
from pathlib import Path

import pytest

from driftwheel_local.intrinsics import TemplateError
from driftwheel_local.packaging import PackagingError
from driftwheel_local.server import Stack
from driftwheel_local.stack import StackError

CHAIN = Path(__file__).parent / "data" / "chain"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (("DefinitionUri: machine.asl.json", "DefinitionUri: absent.json"), TemplateError, "absent.json"),
        (
            ("DefinitionUri: machine.asl.json", "DefinitionUri: layer/shared.py"),
            StackError,
            "Machine .*not JSON",
        ),
        (("BuildMethod: python3.11", "BuildMethod: python3.9"), PackagingError, "Shared"),
        (("VisibilityTimeout: 30", "VisibilityTimeuot: 30"), StackError, "Arrivals .*VisibilityTimeuot"),
        (("rate(1 hour)", "rate(1 hours"), StackError, "WorkerFunctionHourly .*rate"),
    ],
)
def test_a_faulty_template_leaves_nothing_running(tmp_path, change, error, message):
    shutil.copytree(CHAIN, tmp_path / "chain")
    template = tmp_path / "chain" / "template.yaml"
    assert change[0] in template.read_text()
    template.write_text(template.read_text().replace(*change))
    before = threading.active_count()
    faulty = Stack(tmp_path / "root", template, parameters={"Libraries": "x"}, reuse_build=tmp_path / "build")

    with pytest.raises(error, match=message):
        faulty.__enter__()

    assert not (tmp_path / "root" / "stack.json").exists()
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert threading.active_count() <= before
