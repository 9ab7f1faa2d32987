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
    """One model at rest, as one bench or stack shows it.

    ``delivered`` maps (key, version) to the ETag; ``held_back`` are objects that wait for a later run;
    ``jobs`` maps a job's name to its run and status, ``machineless`` are those AWS found no working machine
    for; ``digests`` maps a run to what its job learned, and how;
    ``prepared`` what went into a preparation (bytes, model.yaml, seed) to the digests that came out;
    ``tellings`` counts how often a run's last step began, ``alerts`` what it told people;
    ``strays`` names processes, ports and folders nobody refers to; ``canaries`` are values planted in data
    and environment, ``outputs`` what people and log services read, by place; ``quarantined`` holds the bytes
    as received and as kept; ``model_digests`` a champion's artifact and all the digests it ever had.
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
    machineless: set[str] = field(default_factory=set)
    digests: dict[str, str] = field(default_factory=dict)
    prepared: dict[str, set[str]] = field(default_factory=dict)
    endpoint: dict[str, Any] | None = None
    serving: str = ""
    endpoints: set[str] = field(default_factory=set)
    configs: set[str] = field(default_factory=set)
    models: set[str] = field(default_factory=set)
    strays: list[str] = field(default_factory=list)
    dead_letters: int = 0
    wrong_answers: int = 0
    alerts: Counter[str] | None = None
    tellings: Counter[str] = field(default_factory=Counter)
    largest_payload: int = 0
    longest_history: int = 0
    quarantined: dict[tuple[str, str], tuple[bytes, bytes]] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    canaries: tuple[str, ...] = ()
    model_digests: dict[str, set[str]] = field(default_factory=dict)
