"""Quality estimated before labels, beside what labels then show and beside the model's old quality.

Worlds of one input and an overconfident logistic model: its inputs move (covariate shift), or the labels'
relation to them weakens (concept drift). Run it by `python benchmarks/estimate.py`.
"""

import argparse

import numpy as np

from driftwheel.drift.estimate import calibration_of, cells_of, estimate
from driftwheel.drift.quality import auc

WORLDS = {
    "nothing changed": {},
    "inputs narrower (sd 0.5)": {"sd": 0.5},
    "inputs moved by 1 sd": {"mean": 1.0},
    "inputs wider (sd 1.5)": {"sd": 1.5},
    "label follows the input half as much": {"slope": 0.5},
    "label no longer follows the input": {"slope": 0.0},
}


def rows(
    dice: np.random.Generator, count: int, mean: float = 0.0, sd: float = 1.0, slope: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Draw scores and labels."""
    x = dice.normal(mean, sd, count)
    labels = (dice.random(count) < 1 / (1 + np.exp(-slope * x))).astype(float)
    return 1 / (1 + np.exp(-3 * x)), labels


def main() -> None:
    """Print one line a world."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=100)
    parser.add_argument("--rows", type=int, default=5_000)
    asked = parser.parse_args()
    print("| World | AUC shown | error of the estimate | error of the old AUC | interval held |")
    print("|---|---|---|---|---|")
    for name, world in WORLDS.items():
        shown, ours, old, held = [], [], [], 0
        for seed in range(asked.windows):
            dice = np.random.default_rng(seed)
            learned, window = rows(dice, 20_000), rows(dice, asked.rows, **world)
            true, before = auc(*window)[0], auc(*learned)[0]
            known = calibration_of(*learned)
            found = estimate(known, cells_of(window[0], known["edges"]), "auc", minimum_rows=1_000)
            shown.append(true)
            ours.append(abs(found.value - true))
            old.append(abs(before - true))
            held += found.low <= true <= found.high
        print(
            f"| {name} | {np.mean(shown):.3f} | {np.mean(ours):.4f} | {np.mean(old):.4f} "
            f"| {held} of {asked.windows} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
