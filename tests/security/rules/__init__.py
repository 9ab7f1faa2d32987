"""Our own rules OR-1 to OR-20 for the transformed template: what no scanner sees.

A rule takes the template as CloudFormation receives it and yields a sentence for every place that breaks it.
"""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from . import delivery, keeping, permissions, watching
from .resources import Document

ROOT = Path(__file__).parents[3]
DEFINITION = json.loads((ROOT / "statemachine" / "model_loop.asl.json").read_text(encoding="utf-8"))

RULES: dict[str, Callable[[Document], Iterator[str]]] = {
    "OR-1": permissions.or_1,
    "OR-2": permissions.or_2,
    "OR-3": permissions.or_3,
    "OR-4": permissions.or_4,
    "OR-5": keeping.or_5,
    "OR-6": delivery.or_6,
    "OR-7": delivery.or_7,
    "OR-8": delivery.or_8,
    "OR-9": watching.or_9,
    "OR-10": keeping.or_10,
    "OR-11": delivery.or_11,
    "OR-12": permissions.or_12,
    "OR-13": keeping.or_13,
    "OR-14": watching.or_14,
    "OR-15": keeping.or_15,
    "OR-16": keeping.or_16,
    "OR-17": permissions.or_17,
    "OR-18": partial(watching.or_18, definition=DEFINITION),
    "OR-19": permissions.or_19,
    "OR-20": permissions.or_20,
}
