"""`make sam` tells the sizes and fails on what Lambda would not take."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "sam"))
import sizes  # a script, not a package


@pytest.mark.parametrize(("megabytes", "code"), [(200, 0), (230, 1)])
def test_a_function_is_counted_with_its_layer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], megabytes: int, code: int
) -> None:
    for name, size in ((sizes.LAYER, 40), ("OneFunction", megabytes)):
        (tmp_path / name).mkdir()
        with (tmp_path / name / "code.bin").open("wb") as stream:
            stream.truncate(size * 1_000_000)

    assert sizes.main(tmp_path) == code
    assert ("TOO LARGE" in capsys.readouterr().out) == bool(code)
