"""Late labels: what turned out to be true, by row id.

SageMaker's ground-truth JSONL, or CSV with the columns ``inference_id`` and ``label``.
https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-model-quality-merge.html
"""

import csv
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from driftwheel.drift.captured import EXAMPLES, lines_of
from driftwheel.drift.request import Malformed

WORDS = {"true": 1.0, "false": 0.0}


class _Truth(msgspec.Struct):
    data: Any
    encoding: str = "CSV"


class _Metadata(msgspec.Struct):
    eventId: str  # noqa: N815  # SageMaker's name


class _Record(msgspec.Struct):
    groundTruthData: _Truth  # noqa: N815
    eventMetadata: _Metadata  # noqa: N815


_DECODE = msgspec.json.Decoder(_Record).decode


@dataclass
class LabelReader:
    """Collects labels from files given in the order they were written: a later label corrects an earlier one.

    ``known`` maps a row id to its label; ``corrected`` counts labels that changed, ``repeated`` those that
    came again as they were.
    """

    known: dict[str, float] = field(default_factory=dict)
    corrected: int = 0
    repeated: int = 0
    malformed: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def read(self, chunks: Iterable[bytes], name: str) -> None:
        """Read one file; ``name`` (its key) ends with ``.csv``, else it is JSONL."""
        lines = lines_of(chunks)
        if name.lower().endswith(".csv"):
            self._read_csv(lines, name)
        else:
            self._read_jsonl(lines, name)

    def _read_jsonl(self, lines: Iterable[bytes], name: str) -> None:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                record = _DECODE(line)
                self._enter(record.eventMetadata.eventId, record.groundTruthData.data)
            except (msgspec.DecodeError, UnicodeDecodeError):
                self._pass_over(name, number, "not a ground-truth record")
            except Malformed as error:
                self._pass_over(name, number, str(error))

    def _read_csv(self, lines: Iterable[bytes], name: str) -> None:
        text = (line.decode("utf-8-sig", errors="replace").rstrip("\r") for line in lines)
        reader = csv.DictReader(text)
        if not {"inference_id", "label"} <= set(reader.fieldnames or []):
            self._pass_over(name, 1, "the header must name inference_id and label")
            return
        try:
            for row in reader:
                try:
                    self._enter(row["inference_id"], row["label"])
                except Malformed as error:
                    self._pass_over(name, reader.line_num, str(error))
        except csv.Error:
            self._pass_over(name, reader.line_num, "not CSV from here on")

    def _enter(self, row_id: str | None, raw: object) -> None:
        if not row_id:
            raise Malformed("a label without an inference id")
        label = label_value(raw)
        earlier = self.known.get(row_id)
        if earlier is not None:
            self.corrected += earlier != label
            self.repeated += earlier == label
        self.known[row_id] = label

    def _pass_over(self, name: str, line: int, reason: str) -> None:
        self.malformed[reason] += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(f"{name} line {line}: {reason}")


def label_value(raw: object) -> float:
    """Read a label: a finite number, or true and false as 1 and 0; raises Malformed.

    >>> label_value(" 1"), label_value("true"), label_value(0.5)
    (1.0, 1.0, 0.5)
    """
    text = str(raw).strip().lower()
    try:
        value = WORDS[text] if text in WORDS else float(text)
    except ValueError as error:
        raise Malformed("a label that is no number") from error
    if not math.isfinite(value):
        raise Malformed("a label that is no number")
    return value
