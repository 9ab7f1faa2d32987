"""OR-5, OR-10, OR-13, OR-15 and OR-16: what is kept, for how long, and hidden from whom."""

import re
from collections.abc import Iterator

from .resources import Document, of_type, target

KEPT = ("AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::KMS::Key")
"""Data, models, the ledger, and the key without which they are noise."""

EXPIRES = {
    "capture/": "CaptureRetentionDays",
    "domain/": "CaptureRetentionDays",
    "quarantine/": "QuarantineRetentionDays",
}
SECRET = re.compile(r"secret|password|passwd|token|credential|api_?key|private_?key", re.IGNORECASE)


def or_5(template: Document) -> Iterator[str]:
    """A bucket knows no ACLs and no public."""
    for name, properties in of_type(template, "AWS::S3::Bucket"):
        rules = properties.get("OwnershipControls", {}).get("Rules", [])
        if rules != [{"ObjectOwnership": "BucketOwnerEnforced"}]:
            yield f"{name}: objects may belong to whoever wrote them (ObjectOwnership)"
        block = properties.get("PublicAccessBlockConfiguration", {})
        for flag in ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"):
            if block.get(flag) is not True:
                yield f"{name}: {flag} is off"


def or_10(template: Document) -> Iterator[str]:
    """Deleting or replacing the stack deletes no data, no model, no ledger and not their key."""
    for name, _ in of_type(template, *KEPT):
        for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
            if template["Resources"][name].get(policy) != "Retain":
                yield f"{name}: {policy} is not Retain"


def or_13(template: Document) -> Iterator[str]:
    """Half uploads end; captured traffic and refused bytes expire when the parameter says so."""
    expiring: dict[str, str] = {}
    for name, properties in of_type(template, "AWS::S3::Bucket"):
        rules = [
            rule
            for rule in properties.get("LifecycleConfiguration", {}).get("Rules", [])
            if rule["Status"] == "Enabled"
        ]
        if not any("AbortIncompleteMultipartUpload" in rule and "Prefix" not in rule for rule in rules):
            yield f"{name}: half uploads stay for ever"
        expiring |= {
            rule["Prefix"]: target(rule.get("ExpirationInDays")) for rule in rules if "Prefix" in rule
        }
    for prefix, parameter in EXPIRES.items():
        if expiring.get(prefix) != parameter:
            yield f"{prefix} does not expire after {parameter}"


def or_15(template: Document) -> Iterator[str]:
    """Logs end, and every function writes to a log group whose end is written down."""
    groups = dict(of_type(template, "AWS::Logs::LogGroup"))
    for name, properties in groups.items():
        if "RetentionInDays" not in properties:
            yield f"{name}: logs stay for ever"
    for name, properties in of_type(template, "AWS::Lambda::Function"):
        if target(properties.get("LoggingConfig", {}).get("LogGroup")) not in groups:
            yield f"{name}: Lambda makes its log group, without an end"


def or_16(template: Document) -> Iterator[str]:
    """A secret parameter is not shown, and no default writes a secret into the template."""
    for name, declaration in template.get("Parameters", {}).items():
        if not SECRET.search(name):
            continue
        if declaration.get("NoEcho") is not True:
            yield f"{name}: is shown in the console (NoEcho)"
        if "Default" in declaration:
            yield f"{name}: its default is a secret that everybody can read"
