"""The access keys of roles' sessions."""

import base64
import hashlib


def access_key_of(role_arn: str) -> str:
    """Answer the access key of the sessions of a role: on AWS it changes, here it names the role for good."""
    return "ASIA" + base64.b32encode(hashlib.sha256(role_arn.encode()).digest()).decode()[:16]
