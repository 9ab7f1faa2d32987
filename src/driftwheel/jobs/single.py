"""Numbers of 32 bits, in which XGBoost works."""

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]


def in_single(values: Floats) -> Matrix:
    """Give doubles in the 32 bits XGBoost works in; what is too large for them is missing, as infinity is.

    XGBoost refuses a whole matrix for one infinity.

    >>> in_single(np.array([1.5, 1e39, np.nan])).tolist()
    [1.5, nan, nan]
    """
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    single[np.isinf(single)] = np.nan
    return single
