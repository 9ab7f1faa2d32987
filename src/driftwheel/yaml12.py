"""YAML as people mean it: ``on``, ``no``, ``yes`` and ``off`` stay text (Norway is not false).

Apart from ``spec``, which every function imports: only what reads a ``model.yaml`` needs a parser of YAML.
"""

import re
from collections.abc import Sequence
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
        said = str(error)
        for unnamed in ("<byte string>", "<unicode string>"):
            said = said.replace(f'"{unnamed}"', name)
        raise SpecInvalid(f"{name} is not YAML: {said}") from error


def line_of(text: str | bytes, place: Sequence[str | int]) -> int:
    """Give the line in which a field of a document that was read stands, or the nearest one around it."""
    node = Yaml12Loader(text).get_single_node()
    line = 1
    for part in place:
        if isinstance(node, yaml.MappingNode):
            found = next((pair for pair in node.value if pair[0].value == str(part)), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            found = (node.value[part], node.value[part]) if part < len(node.value) else None
        else:
            found = None
        if found is not None:  # otherwise the name of a kind, which stands between a part and its fields
            line, node = found[0].start_mark.line + 1, found[1]
    return line
