"""Files as people drop them, into DuckDB: one module per kind, a reason for every file refused."""
