"""What became of captured requests, as numbers and as a CloudWatch metric line; never a row of data."""

import json
from dataclasses import asdict, dataclass, fields


@dataclass(frozen=True)
class Counts:
    """How many requests were offered, left out by the sampling, written, dropped; how many writes failed."""

    offered: int = 0
    left_out: int = 0
    written: int = 0
    dropped: int = 0
    failed_writes: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __sub__(self, other: "Counts") -> "Counts":
        return Counts(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(self)))

    @property
    def waiting(self) -> int:
        """Requests that were neither written nor given up yet."""
        return self.offered - self.left_out - self.written - self.dropped


def emf(counts: Counts, model: str, at_milliseconds: int) -> str:
    """Word counts in CloudWatch's embedded metric format: printed in a Lambda, they become metrics.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    numbers = {f"Capture{name.title().replace('_', '')}": value for name, value in asdict(counts).items()}
    metrics = [{"Name": name, "Unit": "Count"} for name in numbers]
    directive = {"Namespace": "Driftwheel", "Dimensions": [["model"]], "Metrics": metrics}
    aws = {"Timestamp": at_milliseconds, "CloudWatchMetrics": [directive]}
    return json.dumps({"_aws": aws, "model": model, **numbers})
