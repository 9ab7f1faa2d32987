"""Clients of an endpoint: one that asks steadily, and closed loops that never pause."""

import json
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import boto3
from botocore.config import Config

from driftwheel.deployment.probe import Answered, AnsweredWrong, Probe, compare_answer
from driftwheel.ledger.champions import ChampionRow

from .bench import Bench

PROBES_A_SECOND = 10
Span = tuple[float, float]
"""Begin and end, by the monotonic clock."""


class Prober:
    """Asks a champion's endpoint so often a second; afterwards its answers must be champions' answers."""

    def __init__(self, bench: Bench, champion: ChampionRow, a_second: float = PROBES_A_SECOND) -> None:
        self._bench, self._champion, self._pause = bench, champion, 1 / a_second
        self._probe = bench.probe(champion)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self.answers: Counter[bytes] = Counter()
        self.failures: Counter[str] = Counter()

    @property
    def asked(self) -> int:
        return self.answers.total() + self.failures.total()

    def __enter__(self) -> Self:
        self._runtime = self._bench.client("sagemaker-runtime")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _call(self) -> bytes:
        answer: Any = self._runtime.invoke_endpoint(
            EndpointName=self._champion.endpoint, ContentType="application/json", Body=self._probe.body()
        )
        found: bytes = answer["Body"].read()
        return found

    def _ask(self) -> None:
        while not self._stop.wait(self._pause):
            try:
                self.answers[self._call()] += 1
            except Exception as error:  # noqa: BLE001  # whatever it is, the client got no answer
                self.failures[f"{type(error).__name__}: {error}"] += 1

    def wrong(self) -> int:
        """Count the answers that neither the champion of before nor the present one gives."""
        now = self._call()
        known = {each for each in self.answers if isinstance(compare_answer(self._probe, each), Answered)}
        present = Probe(self._probe.records, _scores(self._probe, now))
        strangers = [
            count
            for each, count in self.answers.items()
            if each not in known and isinstance(compare_answer(present, each), AnsweredWrong)
        ]
        return sum(strangers)


def _scores(probe: Probe, answer: bytes) -> tuple[float, ...]:
    return tuple(each["score"] for each in json.loads(answer)["predictions"])


@dataclass
class Load:
    """Closed loops of so many clients on one endpoint."""

    runtime: Any
    endpoint: str
    body: bytes
    name: str
    seconds: list[tuple[float, float]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def run(self, stop: threading.Event, client: int) -> None:
        count = 0
        while not stop.is_set():
            began = time.monotonic()
            try:
                answer = self.runtime.invoke_endpoint(
                    EndpointName=self.endpoint,
                    ContentType="application/json",
                    InferenceId=f"{self.name}-{client}-{count}",
                    Body=self.body,
                )
                json.load(answer["Body"])["predictions"][0]["score"]
            except Exception as error:  # noqa: BLE001  # whatever it is, the client got no answer
                self.failures.append(f"{type(error).__name__}: {error}")
            self.seconds.append((began, time.monotonic() - began))
            count += 1

    def slowest_percent(self, spans: list[Span]) -> float:
        """The 99th percentile of the requests that began in one of the spans, in seconds."""
        return statistics.quantiles(self.within(spans), n=100)[98]

    def within(self, spans: list[Span]) -> list[float]:
        """How long each request took that began in one of the spans, in seconds."""
        return [took for at, took in self.seconds if any(begin <= at < end for begin, end in spans)]


@contextmanager
def running(bench: Bench, champion: ChampionRow, clients: int) -> Iterator[Load]:
    """So many closed loops on a champion's endpoint, from begin to end; no call is retried."""
    runtime = boto3.client(
        "sagemaker-runtime",
        endpoint_url=bench.state["endpoint_url"],
        region_name=bench.state["region"],
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(retries={"total_max_attempts": 1}, max_pool_connections=clients),
    )
    load = Load(runtime, champion.endpoint, bench.probe(champion).body(), f"load-{clients}")
    stop = threading.Event()
    with ThreadPoolExecutor(clients) as pool:
        loops = [pool.submit(load.run, stop, client) for client in range(clients)]
        try:
            yield load
        finally:
            stop.set()
        for one in loops:
            one.result()
