"""Restoration: an endpoint that serves what is not the champion goes back, once no run is at work on it.

A challenger may be left serving by a run that was aborted after UpdateEndpoint, lost its lease, or answered
the probe wrongly.
"""

from datetime import datetime
from typing import Any

from driftwheel.aws.sagemaker import existing, update_endpoint
from driftwheel.deployment.rollback import rollback_request
from driftwheel.errors import CapacityExceeded
from driftwheel.ledger.champions import Champions
from driftwheel.ledger.leases import Leases

LEASE_SECONDS = 120
"""Only while we ask: the update itself is seen by its status."""


def restore(model: str, champions: Champions, leases: Leases, sagemaker: Any, now: datetime) -> str | None:
    """Put the champion back where another config serves; one line on what was done, None when nothing was.

    Under the model's lease, so that no run crowns or deploys meanwhile.
    """
    if not _strays(model, champions, sagemaker):
        return None
    lease = leases.acquire(model, "restoration", now=int(now.timestamp()), seconds=LEASE_SECONDS)
    if lease is None:
        return None
    try:
        champion = champions.get(model)
        if champion is None or not _strays(model, champions, sagemaker):
            return None
        request = rollback_request(name=champion.endpoint, config_name=champion.endpoint_config)
        update_endpoint(sagemaker, request)
    except CapacityExceeded as error:
        return f"{model}: the champion is put back later: {error}"
    finally:
        leases.release(model, lease.run_id, lease.fence)
    return f"{model}: champion {champion.sequence} is put back on {champion.endpoint}"


def _strays(model: str, champions: Champions, sagemaker: Any) -> bool:
    """Tell whether the endpoint is at rest on another config than the champion's."""
    champion = champions.get(model)
    if champion is None:
        return False
    found = existing(sagemaker, "endpoint", {"EndpointName": champion.endpoint})
    if found is None or found["EndpointStatus"] != "InService":
        return False
    return bool(found["EndpointConfigName"] != champion.endpoint_config)
