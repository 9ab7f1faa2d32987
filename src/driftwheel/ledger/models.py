"""The registered models: which ``model.yaml`` counts, and which landing prefix belongs to whom."""

from dataclasses import dataclass
from functools import lru_cache

from driftwheel.layout import LABELS
from driftwheel.ledger.table import Table
from driftwheel.spec import ModelSpec


@dataclass(frozen=True)
class Owner:
    """Whose object a key is, and which part it plays (``source``, ``enrich-<n>`` or ``labels``)."""

    model: str
    role: str


class Models:
    """Every registered model."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def register(self, spec: ModelSpec, *, version: str, at: str) -> None:
        """Make this ``model.yaml`` the one that counts; the newest drop wins.

        Only what its owner wrote is kept: a stack that is rolled back need not know fields it never had.
        """
        body = {"spec": spec.model_dump_json(exclude_unset=True), "version": version, "registered_at": at}
        self._table.put({"pk": "MODELS", "sk": spec.model} | body)

    def get(self, model: str) -> ModelSpec | None:
        """Read a model's spec."""
        item = self._table.get("MODELS", model)
        return _read(item["spec"]) if item else None

    def registered_at(self, model: str) -> str:
        """Say since when a model's spec counts; empty when it has none."""
        item = self._table.get("MODELS", model)
        return str(item["registered_at"]) if item else ""

    def all(self) -> list[ModelSpec]:
        """List every registered model."""
        return [_read(item["spec"]) for item in self._table.query("MODELS")]


@lru_cache(maxsize=2_000)
def _read(text: str) -> ModelSpec:
    """Read a spec as it was written; every event asks for those of all models, and nobody writes to one.

    Kept are as many as one stack will ever have: with fewer places than models none would be found again.
    """
    return ModelSpec.model_validate_json(text)


def owner_of(key: str, specs: list[ModelSpec]) -> Owner | None:
    """Find whose object a landing key is: the longest matching prefix wins.

    >>> owner_of("labels/flights/monday.jsonl", [])
    Owner(model='flights', role='labels')
    """
    if key.startswith(LABELS):
        model, _, name = key.removeprefix(LABELS).partition("/")
        return Owner(model, "labels") if name else None
    matches = [
        (len(prefix), Owner(spec.model, role))
        for spec in specs
        for prefix, role in spec.prefixes.items()
        if key.startswith(prefix)
    ]
    return max(matches, key=lambda match: match[0])[1] if matches else None
