"""Which AWS image trains, serves and prepares, per region.

``images.json`` is checked in so that no AWS SDK is needed at run time. It was made with ``sagemaker-core``
2.27.0: for every region under ``training.versions["3.2-0"].registries`` of its
``image_uri_config/xgboost.json``, ``sagemaker.core.image_uris.retrieve("xgboost", region, version="3.2-0",
image_scope="training", instance_type="ml.m5.large")``; the ``inference`` scope gives the same URIs. ``spark``
is Spark 3.5 for processing (``spark.json``, py_version="py312", container_version="v1"; that this tag lies in
every registry was not seen). Registry accounts differ by region: never write one by hand.
"""

import json
from functools import cache
from importlib.resources import files

from driftwheel.errors import SpecInvalid


@cache
def _table() -> dict[str, dict[str, str]]:
    document = json.loads(files("driftwheel.algorithms").joinpath("images.json").read_text())
    return {algorithm: entry["images"] for algorithm, entry in document.items()}


def image_uri(algorithm: str, region: str) -> str:
    """Name the image of an algorithm in a region; raises SpecInvalid where AWS lists none.

    >>> image_uri("xgboost", "us-east-1")
    '683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0'
    """
    images = _table()[algorithm]
    if region not in images:
        raise SpecInvalid(
            f"AWS lists no {algorithm} image for region {region!r}; choose one of {sorted(images)}"
        )
    return images[region]
