"""The VPC that a stack's functions, jobs and models join, where its owner gave one."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Vpc:
    """Ids of subnets and of security groups: both, or neither where there is no VPC."""

    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()

    def config(self) -> dict[str, Any]:
        """Write the ``VpcConfig`` part of a request to SageMaker; nothing without a VPC."""
        if not self.subnets:
            return {}
        return {"VpcConfig": {"SecurityGroupIds": list(self.security_groups), "Subnets": list(self.subnets)}}


NO_VPC = Vpc()
