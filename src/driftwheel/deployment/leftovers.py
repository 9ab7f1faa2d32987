"""Which endpoints, endpoint configs and models of ours nothing needs any more."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["endpoint", "endpoint_config", "model"]

KEPT_CHAMPIONS = 3
"""The champion and the two before it stay deployable, so that a person can go back at once."""

SETTLED = frozenset({"InService", "OutOfService", "Failed"})
"""In any other state SageMaker still needs configs that the endpoint does not name.

"You must not delete an EndpointConfig in use by an endpoint that is live or while the UpdateEndpoint or
CreateEndpoint operations are being performed on the endpoint": API_DeleteEndpointConfig of SageMaker.
"""


@dataclass(frozen=True)
class Made:
    """A resource that carries our stack's tag, and the model its tags name."""

    kind: Kind
    name: str
    model: str


@dataclass(frozen=True)
class Standing:
    """What is true of one model: its endpoint, its champions (newest first), what a run waits for.

    ``endpoint`` is DescribeEndpoint's answer, None without one. ``champions`` and ``waited_for`` are names of
    endpoint configs, and so of models: deployment gives both one name.
    """

    endpoint: dict[str, Any] | None
    champions: Sequence[str]
    waited_for: Sequence[str]
    is_running: bool


def is_leftover(made: Made, standing: Standing) -> bool:
    """Decide whether nothing needs an old resource any more.

    While a run is at work, an endpoint moves, or it serves what is not its champion's, the answer is no for
    all that belongs to the model. An endpoint is left over when no champion ever came to serve there: its
    first deployment failed and nobody tried again.

    >>> serving = {"EndpointStatus": "InService", "EndpointConfigName": "m-2"}
    >>> idle = Standing(serving, champions=["m-2", "m-1"], waited_for=[], is_running=False)
    >>> is_leftover(Made("endpoint_config", "m-0", "m"), idle)
    True
    >>> is_leftover(Made("model", "m-1", "m"), idle)
    False
    """
    if standing.is_running or standing.waited_for:
        return False
    if made.kind == "endpoint":
        return not standing.champions
    found = standing.endpoint
    if found is not None and found["EndpointStatus"] not in SETTLED:
        return False
    if found is not None and found.get("EndpointConfigName") not in standing.champions[:1]:
        return False
    return made.name not in standing.champions[:KEPT_CHAMPIONS]
