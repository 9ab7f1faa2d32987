"""The stack's own boto3 clients, for its threads that deliver to its services."""

import threading
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.config import Config


class StackClients:
    """Make each client once (10 to 50 ms each), for the endpoint that `environment` names at that time.

    `environment` is read late: the port is known only after the server listens.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._lock = threading.Lock()
        self._clients: dict[tuple[str, str], Any] = {}
        # One session: each reads botocore's folders (40 ms) and parses the service models anew.
        self._session: Any = boto3.Session(
            aws_access_key_id=environment.get("AWS_ACCESS_KEY_ID", "local"),
            aws_secret_access_key=environment.get("AWS_SECRET_ACCESS_KEY", "local"),
            region_name=environment.get("AWS_DEFAULT_REGION", "us-east-1"),
        )

    def get(self, service: str) -> Any:
        """Answer the client of `service`."""
        endpoint = self._environment["AWS_ENDPOINT_URL"]
        with self._lock:
            if (service, endpoint) not in self._clients:
                # The stack talks to itself: a second attempt would only repeat an effect.
                self._clients[service, endpoint] = self._session.client(
                    service,
                    endpoint_url=endpoint,
                    config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30),
                )
            return self._clients[service, endpoint]
