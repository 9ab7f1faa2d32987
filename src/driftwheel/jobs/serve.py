"""Serving: the four functions a SageMaker container calls; the recipe inside the artifact does the rest.

How an error leaves the container decides how it must be raised here (read in the toolkits' sources):

- ``sagemaker-inference`` turns an exception with ``status_code`` into that answer.
- The XGBoost image 3.2-0 serves one model through ``sagemaker-containers`` 2.8.6, which wraps every exception
  of these functions and answers 500. There a refusal travels as a value from ``input_fn`` to ``output_fn``,
  which returns a finished response with its status. The local runtime does the same.
"""

import importlib
import os
import sys
from pathlib import Path
from typing import Any

from driftwheel.jobs.model import BadRecord, Model, open_model
from driftwheel.jobs.payload import JSON, RequestRefused, Rows, parse, render
from driftwheel.jobs.single import Floats


def model_fn(model_dir: str) -> Model:
    """Load the model; raises ArtifactInvalid when its bytes or its golden answers are not the trained ones.

    The bytes are those whose digest the gate recorded, and the request that made the model carries.

    The server then never answers ``/ping``, and SageMaker rolls the deployment back.
    """
    model = open_model(Path(model_dir), os.environ.get("MANIFEST_SHA256", ""))
    model.booster.set_param({"nthread": os.environ.get("OMP_NUM_THREADS", "1")})
    return model


def input_fn(body: str | bytes, content_type: str = JSON) -> Rows | RequestRefused:
    """Read a request; raises or returns RequestRefused."""
    try:
        return parse(body, content_type)
    except RequestRefused as refusal:
        return _refuse(refusal)


def predict_fn(rows: Rows | RequestRefused, model: Model) -> Floats | RequestRefused:
    """Clean, derive and score every record; raises or returns RequestRefused naming row and field."""
    if isinstance(rows, RequestRefused):
        return rows
    try:
        return model.scores(rows.named(model.recipe.inputs, model.recipe.required))
    except BadRecord as error:
        return _refuse(RequestRefused(400, error.message, row=error.row, field=error.field))
    except RequestRefused as refusal:
        return _refuse(refusal)


def output_fn(scores: Floats | RequestRefused, accept: str = JSON) -> Any:
    """Write the answer as (body, content type); a refusal carried here becomes a finished response."""
    if isinstance(scores, RequestRefused):
        return _response(scores)
    try:
        return render(scores, accept)
    except RequestRefused as refusal:
        return _response(_refuse(refusal))


def _refuse(refusal: RequestRefused) -> RequestRefused:
    if _errors_become_500():
        return refusal
    raise refusal


def _errors_become_500() -> bool:
    return "sagemaker_containers" in sys.modules


def _response(refusal: RequestRefused) -> Any:
    flask = importlib.import_module("flask")
    return flask.Response(refusal.body(), status=refusal.status_code, mimetype=JSON)
