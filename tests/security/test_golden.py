"""What every role may do stands in a file: a wider right is a line of a diff."""

import pytest

from .golden import GOLDEN, effective


@pytest.mark.case("SE-13")
def test_the_golden_file_says_what_each_role_may_do(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update-permissions"):
        GOLDEN.write_text(effective(), encoding="utf-8")

    assert GOLDEN.read_text(encoding="utf-8") == effective(), "pytest --update-permissions rewrites it"
