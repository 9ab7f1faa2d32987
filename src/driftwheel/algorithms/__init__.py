"""One file per algorithm: what its owner may set, and the training request made of it.

A second algorithm is one more file and one more member below; ``Training`` then becomes their union,
discriminated by ``algorithm``.
"""

from driftwheel.algorithms.xgboost import XGBoostTraining

__all__ = ["ALGORITHMS", "Training", "XGBoostTraining"]

Training = XGBoostTraining

ALGORITHMS = (XGBoostTraining,)
"""Every algorithm a ``model.yaml`` may name."""
