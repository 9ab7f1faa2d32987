"""Every drift test there is: a new one is a file and a line here."""

from collections.abc import Callable

from driftwheel.drift.chi_square import ChiSquare
from driftwheel.drift.correlation import Correlation
from driftwheel.drift.g_test import GTest
from driftwheel.drift.jensen_shannon import JensenShannon
from driftwheel.drift.kolmogorov_smirnov import KolmogorovSmirnov
from driftwheel.drift.l_infinity import LInfinity
from driftwheel.drift.limits import Limits
from driftwheel.drift.missingness import Missingness
from driftwheel.drift.psi import Psi
from driftwheel.drift.score import DriftTest
from driftwheel.drift.unseen_categories import UnseenCategories
from driftwheel.drift.vanished_categories import VanishedCategories
from driftwheel.drift.wasserstein import Wasserstein

TESTS: tuple[Callable[[], DriftTest], ...] = (
    Psi,
    JensenShannon,
    Wasserstein,
    KolmogorovSmirnov,
    ChiSquare,
    GTest,
    LInfinity,
    Missingness,
    UnseenCategories,
    VanishedCategories,
    Correlation,
)
"""Classes, each with its own thresholds as defaults."""


def battery(limits: Limits) -> list[DriftTest]:
    """Make the tests asked for: ``psi_threshold`` is a strong PSI, a tenth of it a slight one."""
    made = {test.kind: test for test in (make() for make in TESTS)}
    made["psi"] = Psi(strong=limits.psi_threshold, slight=limits.psi_threshold / 10)
    return [made[kind] for kind in limits.tests]
