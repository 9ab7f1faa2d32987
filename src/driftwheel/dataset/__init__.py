"""From files as they were dropped to the rows a training job reads: assemble, check, split, publish."""

from driftwheel.dataset.prepare import CaptureFile, DataFile, Inputs, LabelFile, Pinned, Prepared, prepare

__all__ = ["CaptureFile", "DataFile", "Inputs", "LabelFile", "Pinned", "Prepared", "prepare"]
