"""One instance behind an endpoint: the hosting side of AWS's XGBoost image, as its own process.

Read in the sources (2026-11): for one model the image (sagemaker-xgboost-container `serving.py`) runs Flask
under gunicorn with *sagemaker-containers* 2.8.6.post2, not sagemaker-inference. Imitated from there:

- `model_fn(model_dir)` runs before the server answers, so `/ping` is 200 only afterwards;
- the body is text for exactly `application/json` and `text/csv`, bytes for every other content type; no
  content type means `application/json`; `Accept` missing or `*/*` means
  `SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT`, else `application/json`;
- `transform_fn(model, body, content_type, accept)`, or `input_fn(body, content_type)` →
  `predict_fn(data, model)` → `output_fn(prediction, accept)`, with the image's defaults for missing ones;
- a tuple `(body, mimetype)` is a 200; a `flask.Response` (anything with `get_data` and `status_code`) passes
  as it is, the *only* way to answer 4xx; plain text becomes `text/html`, as Flask does;
- **every exception is a 500 with Flask's page**, whatever `status_code` it carries: the toolkit wraps them
  all. (Only multi-model servers map `BaseInferenceToolkitError`.) The log names the wasted status.

`sagemaker_containers` is present in `sys.modules`, so code that asks which toolkit serves it hears the truth
of the image. This file imports nothing of ours: it runs with the container's environment.
"""

import asyncio
import importlib
import json
import os
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

MAX_BODY_BYTES = 6_291_456  # InvokeEndpoint's limit
_JSON = "application/json"
_CSV = "text/csv"
_LIBSVM = ("text/libsvm", "text/x-libsvm")
_ERROR_PAGE = (
    "<!doctype html>\n<html lang=en>\n<title>500 Internal Server Error</title>\n"
    "<h1>Internal Server Error</h1>\n"
    "<p>The server encountered an internal error and was unable to complete your request. Either the server "
    "is overloaded or there is an error in the application.</p>\n"
)
_UNSUPPORTED = (
    "Content type {} is not supported by this framework.\n\nPlease implement input_fn to to deserialize the "
    "request data or an output_fn to\nserialize the response."
)
Answer = tuple[int, dict[str, str], bytes]


class UnsupportedFormatError(Exception):
    """When a default function meets a content type it does not know."""

    def __init__(self, content_type: str) -> None:
        super().__init__(_UNSUPPORTED.format(content_type))


def default_model_fn(model_dir: str) -> Any:
    """Refuse: the image has no default way to load a model in script mode."""
    raise NotImplementedError(f"Please provide a model_fn implementation (model directory {model_dir})")


def default_input_fn(body: Any, content_type: str) -> Any:
    """Read CSV without header, or libsvm, into an xgboost.DMatrix."""
    xgboost = importlib.import_module("xgboost")
    numpy = importlib.import_module("numpy")
    text = body.decode() if isinstance(body, bytes) else body
    media_type = content_type.partition(";")[0].strip()
    if media_type == _CSV:
        rows = [
            [float(cell) if cell else float("nan") for cell in line.split(",")] for line in text.split("\n")
        ]
        return xgboost.DMatrix(numpy.array(rows))
    if media_type in _LIBSVM:
        entries = [
            {
                int(key): float(value)
                for key, _, value in (token.partition(":") for token in line.split() if ":" in token)
            }
            for line in text.strip().split("\n")
        ]
        indices = [index for entry in entries for index in entry] or [0]
        offset = 1 if min(indices) >= 1 else 0
        matrix = numpy.zeros((len(entries), max(indices) - offset + 1))
        for row, entry in enumerate(entries):
            for index, value in entry.items():
                matrix[row, index - offset] = value
        return xgboost.DMatrix(matrix)
    raise UnsupportedFormatError(media_type)


def default_predict_fn(data: Any, model: Any) -> Any:
    """Call the booster."""
    return model.predict(data, validate_features=False)


def default_output_fn(prediction: Any, accept: str) -> Any:
    """Write an array as JSON or CSV."""
    values = prediction.tolist() if hasattr(prediction, "tolist") else prediction
    if accept == _JSON:
        return json.dumps(values), _JSON
    if accept == _CSV:
        rows = [row if isinstance(row, list) else [row] for row in values]
        return "".join(",".join(str(cell) for cell in row) + "\n" for row in rows), _CSV
    raise UnsupportedFormatError(accept)


class Transformer:
    """The user's functions, called in the image's order."""

    def __init__(self, module: types.ModuleType, default_accept: str) -> None:
        pipeline = [getattr(module, name, None) for name in ("input_fn", "predict_fn", "output_fn")]
        self._transform_fn = getattr(module, "transform_fn", None)
        if self._transform_fn and any(pipeline):
            raise ValueError(
                "Cannot use transform_fn implementation with input_fn, predict_fn, and/or output_fn"
            )
        self._input_fn = pipeline[0] or default_input_fn
        self._predict_fn = pipeline[1] or default_predict_fn
        self._output_fn = pipeline[2] or default_output_fn
        self._model_fn: Callable[[str], Any] = getattr(module, "model_fn", default_model_fn)
        self._default_accept = default_accept
        self._model: Any = None

    def load(self, model_dir: str) -> None:
        """Call model_fn; its exception ends the server before it ever answers."""
        self._model = self._model_fn(model_dir)

    def answer(self, body: bytes, content_type: str, accept: str) -> Answer:
        """Answer one invocation; every exception of the user's functions is a 500."""
        content_type = content_type or _JSON
        if not accept or accept == "*/*":
            accept = self._default_accept
        content: Any = body.decode("utf-8", "replace") if content_type in (_JSON, _CSV) else body
        try:
            if self._transform_fn:
                result = self._transform_fn(self._model, content, content_type, accept)
            else:
                data = self._input_fn(content, content_type)
                result = self._output_fn(self._predict_fn(data, self._model), accept)
            return _response(result)
        except Exception as error:  # noqa: BLE001 (the toolkit turns whatever it is into a 500)
            traceback.print_exc()
            if hasattr(error, "status_code"):
                sys.stderr.write(
                    f"{type(error).__name__} carries status_code {error.status_code}, but AWS's XGBoost "
                    "image answers 500 to every exception: return a flask.Response with that status instead\n"
                )
            sys.stderr.flush()
            return 500, {"content-type": "text/html; charset=utf-8"}, _ERROR_PAGE.encode()


def _response(result: Any) -> Answer:
    """Answer what Flask makes of a view's result."""
    if hasattr(result, "get_data") and hasattr(result, "status_code"):
        return result.status_code, {"content-type": result.headers["Content-Type"]}, result.get_data()
    mimetype = "text/html"
    if isinstance(result, tuple):
        result, mimetype = result[0], result[1]
    elif isinstance(result, (dict, list)):
        result, mimetype = json.dumps(result), _JSON
    if isinstance(result, str):
        result = result.encode()
    elif isinstance(result, (bytearray, memoryview)):
        result = bytes(result)
    elif not isinstance(result, bytes):
        raise TypeError(f"The view function did not return a valid response but a {type(result).__name__}")
    if mimetype.startswith("text/") and "charset" not in mimetype:
        mimetype = f"{mimetype}; charset=utf-8"
    return 200, {"content-type": mimetype}, result


def application(transformer: Transformer) -> Starlette:
    """Build the ASGI application; user code runs on one thread, as in one gunicorn worker."""
    worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")

    async def ping(_: Request) -> Response:
        return Response(b"", 200)

    async def invocations(request: Request) -> Response:
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > MAX_BODY_BYTES:
                return Response(b"request body is larger than 6 MiB", 413)
        loop = asyncio.get_running_loop()
        status, headers, content = await loop.run_in_executor(
            worker,
            transformer.answer,
            bytes(body),
            request.headers.get("content-type", ""),
            request.headers.get("accept", ""),
        )
        return Response(content, status, headers)

    routes = [
        Route("/ping", ping, methods=["GET"]),
        Route("/invocations", invocations, methods=["POST"]),
    ]
    # A page in a browser can reach 127.0.0.1 under a name of its own.
    door = Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1"], www_redirect=False)
    return Starlette(routes=routes, middleware=[door])


class ReportingServer(uvicorn.Server):
    """Writes its port to a file once it accepts connections."""

    def __init__(self, config: uvicorn.Config, report: Path) -> None:
        super().__init__(config)
        self._report = report

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Start to listen, then report."""
        await super().startup(sockets)
        port = self.servers[0].sockets[0].getsockname()[1]
        temporary = self._report.with_suffix(".new")
        temporary.write_text(str(port), encoding="ascii")
        temporary.replace(self._report)


def end_with_parent(parent: int) -> None:
    """Leave no server behind when the runtime was killed."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def main() -> None:
    """Load the model, then serve on a free port of 127.0.0.1; argv: report file, parent pid."""
    report, parent = Path(sys.argv[1]), int(sys.argv[2])
    threading.Thread(target=end_with_parent, args=(parent,), daemon=True).start()
    sys.modules["sagemaker_containers"] = types.ModuleType("sagemaker_containers")
    module = importlib.import_module(os.environ["SAGEMAKER_PROGRAM"].removesuffix(".py"))
    accept = os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", _JSON)
    transformer = Transformer(module, accept)
    transformer.load(os.environ["SM_MODEL_DIR"])
    config = uvicorn.Config(
        application(transformer),
        host="127.0.0.1",
        port=0,
        log_level="warning",
        access_log=False,
        lifespan="off",
        # A kept connection must outlive every pause of its client, else a request could meet a closed one.
        timeout_keep_alive=3600,
        timeout_graceful_shutdown=25,
    )
    ReportingServer(config, report).run()


if __name__ == "__main__":
    main()
