"""The edge: the only boto3 calls of the package besides the ledger's table. Thin, typed, no decisions.

Whoever imports it keeps the SDK's debug log off: that holds every request and answer with what is in it, and
Lambda's own log level (``ApplicationLogLevel: DEBUG``) turns on whatever logger has no level of its own.
"""

import logging

SDK = ("boto3", "botocore", "s3transfer", "urllib3")
"""The loggers of the SDK; each has all its modules' below it."""

for _name in SDK:
    logging.getLogger(_name).setLevel(logging.WARNING)
