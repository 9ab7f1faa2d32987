"""Plant the twelve mutants, each in every way of it; ends with 1 when one of them turns no case red."""

import argparse
import re
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from tests.campaign.mutants import MUTANTS, Mutant, Verdict, copied, judged

BEGIN, END = "<!-- mutants: written by make mutants -->", "<!-- mutants: end -->"
AT_ONCE = 2
"""Each has a copy of its own, and a core in CI."""


def main() -> int:
    """Judge the named mutants, all by default, print a line for each, and write the table of a whole run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ids", nargs="*", metavar="M1", help="mutants to plant; all when none is named")
    parser.add_argument("--table", type=Path, metavar="PAGE", help="write the table of all mutants into PAGE")
    asked = parser.parse_args()
    known = [mutant.id for mutant in MUTANTS]
    unknown = set(asked.ids) - set(known)
    if unknown:
        parser.error(f"no such mutant: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if asked.ids and asked.table:
        parser.error("a table is of all mutants: name none")
    wanted = [mutant for mutant in MUTANTS if not asked.ids or mutant.id in asked.ids]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        verdicts = list(pool.map(_judged, wanted))
    if asked.table:
        page = asked.table.read_text(encoding="utf-8")
        asked.table.write_text(with_table(page, verdicts), encoding="utf-8")
    return 0 if all(verdict.red for verdict in verdicts) else 1


def _judged(mutant: Mutant) -> Verdict:
    with tempfile.TemporaryDirectory() as place:
        verdict = judged(copied(Path(place)), mutant)
    said = f"red in {len(verdict.red)}, {verdict.red[-1]}" if verdict.red else "SURVIVED"
    sys.stdout.write(f"{mutant.id} {mutant.planted}: {said} ({verdict.seconds:.0f} s)\n")
    sys.stdout.flush()
    return verdict


def with_table(page: str, verdicts: Sequence[Verdict]) -> str:
    """Put a run's table between the page's markers; raises ValueError for a page without them."""
    mutants = {verdict.mutant.id.rstrip("b") for verdict in verdicts}
    survived = {verdict.mutant.id.rstrip("b") for verdict in verdicts if not verdict.red}
    caught = f"{len(mutants - survived)} of {len(mutants)} red, planted in {len(verdicts)} ways"
    lines = [
        f"`make mutants` on {datetime.now(UTC):%Y-%m-%d}: {caught}.",
        "",
        "| Mutant | Tests red | in files | Seconds |",
        "|---|---|---|---|",
    ]
    for verdict in verdicts:
        files = len({test.split("::")[0] for test in verdict.red})
        red = len(verdict.red) or "**survived**"
        mutant = verdict.mutant
        lines.append(f"| {mutant.id} {mutant.planted} | {red} | {files} | {verdict.seconds:.0f} |")
    between = re.compile(f"{BEGIN}.*?{END}", re.DOTALL)
    written, places = between.subn(lambda _: "\n".join([BEGIN, "", *lines, "", END]), page)
    if places != 1:
        raise ValueError(f"the page holds {BEGIN} … {END} {places} times, not once")
    return written


if __name__ == "__main__":
    sys.exit(main())
