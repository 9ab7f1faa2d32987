"""The edge: the only boto3 calls of the package besides the ledger's table. Thin, typed, no decisions."""
