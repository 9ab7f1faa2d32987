"""SE-18: what listens here answers this machine's own programs, and no slow or greedy one ends it."""

import asyncio
import http.client
import importlib
import socket
import sys
import types

import pytest

from driftwheel_local.endpoint import Endpoint
from driftwheel_local.runtime_api import MAX_BODY_BYTES, RuntimeApi

SLOW = b"POST / HTTP/1.1\r\nHost: "


@pytest.fixture
def endpoint():
    running = Endpoint()
    yield running
    running.close()


def port_of(address):
    return int(address.rsplit(":", 1)[1])


def ask(port, host, path="/moto-api/", method="GET", body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request(method, path, body, {"Host": host, **headers})
    try:
        return connection.getresponse().status
    except (http.client.HTTPException, OSError):
        return "closed"
    finally:
        connection.close()


@pytest.mark.case("SE-18")
def test_a_client_that_sends_a_byte_and_waits_keeps_nobody_else_waiting(endpoint):
    host = endpoint.url.removeprefix("http://")
    slow = [socket.create_connection(("127.0.0.1", endpoint.port)) for _ in range(50)]
    for each in slow:
        each.sendall(SLOW)
    try:
        assert ask(endpoint.port, host) == 200
    finally:
        for each in slow:
            each.close()
    assert ask(endpoint.port, host) == 200


@pytest.mark.case("SE-18")
def test_nothing_listens_beyond_this_machine(endpoint):
    api = RuntimeApi()
    try:
        for port in (endpoint.port, port_of(api.address)):
            with pytest.raises(OSError, match="refused"):
                socket.create_connection(("127.0.0.2", port), timeout=2)
    finally:
        api.close()


@pytest.mark.case("SE-18")
def test_a_page_that_calls_the_runtime_api_by_a_name_of_its_own_hears_nothing():
    api = RuntimeApi()
    try:
        port = port_of(api.address)
        unknown = "/2018-06-01/runtime/nowhere"
        assert ask(port, "evil.example", unknown) == "closed"
        assert ask(port, f"evil.example:{port}", unknown) == "closed"
        assert ask(port, api.address, unknown) == 404
        much = {"Content-Length": str(MAX_BODY_BYTES + 1)}
        assert ask(port, api.address, unknown, "POST", b"", **much) == "closed"
        assert ask(port, api.address, unknown, "POST", b"", **{"Content-Length": "-1"}) == "closed"
        with socket.create_connection(("127.0.0.1", port)) as slow:
            slow.sendall(SLOW)
            assert ask(port, api.address, unknown) == 404
    finally:
        api.close()


@pytest.mark.case("SE-18")
def test_a_model_answers_its_own_door_and_reads_no_endless_body(monkeypatch):
    monkeypatch.setitem(sys.modules, "sagemaker_containers", types.ModuleType("sagemaker_containers"))
    host = importlib.import_module("driftwheel_local.sagemaker.serving_host")
    module = types.SimpleNamespace(
        input_fn=lambda body, _: len(body),
        predict_fn=lambda size, _: size,
        output_fn=lambda size, _: str(size),
    )
    application = host.application(host.Transformer(module, "application/json"))
    read = []

    def status(name, chunks):
        """Call the ASGI application as uvicorn does and answer its status."""
        scope = {"type": "http", "method": "POST", "path": "/invocations", "query_string": b""}
        scope |= {"headers": [(b"host", name)], "http_version": "1.1", "root_path": "", "scheme": "http"}
        sent = []

        async def receive():
            read.append(1)
            return {"type": "http.request", "body": b"x" * 1024 * 1024, "more_body": len(read) < chunks}

        async def send(message):
            sent.append(message)

        asyncio.run(application(scope, receive, send))
        return sent[0]["status"]

    assert status(b"evil.example:8080", 1) == 400
    assert read == []
    assert status(b"127.0.0.1:8080", 1) == 200
    assert status(b"127.0.0.1:8080", 64) == 413
    assert len(read) < 16
