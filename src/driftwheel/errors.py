"""Every fault Driftwheel names itself.

An expected outcome (a rejected model, too little data) is a value, never one of these. The class names are
what the state machine's ``ErrorEquals`` match: Lambda reports ``errorType = type(error).__name__``.
"""


class DriftwheelError(Exception):
    """When anything below goes wrong on purpose; carries a sentence a person can act on."""


class SpecInvalid(DriftwheelError):
    """When a ``model.yaml`` does not say what Driftwheel needs; names the field and the remedy."""


class ObjectGone(DriftwheelError):
    """When a frozen object version can no longer be read: it was deleted after the data set was decided."""


class ArtifactInvalid(DriftwheelError):
    """When an artifact is missing, incomplete, or its sha256 is not the recorded one."""


class NameTaken(DriftwheelError):
    """When a resource of our name exists with another specification: somebody else made it."""


class CapacityExceeded(DriftwheelError):
    """When SageMaker has no capacity or quota left now; the state machine waits and tries again."""


class PreprocessingFailed(DriftwheelError):
    """When the Spark job that prepares the data ended Failed or Stopped; quotes its reason."""


class TrainingFailed(DriftwheelError):
    """When the training job ended Failed or Stopped; quotes its FailureReason."""


class DeploymentFailed(DriftwheelError):
    """When the endpoint did not end up serving the challenger; the champion keeps serving."""


class ChampionMoved(DriftwheelError):
    """When another run changed the champion first: this run's comparison no longer holds."""


class LeaseLost(DriftwheelError):
    """When a run's lease was taken over (its fencing token is stale): its writes are refused."""


class RollbackRefused(DriftwheelError):
    """When there is no earlier champion to go back to, or the champion may not be moved now."""
