"""Captured traffic written by whoever calls an endpoint, where SageMaker's DataCapture is not to be had.

Needs the standard library alone, and the S3 client it is given: it fits into any caller.
"""

from driftwheel.capture.counts import Counts, emf
from driftwheel.capture.record import Exchange
from driftwheel.capture.runtime import CapturingRuntime
from driftwheel.capture.writer import CaptureWriter, sampled

__all__ = ["CaptureWriter", "CapturingRuntime", "Counts", "Exchange", "emf", "sampled"]
