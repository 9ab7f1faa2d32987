"""Plant the twelve mutants one by one; ends with 1 when one of them turns no case red."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.campaign.mutants import MUTANTS, copied, judged


def main() -> int:
    """Judge the named mutants, all by default, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ids", nargs="*", metavar="M1", help="mutants to plant; all when none is named")
    wanted = set(parser.parse_args().ids)
    unknown = wanted - {mutant.id for mutant in MUTANTS}
    if unknown:
        parser.error(f"no such mutant: {', '.join(sorted(unknown))}; M1 to M{len(MUTANTS)} exist")
    survived = []
    with tempfile.TemporaryDirectory() as place:
        tree = copied(Path(place))
        for mutant in MUTANTS:
            if wanted and mutant.id not in wanted:
                continue
            verdict = judged(tree, mutant)
            said = f"red in {len(verdict.red)}, {verdict.red[-1]}" if verdict.red else "SURVIVED"
            sys.stdout.write(f"{mutant.id} {mutant.planted}: {said} ({verdict.seconds:.0f} s)\n")
            sys.stdout.flush()
            if not verdict.red:
                survived.append(mutant.id)
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
