"""Every drift test there is: a new one is a file and a line here."""

from typing import Annotated

from pydantic import Field, TypeAdapter

from driftwheel.drift.chi_square import ChiSquare
from driftwheel.drift.correlation import Correlation
from driftwheel.drift.g_test import GTest
from driftwheel.drift.jensen_shannon import JensenShannon
from driftwheel.drift.kolmogorov_smirnov import KolmogorovSmirnov
from driftwheel.drift.l_infinity import LInfinity
from driftwheel.drift.missingness import Missingness
from driftwheel.drift.psi import Psi
from driftwheel.drift.score import DriftTest
from driftwheel.drift.unseen_categories import UnseenCategories
from driftwheel.drift.vanished_categories import VanishedCategories
from driftwheel.drift.wasserstein import Wasserstein
from driftwheel.spec import Drift

AnyTest = Annotated[
    Psi
    | JensenShannon
    | Wasserstein
    | KolmogorovSmirnov
    | ChiSquare
    | GTest
    | LInfinity
    | Missingness
    | UnseenCategories
    | VanishedCategories
    | Correlation,
    Field(discriminator="kind"),
]

_READER: TypeAdapter[AnyTest] = TypeAdapter(AnyTest)


def battery(spec: Drift) -> list[DriftTest]:
    """Make the tests a model asks for: ``psi_threshold`` is a strong PSI, a tenth of it a slight one."""
    made: list[DriftTest] = []
    for kind in spec.tests:
        given: dict[str, object] = {"kind": kind}
        if kind == "psi":
            given |= {"strong": spec.psi_threshold, "slight": spec.psi_threshold / 10}
        made.append(_READER.validate_python(given))
    return made
