# ruff: noqa: S608  # callers quote what they name
"""AUC by the rank sum of Mann and Whitney (1947), in SQL: equal values share their mean rank."""


def rank_sum_sql(label: str, value: str, table: str) -> str:
    """Write a query for ``(rank sum of the ones, ones, rows)``; rows without label or value are left out."""
    return (
        "SELECT coalesce(sum(r) FILTER (WHERE y = 1), 0e0) AS ranks, count(*) FILTER (WHERE y = 1) AS ones, "
        "count(*) AS n FROM "
        "(SELECT y, rank() OVER (ORDER BY v) + (count(*) OVER (PARTITION BY v) - 1) / 2e0 AS r "
        f"FROM (SELECT {label} AS y, {value} AS v FROM {table}) AS valued "
        "WHERE v IS NOT NULL AND y IS NOT NULL) AS ranked"
    )


def auc_of(ranks: float, ones: int, rows: int) -> float:
    """Give the share of pairs of a one and a zero in which the one has the larger value; both must exist.

    >>> auc_of(ranks=7, ones=2, rows=4)
    1.0
    """
    return float((ranks - ones * (ones + 1) / 2) / (ones * (rows - ones)))
