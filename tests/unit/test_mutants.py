"""A mutant can be planted only where its text still stands: a change of the source must bring it along."""

import pytest
from tests.campaign.mutants import MUTANTS, ROOT


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.id)
def test_a_mutants_text_stands_once_in_its_file(mutant) -> None:
    assert (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.before) == 1
    assert mutant.after != mutant.before
