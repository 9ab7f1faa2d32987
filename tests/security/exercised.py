"""Rights that no request of the suite asks for, each with its reason: the closed list of SE-11."""

_JOBS = {
    "logs:*": "the container's output is written by SageMaker",
    "cloudwatch:PutMetricData": "instances and the toolkit in the container write metrics",
    "ecr:GetAuthorizationToken": "asked once before any image is pulled, on no resource",
    "kms:DescribeKey": "SageMaker looks the key up before it takes a grant",
}
"""What no request names; what it does name, data, outputs, images and keys, is read from it (job_role.py)."""
_DEAD = "Lambda sends what failed twice there, with the function's role"
_KEY = "SageMaker looks the key up with the caller's rights before it takes a grant"
_INTERFACES = {"ec2:*": "Lambda makes, finds and takes away the interfaces of functions in a VPC"}
_NOTHING_ELSE = (
    "Approval",
    "DataArrival",
    "EvaluationGate",
    "JobCallback",
    "Preprocessing",
    "RecordOutcome",
    "Trigger",
)
UNSEEN: dict[str, dict[str, str]] = {
    **{f"{step}FunctionRole": _INTERFACES for step in _NOTHING_ELSE},
    "SageMakerRole": _JOBS,
    "DomainClassifierRole": _JOBS,
    "ModelLoopRole": {
        "logs:*": "log delivery is set up and written by Step Functions",
        "xray:*": "traces are written by Step Functions",
    },
    "TrainingLaunchFunctionRole": {"kms:DescribeKey": _KEY, **_INTERFACES},
    "PreprocessingLaunchFunctionRole": {"kms:DescribeKey": _KEY, **_INTERFACES},
    "DeploymentFunctionRole": {
        **_INTERFACES,
        "kms:DescribeKey": _KEY,
        "sqs:SendMessage": _DEAD,
        "cloudwatch:DescribeAlarms": "SageMaker asks whether the caller may see the alarms of its rollback",
    },
    "DriftCheckFunctionRole": {"sqs:SendMessage": _DEAD, "kms:DescribeKey": _KEY, **_INTERFACES},
    "SweepFunctionRole": {"sqs:SendMessage": _DEAD, "kms:GenerateDataKey": _DEAD, **_INTERFACES},
}
"""By role and action pattern."""

MANAGED = {
    "AWSLambdaBasicExecutionRole": "the runtime writes the function's log with it",
    "AWSXrayWriteOnlyAccess": "the runtime's daemon sends traces with it",
    "AWSLambdaSQSQueueExecutionRole": "the event source mapping polls the queue with it",
}
"""Policies of AWS that roles of functions have; Lambda itself uses them."""
