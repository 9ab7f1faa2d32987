"""Resources that keep things: S3, DynamoDB, SSM, KMS."""

from typing import Any

from driftwheel_local.intrinsics import TemplateError
from driftwheel_local.resources.declared import Created, Declared, Properties, tag_list

_LOGICAL_ID_TAG = "aws:cloudformation:logical-id"


def bucket(declared: Declared) -> Created:
    """Create an AWS::S3::Bucket."""
    p, api = declared.properties, declared.api
    name = declared.name(p.take("BucketName"), 63, lower=True)
    place = None if declared.region == "us-east-1" else {"LocationConstraint": declared.region}
    api.call_or(
        {"BucketAlreadyOwnedByYou"}, "s3", "create_bucket", Bucket=name, CreateBucketConfiguration=place
    )
    if p_versioning := p.take("VersioningConfiguration"):
        api.call("s3", "put_bucket_versioning", Bucket=name, VersioningConfiguration=p_versioning)
    if encryption := p.nested("BucketEncryption"):
        rules = [
            _encryption_rule(rule) for rule in encryption.nested_list("ServerSideEncryptionConfiguration")
        ]
        api.call(
            "s3", "put_bucket_encryption", Bucket=name, ServerSideEncryptionConfiguration={"Rules": rules}
        )
    if block := p.take("PublicAccessBlockConfiguration"):
        api.call("s3", "put_public_access_block", Bucket=name, PublicAccessBlockConfiguration=block)
    if ownership := p.take("OwnershipControls"):
        api.call("s3", "put_bucket_ownership_controls", Bucket=name, OwnershipControls=ownership)
    if lifecycle := p.nested("LifecycleConfiguration"):
        rules = [_lifecycle_rule(rule) for rule in lifecycle.nested_list("Rules")]
        api.call(
            "s3",
            "put_bucket_lifecycle_configuration",
            Bucket=name,
            LifecycleConfiguration={"Rules": rules},
        )
    if notification := p.nested("NotificationConfiguration"):
        bridge = notification.nested("EventBridgeConfiguration")
        if bridge is not None and str(bridge.take("EventBridgeEnabled", "true")).lower() == "true":
            api.call(
                "s3",
                "put_bucket_notification_configuration",
                Bucket=name,
                NotificationConfiguration={"EventBridgeConfiguration": {}},
            )
    if logging := p.nested("LoggingConfiguration"):
        enabled = {
            "TargetBucket": logging.take("DestinationBucketName", name),
            "TargetPrefix": logging.take("LogFilePrefix", ""),
        }
        api.call("s3", "put_bucket_logging", Bucket=name, BucketLoggingStatus={"LoggingEnabled": enabled})
    if tags := p.take("Tags"):
        api.call("s3", "put_bucket_tagging", Bucket=name, Tagging={"TagSet": tag_list(tags)})
    return Created(
        name,
        {
            "Arn": f"arn:aws:s3:::{name}",
            "DomainName": f"{name}.s3.amazonaws.com",
            "RegionalDomainName": f"{name}.s3.{declared.region}.amazonaws.com",
        },
    )


def _encryption_rule(rule: Properties) -> dict[str, Any]:
    answer = rule.pick("BucketKeyEnabled")
    if default := rule.take("ServerSideEncryptionByDefault"):
        answer["ApplyServerSideEncryptionByDefault"] = default
    return answer


def _lifecycle_rule(rule: Properties) -> dict[str, Any]:
    answer = rule.pick("Status", "AbortIncompleteMultipartUpload", "NoncurrentVersionExpiration")
    if (identifier := rule.take("Id")) is not None:
        answer["ID"] = identifier
    tags = rule.take("TagFilters", [])
    prefix = rule.take("Prefix", "")
    if tags:
        answer["Filter"] = {"And": {"Prefix": prefix, "Tags": tags}}
    else:
        answer["Filter"] = {"Prefix": prefix}
    expiration = {"Days": rule.take("ExpirationInDays"), "Date": rule.take("ExpirationDate")}
    expiration["ExpiredObjectDeleteMarker"] = rule.take("ExpiredObjectDeleteMarker")
    given = {name: value for name, value in expiration.items() if value is not None}
    if given:
        answer["Expiration"] = given
    transitions = [
        {"Days": each.require("TransitionInDays"), "StorageClass": each.require("StorageClass")}
        for each in rule.nested_list("Transitions")
    ]
    if transitions:
        answer["Transitions"] = transitions
    return answer


def bucket_policy(declared: Declared) -> Created:
    """Create an AWS::S3::BucketPolicy."""
    name = declared.properties.require("Bucket")
    policy = declared.properties.require("PolicyDocument")
    declared.api.call("s3", "put_bucket_policy", Bucket=name, Policy=policy)
    return Created(name)


def table(declared: Declared) -> Created:
    """Create an AWS::DynamoDB::Table."""
    p, api = declared.properties, declared.api
    name = declared.name(p.take("TableName"), 255)
    request = p.pick(
        "AttributeDefinitions", "KeySchema", "BillingMode", "ProvisionedThroughput", "TableClass"
    )
    request |= p.pick("GlobalSecondaryIndexes", "LocalSecondaryIndexes", "DeletionProtectionEnabled")
    if encryption := p.nested("SSESpecification"):
        request["SSESpecification"] = {
            "Enabled": encryption.require("SSEEnabled"),
            **encryption.pick("SSEType", "KMSMasterKeyId"),
        }
    if stream := p.take("StreamSpecification"):
        request["StreamSpecification"] = {"StreamEnabled": True, **stream}
    if tags := p.take("Tags"):
        request["Tags"] = tag_list(tags)
    expiry, recovery = p.take("TimeToLiveSpecification"), p.take("PointInTimeRecoverySpecification")
    fresh = api.call_or({"ResourceInUseException"}, "dynamodb", "create_table", TableName=name, **request)
    if fresh is not None and expiry:
        api.call("dynamodb", "update_time_to_live", TableName=name, TimeToLiveSpecification=expiry)
    if recovery:
        api.call(
            "dynamodb",
            "update_continuous_backups",
            TableName=name,
            PointInTimeRecoverySpecification=recovery,
        )
    described = api.call("dynamodb", "describe_table", TableName=name)["Table"]
    attributes = {"Arn": described["TableArn"]}
    if "LatestStreamArn" in described:
        attributes["StreamArn"] = described["LatestStreamArn"]
    return Created(name, attributes)


def parameter(declared: Declared) -> Created:
    """Create an AWS::SSM::Parameter; at a restart its value is the template's again, as on AWS."""
    p = declared.properties
    name = declared.name(p.take("Name"), 512)
    request = p.pick("Type", "Value", "Description", "Tier", "AllowedPattern", "DataType")
    tags = tag_list(p.take("Tags"))
    fresh = declared.api.call_or(
        {"ParameterAlreadyExists"}, "ssm", "put_parameter", Name=name, **request, Tags=tags or None
    )
    if fresh is None:
        declared.api.call("ssm", "put_parameter", Name=name, **request, Overwrite=True)
    return Created(name, {"Type": request.get("Type"), "Value": request.get("Value")})


def key(declared: Declared) -> Created:
    """Create an AWS::KMS::Key, found again by its logical id because keys have no names."""
    p, api = declared.properties, declared.api
    request = p.pick("Description", "KeyUsage", "KeySpec", "MultiRegion", "Origin")
    policy, rotation = p.take("KeyPolicy"), p.take("EnableKeyRotation")
    tags = {_LOGICAL_ID_TAG: f"{declared.stack_name}/{declared.logical_id}"}
    tags |= {tag["Key"]: tag["Value"] for tag in tag_list(p.take("Tags"))}
    p.take("PendingWindowInDays")  # only says how a later deletion waits; a local stack deletes no key
    if str(p.take("Enabled", "true")).lower() != "true":
        raise TemplateError(f"{p.place}: Enabled false is not supported")
    found = _key_with(api, tags[_LOGICAL_ID_TAG])
    if found is None:
        listed = [{"TagKey": name, "TagValue": value} for name, value in tags.items()]
        metadata = api.call("kms", "create_key", Policy=policy, Tags=listed, **request)["KeyMetadata"]
        found = metadata["KeyId"]
        if str(rotation).lower() == "true":
            api.call("kms", "enable_key_rotation", KeyId=found)
    return Created(found, {"Arn": declared.arn("kms", f"key/{found}"), "KeyId": found})


def _key_with(api: Any, logical_id: str) -> str | None:
    for listed in api.call("kms", "list_keys")["Keys"]:
        tags = api.call("kms", "list_resource_tags", KeyId=listed["KeyId"])["Tags"]
        if {"TagKey": _LOGICAL_ID_TAG, "TagValue": logical_id} in tags:
            return str(listed["KeyId"])
    return None


def alias(declared: Declared) -> Created:
    """Create an AWS::KMS::Alias."""
    p = declared.properties
    name, target = p.require("AliasName"), p.require("TargetKeyId")
    declared.api.call_or(
        {"AlreadyExistsException"}, "kms", "create_alias", AliasName=name, TargetKeyId=target
    )
    return Created(name)
