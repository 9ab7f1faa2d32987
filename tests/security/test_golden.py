"""What every role may do stands in a file: a wider right is a line of a diff."""

import pytest

from .golden import GOLDEN, GOLDEN_IN_VPC, effective, more_in_vpc
from .iam import managed_policies, roles


@pytest.mark.case("SE-13")
def test_the_golden_file_says_what_each_role_may_do(request: pytest.FixtureRequest) -> None:
    for golden, worded in ((GOLDEN, effective()), (GOLDEN_IN_VPC, more_in_vpc())):
        if request.config.getoption("--update-permissions"):
            golden.write_text(worded, encoding="utf-8")

        assert golden.read_text(encoding="utf-8") == worded, "pytest --update-permissions rewrites it"


@pytest.mark.case("SE-13")
def test_a_vpc_takes_no_right_away_and_attaches_nothing_of_awss() -> None:
    assert managed_policies(in_vpc=True) == managed_policies()
    for role, statements in roles().items():
        assert set(map(repr, statements)) <= set(map(repr, roles(in_vpc=True)[role]))
