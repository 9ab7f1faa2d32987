"""What is left to a person of a run that ended badly, and the alert that says so."""

from driftwheel.ledger.outbox import Alert

FAILED = "driftwheel logs {run} says more; once that is mended: driftwheel retrain {model}"
REPEAT = "driftwheel retrain {model}"
REMEDIES = {
    "ArtifactInvalid": FAILED,
    "CapacityExceeded": "driftwheel doctor MODEL.YAML names the quotas; then: driftwheel retrain {model}",
    "ChampionMoved": REPEAT,
    "DeploymentFailed": FAILED,
    "LeaseLost": REPEAT,
    "NameTaken": "delete it, or give the stack another name; then: driftwheel retrain {model}",
    "ObjectGone": "drop the file again",
    "PreprocessingFailed": FAILED,
    "TrainingFailed": FAILED,
}
"""The fault a run ended with → what is left to a person; of any other, ``FAILED``."""

ENDS = {
    "failed": FAILED,
    "refused": "driftwheel run {run} lists what was set aside: drop it mended",
    "rejected": "nothing: what served before goes on; driftwheel run {run} compares both",
    "aborted": REPEAT,
}
"""How a run ended badly → what is left to a person."""

FRUITLESS = "look for new inputs or better labels: training on these again did not help"


def remedy_of(model: str, run_id: str, status: str, outcome: str) -> str:
    """Say what a person may do about a run's end."""
    do = REMEDIES.get(outcome.partition(":")[0], ENDS.get(status, FRUITLESS))
    return do.format(run=run_id, model=model)


def end_alert(model: str, run_id: str, status: str, outcome: str) -> Alert:
    """Word how a run ended and what to do; one alert for each run, whoever words it first."""
    line = f"{model}: run {run_id} {status}. {outcome}\nYou: {remedy_of(model, run_id, status, outcome)}"
    return Alert(f"{model}#{run_id}", f"{model}: run {status}", line)
