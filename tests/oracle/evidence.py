"""What the invariants judge: one model's records, and what SageMaker and Step Functions really hold."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from driftwheel.ledger.champions import ChampionRow
from driftwheel.ledger.leases import Lease
from driftwheel.ledger.objects import ObjectRow
from driftwheel.ledger.runs import RunRow
from driftwheel.ledger.tokens import Parked


@dataclass
class Evidence:
    """One model at rest. What a bench cannot see stays at its default, and its invariant is not judged.

    ``delivered`` maps (key, version) to the ETag; ``held_back`` are objects whose runs ended without a model;
    ``jobs`` maps a job's name to its run and status; ``digests`` a run to its training rows.
    """

    model: str
    now: float
    delivered: dict[tuple[str, str], str] | None = None
    objects: list[ObjectRow] = field(default_factory=list)
    held_back: set[tuple[str, str]] = field(default_factory=set)
    runs: list[RunRow] = field(default_factory=list)
    champion: ChampionRow | None = None
    history: list[ChampionRow] = field(default_factory=list)
    rolled_back: set[int] = field(default_factory=set)
    lease: Lease | None = None
    tokens: list[Parked] = field(default_factory=list)
    executions: dict[str, tuple[str, str]] = field(default_factory=dict)
    jobs: dict[str, tuple[str, str]] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    endpoint: dict[str, Any] | None = None
    serving: str = ""
    configs: set[str] = field(default_factory=set)
    wrong_answers: int = 0
    alerts: Counter[str] | None = None
    largest_payload: int = 0
    longest_history: int = 0
    quarantined: dict[tuple[str, str], tuple[bytes, bytes]] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)
    canaries: tuple[str, ...] = ()
    model_digests: dict[str, set[str]] = field(default_factory=dict)
