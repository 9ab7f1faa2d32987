import base64
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from driftwheel_local.lambdas import FunctionNotFoundError

ECHO = """
    def handler(event, context):
        return event
"""


@pytest.fixture
def stack(new_stack):
    return new_stack(workers=4, retry_seconds=(60.0, 120.0))


def _queue(stack, name):
    url = stack.client("sqs").create_queue(QueueName=name)["QueueUrl"]
    return url, f"arn:aws:sqs:us-east-1:123456789012:{name}"


def _messages(stack, url):
    answer = stack.client("sqs").receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
    )
    return answer.get("Messages", [])


def _wait_for_failures(stack, count):
    """Wait until the one accepted event has failed so often and waits for its retry."""
    events = stack.folder / "root/lambda/events"
    deadline = time.monotonic() + 10
    while f'"failures": {count}' not in "".join(path.read_text() for path in events.glob("*.json")):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_function_runs_in_its_own_process_with_a_real_context(stack):
    arn = stack.function(
        "who",
        """
        import os
        def handler(event, context):
            left = context.get_remaining_time_in_millis()
            return [os.getpid(), event, context.invoked_function_arn, 0 < left <= 5000, context.function_name]
        """,
    )

    (pid, *rest), error = stack.invoke("who", {"a": 1})

    assert error is None
    assert pid != os.getpid()
    assert rest == [{"a": 1}, arn, True, "who"]


def test_a_second_call_reuses_the_warm_process(stack):
    stack.function(
        "warm", "import os\nCALLS = []\ndef handler(e, c): CALLS.append(1); return [os.getpid(), len(CALLS)]"
    )

    first, _ = stack.invoke("warm")
    second, _ = stack.invoke("warm")

    assert second == [first[0], 2]


def test_an_exception_answers_type_message_and_stack_as_aws_does(stack):
    stack.function(
        "bad",
        """
        class NotEnoughRows(Exception):
            pass
        def handler(event, context):
            raise NotEnoughRows("only 3")
        """,
    )

    payload, error = stack.invoke("bad")

    assert error == "Unhandled"
    assert payload["errorType"] == "NotEnoughRows"
    assert payload["errorMessage"] == "only 3"
    assert "app.py" in payload["stackTrace"][0]
    assert payload["requestId"]


def test_a_deep_recursion_is_an_error_like_any_other(stack):
    stack.function("deep", "def handler(e, c): return handler(e, c)")

    payload, error = stack.invoke("deep")

    assert (payload["errorType"], error) == ("RecursionError", "Unhandled")


@pytest.mark.case("SF-08")
def test_a_timeout_kills_the_process_and_the_next_call_gets_a_new_one(stack):
    stack.function(
        "slow",
        """
        import os, time
        def handler(event, context):
            if event == "sleep":
                time.sleep(30)
            return os.getpid()
        """,
        Timeout=1,
    )
    first, _ = stack.invoke("slow", "go")

    payload, error = stack.invoke("slow", "sleep")
    after, _ = stack.invoke("slow", "go")

    assert error == "Unhandled"
    assert payload["errorType"] == "Sandbox.Timedout"
    assert payload["errorMessage"].endswith("Task timed out after 1.00 seconds")
    assert after != first
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)
    assert "Task timed out after 1.00 seconds" in stack.log("slow")
    assert "Status: timeout" in stack.log("slow")


def test_a_timeout_also_kills_what_the_function_started(stack):
    stack.function(
        "parent",
        """
        import subprocess, sys, time, pathlib, os
        def handler(event, context):
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
            pathlib.Path(event).write_text(str(child.pid))
            time.sleep(30)
        """,
        Timeout=1,
    )
    file = stack.folder / "child"

    stack.invoke("parent", str(file))

    state = Path(f"/proc/{file.read_text()}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


def test_a_process_that_exits_is_a_runtime_exit_error(stack):
    stack.function("gone", "import os\ndef handler(e, c): os._exit(e)")

    payload, error = stack.invoke("gone", 3)

    assert error == "Unhandled"
    assert payload["errorType"] == "Runtime.ExitError"
    assert payload["errorMessage"].endswith("Error: Runtime exited with error: exit status 3")


@pytest.mark.case("SF-08")
def test_a_killed_process_names_its_signal(stack):
    stack.function("killed", "import os, signal\ndef handler(e, c): os.kill(os.getpid(), signal.SIGKILL)")

    payload, _ = stack.invoke("killed")

    assert payload["errorMessage"].endswith("Runtime exited with error: signal: killed")


def test_a_missing_import_is_an_import_module_error_that_names_it(stack):
    stack.function("lost", "import no_such_package\ndef handler(e, c): return 1")

    payload, error = stack.invoke("lost")

    assert error == "Unhandled"
    assert payload["errorType"] == "Runtime.ImportModuleError"
    assert "no_such_package" in payload["errorMessage"]


def test_nothing_of_the_tools_environment_can_be_imported(stack):
    stack.function("tools", "import pytest\ndef handler(e, c): return 1")

    payload, _ = stack.invoke("tools")

    assert payload["errorMessage"] == "Unable to import module 'app': No module named 'pytest'"


def test_a_missing_handler_is_named(stack):
    stack.function("nohandler", "def other(e, c): return 1")

    payload, _ = stack.invoke("nohandler")

    assert payload["errorType"] == "Runtime.HandlerNotFound"


def test_a_function_sees_its_own_variables_and_those_of_aws_only(stack, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_DEVELOPER", "x")
    stack.function(
        "env",
        "import os\ndef handler(e, c): return [dict(os.environ), os.getcwd()]",
        Environment={"Variables": {"TABLE": "t"}},
        MemorySize=256,
    )

    (environment, folder), _ = stack.invoke("env")

    assert "SECRET_OF_THE_DEVELOPER" not in environment
    assert environment["TABLE"] == "t"
    assert environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert environment["AWS_LAMBDA_FUNCTION_VERSION"] == "$LATEST"
    assert environment["AWS_ENDPOINT_URL"] == stack.endpoint
    assert environment["TZ"] == ":UTC"
    assert folder == environment["LAMBDA_TASK_ROOT"]
    assert not Path(environment["HOME"]).exists()


def test_layers_are_importable_and_the_last_one_wins(stack):
    layers = []
    for number in (1, 2):
        folder = stack.folder / f"layer{number}" / "python"
        folder.mkdir(parents=True)
        (folder / "shared.py").write_text(f"VALUE = {number}")
        layers.append(_layer(stack, f"layer{number}", folder.parent))
    stack.function("layered", "import shared\ndef handler(e, c): return shared.VALUE", layers=layers)

    assert stack.invoke("layered") == (2, None)


def _layer(stack, name, folder):
    from driftwheel_local.functions import code_zip

    return stack.client("lambda").publish_layer_version(
        LayerName=name, Content={"ZipFile": code_zip(folder)}
    )["LayerVersionArn"]


def test_too_much_memory_ends_the_sandbox(stack):
    stack.function("greedy", "def handler(e, c): return len(bytearray(e * 1024 * 1024))", MemorySize=128)

    small, error = stack.invoke("greedy", 20)
    assert (small, error) == (20 * 1024 * 1024, None)

    payload, error = stack.invoke("greedy", 400)
    assert error == "Unhandled"
    assert payload["errorType"] == "Runtime.OutOfMemory"


def test_memory_between_the_configured_and_the_hard_limit_is_refused_too(stack):
    stack.function("edge", "def handler(e, c): return len(bytearray(e * 1024 * 1024))", MemorySize=128)

    payload, _ = stack.invoke("edge", 128)

    assert payload["errorType"] == "Runtime.OutOfMemory"


def test_a_file_larger_than_the_ephemeral_storage_cannot_be_written(stack):
    stack.function(
        "disk",
        """
        import os, tempfile
        def handler(event, context):
            with tempfile.TemporaryFile() as file:
                os.truncate(file.fileno(), event * 1024 * 1024)
            return tempfile.gettempdir()
        """,
    )

    folder, _ = stack.invoke("disk", 100)
    payload, _ = stack.invoke("disk", 600)

    assert folder.startswith(str(stack.folder))
    assert payload["errorType"] == "OSError"


def test_calls_at_once_run_in_processes_of_their_own_up_to_the_cap(stack):
    stack.function("busy", "import os, time\ndef handler(e, c): time.sleep(0.2); return os.getpid()")

    with ThreadPoolExecutor(8) as threads:
        answers = [*threads.map(lambda _: stack.runner.invoke("busy", b"1"), range(8))]

    processes = {answer.payload for answer in answers}
    assert all(answer.function_error is None for answer in answers)
    assert 2 <= len(processes) <= 4


def test_an_idle_worker_makes_room_for_another_function(stack):
    for number in range(6):
        stack.function(f"f{number}", ECHO)

    answers = [stack.invoke(f"f{number}", number) for number in range(6)]

    assert answers == [(number, None) for number in range(6)]
    assert sum(stack.runner.workers()) <= 4


def test_idle_workers_are_reaped(stack, monkeypatch):
    from driftwheel_local import worker_pool

    monkeypatch.setattr(worker_pool, "IDLE_SECONDS", 0.0)
    stack.function("idle", ECHO)
    stack.invoke("idle")

    stack.runner._pool.reap()

    assert stack.runner.workers() == (0, 0)


def test_changed_configuration_starts_a_new_process(stack):
    stack.function(
        "conf", "import os\ndef handler(e, c): return os.environ['X']", Environment={"Variables": {"X": "1"}}
    )
    before = stack.invoke("conf")

    stack.client("lambda").update_function_configuration(
        FunctionName="conf", Environment={"Variables": {"X": "2"}}
    )

    assert (before, stack.invoke("conf")) == (("1", None), ("2", None))


def test_reserved_concurrency_of_zero_throttles(stack):
    stack.function("off", ECHO)
    stack.client("lambda").put_function_concurrency(FunctionName="off", ReservedConcurrentExecutions=0)

    with pytest.raises(ClientError) as refused:
        stack.invoke("off")

    assert refused.value.response["Error"]["Code"] == "TooManyRequestsException"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429


def test_reserved_concurrency_never_queues(stack):
    stack.function("one", "import time\ndef handler(e, c): time.sleep(0.3)")
    stack.client("lambda").put_function_concurrency(FunctionName="one", ReservedConcurrentExecutions=1)
    outcomes = []

    def call():
        try:
            stack.invoke("one")
            outcomes.append("ran")
        except ClientError as error:
            outcomes.append(error.response["Error"]["Code"])

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["TooManyRequestsException", "TooManyRequestsException", "ran"]


def test_an_unknown_function_is_not_found(stack):
    with pytest.raises(ClientError) as refused:
        stack.invoke("nobody")

    assert refused.value.response["Error"]["Code"] == "ResourceNotFoundException"
    with pytest.raises(FunctionNotFoundError, match="nobody"):
        stack.runner.invoke("nobody", b"{}")


def test_a_dry_run_runs_nothing(stack):
    stack.function("dry", ECHO)

    answer = stack.client("lambda").invoke(FunctionName="dry", InvocationType="DryRun")

    assert answer["StatusCode"] == 204
    assert stack.runner.workers() == (0, 0)


def test_a_payload_larger_than_six_megabytes_is_refused(stack):
    stack.function("big", "def handler(e, c): return len(e)")

    assert stack.invoke("big", "x" * 6_000_000) == (6_000_000, None)
    with pytest.raises(ClientError) as refused:
        stack.invoke("big", "x" * 6_300_000)

    assert refused.value.response["Error"]["Code"] == "RequestTooLargeException"


def test_an_event_larger_than_one_megabyte_is_refused(stack):
    stack.function("event", ECHO)

    with pytest.raises(ClientError) as refused:
        stack.invoke("event", "x" * 1_048_577, InvocationType="Event")

    assert refused.value.response["Error"]["Code"] == "RequestTooLargeException"


def test_a_response_larger_than_six_megabytes_is_an_error(stack):
    stack.function("flood", "def handler(e, c): return 'x' * 6_400_000", MemorySize=512)

    payload, error = stack.invoke("flood")

    assert (payload["errorType"], error) == ("Function.ResponseSizeTooLarge", "Unhandled")


def test_a_payload_that_is_no_json_is_refused(stack):
    stack.function("json", ECHO)

    with pytest.raises(ClientError) as refused:
        stack.client("lambda").invoke(FunctionName="json", Payload=b"{no")

    assert refused.value.response["Error"]["Code"] == "InvalidRequestContentException"


def test_a_call_without_payload_gives_the_function_an_empty_object(stack):
    stack.function("none", ECHO)

    answer = stack.client("lambda").invoke(FunctionName="none")

    assert json.load(answer["Payload"]) == {}


def test_the_log_of_a_call_has_start_lines_end_and_report(stack):
    stack.function(
        "talk",
        """
        import logging
        def handler(event, context):
            print("one\\ntwo")
            logging.getLogger().warning("careful")
            print("no newline at the end", end="")
        """,
    )

    answer = stack.client("lambda").invoke(FunctionName="talk", LogType="Tail")
    tail = base64.b64decode(answer["LogResult"]).decode().splitlines()
    stack.runner.flush_logs()
    events = stack.client("logs").filter_log_events(logGroupName="/aws/lambda/talk")["events"]

    said = [line for line in tail if not line.startswith("INIT_START")]
    assert said[0].startswith("START RequestId: ")
    assert said[1:3] == ["one", "two"]
    assert said[3].startswith("[WARNING]\t")
    assert said[4] == "no newline at the end"
    assert said[5].startswith("END RequestId: ")
    assert said[6].startswith("REPORT RequestId: ")
    assert "Init Duration: " in said[6]
    assert "Max Memory Used: " in said[6]
    assert [event["message"] for event in events] == tail
    assert all(line in stack.log("talk") for line in tail)


def test_only_a_cold_call_reports_its_init_duration(stack):
    stack.function("cold", ECHO)
    stack.invoke("cold")

    answer = stack.client("lambda").invoke(FunctionName="cold", LogType="Tail")

    assert b"Init Duration" not in base64.b64decode(answer["LogResult"])


def test_logs_go_to_the_group_of_the_logging_config(stack):
    stack.client("logs").create_log_group(logGroupName="/mine")
    stack.function("grouped", ECHO, LoggingConfig={"LogGroup": "/mine"})

    stack.invoke("grouped")
    stack.runner.flush_logs()

    assert stack.client("logs").filter_log_events(logGroupName="/mine")["events"]


def test_logs_stay_readable_after_the_clock_was_moved_far_ahead(stack):
    stack.function("later", ECHO)
    stack.clock.advance(40 * 86_400)

    stack.invoke("later")
    stack.runner.flush_logs()

    assert stack.client("logs").filter_log_events(logGroupName="/aws/lambda/later")["events"]


def test_an_emf_line_becomes_metric_data(stack):
    stack.function(
        "metric",
        """
        import json, time
        def handler(event, context):
            directive = {"Namespace": "Driftwheel", "Dimensions": [["model"]],
                         "Metrics": [{"Name": "Rows", "Unit": "Count"}]}
            metadata = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]}
            print(json.dumps({"_aws": metadata, "model": "flights", "Rows": [2, 5]}))
        """,
    )

    stack.invoke("metric")
    stack.runner.flush_logs()

    found = stack.client("cloudwatch").list_metrics(Namespace="Driftwheel")["Metrics"]
    assert {metric["MetricName"] for metric in found} == {"Rows"}
    assert found[0]["Dimensions"] == [{"Name": "model", "Value": "flights"}]


def test_an_event_is_accepted_and_runs_later(stack):
    stack.function("event", "print('ran')\ndef handler(e, c): print('got', e)")

    answer = stack.client("lambda").invoke(FunctionName="event", InvocationType="Event", Payload=b'{"a": 1}')
    stack.runner.settle()

    assert answer["StatusCode"] == 202
    assert "got {'a': 1}" in stack.log("event")


def test_a_failed_event_is_retried_twice_with_backoff_then_dead_lettered(stack):
    url, arn = _queue(stack, "dead")
    stack.function(
        "fails",
        "def handler(e, c):\n    raise ValueError('no ' + c.aws_request_id)",
        DeadLetterConfig={"TargetArn": arn},
    )
    calls = lambda: stack.log("fails").count("START RequestId")  # noqa: E731

    stack.invoke("fails", {"n": 1}, InvocationType="Event")
    _wait_for_failures(stack, 1)
    assert calls() == 1

    stack.clock.advance(59)
    assert calls() == 1
    stack.clock.advance(2)
    _wait_for_failures(stack, 2)
    stack.clock.advance(121)
    stack.runner.settle()

    (message,) = _messages(stack, url)
    assert json.loads(message["Body"]) == {"n": 1}
    attributes = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    assert attributes["ErrorCode"] == "200"
    assert attributes["ErrorMessage"] == f"no {attributes['RequestID']}"
    assert calls() == 3


def test_the_retry_setting_and_the_failure_destination_are_used(stack):
    url, arn = _queue(stack, "failures")
    function = stack.function("once", "def handler(e, c): raise KeyError('x')")
    stack.client("lambda").put_function_event_invoke_config(
        FunctionName="once", MaximumRetryAttempts=2, MaximumEventAgeInSeconds=60
    )
    stack.client("lambda").put_function_event_invoke_config(
        FunctionName="once", MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": arn}}
    )

    stack.invoke("once", {"n": 1}, InvocationType="Event")
    stack.runner.settle()

    record = json.loads(_messages(stack, url)[0]["Body"])
    assert record["version"] == "1.0"
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 1
    assert record["requestContext"]["functionArn"] == f"{function}:$LATEST"
    assert record["requestPayload"] == {"n": 1}
    assert record["responseContext"]["functionError"] == "Unhandled"
    assert record["responsePayload"]["errorType"] == "KeyError"


def test_a_success_destination_gets_the_answer(stack):
    url, arn = _queue(stack, "successes")
    stack.function("good", ECHO)
    stack.client("lambda").put_function_event_invoke_config(
        FunctionName="good", DestinationConfig={"OnSuccess": {"Destination": arn}}
    )

    stack.invoke("good", [1], InvocationType="Event")
    stack.runner.settle()

    record = json.loads(_messages(stack, url)[0]["Body"])
    assert record["requestContext"]["condition"] == "Success"
    assert record["responsePayload"] == [1]


def test_events_of_a_function_that_is_switched_off_go_to_the_dead_letters_at_once(stack):
    url, arn = _queue(stack, "dead")
    stack.function("off", ECHO, DeadLetterConfig={"TargetArn": arn})
    stack.client("lambda").put_function_concurrency(FunctionName="off", ReservedConcurrentExecutions=0)

    stack.invoke("off", 1, InvocationType="Event")
    stack.runner.settle()

    assert _messages(stack, url)[0]["MessageAttributes"]["ErrorCode"]["StringValue"] == "429"


def test_an_event_older_than_its_maximum_age_is_not_retried(stack):
    url, arn = _queue(stack, "old")
    stack.function("ages", "def handler(e, c): raise KeyError('x')")
    stack.client("lambda").put_function_event_invoke_config(
        FunctionName="ages",
        MaximumEventAgeInSeconds=90,
        DestinationConfig={"OnFailure": {"Destination": arn}},
    )

    stack.invoke("ages", 1, InvocationType="Event")
    _wait_for_failures(stack, 1)
    stack.clock.advance(61)
    stack.runner.settle()

    record = json.loads(_messages(stack, url)[0]["Body"])
    assert record["requestContext"]["condition"] == "EventAgeExceeded"
    assert record["requestContext"]["approximateInvokeCount"] == 2


def test_accepted_events_survive_a_killed_stack(new_stack):
    first = new_stack(retry_seconds=(3600.0, 3600.0))
    first.function(
        "later",
        """
        import os
        def handler(event, context):
            if "FLAG" not in os.environ:
                raise KeyError
            print("done", event)
        """,
    )
    first.invoke("later", 7, InvocationType="Event")
    events = first.folder / "root/lambda/events"
    _wait_for_failures(first, 1)
    first.client("lambda").update_function_configuration(
        FunctionName="later", Environment={"Variables": {"FLAG": "1"}}
    )
    first.close()
    (events / "cut-off.part").write_text("{")  # a kill in the middle of writing

    restarted = first.another_runner()

    assert restarted.recover() == 1
    restarted.settle()
    assert "done 7" in first.log("later")
    assert [*events.iterdir()] == []


def test_the_dead_letter_target_is_shown_by_the_api(stack):
    _, arn = _queue(stack, "dead")
    stack.function("shown", ECHO, DeadLetterConfig={"TargetArn": arn})

    configuration = stack.client("lambda").get_function_configuration(FunctionName="shown")

    assert configuration["DeadLetterConfig"] == {"TargetArn": arn}


def test_workers_end_with_the_stack(stack):
    stack.function("pid", "import os\ndef handler(e, c): return os.getpid()")
    pid, _ = stack.invoke("pid")

    stack.close()

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.case("OP-05")
def test_workers_end_when_the_stack_is_killed(stack):
    stack.function("pid", "import os, time\ndef handler(e, c): return os.getpid()")
    stack.invoke("pid")
    (worker,) = stack.runner._pool._idle

    # What the kernel does to a killed stack's descriptors.
    os.close(worker._lifeline)
    worker._lifeline = -1

    assert worker._process.wait(5) == 0


def test_an_event_cut_off_by_the_end_of_the_stack_is_not_counted_as_failed(stack):
    stack.function("long", "import time\ndef handler(e, c): print('begun'); time.sleep(30)", Timeout=60)
    stack.client("lambda").put_function_event_invoke_config(FunctionName="long", MaximumRetryAttempts=0)
    stack.invoke("long", 1, InvocationType="Event")
    log = stack.folder / "root/logs/long.log"
    deadline = time.monotonic() + 10
    while not log.exists() or "begun" not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)

    stack.close()
    time.sleep(0.2)

    (kept,) = (stack.folder / "root/lambda/events").glob("*.json")
    assert json.loads(kept.read_text())["failures"] == 0


def test_a_real_zip_runs_too(stack):
    import io
    import zipfile

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("app.py", "def handler(e, c): return 'zip'")
    stack.client("lambda").create_function(
        FunctionName="zip",
        Runtime="python3.11",
        Role="arn:aws:iam::123456789012:role/runs",
        Handler="app.handler",
        Code={"ZipFile": packed.getvalue()},
    )

    assert stack.invoke("zip") == ("zip", None)


def test_powertools_run_quietly_in_a_small_function_without_a_tracing_daemon(stack):
    import aws_lambda_powertools

    layer = stack.folder / "everything"
    layer.mkdir()
    (layer / "python").symlink_to(Path(aws_lambda_powertools.__file__).parents[1])
    stack.function(
        "tools",
        """
        import boto3, pydantic, socket
        from aws_lambda_powertools import Logger, Metrics, Tracer
        from aws_lambda_powertools.utilities.parser import parse
        logger, metrics, tracer = Logger(), Metrics(), Tracer()
        sqs = boto3.client("sqs")
        sent = []
        socket.socket.sendto = lambda *args: sent.append(args)
        @metrics.log_metrics
        @tracer.capture_lambda_handler
        @logger.inject_lambda_context
        def handler(event, context):
            with tracer.provider.in_subsegment("inner") as part:
                part.put_annotation("a", 1)
            metrics.add_metric("Calls", "Count", 1)
            sqs.list_queues()
            return len(sent)
        """,
        layers=[_layer(stack, "everything", layer)],
        MemorySize=256,
        Environment={
            "Variables": {"POWERTOOLS_METRICS_NAMESPACE": "Quiet", "POWERTOOLS_SERVICE_NAME": "quiet"}
        },
        TracingConfig={"Mode": "Active"},
    )

    answers = [stack.invoke("tools") for _ in range(2)]
    stack.runner.flush_logs()

    assert answers == [(0, None), (0, None)]
    said = [line.split(" ", 1)[1] for line in stack.log("tools").splitlines()]
    lambdas_own = ("INIT_START", "START", "END", "REPORT", '{"_aws"')
    assert [line for line in said if not line.startswith(lambdas_own)] == []
    found = stack.client("cloudwatch").list_metrics(Namespace="Quiet")["Metrics"]
    assert [metric["MetricName"] for metric in found] == ["Calls"]


def test_every_call_is_counted_and_timed_as_lambda_does(new_stack):
    told = []
    stack = new_stack(put_metric=lambda *value: told.append(value))
    stack.function("fine", ECHO)
    stack.function("broken", "def handler(event, context):\n    raise ValueError\n")

    stack.client("lambda").invoke(FunctionName="fine", Payload=b"{}")
    stack.client("lambda").invoke(FunctionName="broken", Payload=b"{}")

    counted = [
        (name, value, where["FunctionName"]) for _, name, value, _, where in told if name != "Duration"
    ]
    assert counted == [
        ("Invocations", 1.0, "fine"),
        ("Errors", 0.0, "fine"),
        ("Invocations", 1.0, "broken"),
        ("Errors", 1.0, "broken"),
    ]
    assert {space for space, *_ in told} == {"AWS/Lambda"}
    assert all(value >= 0 for _, name, value, *_ in told if name == "Duration")
