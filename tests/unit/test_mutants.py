"""A mutant can be planted only where its text still stands: a change of the source must bring it along."""

import pytest
from tests.campaign.mutants import MUTANTS, ROOT, Verdict
from tests.campaign.plant import BEGIN, END, with_table


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.id)
def test_a_mutants_text_stands_once_in_its_file(mutant) -> None:
    assert (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.before) == 1
    assert mutant.after != mutant.before


def test_a_run_is_written_between_the_markers_and_a_survivor_is_said() -> None:
    verdicts = [
        Verdict(MUTANTS[0], ("a.py::one", "a.py::two", "b.py::one"), 1.4),
        Verdict(MUTANTS[1], (), 2),
        Verdict(MUTANTS[2], ("a.py::one",), 1),
    ]

    page = with_table(f"before {BEGIN} of an earlier run {END} after", verdicts)

    assert page.startswith(f"before {BEGIN}\n")
    assert page.endswith(f"{END} after")
    assert "earlier" not in page
    assert "1 of 2 red, planted in 3 ways." in page
    assert f"| M1 {MUTANTS[0].planted} | 3 | 2 | 1 |" in page
    assert f"| M2 {MUTANTS[1].planted} | **survived** | 0 | 2 |" in page
    with pytest.raises(ValueError, match="0 times"):
        with_table("no place", verdicts)
