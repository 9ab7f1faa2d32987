"""A client that never stops asking: what a swap of models looks like from outside."""

import json
import threading
import time
from collections import Counter
from typing import Any, Self

PAUSE_SECONDS = 0.03


class Prober:
    """Asks an endpoint for one record over and over, in a thread; counts answers and failures."""

    def __init__(self, runtime: Any, endpoint: str, record: dict[str, Any]) -> None:
        self._runtime, self._endpoint = runtime, endpoint
        self._body = json.dumps({"records": [record]})
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="prober", daemon=True)
        self.scores: Counter[float] = Counter()
        self.failures: Counter[str] = Counter()
        self.slowest = 0.0

    @property
    def asked(self) -> int:
        """How many requests were sent."""
        return self.scores.total() + self.failures.total()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _ask(self) -> None:
        while not self._stop.wait(PAUSE_SECONDS):
            began = time.monotonic()
            try:
                answer = self._runtime.invoke_endpoint(
                    EndpointName=self._endpoint, ContentType="application/json", Body=self._body
                )
                score = json.load(answer["Body"])["predictions"][0]["score"]
                self.scores[round(score, 6)] += 1
            except Exception as error:  # noqa: BLE001  # whatever it is, the client got no answer
                self.failures[f"{type(error).__name__}: {error}"] += 1
            self.slowest = max(self.slowest, time.monotonic() - began)
