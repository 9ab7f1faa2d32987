"""YAML as people mean it: ``on``, ``no``, ``yes`` and ``off`` stay text (Norway is not false).

Apart from ``spec``, which every function imports: only what reads a ``model.yaml`` needs a parser of YAML.
"""

import re
from typing import Any

import yaml

from driftwheel.errors import SpecInvalid


class Yaml12Loader(yaml.SafeLoader):
    """A SafeLoader whose only booleans are true and false."""


Yaml12Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Yaml12Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))


def read_yaml(text: str | bytes, name: str) -> Any:
    """Read one document; raises SpecInvalid naming the file."""
    try:
        return Yaml12Loader(text).get_single_data()
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecInvalid(f"{name} is not YAML: {error}") from error
