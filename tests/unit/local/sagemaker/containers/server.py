"""A small serving script: adds `offset` of the artefact to numbers; asks for trouble when told to."""

import json
import math
import os
import pathlib
import sys
import time

import flask


class Refused(Exception):
    def __init__(self, status_code, message):
        super().__init__(status_code, message)
        self.status_code = status_code
        self.message = message


def model_fn(model_dir):
    model = json.loads(pathlib.Path(model_dir, "model.json").read_text())
    if model.get("broken"):
        raise RuntimeError("this artefact is broken")
    return model | {"begun": time.monotonic()}


def input_fn(body, content_type):
    if content_type == "application/x-bytes":
        return {"raw": len(body)}
    return json.loads(body)


def predict_fn(data, model):
    if time.monotonic() - model["begun"] >= model.get("fails_after", math.inf):
        raise RuntimeError("this model answers nobody")
    time.sleep(model.get("slow", 0))
    if "refuse" in data:
        return flask.Response(json.dumps({"error": "field temp"}), status=400, mimetype="application/json")
    if "raise" in data:
        raise Refused(400, "raised")
    if "sleep" in data:
        time.sleep(data["sleep"])
    if "die" in data:
        os._exit(1)
    if "environment" in data:
        return dict(os.environ)
    if "toolkit" in data:
        return "sagemaker_containers" in sys.modules
    if "text" in data:
        return data
    return {"sum": data.get("value", data.get("raw", 0)) + model["offset"]}


def output_fn(prediction, accept):
    if isinstance(prediction, flask.Response):
        return prediction
    if isinstance(prediction, dict) and "text" in prediction:
        return prediction["text"]
    return json.dumps(prediction), accept
