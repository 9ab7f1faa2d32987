import json

import pytest

from driftwheel_local.patterns import InvalidPatternError, matches, parse_pattern

EVENT = {
    "source": "aws.s3",
    "detail-type": "Object Created",
    "resources": ["arn:aws:s3:::a", "arn:aws:s3:::b"],
    "detail": {
        "bucket": {"name": "landing"},
        "object": {"key": "data/flights/2013 01+x.csv", "size": 12.0},
        "count": 3,
        "flag": True,
        "none": None,
        "ip": "10.0.0.7",
        "empty": [],
        "tags": [{"k": "a", "v": "1"}, {"k": "b", "v": "2"}],
        "dotted.name": "x",
    },
}


def detail(**pattern):
    return {"detail": {name.replace("__", "."): value for name, value in pattern.items()}}


@pytest.mark.parametrize(
    "pattern",
    [
        {"source": ["aws.s3"]},
        {"source": ["aws.ec2", "aws.s3"], "detail-type": ["Object Created"]},
        {"resources": ["arn:aws:s3:::b"]},
        detail(bucket={"name": ["landing"]}, object={"key": [{"prefix": "data/"}]}),
        detail(object={"key": [{"suffix": ".csv"}]}),
        detail(object={"key": [{"prefix": {"equals-ignore-case": "DATA/"}}]}),
        detail(object={"key": [{"suffix": {"equals-ignore-case": ".CSV"}}]}),
        detail(object={"key": [{"wildcard": "data/*/2013*.csv"}]}),
        detail(object={"size": [12]}),
        detail(count=[{"numeric": [">", 0, "<=", 3]}]),
        detail(count=[{"numeric": ["=", 3]}]),
        detail(count=[{"anything-but": 4}]),
        detail(object={"key": [{"anything-but": {"prefix": "models/"}}]}),
        detail(object={"key": [{"anything-but": {"suffix": [".tmp", "/"]}}]}),
        detail(object={"key": [{"anything-but": {"wildcard": "*/_SUCCESS"}}]}),
        detail(bucket={"name": [{"equals-ignore-case": "LANDING"}]}),
        detail(flag=[True]),
        detail(none=[None]),
        detail(ip=[{"cidr": "10.0.0.0/24"}]),
        detail(absent=[{"exists": False}]),
        detail(count=[{"exists": True}]),
        detail(empty=[{"exists": False}]),
        detail(bucket=[{"exists": False}]),
        detail(tags={"k": ["b"], "v": ["2"]}),
        detail(dotted__name=["x"]),
        {"$or": [{"source": ["aws.ec2"]}, {"detail": {"count": [{"numeric": [">", 2]}]}}]},
        {"source": ["aws.s3"], "detail": {"$or": [{"count": [9]}, {"flag": [True]}]}},
        detail(absent=[{"exists": False}, "x"]),
    ],
)
def test_a_pattern_matches_as_eventbridge_says(pattern):
    assert matches(parse_pattern(json.dumps(pattern)), EVENT)


@pytest.mark.parametrize(
    "pattern",
    [
        {"source": ["aws.ec2"]},
        {"source": ["AWS.S3"]},
        {"details": {"count": [3]}},
        detail(object={"key": [{"prefix": "models/"}]}),
        detail(object={"key": [{"wildcard": "data/*.json"}]}),
        detail(object={"key": [{"anything-but": {"prefix": "data/"}}]}),
        detail(count=[{"numeric": [">", 3]}]),
        detail(count=["3"]),
        detail(count=[True]),
        detail(flag=[1]),
        detail(flag=[{"numeric": ["=", 1]}]),
        detail(count=[{"anything-but": [3, 4]}]),
        detail(absent=[{"anything-but": "x"}]),
        detail(absent=[{"exists": True}]),
        detail(bucket=[{"exists": True}]),
        detail(count=[{"exists": False}]),
        detail(none=[""]),
        detail(ip=[{"cidr": "10.0.1.0/24"}]),
        detail(bucket={"name": [{"cidr": "10.0.1.0/24"}]}),
        detail(tags={"k": ["a"], "v": ["2"]}),
        detail(absent={"deep": ["x"]}),
        {"$or": [{"source": ["aws.ec2"]}, {"detail": {"count": [9]}}]},
    ],
)
def test_a_pattern_does_not_match_what_eventbridge_would_not(pattern):
    assert not matches(parse_pattern(json.dumps(pattern)), EVENT)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Invalid JSON"),
        ("[]", "not an object"),
        ("{}", "empty"),
        ('{"source": "aws.s3"}', '"source" must be an object or an array'),
        ('{"source": []}', "Empty arrays"),
        ('{"detail": {}}', "Empty objects"),
        ('{"source": [{"prefx": "a"}]}', "unrecognized match type prefx"),
        ('{"source": [{"prefix": "a", "suffix": "b"}]}', "only one key"),
        ('{"source": [{"prefix": 1}]}', "no value for prefix"),
        ('{"source": [{"numeric": ["~", 1]}]}', "no value for numeric"),
        ('{"source": [{"numeric": [">", 1, "<"]}]}', "no value for numeric"),
        ('{"source": [{"exists": "yes"}]}', "no value for exists"),
        ('{"source": [{"wildcard": "a**b"}]}', "no value for wildcard"),
        ('{"source": [{"cidr": "10.0.0.1/8"}]}', "no value for cidr"),
        ('{"source": [{"anything-but": []}]}', "no value for anything-but"),
        ('{"source": [{"anything-but": {"numeric": ["=", 1]}}]}', "no value for anything-but"),
        ('{"$or": [{"source": ["a"]}]}', "at least two objects"),
        ('{"source": ["' + "a" * 4096 + '"]}', "longer than"),
        ('{"source": [["a"]]}', "must be String, number"),
    ],
)
def test_what_is_no_pattern_is_refused_with_the_reason(text, reason):
    with pytest.raises(InvalidPatternError, match=reason.replace("$", r"\$")):
        parse_pattern(text)
