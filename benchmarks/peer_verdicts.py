"""The table of verdicts.py for peers: one baseline, the same windows, each engine at its defaults.

No peer is told of the label as such: it is one more column. Peers without a test of something miss it here,
as their users would; what they offer beside it (quality checks, multivariate detectors) is not run.
"""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import verdicts
from drift import python_of, run

from driftwheel.drift.baseline import build_baseline
from driftwheel.drift.feature import CORRELATIONS, LABEL
from driftwheel.drift.limits import Limits

ENGINES = ("scipy", "frouros", "alibi_detect", "nannyml", "whylogs", "evidently")


def arrow(table: verdicts.Table, labels: verdicts.Table) -> pa.Table:
    """Give a drawn table as Arrow, its labels as one more column."""
    columns = {name: pa.array(values, from_pandas=True) for name, values in table.items()}
    return pa.table(columns | {"label": pa.array(labels.astype(np.int64))})


def window(random: verdicts.Random, rows: int, *, changed: bool) -> tuple[verdicts.Table, verdicts.Table]:
    """Draw a window and its labels."""
    table = (verdicts.changed if changed else verdicts.draw)(random, rows)
    rate = verdicts.MORE_LABELS if changed else verdicts.LABELS
    return table, (random.random(rows) < rate).astype(float)


def ours(before: tuple[verdicts.Table, verdicts.Table], windows: list[tuple]) -> list[list[str]]:
    """Let Driftwheel judge the same windows, at its defaults."""
    random = np.random.default_rng(0)
    table, labels = before
    known = build_baseline(table, verdicts.KINDS, random.beta(2, 5, len(labels)), labels, {})
    found = []
    for now, true in windows:
        builder = verdicts.WindowBuilder(known)
        builder.add(now, random.beta(2, 5, len(true)), true)
        report = verdicts.check(known, builder.build(), Limits())
        found.append(["label" if f.feature == LABEL else f.feature for f in report.findings])
    return found


def show(engine: str, calm: list[list[str]], changed: list[list[str]]) -> str:
    """Word one engine's row: windows without drift that were flagged, each planted change, other columns."""
    planted = {"label" if feature == LABEL else feature: name for name, feature in verdicts.PLANTED.items()}
    pair = {"company_a", "company_b"}
    hits, wrong = Counter[str](), Counter[str]()
    for flags in changed:
        told = {*flags} | ({CORRELATIONS} if pair & {*flags} else set())
        hits.update(told & set(planted))
        wrong.update({*flags} - set(planted) - pair)
    any_flag = sum(bool(flags) for flags in calm)
    low, high = verdicts.wilson(any_flag, len(calm))
    cells = " | ".join(str(hits[feature]) for feature in planted)
    others = ", ".join(f"{name} {times}" for name, times in wrong.most_common(6)) or "-"
    flags = sum(map(len, calm)) / len(calm)
    return (
        f"| {engine} | {any_flag} of {len(calm)} ({low:.0%} to {high:.0%}), {flags:.1f} a window | "
        f"{cells} | {others} |"
    )


def main() -> None:
    """Draw the windows, let every engine judge them, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engines", nargs="*", default=ENGINES, choices=ENGINES)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--baseline-rows", type=int, default=20_000)
    parser.add_argument("--calm", type=int, default=50, help="windows without drift")
    parser.add_argument("--changed", type=int, default=20, help="windows with every planted change")
    parser.add_argument("--seed", type=int, default=97)
    given = parser.parse_args()
    random = np.random.default_rng([given.seed, given.rows])
    before = window(random, given.baseline_rows, changed=False)
    sets = [
        [window(random, given.rows, changed=changed) for _ in range(count)]
        for changed, count in ((False, given.calm), (True, given.changed))
    ]
    names = [name.replace("|", "/") for name in verdicts.PLANTED]
    print(f"| engine | windows without drift flagged | {' | '.join(names)} | other columns |")
    print(f"|{'---|' * (len(names) + 3)}")
    print(show("Driftwheel", *(ours(before, windows) for windows in sets)), flush=True)
    with tempfile.TemporaryDirectory() as name:
        paths = [Path(name) / f"{part}.parquet" for part in ("before", "calm", "changed")]
        pq.write_table(arrow(*before), paths[0])
        for path, windows in zip(paths[1:], sets, strict=True):
            pq.write_table(pa.concat_tables([arrow(*one) for one in windows]), path)
        for engine in given.engines:
            python_of(engine)
            answer = run(engine, "drift_engines.py", engine, *paths, "--rows", given.rows)
            print(show(engine, *answer["said"]["flags"]), flush=True)
            print(f"{engine}: {answer['cpu']:.0f} CPU s", file=sys.stderr)


if __name__ == "__main__":
    main()
