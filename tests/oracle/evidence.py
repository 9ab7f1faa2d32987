"""What the invariants judge: one model's records, and what SageMaker and Step Functions really hold."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from driftwheel.ledger.champions import ChampionRow
from driftwheel.ledger.leases import Lease
from driftwheel.ledger.objects import ObjectRow
from driftwheel.ledger.runs import RunRow
from driftwheel.ledger.tokens import Parked
from driftwheel_cli.following import BAD_ENDS


def found_no_machine(job: Mapping[str, Any]) -> bool:
    """Whether AWS had no working machine for a training job: one in its place is no second training.

    The oracle's own rule: the product's, asked here, would excuse what it gets wrong.
    """
    if job["TrainingJobStatus"] == "Stopped":
        return job.get("SecondaryStatus") == "MaxWaitTimeExceeded" and "TrainingStartTime" not in job
    lacking = str(job.get("FailureReason")).startswith(("CapacityError", "InternalServerError"))
    return job["TrainingJobStatus"] == "Failed" and lacking


@dataclass
class Evidence:
    """One model at rest, as one bench or stack shows it.

    ``delivered`` maps (key, version) to the ETag; ``held_back`` are objects that wait for a later run;
    ``jobs`` maps a job's name to its run and status, ``machineless`` are those AWS found no working machine
    for; ``frozen`` maps a run to what it was started on (data set, model.yaml), ``digests`` to what its job
    learned, and how;
    ``prepared`` what went into a preparation (bytes, model.yaml, seed) to the digests that came out;
    ``endpoints``, ``configs`` and ``models`` say since when each is there, or as it is (epoch seconds);
    ``tellings`` counts how often a run's last step began, ``alerts`` what people were told of it, in
    ``messages``; ``patience`` is the model's `triggers.give_up_after`, ``bad_ends`` are the ends of a run
    which the command answers with an exit code other than 0;
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
    frozen: dict[str, str] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    prepared: dict[str, set[str]] = field(default_factory=dict)
    endpoint: dict[str, Any] | None = None
    serving: str = ""
    endpoints: dict[str, float] = field(default_factory=dict)
    configs: dict[str, float] = field(default_factory=dict)
    models: dict[str, float] = field(default_factory=dict)
    swept_after_days: int = 30
    strays: list[str] = field(default_factory=list)
    dead_letters: int = 0
    wrong_answers: int = 0
    alerts: Counter[str] | None = None
    tellings: Counter[str] = field(default_factory=Counter)
    messages: dict[str, list[str]] = field(default_factory=dict)
    patience: int = 3
    bad_ends: frozenset[str] = BAD_ENDS
    largest_payload: int = 0
    longest_history: int = 0
    quarantined: dict[tuple[str, str], tuple[bytes, bytes]] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    canaries: tuple[str, ...] = ()
    model_digests: dict[str, set[str]] = field(default_factory=dict)
