"""Every change we make to moto 5.2.5's internals, one function per service.

Nothing else in this package touches a private name of moto. Each patch has a contract test in
``tests/unit/local`` so that a new moto version fails loudly, not strangely.
"""

import copy
import json
import re
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

from botocore.exceptions import ClientError
from moto import backends as moto_backends
from moto.awslambda import models as lambda_models
from moto.awslambda.models import LambdaFunction, lambda_backends
from moto.cloudwatch.models import CloudWatchBackend, cloudwatch_backends
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core import loaders as moto_loaders
from moto.core import utils as moto_utils
from moto.core.common_models import BaseModel
from moto.core.config import default_user_config
from moto.core.exceptions import AWSError, JsonRESTError
from moto.core.responses import ActionResult, EmptyResult
from moto.core.serialize import BaseJSONSerializer
from moto.dynamodb import models as dynamodb_models
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.table import Table
from moto.dynamodb.responses import DynamoHandler
from moto.events.exceptions import (
    InvalidEventPatternException,
    ResourceNotFoundException,
    ValidationException,
)
from moto.events.models import EventsBackend
from moto.events.models import Rule as EventsRule
from moto.events.responses import EventsHandler
from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.iam.models import IAMBackend
from moto.iam.responses import IamResponse
from moto.logs import models as logs_models
from moto.s3 import notifications as s3_notifications
from moto.s3.exceptions import InvalidTargetBucketForLogging
from moto.s3.models import FakeBucket, FakeKey, S3Backend
from moto.s3.responses import S3Response
from moto.sagemaker.responses import SageMakerResponse
from moto.sagemakerruntime.responses import SageMakerRuntimeResponse
from moto.scheduler.exceptions import ScheduleGroupNotFound
from moto.scheduler.exceptions import ValidationException as ScheduleRefused
from moto.scheduler.models import EventBridgeSchedulerBackend
from moto.sns.models import sns_backends
from moto.sqs import models as sqs_models
from moto.sqs.models import Queue, SQSBackend, sqs_backends
from moto.sqs.responses import SQSResponse
from moto.stepfunctions.parser import models as stepfunctions_models
from moto.stepfunctions.parser.api import HistoryEventType
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.error_equals_decl import ErrorEqualsDecl
from moto.stepfunctions.parser.asl.component.common.error_name.error_name import ErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import (
    StatesErrorNameType,
)
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.common.retry.retrier_decl import RetrierDecl
from moto.stepfunctions.parser.asl.component.program import program
from moto.stepfunctions.parser.asl.component.state.exec import execute_state
from moto.stepfunctions.parser.asl.component.state.exec.execute_state import ExecutionState
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import (
    ResourceCondition,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service import (
    StateTaskService,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (  # noqa: E501
    StateTaskServiceCallback,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_lambda import (
    StateTaskServiceLambda,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.state_task import StateTask
from moto.stepfunctions.parser.asl.component.state.exec.state_task.state_task_lambda import StateTaskLambda
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction
from moto.stepfunctions.parser.asl.eval.callback import callback
from moto.stepfunctions.responses import StepFunctionResponse

from driftwheel_local import lambda_backend, redrive, tokens
from driftwheel_local.alarms import Alarm, AlarmRefusedError, Alarms, AlarmState, rule_of
from driftwheel_local.clock import Clock
from driftwheel_local.events import EventRouter, RequestTooLargeError, TargetLimitError, UnknownBusError
from driftwheel_local.executions import ClockThread, ClosingEvent
from driftwheel_local.expressions import InvalidExpressionError, parse_expression
from driftwheel_local.inputs import InvalidInputError
from driftwheel_local.lambdas import LambdaRunner
from driftwheel_local.object_events import ObjectEvents
from driftwheel_local.patterns import InvalidPatternError, matches, parse_pattern
from driftwheel_local.scheduler import Scheduler
from driftwheel_local.states import ExecutionClosed, StateMachines, is_within_quota, payload_text
from driftwheel_local.states_backend import LocalStepFunctionsBackend
from driftwheel_local.targets import UnsupportedTargetError

if TYPE_CHECKING:
    from driftwheel_local.sagemaker import SageMakerWorld
    from driftwheel_local.store.items import Items
    from driftwheel_local.store.messages import Messages
    from driftwheel_local.store.objects import Objects

UNCAUGHT = frozenset({"States.DataLimitExceeded", "States.Runtime"})
"""What States.ALL does not match: https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html"""

_METRIC_DATA_KEPT = 50_000
_ALARM_PROPERTIES = (
    "AlarmName",
    "Namespace",
    "MetricName",
    "Dimensions",
    "Statistic",
    "ExtendedStatistic",
    "Unit",
    "Period",
    "EvaluationPeriods",
    "DatapointsToAlarm",
    "Threshold",
    "ComparisonOperator",
    "TreatMissingData",
    "EvaluateLowSampleCountPercentile",
    "Metrics",
    "ThresholdMetricId",
    "AlarmRule",
)
_ABSENT = object()
_originals: dict[tuple[Any, str], Any] = {}


def replace(owner: Any, name: str, value: Any) -> Any:
    """Set `owner.name` to `value` and answer what moto itself has there, also when called again.

    Raises AttributeError when moto no longer has that name. `undo` puts every original back, so that
    several stacks can follow each other in one process.
    """
    original = _originals.setdefault((owner, name), getattr(owner, name))
    setattr(owner, name, value)
    return original


def add_operation(owner: Any, name: str, value: Any) -> None:
    """Give `owner` what moto does not have; raises AttributeError once it has it."""
    if hasattr(owner, name) and (owner, name) not in _originals:
        raise AttributeError(f"moto has {owner.__name__}.{name} of its own now: this patch can go")
    _originals[owner, name] = _ABSENT
    setattr(owner, name, value)


def wrap(owner: Any, name: str, value: Any) -> Any:
    """Put `value` around whatever is there now, and answer that: moto's own or another part's patch.

    `replace` would drop the other part's patch; wrapping again replaces the wrapper of before.
    """
    inner = getattr(owner, name)
    inner = inner.__dict__.get("driftwheel_inner", inner) if hasattr(inner, "__dict__") else inner
    value.driftwheel_inner = inner
    replace(owner, name, value)
    return inner


def undo() -> None:
    """Give moto back every name that `replace` took."""
    for (owner, name), original in _originals.items():
        if original is _ABSENT:
            delattr(owner, name)
        else:
            setattr(owner, name, original)
    _originals.clear()


def patch_stepfunctions(world: StateMachines) -> None:
    """Make moto execute state machines with AWS's refusals, errors, limits and the stack's own clock."""
    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    backends = stepfunctions_models.stepfunctions_parser_backends
    # moto finds the urls module from the backend class's module, so it must look like moto's own.
    local_backend = type(
        "StepFunctionsBackend",
        (LocalStepFunctionsBackend,),
        {"world": world, "__module__": stepfunctions_models.__name__},
    )
    replace(backends, "backend", local_backend)
    backends.clear()
    _patch_stepfunctions_api()
    _patch_stepfunctions_waits(world)
    _patch_stepfunctions_clients(world)
    _patch_stepfunctions_errors(world)
    _patch_stepfunctions_matching()


def _patch_stepfunctions_api() -> None:
    """Answer what moto's Step Functions API drops: causes, string output, stop dates, history pages."""

    def describe_execution(self: Any) -> ActionResult:
        execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
        answer = {key: value for key, value in execution.describe().items() if value is not None}
        answer |= {f"{key}Details": {"included": True} for key in ("input", "output") if key in answer}
        return ActionResult(answer | {"redriveCount": 0})

    def list_executions(self: Any) -> ActionResult:
        arn, status = self._get_param("stateMachineArn"), self._get_param("statusFilter")
        page, token = self.stepfunction_backend.list_executions(
            arn,
            status_filter=status,
            max_results=self._get_int_param("maxResults"),
            next_token=self._get_param("nextToken"),
        )
        shown = ("executionArn", "stateMachineArn", "name", "status", "startDate", "stopDate")
        found = [execution.describe() for execution in page]
        items = [{key: one[key] for key in shown if one[key] is not None} for one in found]
        return ActionResult({"executions": items, "nextToken": token})

    def stop_execution(self: Any) -> ActionResult:
        execution = self.stepfunction_backend.stop_execution(
            self._get_param("executionArn"), self._get_param("error"), self._get_param("cause")
        )
        return ActionResult({"stopDate": execution.stop_date})

    def start_execution(self: Any) -> ActionResult:
        execution = self.stepfunction_backend.start_execution(
            self._get_param("stateMachineArn"), self._get_param("name"), self._get_param("input")
        )
        return ActionResult({"executionArn": execution.execution_arn, "startDate": execution.start_date})

    def send_task_failure(self: Any) -> ActionResult:
        self.stepfunction_backend.send_task_failure(
            self._get_param("taskToken"), self._get_param("error"), self._get_param("cause")
        )
        return EmptyResult()

    def get_execution_history(self: Any) -> ActionResult:
        page = self.stepfunction_backend.history_page(
            self._get_param("executionArn"),
            self._get_int_param("maxResults"),
            self._get_param("nextToken"),
            newest_first=bool(self._get_param("reverseOrder")),
        )
        return ActionResult(page)

    for function in (
        describe_execution,
        list_executions,
        stop_execution,
        start_execution,
        send_task_failure,
        get_execution_history,
    ):
        replace(StepFunctionResponse, function.__name__, function)


def _patch_stepfunctions_waits(world: StateMachines) -> None:
    """Run every wait of the interpreter on the stack's clock, scaled where documented; an abort ends it."""
    # moto creates the Event and sleeps deep inside; their environment is handed over per thread.
    current = threading.local()

    def with_timeout(self: Any, env: Any) -> None:
        waits_for_token = (
            getattr(getattr(self, "resource", None), "condition", None) == ResourceCondition.WaitForTaskToken
        )
        token = None
        if waits_for_token:
            # moto makes one token per state: a retry would meet the outcome of the attempt before it.
            token = world.tokens.issue(env.states.get_context("$.Execution.Id"))
            env.states.context_object.context_object_data["Task"] = {"Token": token}
            env.callback_pool_manager.add(token)
        current.env = env
        try:
            evaluate(self, env)
        finally:
            if token is not None:
                world.tokens.retire(token)
            world.waits.ring()

    def back_off(self: Any, env: Any) -> None:
        current.env = env
        retry(self, env)

    def wait_interval(self: Any, env: Any, wait_seconds: float) -> None:
        world.pause(wait_seconds, env.is_running)

    evaluate = replace(ExecutionState, "_evaluate_with_timeout", with_timeout)
    retry = replace(RetrierDecl, "_eval_body", back_off)
    replace(WaitFunction, "_wait_interval", wait_interval)
    replace(
        execute_state,
        "threading",
        SimpleNamespace(Event=lambda: ClosingEvent(world, current.env.is_running)),
    )
    replace(
        retrier_decl,
        "time",
        SimpleNamespace(sleep=lambda seconds: world.pause(seconds, current.env.is_running)),
    )

    def thread(**options: Any) -> ClockThread:
        return ClockThread(world, **options)

    replace(program, "threading", SimpleNamespace(Thread=thread))
    replace(execute_state, "Thread", thread)


def _patch_stepfunctions_clients(world: StateMachines) -> None:
    """Let tasks call this very stack, with request and response members named and typed as in ASL."""

    def client_for(region: str, service: str, state_credentials: Any = None) -> Any:
        return world.clients.get(service, region)

    def normalise_parameters(
        self: Any,
        parameters: dict[str, Any],
        boto_service_name: str | None = None,
        service_action_name: str | None = None,
    ) -> None:
        shape = _operation(self, client_for, boto_service_name, service_action_name).input_shape
        if shape is not None:
            self._to_boto_request(parameters, shape)

    def normalise_response(
        self: Any, response: Any, boto_service_name: str | None = None, service_action_name: str | None = None
    ) -> None:
        shape = _operation(self, client_for, boto_service_name, service_action_name).output_shape
        if shape is not None:
            self._from_boto_response(response, shape)
        if isinstance(response, dict):
            for key, value in response.items():
                response[key] = json.loads(payload_text(value))

    replace(StateTaskService, "_normalise_parameters", normalise_parameters)
    replace(StateTaskService, "_normalise_response", normalise_response)
    interpreter = [one for name, one in sys.modules.items() if name.startswith("moto.stepfunctions.parser")]
    for name, replacement in (("boto_client_for", client_for), ("is_within_size_quota", is_within_quota)):
        for module in interpreter:
            if hasattr(module, name):
                replace(module, name, replacement)


def _patch_stepfunctions_matching() -> None:
    """Let States.ALL match what it matches on AWS."""

    def equals(self: Any, env: Any) -> None:
        found = env.stack[-1].error_name
        if found in UNCAUGHT and ErrorEqualsDecl._STATE_ALL_ERROR in self.error_names:
            env.stack[-1] = False
        else:
            error_equals(self, env)

    error_equals = replace(ErrorEqualsDecl, "_eval_body", equals)


def _patch_stepfunctions_errors(world: StateMachines) -> None:
    """Give task tokens one life per attempt, and errors the names that Retry and Catch match on AWS."""

    def error_name(self: Any, error_name: str | None) -> None:
        # A Fail state may say again what was caught, States.Timeout too; moto refuses every States.* there.
        ErrorName.__init__(self, error_name=error_name)

    def wait_for_task_token(
        self: Any, env: Any, timeout_seconds: int, callback_endpoint: Any, heartbeat_endpoint: Any
    ) -> Any:
        heartbeat_seconds = None
        if self.heartbeat:
            self.heartbeat.eval(env=env)
            heartbeat_seconds = env.stack.pop()
        token = callback_endpoint.callback_id
        outcome = world.tokens.wait(token, heartbeat_seconds, env.is_running)
        if isinstance(outcome, tokens.Succeeded):
            return callback.CallbackOutcomeSuccess(token, outcome.output)
        if isinstance(outcome, tokens.Failed):
            return callback.CallbackOutcomeFailure(token, outcome.error, outcome.cause)
        if isinstance(outcome, tokens.HeartbeatMissed):
            return callback.HeartbeatTimedOut()
        raise ExecutionClosed

    def callback_failure(self: Any, env: Any, ex: Any) -> Any:
        sent = ex.callback_outcome_failure
        return _task_failure(self, env, sent.error, sent.cause)

    def task_error(self: Any, env: Any, ex: Exception) -> Any:
        event = from_error(self, env, ex)
        if isinstance(ex, callback.HeartbeatTimeoutError):
            event.error_name = StatesErrorName(StatesErrorNameType.StatesHeartbeatTimeout)
            details = event.event_details["taskTimedOutEventDetails"]
            details["error"] = StatesErrorNameType.StatesHeartbeatTimeout.to_name()
        return event

    def lambda_arn_error(self: Any, env: Any, ex: Exception) -> Any:
        if isinstance(ex, ClientError):
            error, cause = StateTaskServiceLambda._error_cause_from_client_error(ex)
            details = {"error": error, "cause": cause}
            return FailureEvent(
                env=env,
                error_name=ErrorName(error),
                event_type=HistoryEventType.LambdaFunctionFailed,
                event_details=cast("Any", {"lambdaFunctionFailedEventDetails": details}),
            )
        return lambda_error(self, env, ex)

    replace(CustomErrorName, "__init__", error_name)
    replace(StateTaskServiceCallback, "_eval_wait_for_task_token", wait_for_task_token)
    replace(StateTaskServiceCallback, "_get_callback_outcome_failure_event", callback_failure)
    from_error = replace(StateTask, "_from_error", task_error)
    lambda_error = replace(StateTaskLambda, "_from_error", lambda_arn_error)


def _operation(task: Any, client_for: Callable[..., Any], service: str | None, action: str | None) -> Any:
    client = client_for(region="us-east-1", service=task._get_boto_service_name(service))
    operation = client.meta.method_to_api_mapping[task._get_boto_service_action(action)]
    return client.meta.service_model.operation_model(operation)


def _task_failure(task: Any, env: Any, error: str | None, cause: str | None) -> Any:
    details = {"resourceType": task._get_sfn_resource_type(), "resource": task._get_sfn_resource()}
    details |= {key: value for key, value in (("error", error), ("cause", cause)) if value is not None}
    return FailureEvent(
        env=env,
        # ErrorName, not moto's CustomErrorName: a callback may send a States.* name, which must not crash.
        error_name=ErrorName(error),
        event_type=HistoryEventType.TaskFailed,
        event_details=cast("Any", {"taskFailedEventDetails": details}),
    )


def restore_executions(records: list[dict[str, Any]], account: str, region: str) -> list[str]:
    """Hand executions of before a restart to moto's backend; list the state machines that are gone."""
    backend = stepfunctions_models.stepfunctions_parser_backends[account][region]
    return cast("list[str]", cast("Any", backend).restore_executions(records))


def end_executions(account: str, region: str) -> None:
    """End the threads of every running execution; what was written down of them stays as it is."""
    backend = cast("Any", stepfunctions_models.stepfunctions_parser_backends[account][region])
    backend.world.record, backend.world.publish = None, lambda _event: None
    for machine in list(backend.state_machines):
        for execution in list(machine.executions):
            execution.stop(stop_date=backend.world.clock.now(), error=None, cause="The stack stops")


class CloudWatchShelf:
    """moto's CloudWatch, SQS and SNS of one region, as `alarms.Alarms` sees them."""

    def __init__(self, account: str = "123456789012", region: str = "us-east-1") -> None:
        self._account = account
        self._region = region

    def alarms(self) -> list[Alarm]:
        """List the alarms; one of moto's own that was never judged has no rule and is left out."""
        kept = self._backend().alarms.values()
        return [_alarm(alarm) for alarm in list(kept) if hasattr(alarm, "driftwheel_rule")]

    def set_state(self, name: str, state: AlarmState) -> None:
        """Call SetAlarmState."""
        self._backend().set_alarm_state(name, state.reason, state.reason_data, state.value)

    def keep_metric(
        self, namespace: str, name: str, value: float, unit: str, dimensions: Mapping[str, str]
    ) -> None:
        """Call PutMetricData."""
        named = [{"Name": key, "Value": text} for key, text in dimensions.items()]
        datum = {"MetricName": name, "Value": value, "Unit": unit, "Dimensions": named}
        self._backend().put_metric_data(namespace, [datum])

    def queue_metrics(self, now: datetime) -> list[tuple[str, dict[str, float]]]:
        """Count messages per queue; the age of the oldest one is 0 for an empty queue."""
        answer = []
        for queue in list(sqs_backends[self._account][self._region].queues.values()):
            sent = [float(message.sent_timestamp or 0) for message in list(queue._messages)]
            age = now.timestamp() - min(sent) / 1000 if sent else 0.0
            values = {
                "ApproximateNumberOfMessagesVisible": float(queue.approximate_number_of_messages),
                "ApproximateNumberOfMessagesNotVisible": float(
                    queue.approximate_number_of_messages_not_visible
                ),
                "ApproximateAgeOfOldestMessage": max(0.0, age),
            }
            answer.append((queue.name, values))
        return answer

    def notify(self, topic_arn: str, subject: str, message: str) -> None:
        """Publish to a topic of this region."""
        sns_backends[self._account][self._region].publish(message=message, arn=topic_arn, subject=subject)

    def _backend(self) -> Any:
        return cloudwatch_backends[self._account][self._region]


def patch_cloudwatch(alarms: Alarms) -> None:
    """Refuse alarms that are not evaluated here, feed them metric data, announce their state changes."""

    def put_metric_alarm(self: Any) -> ActionResult:
        given = {name: self._get_param(name) for name in _ALARM_PROPERTIES}
        try:
            rule = rule_of(given)
        except AlarmRefusedError as refused:
            raise AWSError(
                str(refused), exception_type="InvalidParameterCombination", status=400
            ) from refused
        for actions in ("AlarmActions", "OKActions", "InsufficientDataActions"):
            for arn in self._get_param(actions) or []:
                if not arn.startswith("arn:aws:sns:"):
                    message = f"The local runtime runs SNS alarm actions only: {actions} holds {arn}."
                    raise AWSError(message, exception_type="ValidationError", status=400)
        before = self.cloudwatch_backend.alarms.get(rule.name)
        answer = cast("ActionResult", put(self))
        alarm = self.cloudwatch_backend.alarms[rule.name]
        alarm.driftwheel_rule = rule
        if before is None:
            # moto starts with OK; CloudWatch knows nothing yet.
            alarm.state_value = "INSUFFICIENT_DATA"
        else:
            alarm.state_value, alarm.state_reason = before.state_value, before.state_reason
        return answer

    def put_metric_data(self: Any, namespace: str, metric_data: list[dict[str, Any]]) -> None:
        put_data(self, namespace, metric_data)
        alarms.received(namespace, metric_data)
        # moto keeps every datum for ever and scans all of them at each query.
        del self.metric_data[:-_METRIC_DATA_KEPT]

    def set_alarm_state(self: Any, alarm_name: str, reason: str, reason_data: str, state_value: str) -> None:
        kept = self.alarms.get(alarm_name)
        before = _alarm(kept).state if hasattr(kept, "driftwheel_rule") else None
        set_state(self, alarm_name, reason, reason_data, state_value)
        if before is not None:
            alarms.changed(_alarm(kept), before)

    put = replace(CloudWatchResponse, "put_metric_alarm", put_metric_alarm)
    put_data = replace(CloudWatchBackend, "put_metric_data", put_metric_data)
    set_state = replace(CloudWatchBackend, "set_alarm_state", set_alarm_state)


def _alarm(kept: Any) -> Alarm:
    moment = kept.state_updated_timestamp
    state = AlarmState(
        value=kept.state_value,
        reason=kept.state_reason,
        reason_data=kept.state_reason_data or "{}",
        moment=moment if moment.tzinfo else moment.replace(tzinfo=UTC),
    )
    actions = {
        "ALARM": list(kept.alarm_actions),
        "OK": list(kept.ok_actions),
        "INSUFFICIENT_DATA": list(kept.insufficient_data_actions),
    }
    return Alarm(
        rule=kept.driftwheel_rule,
        arn=kept.alarm_arn,
        description=kept.description or "",
        state=state,
        actions=actions,
        actions_enabled=kept.actions_enabled,
    )


def patch_memory() -> None:
    """Stop moto from keeping every model instance (items, messages, object versions) for ever."""

    def new(cls: Any, *_args: Any, **_options: Any) -> Any:
        return object.__new__(cls)

    replace(BaseModel, "__new__", new)
    # With nobody keeping them, keys are collected; their bodies are on disk: nothing to warn about.
    replace(FakeKey, "__del__", lambda self: None)


def persist_s3(objects: "Objects") -> None:
    """Write every changed key down before its request is answered; one request changes S3 at a time."""

    def within(name: str) -> None:
        def handle(self: Any, request: Any, full_url: str) -> Any:
            if request.method in ("GET", "HEAD", "OPTIONS"):
                return inner(self, request, full_url)
            with objects.changes.scope():
                return inner(self, request, full_url)

        inner = wrap(S3Response, name, handle)

    def touching(name: str) -> None:
        def change(self: Any, bucket_name: str, key_name: str, *args: Any, **options: Any) -> Any:
            with objects.changes.scope():
                objects.changes.touch((bucket_name, key_name))
                return inner(self, bucket_name, key_name, *args, **options)

        inner = wrap(S3Backend, name, change)

    def put_object_tagging(self: Any, key: Any, tags: Any) -> Any:
        with objects.changes.scope():
            objects.changes.touch((key.bucket_name, key.name))
            return tag(self, key, tags)

    _share_bodies()
    for name in ("_key_response", "_bucket_response"):
        within(name)
    for name in (
        "put_object",
        "put_object_acl",
        "put_object_legal_hold",
        "put_object_retention",
        "delete_object",
        "delete_object_tagging",
    ):
        touching(name)
    tag = wrap(S3Backend, "put_object_tagging", put_object_tagging)


def _share_bodies() -> None:
    """Copy a key without its body when that is on disk: ListObjectVersions copies every version."""

    def getstate(self: Any) -> dict[str, Any]:
        if "driftwheel_on_disk" not in self.__dict__:
            return cast("dict[str, Any]", state_of(self))
        return {name: value for name, value in self.__dict__.items() if name != "lock"}

    def setstate(self: Any, state: dict[str, Any]) -> None:
        if "driftwheel_on_disk" not in state:
            set_state(self, state)
            return
        self.__dict__.update(state)
        self.lock = threading.Lock()

    state_of = wrap(FakeKey, "__getstate__", getstate)
    set_state = wrap(FakeKey, "__setstate__", setstate)


def persist_dynamodb(items: "Items") -> None:
    """Write every changed item down, serialise requests, and copy an item before changing it in place.

    moto checks conditions without a lock: two conditional writers could both win.
    """

    def call_action(self: Any) -> Any:
        with items.changes.scope():
            return call(self)

    def put_item(self: Any, item_attrs: dict[str, Any], *args: Any, **options: Any) -> Any:
        with items.changes.scope():
            item = put(self, item_attrs, *args, **options)
            items.touch(self, item_attrs)
            return item

    def delete_item(self: Any, hash_key: Any, range_key: Any = None) -> Any:
        with items.changes.scope():
            names = [name for name in (self.hash_key_attr, self.range_key_attr) if name is not None]
            items.touch(self, dict(zip(names, (hash_key, range_key), strict=False)))
            return delete(self, hash_key, range_key)

    def update_item(self: Any, table_name: str, key: dict[str, Any], *args: Any, **options: Any) -> Any:
        with items.changes.scope():
            table = self.get_table(table_name)
            values = self.get_keys_value(table, key)
            item = table.get_item(*values)
            place = table.items if values[1] is None else table.items[values[0]]
            own_key = values[0] if values[1] is None else values[1]
            if item is not None:
                # A transaction's snapshot and other readers keep the old one.
                place[own_key] = copy.deepcopy(item)
            items.touch(table, key)
            try:
                return update(self, table_name, key, *args, **options)
            except Exception:
                # moto changes the item in place before it has found every fault of the expression.
                if item is None:
                    place.pop(own_key, None)
                else:
                    place[own_key] = item
                raise

    def delete_table(self: Any, name: str) -> Any:
        with items.changes.scope():
            table = drop(self, name)
            items.drop(table.name)
            return table

    def snapshot(value: Any) -> Any:
        # moto deep-copies whole tables before each transaction; items are replaced, never changed, so their
        # dictionaries suffice. A stream would need more.
        if not isinstance(value, Table) or value.stream_shard is not None:
            return copy.deepcopy(value)
        table = copy.copy(value)
        nested = value.range_key_attr is not None
        table.items = defaultdict(
            dict, {key: dict(one) if nested else one for key, one in cast("Any", value.items).items()}
        )
        return table

    call = wrap(DynamoHandler, "call_action", call_action)
    put = wrap(Table, "put_item", put_item)
    delete = wrap(Table, "delete_item", delete_item)
    update = wrap(DynamoDBBackend, "update_item", update_item)
    drop = wrap(DynamoDBBackend, "delete_table", delete_table)
    replace(dynamodb_models, "copy", SimpleNamespace(deepcopy=snapshot, copy=copy.copy))
    _answer_with_values()


def _answer_with_values() -> None:
    """Write an item's values into an answer as they are: moto looks each up under ten names of each type.

    That took most of the time of a query, during which nobody else uses DynamoDB.
    """

    def structure(self: Any, serialized: Any, value: Any, shape: Any, key: str) -> None:
        if key and shape.name == "AttributeValue" and _is_plain(value):
            self._default_serialize(serialized, value, shape, key)
        else:
            inner(self, serialized, value, shape, key)

    inner = wrap(BaseJSONSerializer, "_serialize_type_structure", structure)


def _is_plain(value: Any) -> bool:
    """Tell whether an attribute value is JSON as it stands; bytes are not."""
    if not isinstance(value, dict) or len(value) != 1:
        return False
    ((kind, inner),) = value.items()
    if kind in {"S", "N"}:
        return isinstance(inner, str)
    if kind == "M":
        return isinstance(inner, dict) and all(map(_is_plain, inner.values()))
    if kind == "L":
        return isinstance(inner, list) and all(map(_is_plain, inner))
    return kind in {"BOOL", "NULL"} and isinstance(inner, bool)


def persist_sqs(messages: "Messages") -> None:
    """Write down messages sent, moved, received and deleted; delete under the lock, else moto loses some."""

    def add_message(self: Any, message: Any) -> None:
        messages.sent(self.name, message)
        add(self, message)

    def delete_message(self: Any, receipt_handle: str) -> None:
        with self._messages_lock:
            gone = [one.id for one in self._messages if one.had_receipt_handle(receipt_handle)]
            delete(self, receipt_handle)
        for message_id in gone:
            messages.deleted(message_id)

    def receive_message(self: Any, *args: Any, **options: Any) -> Any:
        received = receive(self, *args, **options)
        for message in received:
            messages.received(message)
        return received

    def purge_queue(self: Any, queue_name: str) -> None:
        with self.get_queue(queue_name)._messages_lock:
            purge(self, queue_name)
            messages.purged(queue_name)

    def delete_queue(self: Any, queue_name: str) -> None:
        drop(self, queue_name)
        messages.purged(queue_name)

    add = wrap(Queue, "add_message", add_message)
    delete = wrap(Queue, "delete_message", delete_message)
    receive = wrap(SQSBackend, "receive_message", receive_message)
    purge = wrap(SQSBackend, "purge_queue", purge_queue)
    drop = wrap(SQSBackend, "delete_queue", delete_queue)


def patch_lambda(runner: LambdaRunner) -> None:
    """Make moto's Lambda run functions as processes, poll queues, and keep settings that it drops."""

    def get_configuration(self: Any, on_create: bool = False) -> dict[str, Any]:
        configuration: dict[str, Any] = describe(self, on_create)
        for member, attribute in lambda_backend.KEPT_SETTINGS.items():
            if getattr(self, attribute, None):
                configuration[member] = getattr(self, attribute)
        return configuration

    # moto finds the urls module from the backend class's module, so it must look like moto's own.
    local_backend = type(
        "LambdaBackend",
        (lambda_backend.LocalLambdaBackend,),
        {"runner": runner, "__module__": lambda_models.__name__},
    )
    replace(lambda_backends, "backend", local_backend)
    lambda_backends.clear()
    describe = replace(LambdaFunction, "get_configuration", get_configuration)


def patch_sqs(clock: Clock, on_added: Callable[[str], None]) -> None:
    """Let one request change a queue at a time, on the stack's clock, and tell `on_added` a queue's ARN.

    moto deletes without its lock and loses a message sent meanwhile; two receivers may get the same message.
    Call it before `persist_sqs`, which wraps these names.
    """

    def locked(owner: Any, name: str) -> None:
        def change(self: Any, queue_name: str, *args: Any, **options: Any) -> Any:
            with self.get_queue(queue_name)._messages_lock:
                return inner(self, queue_name, *args, **options)

        inner = replace(owner, name, change)

    def add_message(self: Any, message: Any) -> None:
        with self._messages_lock:
            add(self, message)
        on_added(self.queue_arn)

    def is_retained(self: Any, queue_name: str, message: Any) -> bool:
        seconds = self.get_queue(queue_name).message_retention_period
        return bool(seconds + message.sent_timestamp / 1000 > clock.now().timestamp())

    add = replace(Queue, "add_message", add_message)
    # A long poll gives the lock up while it waits: it waits on this very condition.
    for name in ("receive_message", "delete_message", "change_message_visibility", "purge_queue"):
        locked(SQSBackend, name)
    # moto counts all messages of the queue for each it hands out.
    replace(SQSBackend, "is_message_valid_based_on_retention_period", is_retained)
    add_operation(SQSResponse, "start_message_move_task", redrive.start_message_move_task)
    replace(sqs_models, "unix_time", lambda _moment=None: clock.now().timestamp())
    replace(sqs_models, "unix_time_millis", lambda _moment=None: clock.now().timestamp() * 1000)


def patch_iam() -> None:
    """Let one IAM request be answered at a time, and give other services a list of roles of their own.

    moto walks through all policies to attach one: while another request adds one, that is an error 500, and
    the stack, which makes its roles side by side, did not start.
    """
    lock = threading.Lock()

    def call_action(self: Any) -> Any:
        with lock:
            return call(self)

    call = replace(IamResponse, "call_action", call_action)
    replace(IAMBackend, "get_roles", lambda self: list(self.roles.values()))


def patch_logs(clock: Clock) -> None:
    """Let CloudWatch Logs live on the stack's clock: it refuses events over two hours ahead of its own."""
    replace(logs_models, "utcnow", lambda: clock.now().replace(tzinfo=None))
    replace(logs_models, "unix_time_millis", lambda moment=None: _milliseconds(moment or clock.now()))


def _milliseconds(moment: datetime) -> float:
    return moment.replace(tzinfo=UTC).timestamp() * 1000


@contextmanager
def _event_refusals() -> Iterator[None]:
    """Give our refusals the names and words of EventBridge."""
    try:
        yield
    except InvalidPatternError as error:
        raise InvalidEventPatternException(str(error)) from error
    except UnknownBusError as error:
        raise ResourceNotFoundException(f"Event bus {error.args[0]} does not exist.") from error
    except TargetLimitError as error:
        raise JsonRESTError("LimitExceededException", str(error)) from error
    except InvalidExpressionError as error:
        raise ValidationException(f"Parameter ScheduleExpression is not valid. {error}") from error
    except (RequestTooLargeError, UnsupportedTargetError, InvalidInputError) as error:
        raise ValidationException(str(error)) from error


def patch_lookups() -> None:
    """Look on the disk once: moto lists its own folders at each request, botocore's at each new service.

    The loader is moto's: botocore's own knows nothing of S3's statuses (a version that is gone is 404).
    """
    loader = moto_loaders.create_loader()
    modules = tuple(moto_backends.list_of_moto_modules())
    replace(moto_backends, "list_of_moto_modules", lambda: modules)
    replace(moto_utils, "_load_service_model", loader.load_service_model)


def patch_events(router: EventRouter) -> None:
    """Route events ourselves: moto ignores rule state, input settings, retries, and most target types."""

    def put_events(self: Any, events: list[dict[str, Any]]) -> list[dict[str, str]]:
        with _event_refusals():
            return router.put_events(events)

    def put_rule(self: Any, name: str, **options: Any) -> Any:
        with _event_refusals():
            if options.get("event_pattern"):
                parse_pattern(options["event_pattern"])
            if options.get("scheduled_expression"):
                parse_expression(options["scheduled_expression"], scheduler=False)
        return keep_rule(self, name, **options)

    def put_targets(self: Any, name: str, event_bus_arn: str | None, targets: list[dict[str, Any]]) -> None:
        existing = self.describe_rule(name, event_bus_arn).targets
        with _event_refusals():
            router.check_targets(existing, targets)
        keep_targets(self, name, event_bus_arn, targets)

    def create_archive(self: Any, name: str, *_args: Any, **_options: Any) -> None:
        raise ValidationException(f"archive {name}: archives are not supported by the local runtime")

    def test_event_pattern(self: Any) -> str:
        with _event_refusals():
            pattern = parse_pattern(self._get_param("EventPattern"))
        try:
            event = json.loads(self._get_param("Event"))
        except ValueError as error:
            raise ValidationException("Parameter Event is not valid.") from error
        return json.dumps({"Result": matches(pattern, event)})

    def send_to_targets(self: Any, original_event: Any, transform_input: bool = True) -> None:
        router.send_to_rule(self, original_event)

    replace(EventsBackend, "put_events", put_events)
    keep_rule = replace(EventsBackend, "put_rule", put_rule)
    keep_targets = replace(EventsBackend, "put_targets", put_targets)
    replace(EventsBackend, "create_archive", create_archive)
    replace(EventsHandler, "test_event_pattern", test_event_pattern)
    replace(EventsRule, "send_to_targets", send_to_targets)


def patch_scheduler(scheduler: Scheduler) -> None:
    """Refuse schedules that would never fire: moto takes any expression, timezone, target and group."""

    def checked(name: str) -> None:
        def keep(self: Any, **options: Any) -> Any:
            group = options["group_name"] or "default"
            if group not in self.schedule_groups:
                raise ScheduleGroupNotFound(group)
            try:
                scheduler.check(
                    options["schedule_expression"], options["schedule_expression_timezone"], options["target"]
                )
            except (InvalidExpressionError, InvalidInputError, UnsupportedTargetError) as error:
                raise ScheduleRefused(message=str(error)) from error
            return inner(self, **options)

        inner = replace(EventBridgeSchedulerBackend, name, keep)

    checked("create_schedule")
    checked("update_schedule")


def patch_s3(events: ObjectEvents) -> None:
    """Tell EventBridge once of each object version: moto tells it up to three times, in another shape.

    Only the events 'Object Created' and 'Object Deleted' are sent. Besides: logging may be set before its
    rights, and statements of a bucket policy with a Condition are left out (moto ignores conditions).
    """
    reasons = {
        "s3:ObjectCreated:Put": "PutObject",
        "s3:ObjectCreated:Post": "POST Object",
        "s3:ObjectCreated:Copy": "CopyObject",
        "s3:ObjectCreated:CompleteMultipartUpload": "CompleteMultipartUpload",
    }

    def send(account_id: str, bucket: Any, event_name: Any, key: Any) -> None:
        reason = reasons.get(event_name.value)
        # moto completes a multipart upload by a put of its own, and announces that too
        if reason is None or (reason == "PutObject" and key.multipart is not None):
            return
        events.created(
            bucket.name, key.name, size=key.size, etag=key.etag, version_id=key.version_id, reason=reason
        )

    def delete_object(
        self: Any,
        bucket_name: str,
        key_name: str,
        version_id: str | None = None,
        bypass: bool = False,
    ) -> Any:
        bucket = self.get_bucket(bucket_name)
        found = {str(version.version_id): version for version in bucket.keys.getlist(key_name, [])}
        gone = found.get(version_id) if version_id is not None else bucket.keys.get(key_name)
        answer = delete(self, bucket_name, key_name, version_id=version_id, bypass=bypass)
        configuration = bucket.notification_configuration
        if not answer[0] or configuration is None or configuration.event_bridge is None:
            return answer
        marker = bucket.is_versioned and version_id is None
        if marker or gone is not None:
            events.deleted(
                bucket_name,
                key_name,
                etag=None if marker else getattr(gone, "etag", None),
                version_id=answer[1].get("version-id"),
                marker=marker,
            )
        return answer

    def set_logging(self: Any, logging_config: dict[str, Any] | None, bucket_backend: Any) -> None:
        # AWS looks at the rights when it delivers a log file; moto refuses before a template's policy exists
        if logging_config and logging_config["TargetBucket"] not in bucket_backend.buckets:
            raise InvalidTargetBucketForLogging("The target bucket for logging does not exist.")
        self.logging = logging_config or {}

    def get_permission(self: Any, action: str, resource: str) -> Any:
        # moto ignores Condition, so "deny without TLS" would deny everything
        statements = json.loads(self.policy)["Statement"] if self.policy is not None else []
        statements = statements if isinstance(statements, list) else [statements]
        plain = [statement for statement in statements if not statement.get("Condition")]
        if not plain:
            return PermissionResult.NEUTRAL
        policy = {"Version": "2012-10-17", "Statement": plain}
        return IAMPolicy(json.dumps(policy)).is_action_permitted(action, resource)

    _patch_bucket_notification()
    replace(FakeBucket, "get_permission", get_permission)
    replace(FakeBucket, "set_logging", set_logging)
    replace(s3_notifications, "_send_event_bridge_message", send)
    # around persist_s3's wrapper, if that is already there; `undo` takes both away
    delete = S3Backend.delete_object
    replace(S3Backend, "delete_object", delete_object)


def _patch_bucket_notification() -> None:
    """Let a bucket say that it tells EventBridge: moto keeps that and leaves it out of its answer."""
    root = re.compile(r"<(?P<name>\w+)[^<>]*?(?:/>|>(?P<inside>.*)</(?P=name)>)\s*$", re.DOTALL)
    space = "http://s3.amazonaws.com/doc/2006-03-01/"

    def get_bucket_notification(self: Any) -> Any:
        status, headers, body = told(self)
        kept = self.backend.get_bucket_notification_configuration(self.bucket_name)
        answer = root.search(body)
        if kept is None or kept.event_bridge is None or answer is None:
            return status, headers, body
        inside = f"{answer['inside'] or ''}<EventBridgeConfiguration/>"
        opened = f'{body[: answer.start()]}<NotificationConfiguration xmlns="{space}">'
        return status, headers, f"{opened}{inside}</NotificationConfiguration>"

    told = replace(S3Response, "get_bucket_notification", get_bucket_notification)


def patch_sagemaker(world: "SageMakerWorld") -> None:
    """Let `world` answer every SageMaker request: moto's own answers are instant, lenient and run nothing."""

    def call_action(self: Any) -> tuple[int, dict[str, str], bytes]:
        return world.answer(
            self._get_action(), self.raw_body, account=self.current_account, region=self.region
        )

    def runtime_dispatch(
        self: Any, request: Any, full_url: str | None = None, headers: Any = None
    ) -> tuple[int, dict[str, str], bytes]:
        # moto would decode the body as UTF-8 text, and a captured body may be anything.
        name, _, action = request.path.removeprefix("/endpoints/").partition("/")
        if action != "invocations":
            return world.unsupported_runtime(action)
        return world.invoke(unquote(name), request.headers, request.get_data())

    replace(SageMakerResponse, "call_action", call_action)
    replace(SageMakerRuntimeResponse, "_dispatch", runtime_dispatch)
