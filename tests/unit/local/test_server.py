import http.client
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import boto3
import pytest

from driftwheel_local.endpoint import Guard
from driftwheel_local.server import RootInUseError, Stack
from driftwheel_local.stack_log import StackLog

CHAIN = Path(__file__).parent / "data" / "chain" / "template.yaml"
LIBRARIES = str(Path(boto3.__file__).parents[1])


def eventually(look, seconds=20):
    deadline = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert found
    return found


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    return tmp_path_factory.mktemp("chain-build")


@pytest.fixture(scope="module")
def stack(tmp_path_factory, build):
    root = tmp_path_factory.mktemp("chain")
    with Stack(root, CHAIN, parameters={"Libraries": LIBRARIES}, reuse_build=build) as running:
        yield running


def items(stack):
    found = stack.client("dynamodb").scan(TableName=stack.outputs["TableName"])["Items"]
    return {item["pk"]["S"]: item for item in found}


def executions(stack, status=None):
    machine = {"stateMachineArn": stack.outputs["MachineArn"]} | ({"statusFilter": status} if status else {})
    return stack.client("stepfunctions").list_executions(**machine)["executions"]


def test_an_object_goes_through_rule_queue_function_state_machine_and_topic(stack):
    s3 = stack.client("s3")
    s3.put_object(Bucket=stack.outputs["LandingBucket"], Key="other/ignored.csv", Body=b"x")
    s3.put_object(Bucket=stack.outputs["LandingBucket"], Key="data/a b+c.csv", Body=b"x")

    done = eventually(lambda: executions(stack, "SUCCEEDED"))

    described = stack.client("stepfunctions").describe_execution(executionArn=done[0]["executionArn"])
    assert json.loads(described["output"])["echo"] == {"heard": "DATA/A B+C.CSV"}
    arrived = json.loads(items(stack)["object data/a b+c.csv"]["event"]["S"])
    assert arrived["detail"]["reason"] == "PutObject"
    assert not any("ignored" in key for key in items(stack))
    queue = {"QueueUrl": stack.outputs["AlertsUrl"], "WaitTimeSeconds": 5}
    assert stack.client("sqs").receive_message(**queue)["Messages"][0]["Body"] == '"SUCCEEDED"'
    assert len(executions(stack)) == 1


def test_a_schedule_fires_at_once_and_when_the_clock_is_advanced(stack):
    eventually(lambda: [key for key in items(stack) if key.startswith("tick")])
    before = len([key for key in items(stack) if key.startswith("tick")])

    stack.clock.advance(3600)

    eventually(lambda: len([key for key in items(stack) if key.startswith("tick")]) == before + 1)


def test_stack_json_tells_where_the_stack_is(stack):
    told = json.loads((stack.root / "stack.json").read_text())

    assert told["pid"] == os.getpid()
    assert told["endpoint_url"] == stack.endpoint_url
    assert told["outputs"] == stack.outputs
    assert urllib.request.urlopen(stack.endpoint_url + "/moto-api/").status == 200


def test_a_second_stack_in_the_same_process_is_refused(stack, tmp_path):
    with pytest.raises(RootInUseError, match="in this process"):
        Stack(tmp_path, CHAIN).__enter__()


def test_a_second_process_on_the_same_root_is_refused(stack, build):
    process = run(stack.root, build)

    _, errors = process.communicate(timeout=60)

    assert process.returncode == 1
    assert f"a stack (process {os.getpid()}) runs here" in errors
    assert json.loads((stack.root / "stack.json").read_text())["pid"] == os.getpid()


def request(stack, method="GET", body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", int(stack.endpoint_url.rsplit(":", 1)[1]), timeout=5)
    connection.putrequest(method, "/", skip_host=True)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders(body)
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


@pytest.mark.case("SE-18")
def test_only_requests_that_name_this_door_come_in(stack):
    host = stack.endpoint_url.removeprefix("http://")

    assert request(stack, Host=host)[0] == 200
    assert request(stack, Host=host.replace("127.0.0.1", "localhost"))[0] == 200
    assert request(stack, Host="evil.example:80")[0] == 403
    assert request(stack)[0] == 403
    assert request(stack, Host=host, Origin="http://evil.example")[0] == 403
    assert request(stack, "POST", Host=host, Content_Length=str(1 << 31))[0] == 413
    assert request(stack, "POST", b"0\r\n\r\n", Host=host, Transfer_Encoding="chunked")[0] == 411


def test_a_guard_refuses_a_length_that_is_no_number():
    answers = []
    guard = Guard(lambda environ, start: [b"in"], body_limit=10)
    guard.hosts = frozenset({"h"})
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/", "HTTP_HOST": "h", "CONTENT_LENGTH": "-1"}

    guard(environ, lambda status, _headers: answers.append(status))

    assert answers == ["400 Bad Request"]
    assert list(guard(environ | {"CONTENT_LENGTH": "10"}, None)) == [b"in"]


def test_the_clock_of_a_later_stack_does_not_go_back(stack):
    stack.clock.advance(10)

    assert json.loads((stack.root / "clock.json").read_text())["advanced"] == stack.clock.advanced


def test_errors_of_dying_threads_reach_the_stack_log(tmp_path):
    path = tmp_path / "logs" / "stack.log"
    heard = []

    def fall():
        raise ValueError("broken")

    before, threading.excepthook = threading.excepthook, heard.append
    try:
        with StackLog(path):
            thread = threading.Thread(target=fall, name="falling")
            thread.start()
            thread.join()
            logging.getLogger("driftwheel_local.x").error("said", extra={"fields": {"a": 1}})
    finally:
        threading.excepthook = before

    died, said = (json.loads(line) for line in path.read_text().splitlines())
    assert died["message"] == "thread falling died"
    assert "ValueError: broken" in died["trace"]
    assert (said["message"], said["a"]) == ("said", 1)
    assert len(heard) == 1


def run(root, build, template=CHAIN):
    command = [
        sys.executable,
        "-m",
        "driftwheel_local.server",
        "--root",
        str(root),
        "--template",
        str(template),
    ]
    command += ["--build", str(build), "--parameter", f"Libraries={LIBRARIES}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def up(process, root):
    def told():
        assert process.poll() is None, process.communicate()
        path = root / "stack.json"
        state = json.loads(path.read_text()) if path.exists() else {}
        return state if state.get("pid") == process.pid else None

    state = eventually(told, 60)
    session = boto3.Session("local", "local", region_name="us-east-1")
    return state, lambda service: session.client(service, endpoint_url=state["endpoint_url"])


@pytest.mark.case("OP-05")
def test_a_killed_stack_comes_back_with_what_it_had_and_a_told_one_ends_clean(tmp_path, build):
    first = run(tmp_path, build)
    state, client = up(first, tmp_path)
    bucket = state["outputs"]["LandingBucket"]
    version = client("s3").put_object(Bucket=bucket, Key="kept.csv", Body=b"abc")["VersionId"]
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert (tmp_path / "stack.json").exists()

    second = run(tmp_path, build)
    again, client = up(second, tmp_path)
    kept = client("s3").get_object(Bucket=bucket, Key="kept.csv")
    second.send_signal(signal.SIGTERM)
    output, errors = second.communicate(timeout=30)

    assert again["outputs"] == state["outputs"]
    assert (kept["Body"].read(), kept["VersionId"]) == (b"abc", version)
    assert second.returncode == 0, errors
    assert again["endpoint_url"] in output
    assert not (tmp_path / "stack.json").exists()
    assert not errors


def test_a_template_that_cannot_run_ends_with_a_sentence(tmp_path, build):
    (tmp_path / "template.yaml").write_text("Resources: {Web: {Type: AWS::EC2::Instance}}")
    process = run(tmp_path / "root", build, tmp_path / "template.yaml")

    _, errors = process.communicate(timeout=60)

    assert process.returncode == 1
    assert errors.startswith("driftwheel: ")
    assert "Libraries" in errors
