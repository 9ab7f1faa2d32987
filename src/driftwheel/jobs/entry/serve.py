"""Entry point of the serving container: stands at the top of the code archive, beside the package."""

from driftwheel.jobs.serve import input_fn, model_fn, output_fn, predict_fn

__all__ = ["input_fn", "model_fn", "output_fn", "predict_fn"]
