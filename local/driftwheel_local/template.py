"""template.yaml as CloudFormation would see it after the SAM transform, with local folders kept apart."""

import copy
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from driftwheel_local.intrinsics import Scope, TemplateError, truth

PACKAGED_BUCKET = "driftwheel-local-packages"  # stands in for the bucket `sam package` uploads to

SAM_TRANSFORM = "AWS::Serverless-2016-10-31"
_SECTIONS = frozenset(
    {"AWSTemplateFormatVersion", "Transform", "Description", "Metadata", "Parameters", "Rules", "Mappings"}
    | {"Conditions", "Globals", "Resources", "Outputs"}
)
_ATTRIBUTES = frozenset(
    {"Type", "Properties", "DependsOn", "Condition", "Metadata", "DeletionPolicy", "UpdateReplacePolicy"}
)
_LOCAL_URIS = {
    "AWS::Serverless::Function": ("Function", "CodeUri"),
    "AWS::Serverless::LayerVersion": ("LayerVersion", "ContentUri"),
    "AWS::Serverless::StateMachine": ("StateMachine", "DefinitionUri"),
}


@dataclass(frozen=True)
class Template:
    """A loaded template: `source` as written, `resources` after the SAM transform.

    `assets` maps the logical id of the SAM resource to its local folder or file; the translated resource
    names it as key in PACKAGED_BUCKET.
    """

    path: Path
    source: Mapping[str, Any]
    resources: Mapping[str, Any]
    outputs: Mapping[str, Any]
    scope: Scope
    assets: Mapping[str, Path] = field(default_factory=dict)


class _Loader(yaml.SafeLoader):
    """YAML as CloudFormation reads it: short function tags, dates stay text, no repeated keys."""


def _function_tag(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}"
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        if name == "Fn::GetAtt":
            value = str(value).split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    return {name: value}


def _unique_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    repeated = {key for key in keys if keys.count(key) > 1}
    if repeated:
        raise TemplateError(f"line {node.start_mark.line + 1}: key {min(repeated, key=str)!r} stands twice")
    return loader.construct_mapping(node, deep=True)


_Loader.add_multi_constructor("!", _function_tag)
_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_template(path: Path) -> dict[str, Any]:
    """Answer the template as written, its short tags as long functions.

    Raises TemplateError naming the file for anything that is not a template with known sections.
    """
    try:
        body = _Loader(path.read_text(encoding="utf-8")).get_single_data()
    except OSError as error:
        raise TemplateError(
            f"{path}: cannot be read ({error.strerror}); pass an existing template"
        ) from error
    except (yaml.YAMLError, TemplateError) as error:
        raise TemplateError(f"{path}: {error}") from error
    if not isinstance(body, dict) or not isinstance(body.get("Resources"), dict):
        raise TemplateError(f"{path}: a template needs a Resources section")
    unknown = sorted(set(body) - _SECTIONS)
    if unknown:
        raise TemplateError(f"{path}: section {unknown[0]!r} is not supported")
    if body.get("Transform", SAM_TRANSFORM) != SAM_TRANSFORM:
        raise TemplateError(f"{path}: Transform {body['Transform']!r} is not supported, only {SAM_TRANSFORM}")
    return body


def load_template(
    path: Path,
    *,
    parameters: Mapping[str, str] | None = None,
    account: str = "123456789012",
    region: str = "us-east-1",
    stack_name: str = "driftwheel",
) -> Template:
    """Read, parameterise and translate the template at `path`, offline.

    Raises TemplateError naming the parameter, rule, resource or section that cannot be carried out.
    """
    source = read_template(path)
    scope = Scope(
        parameters=_parameters(source.get("Parameters", {}), parameters or {}),
        pseudo=_pseudo_parameters(account, region, stack_name),
        mappings=source.get("Mappings", {}),
        conditions=source.get("Conditions", {}),
    )
    for name, rule in source.get("Rules", {}).items():
        _assert(name, rule, scope)
    body, assets = _package(copy.deepcopy(source), path.parent)
    translated = _translate(body, scope, region)
    resources = {
        logical_id: _checked(logical_id, resource)
        for logical_id, resource in translated["Resources"].items()
        if resource.get("Condition") is None or scope.condition(resource["Condition"])
    }
    outputs = {
        name: output
        for name, output in source.get("Outputs", {}).items()
        if output.get("Condition") is None or scope.condition(output["Condition"])
    }
    return Template(path, source, resources, outputs, scope, assets)


def cloudformation(
    source: Mapping[str, Any], folder: Path, *, parameters: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Answer the whole template as CloudFormation receives it from `sam deploy`: what scanners have to see.

    `source` is a template as `read_template` answers it, `folder` is where its local paths begin.
    """
    scope = Scope(
        parameters=_parameters(source.get("Parameters", {}), parameters or {}),
        pseudo=_pseudo_parameters("123456789012", "us-east-1", "driftwheel"),
        mappings=source.get("Mappings", {}),
        conditions=source.get("Conditions", {}),
    )
    body, _ = _package(copy.deepcopy(dict(source)), folder)
    return _translate(body, scope, "us-east-1")


def _pseudo_parameters(account: str, region: str, stack_name: str) -> dict[str, Any]:
    return {
        "AWS::AccountId": account,
        "AWS::Region": region,
        "AWS::Partition": "aws",
        "AWS::URLSuffix": "amazonaws.com",
        "AWS::StackName": stack_name,
        "AWS::StackId": f"arn:aws:cloudformation:{region}:{account}:stack/{stack_name}/local",
        "AWS::NotificationARNs": [],
    }


def _checked(logical_id: str, resource: Mapping[str, Any]) -> Mapping[str, Any]:
    unknown = sorted(set(resource) - _ATTRIBUTES)
    if unknown:
        raise TemplateError(f"{logical_id} ({resource.get('Type')}): attribute {unknown[0]} is not supported")
    return resource


def _package(body: dict[str, Any], folder: Path) -> tuple[dict[str, Any], dict[str, Path]]:
    """Replace local URIs by places in PACKAGED_BUCKET, as `sam package` does, and answer what they were."""
    assets: dict[str, Path] = {}
    section_defaults = {
        section: body.get("Globals", {}).get(section, {}).pop(uri, None)
        for section, uri in _LOCAL_URIS.values()
        if section in body.get("Globals", {})
    }
    for logical_id, resource in body["Resources"].items():
        if not isinstance(resource, dict) or "Type" not in resource:
            raise TemplateError(f"{logical_id}: a resource needs a Type")
        if resource["Type"] not in _LOCAL_URIS:
            continue
        section, uri = _LOCAL_URIS[resource["Type"]]
        properties = resource.setdefault("Properties", {})
        local = properties.get(uri, section_defaults.get(section))
        if local is None:
            continue
        if not isinstance(local, str) or local.startswith("s3://"):
            raise TemplateError(f"{logical_id}: {uri} must be a local path, got {local!r}")
        place = (folder / local).resolve()
        if not place.exists():
            raise TemplateError(f"{logical_id}: {uri} {local!r} does not exist below {folder}")
        assets[logical_id] = place
        properties[uri] = {"Bucket": PACKAGED_BUCKET, "Key": logical_id}
    return body, assets


def _translate(body: dict[str, Any], scope: Scope, region: str) -> dict[str, Any]:
    if "Transform" not in body:
        serverless = [i for i, r in body["Resources"].items() if r["Type"].startswith("AWS::Serverless::")]
        if serverless:
            raise TemplateError(f"{serverless[0]} needs `Transform: {SAM_TRANSFORM}`")
        return body
    # The translator asks boto3 for a region and imports slowly (0.9 s), so only when it is needed.
    os.environ.setdefault("AWS_DEFAULT_REGION", region)
    from samtranslator.model.exceptions import InvalidDocumentException  # noqa: PLC0415
    from samtranslator.translator.transform import transform  # noqa: PLC0415

    values = {name: _as_text(value) for name, value in scope.parameters.items()}
    try:
        translated: dict[str, Any] = transform(body, values, _ManagedPolicies())
    except InvalidDocumentException as error:
        causes = "; ".join(cause.message for cause in error.causes)
        raise TemplateError(f"the SAM transform refuses the template: {causes}") from error
    return json.loads(json.dumps(translated))  # type: ignore[no-any-return]


class _ManagedPolicies:
    """The translator's map of AWS managed policies by name: whole ARNs only, so it is empty."""

    def load(self) -> dict[str, str]:
        return {}


def _as_text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _parameters(declared: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    unknown = sorted(set(given) - set(declared))
    if unknown:
        raise TemplateError(
            f"parameter {unknown[0]!r} is not declared; declared: {', '.join(sorted(declared)) or 'none'}"
        )
    missing = sorted(name for name in declared if name not in given and "Default" not in declared[name])
    if missing:
        raise TemplateError(f"parameter {missing[0]!r} has no default: give it a value")
    return {
        name: _parameter(name, declaration, given.get(name, declaration.get("Default")))
        for name, declaration in declared.items()
    }


def _parameter(name: str, declaration: Mapping[str, Any], value: Any) -> Any:
    kind = declaration.get("Type")
    if kind is None or str(kind).startswith("AWS::SSM::Parameter::Value"):
        raise TemplateError(f"parameter {name!r}: Type {kind!r} is not supported")
    text = ("true" if value else "false") if isinstance(value, bool) else str(value)
    listed = kind == "CommaDelimitedList" or str(kind).startswith("List<")
    parts = [part.strip() for part in text.split(",")] if listed else [text]
    for part in parts:
        _constrain(name, declaration, part, numeric=kind in {"Number", "List<Number>"})
    return parts if listed else text


def _assert(name: str, rule: Mapping[str, Any], scope: Scope) -> None:
    place = f"Rules.{name}"
    if "RuleCondition" in rule and not truth(rule["RuleCondition"], scope, place):
        return
    for each in rule["Assertions"]:
        if not truth(each["Assert"], scope, place):
            raise TemplateError(f"{place}: {each.get('AssertDescription', 'its assertion does not hold')}")


def _constrain(name: str, declaration: Mapping[str, Any], text: str, *, numeric: bool) -> None:
    remedy = declaration.get("ConstraintDescription", "")
    allowed = [str(each) for each in declaration.get("AllowedValues", [])]
    if allowed and text not in allowed:
        raise TemplateError(
            f"parameter {name!r}: {text!r} is not one of {', '.join(allowed)}. {remedy}".strip()
        )
    pattern = declaration.get("AllowedPattern")
    if pattern is not None and re.fullmatch(pattern, text) is None:
        raise TemplateError(f"parameter {name!r}: {text!r} does not match {pattern}. {remedy}".strip())
    measure: float = len(text)
    lowest, highest = declaration.get("MinLength"), declaration.get("MaxLength")
    if numeric:
        try:
            measure = float(text)
        except ValueError as error:
            raise TemplateError(f"parameter {name!r}: {text!r} is not a number") from error
        lowest, highest = declaration.get("MinValue"), declaration.get("MaxValue")
    if (lowest is not None and measure < float(lowest)) or (highest is not None and measure > float(highest)):
        raise TemplateError(f"parameter {name!r}: {text!r} is outside {lowest}..{highest}. {remedy}".strip())


def substitute(definition: str, substitutions: Mapping[str, Any], place: str) -> str:
    """Fill `${Name}` in a state machine's definition from DefinitionSubstitutions.

    Raises TemplateError for a placeholder without a value, because Step Functions would keep it as text.
    """

    def fill(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in substitutions:
            raise TemplateError(f"{place}: ${{{name}}} has no value in DefinitionSubstitutions")
        value = substitutions[name]
        if isinstance(value, bool):
            return "true" if value else "false"
        # the placeholder stands inside a JSON string: its value must not end that string
        return json.dumps(str(value))[1:-1]

    filled = re.sub(r"\$\{([A-Za-z0-9_]+)\}", fill, definition)
    try:
        json.loads(filled)
    except ValueError as error:
        raise TemplateError(f"{place}: not JSON after substitution ({error})") from error
    return filled
