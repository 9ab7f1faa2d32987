"""SageMaker without AWS: real processes under SageMaker's rules."""

from driftwheel_local.sagemaker.world import SageMakerWorld

__all__ = ["SageMakerWorld"]
