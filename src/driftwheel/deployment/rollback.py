"""The way back: every request goes to the earlier config at once."""

from driftwheel.deployment.mode import LONGEST_LIMIT, SHORTEST_LIMIT, Request

ROLLBACK_SECONDS = 1_800
"""Allowed for starting the earlier fleet and pulling its image; nothing bakes."""

assert SHORTEST_LIMIT <= ROLLBACK_SECONDS <= LONGEST_LIMIT


def rollback_request(*, name: str, config_name: str) -> Request:
    """Build UpdateEndpoint without alarms: those the bad model sets off would undo the way back."""
    return {
        "EndpointName": name,
        "EndpointConfigName": config_name,
        "RetainAllVariantProperties": False,
        "DeploymentConfig": {
            "BlueGreenUpdatePolicy": {
                "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0},
                "TerminationWaitInSeconds": 0,
                "MaximumExecutionTimeoutInSeconds": ROLLBACK_SECONDS,
            }
        },
    }
