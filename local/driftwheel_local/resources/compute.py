"""Resources that run: Lambda, Step Functions, and SageMaker's model registry."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from driftwheel_local.functions import code_zip
from driftwheel_local.intrinsics import TemplateError
from driftwheel_local.resources.declared import Created, Declared, Properties, tag_list, tag_map
from driftwheel_local.template import PACKAGED_BUCKET, substitute

_FUNCTION_SETTINGS = (
    *("Runtime", "Role", "Handler", "Description", "Timeout", "MemorySize", "VpcConfig", "DeadLetterConfig"),
    *("Environment", "TracingConfig", "Layers", "EphemeralStorage", "LoggingConfig"),
)


def _package(properties: Properties, name: str, packages: Mapping[str, Path]) -> Path:
    code = properties.nested(name)
    if code is None or code.take("S3Bucket") != PACKAGED_BUCKET:
        raise TemplateError(f"{properties.place}: {name} must be a local folder (CodeUri or ContentUri)")
    key = code.require("S3Key")
    if key not in packages:
        raise TemplateError(f"{properties.place}: nothing was built for {key}")
    return packages[key]


def function(declared: Declared) -> Created:
    """Create an AWS::Lambda::Function that runs from its built folder."""
    p, api = declared.properties, declared.api
    name = declared.name(p.take("FunctionName"), 64)
    code = code_zip(_package(p, "Code", declared.packages))
    settings = p.pick(*_FUNCTION_SETTINGS) | {"KMSKeyArn": p.take("KmsKeyArn")}
    created = p.pick("Architectures", "PackageType")
    tags, reserved = tag_map(p.take("Tags")), p.take("ReservedConcurrentExecutions")
    fresh = api.call_or(
        {"ResourceConflictException"},
        "lambda",
        "create_function",
        FunctionName=name,
        Code={"ZipFile": code},
        Tags=tags or None,
        **settings,
        **created,
    )
    if fresh is None:
        api.call("lambda", "update_function_code", FunctionName=name, ZipFile=code)
        api.call("lambda", "update_function_configuration", FunctionName=name, **settings)
    if reserved is not None:
        api.call(
            "lambda",
            "put_function_concurrency",
            FunctionName=name,
            ReservedConcurrentExecutions=reserved,
        )
    return Created(name, {"Arn": declared.arn("lambda", f"function:{name}")})


def layer_version(declared: Declared) -> Created:
    """Create an AWS::Lambda::LayerVersion, used in place from its built folder."""
    p, api = declared.properties, declared.api
    name = declared.name(p.take("LayerName"), 140)
    code = code_zip(_package(p, "Content", declared.packages))
    request = p.pick("Description", "CompatibleRuntimes", "CompatibleArchitectures", "LicenseInfo")
    answer = api.call("lambda", "publish_layer_version", LayerName=name, Content={"ZipFile": code}, **request)
    return Created(answer["LayerVersionArn"], {"LayerVersionArn": answer["LayerVersionArn"]})


def permission(declared: Declared) -> Created:
    """Create an AWS::Lambda::Permission; it is recorded, invocations are not refused for want of one."""
    p = declared.properties
    statement = declared.name(None, 100)
    request = p.pick("Action", "Principal", "SourceArn", "SourceAccount", "PrincipalOrgID")
    declared.api.call_or(
        {"ResourceConflictException"},
        "lambda",
        "add_permission",
        FunctionName=p.require("FunctionName"),
        StatementId=statement,
        **request,
    )
    return Created(statement)


def event_source_mapping(declared: Declared) -> Created:
    """Create an AWS::Lambda::EventSourceMapping."""
    p, api = declared.properties, declared.api
    source, name = p.require("EventSourceArn"), p.require("FunctionName")
    request = p.pick("BatchSize", "MaximumBatchingWindowInSeconds", "Enabled", "FunctionResponseTypes")
    request |= p.pick("ScalingConfig", "FilterCriteria")
    existing = api.call("lambda", "list_event_source_mappings", EventSourceArn=source, FunctionName=name)
    if existing["EventSourceMappings"]:
        identifier = existing["EventSourceMappings"][0]["UUID"]
        api.call("lambda", "update_event_source_mapping", UUID=identifier, **request)
    else:
        answer = api.call(
            "lambda", "create_event_source_mapping", EventSourceArn=source, FunctionName=name, **request
        )
        identifier = answer["UUID"]
    arn = declared.arn("lambda", f"event-source-mapping:{identifier}")
    return Created(identifier, {"Id": identifier, "EventSourceMappingArn": arn})


def event_invoke_config(declared: Declared) -> Created:
    """Create an AWS::Lambda::EventInvokeConfig: retries and destinations of asynchronous calls."""
    p = declared.properties
    name, qualifier = p.require("FunctionName"), p.require("Qualifier")
    if qualifier != "$LATEST":
        raise TemplateError(f"{p.place}: Qualifier {qualifier!r} is not supported, only $LATEST")
    request = p.pick("MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig")
    declared.api.call("lambda", "put_function_event_invoke_config", FunctionName=name, **request)
    return Created(declared.name(None, 80))


def state_machine(declared: Declared) -> Created:
    """Create an AWS::StepFunctions::StateMachine from its substituted definition."""
    p, api = declared.properties, declared.api
    name = declared.name(p.take("StateMachineName"), 80)
    definition = _definition(declared)
    request = {"definition": definition, "roleArn": p.require("RoleArn")}
    if logging := p.nested("LoggingConfiguration"):
        request["loggingConfiguration"] = _logging(logging)
    if tracing := p.nested("TracingConfiguration"):
        request["tracingConfiguration"] = {"enabled": tracing.take("Enabled", default=False)}
    arn = declared.arn("states", f"stateMachine:{name}")
    kind, tags = p.take("StateMachineType"), tag_list(p.take("Tags"))
    known = {
        machine["stateMachineArn"]
        for page in api.client("stepfunctions").get_paginator("list_state_machines").paginate()
        for machine in page["stateMachines"]
    }
    if arn in known:
        api.call("stepfunctions", "update_state_machine", stateMachineArn=arn, **request)
    else:
        listed = [{"key": tag["Key"], "value": tag["Value"]} for tag in tags]
        api.call("stepfunctions", "create_state_machine", name=name, type=kind, tags=listed, **request)
    return Created(arn, {"Arn": arn, "Name": name})


def _definition(declared: Declared) -> str:
    p = declared.properties
    place = p.nested("DefinitionS3Location")
    literal, written = p.take("DefinitionString"), p.take("Definition")
    if place is not None:
        if place.require("Bucket") != PACKAGED_BUCKET:
            raise TemplateError(f"{p.place}: DefinitionUri must be a local file")
        file = declared.packages[place.require("Key")]
        definition = file.read_text(encoding="utf-8")
        try:
            json.loads(definition)
        except ValueError as error:
            raise TemplateError(f"{p.place}: {file} is not JSON before substitution ({error})") from error
    elif literal is not None or written is not None:
        definition = literal if literal is not None else json.dumps(written)
    else:
        raise TemplateError(f"{p.place}: a definition is required")
    return substitute(definition, p.take("DefinitionSubstitutions", {}), p.place)


def _logging(logging: Properties) -> dict[str, Any]:
    answer = {
        "level": logging.take("Level", "OFF"),
        "includeExecutionData": logging.take("IncludeExecutionData", default=False),
    }
    destinations = []
    for each in logging.nested_list("Destinations"):
        group = each.nested("CloudWatchLogsLogGroup")
        if group is not None:
            destinations.append({"cloudWatchLogsLogGroup": {"logGroupArn": group.require("LogGroupArn")}})
    return answer | ({"destinations": destinations} if destinations else {})


def model_package_group(declared: Declared) -> Created:
    """Create an AWS::SageMaker::ModelPackageGroup."""
    p, api = declared.properties, declared.api
    name = p.require("ModelPackageGroupName")
    request = {"ModelPackageGroupDescription": p.take("ModelPackageGroupDescription")}
    tags = tag_list(p.take("Tags"))
    groups = api.call("sagemaker", "list_model_package_groups", NameContains=name, MaxResults=100)
    if name not in {group["ModelPackageGroupName"] for group in groups["ModelPackageGroupSummaryList"]}:
        api.call(
            "sagemaker",
            "create_model_package_group",
            ModelPackageGroupName=name,
            Tags=tags or None,
            **request,
        )
    arn = declared.arn("sagemaker", f"model-package-group/{name}")
    return Created(arn, {"ModelPackageGroupArn": arn, "ModelPackageGroupStatus": "Completed"})
