from driftwheel_cli.report.page import page_of

RUN = {
    "model": "flights",
    "run_id": "ab12",
    "started": {"kind": "manual", "reason": "<script>x</script>", "at": "2026-01-01"},
}
VERDICT = {
    "metric": "auc",
    "rows": 10996,
    "challenger": {"value": 0.69921, "low": 0.69, "high": None},
    "slices": [
        {"column": "<b>$x$", "value": "&", "rows": 9, "challenger": 0.5, "champion": None, "worse": True}
    ],
}


def test_hostile_names_are_escaped_and_nothing_is_fetched():
    page = page_of(RUN, VERDICT, {"rows": {"<i>": 3}})
    assert "<script" not in page
    assert "<b>" not in page
    assert "<i>" not in page
    assert "&lt;b&gt;$x$" in page
    assert "http" not in page


def test_the_numbers_that_decided_are_shown():
    page = page_of(RUN, VERDICT, None)
    assert "0.6992" in page
    assert "10,996" in page


def test_missing_parts_are_named():
    page = page_of(RUN, None, None)
    for part in ("outcome", "evaluation", "profile"):
        assert f"{part} not recorded" in page


def test_lineage_is_told():
    page = page_of(RUN | {"deployment": {"endpoint_config": "flights-7"}}, None, None)
    assert "flights-7" in page
    assert page == page_of(RUN | {"deployment": {"endpoint_config": "flights-7"}}, None, None)
