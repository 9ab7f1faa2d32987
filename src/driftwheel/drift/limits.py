"""What counts as drift: which tests are made, and where each of them begins to matter.

Standard library only: who compares two files by the library alone needs none of what reads a model.yaml.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

DriftTestName = Literal[
    "psi",
    "jensen_shannon",
    "wasserstein",
    "kolmogorov_smirnov",
    "chi_square",
    "g_test",
    "l_infinity",
    "missingness",
    "unseen_categories",
    "vanished_categories",
    "correlation",
]


@dataclass(frozen=True)
class Limits:
    """The thresholds of a check and their defaults, which are those of ``drift`` in model.yaml.

    Fewer than ``minimum_rows`` give no verdict; ``significance`` is the chance, at most, of any finding
    where nothing changed; columns that carry ``major_share`` of the weights make strong drift major.
    """

    tests: Sequence[DriftTestName] = (
        "psi",
        "jensen_shannon",
        "wasserstein",
        "kolmogorov_smirnov",
        "chi_square",
        "missingness",
        "unseen_categories",
        "vanished_categories",
        "correlation",
    )
    minimum_rows: int = 500
    significance: float = 0.01
    psi_threshold: float = 0.2
    major_share: float = 0.25
