import json
import textwrap

import pytest

from driftwheel_local.intrinsics import Scope, TemplateError, references, resolve
from driftwheel_local.template import PACKAGED_BUCKET, load_template, read_template, substitute


class Existing:
    """Resources that all exist."""

    def ref(self, logical_id):
        return f"ref-{logical_id}"

    def get_att(self, logical_id, attribute):
        return f"{attribute}-of-{logical_id}"


@pytest.fixture
def scope():
    return Scope(
        parameters={"Stage": "dev", "Zones": ["a", "b"], "Count": "3"},
        pseudo={"AWS::Region": "us-east-1", "AWS::AccountId": "123456789012"},
        mappings={"Sizes": {"dev": {"instance": "ml.m5.large"}}},
        conditions={
            "IsDev": {"Fn::Equals": [{"Ref": "Stage"}, "dev"]},
            "IsProd": {"Fn::Not": [{"Condition": "IsDev"}]},
            "Both": {"Fn::And": [{"Condition": "IsDev"}, {"Condition": "IsProd"}]},
            "Either": {"Fn::Or": [{"Condition": "IsDev"}, {"Condition": "IsProd"}]},
            "Circle": {"Fn::Not": [{"Condition": "Circle"}]},
        },
    )


@pytest.fixture
def write(tmp_path):
    def write_template(text):
        path = tmp_path / "template.yaml"
        path.write_text(textwrap.dedent(text))
        return path

    return write_template


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"Ref": "Stage"}, "dev"),
        ({"Ref": "AWS::Region"}, "us-east-1"),
        ({"Ref": "Bucket"}, "ref-Bucket"),
        ({"Fn::GetAtt": ["Queue", "Arn"]}, "Arn-of-Queue"),
        ({"Fn::GetAtt": "Queue.Arn"}, "Arn-of-Queue"),
        (
            {"Fn::Sub": "${Stage}-${Queue.Arn}-${!Kept}-${AWS::AccountId}"},
            "dev-Arn-of-Queue-${Kept}-123456789012",
        ),
        ({"Fn::Sub": ["${name}/${Stage}", {"name": {"Ref": "Bucket"}}]}, "ref-Bucket/dev"),
        ({"Fn::Join": ["-", ["x", {"Ref": "Count"}]]}, "x-3"),
        ({"Fn::Select": ["1", {"Ref": "Zones"}]}, "b"),
        ({"Fn::Split": [",", "p,q"]}, ["p", "q"]),
        ({"Fn::FindInMap": ["Sizes", {"Ref": "Stage"}, "instance"]}, "ml.m5.large"),
        ({"Fn::If": ["IsDev", "yes", "no"]}, "yes"),
        ({"Fn::If": ["IsProd", "yes", "no"]}, "no"),
        ({"Fn::If": ["Both", "yes", "no"]}, "no"),
        ({"Fn::If": ["Either", "yes", "no"]}, "yes"),
        ({"Fn::Base64": "hi"}, "aGk="),
        ({"a": {"Ref": "AWS::NoValue"}, "b": 1}, {"b": 1}),
        ([{"Ref": "AWS::NoValue"}, 2], [2]),
        (
            {"Condition": {"StringEquals": {"aws:x": {"Ref": "Stage"}}}},
            {"Condition": {"StringEquals": {"aws:x": "dev"}}},
        ),
    ],
)
def test_an_intrinsic_function_comes_to_what_cloudformation_says(scope, value, expected):
    assert resolve(value, scope, Existing(), "here") == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"Fn::ImportValue": "x"}, "Fn::ImportValue is not supported"),
        ({"Fn::FindInMap": ["Sizes", "prod", "instance"]}, "Mappings has no Sizes.prod.instance"),
        ({"Fn::Select": [5, ["a"]]}, "no element 5"),
        ({"Fn::If": ["Unknown", 1, 2]}, "Condition 'Unknown' is not declared"),
        ({"Fn::If": ["Circle", 1, 2]}, "circle"),
        ({"Fn::Sub": "${Zones}"}, "is not text"),
        ({"Ref": "AWS::Unheard"}, "AWS::Unheard is not supported"),
    ],
)
def test_a_function_that_cannot_be_carried_out_is_an_error_naming_it(scope, value, message):
    with pytest.raises(TemplateError, match=message.replace(".", r"\.")):
        resolve(value, scope, Existing(), "here")


def test_references_follow_only_the_branch_the_condition_takes(scope):
    value = {
        "Fn::If": ["IsDev", {"Ref": "Bucket"}, {"Ref": "Other"}],
    }

    assert references([value, {"Fn::Sub": "${Queue.Arn}${Stage}${!No}"}], scope) == {"Bucket", "Queue"}


def test_short_tags_dates_and_repeated_keys_are_read_as_cloudformation_reads_them(write):
    body = read_template(
        write("""
            Resources:
              A:
                Type: X
                Properties: {a: !GetAtt B.C.D, v: 2012-10-17, s: !Sub "${X}", i: !If [c, 1, !Ref Z]}
        """)
    )

    assert body["Resources"]["A"]["Properties"] == {
        "a": {"Fn::GetAtt": ["B", "C.D"]},
        "v": "2012-10-17",
        "s": {"Fn::Sub": "${X}"},
        "i": {"Fn::If": ["c", 1, {"Ref": "Z"}]},
    }
    with pytest.raises(TemplateError, match="'A' stands twice"):
        read_template(write("Resources: {A: {Type: X}, A: {Type: Y}}"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Resources: [1]", "needs a Resources section"),
        ("Resources: {}\nHooks: {}", "section 'Hooks' is not supported"),
        ("Resources: {}\nTransform: AWS::LanguageExtensions", "is not supported"),
        ("Resources: {A: {Type: 'AWS::Serverless::Function'}}", "needs `Transform"),
        ("Resources: {A: {Type: X, CreationPolicy: {}}}", "attribute CreationPolicy"),
        ("Resources: {A: {Properties: {}}}", "needs a Type"),
        ("Resources: }", "template.yaml"),
    ],
)
def test_a_template_that_cannot_be_carried_out_is_refused(write, text, message):
    with pytest.raises(TemplateError, match=message):
        load_template(write(text))


PARAMETERS = """
    Parameters:
      Stage: {Type: String, Default: dev, AllowedValues: [dev, prod]}
      Days: {Type: Number, Default: 7, MinValue: 1, MaxValue: 30}
      Name: {Type: String, Default: ab, MinLength: 2, MaxLength: 4, AllowedPattern: "[a-z]+"}
      Zones: {Type: CommaDelimitedList, Default: "a, b"}
    Resources: {}
"""


def test_parameters_take_defaults_and_given_values(write):
    scope = load_template(write(PARAMETERS), parameters={"Days": "3"}).scope

    assert scope.parameters == {"Stage": "dev", "Days": "3", "Name": "ab", "Zones": ["a", "b"]}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"Stage": "test"}, "'test' is not one of dev, prod"),
        ({"Days": "31"}, "outside 1..30"),
        ({"Days": "soon"}, "not a number"),
        ({"Name": "abcde"}, "outside 2..4"),
        ({"Name": "AB"}, "does not match"),
        ({"Nmae": "x"}, "'Nmae' is not declared; declared: Days, Name, Stage, Zones"),
    ],
)
def test_a_parameter_outside_its_declaration_is_refused(write, given, message):
    with pytest.raises(TemplateError, match=message):
        load_template(write(PARAMETERS), parameters=given)


def test_a_parameter_without_default_and_value_is_refused(write):
    with pytest.raises(TemplateError, match="'A' has no default"):
        load_template(write("Parameters: {A: {Type: String}}\nResources: {}"))


RULES = """
    Parameters:
      Stage: {Type: String, Default: dev}
      Owner: {Type: String, Default: ""}
    Rules:
      ProductionHasAnOwner:
        RuleCondition: !Equals [!Ref Stage, prod]
        Assertions:
          - {Assert: !Not [!Equals [!Ref Owner, ""]], AssertDescription: Say who owns it.}
      NeverTest:
        Assertions: [{Assert: !Not [!Equals [!Ref Stage, test]]}]
    Resources: {}
"""


def test_a_rule_asserts_where_its_condition_holds(write):
    for given in ({}, {"Stage": "prod", "Owner": "me"}):
        load_template(write(RULES), parameters=given)

    with pytest.raises(TemplateError, match=r"Rules\.ProductionHasAnOwner: Say who owns it\."):
        load_template(write(RULES), parameters={"Stage": "prod"})
    with pytest.raises(TemplateError, match=r"Rules\.NeverTest: its assertion does not hold"):
        load_template(write(RULES), parameters={"Stage": "test"})


def test_a_rule_that_compares_by_another_function_is_refused(write):
    rule = "Rules: {R: {Assertions: [{Assert: {'Fn::Contains': [[a], a]}}]}}\nResources: {}"

    with pytest.raises(TemplateError, match=r"Rules\.R: expected one of"):
        load_template(write(rule))


def test_a_resource_whose_condition_is_false_does_not_exist(write):
    template = load_template(
        write("""
            Parameters: {Stage: {Type: String, Default: dev}}
            Conditions: {Prod: !Equals [!Ref Stage, prod]}
            Resources:
              A: {Type: AWS::SQS::Queue}
              B: {Type: AWS::SQS::Queue, Condition: Prod}
            Outputs:
              X: {Value: !Ref B, Condition: Prod}
        """)
    )

    assert list(template.resources) == ["A"]
    assert not template.outputs


def test_sam_resources_are_translated_and_keep_their_local_folders(write, tmp_path):
    (tmp_path / "code").mkdir()
    template = load_template(
        write("""
            Transform: AWS::Serverless-2016-10-31
            Globals: {Function: {Runtime: python3.11, Handler: app.handler, CodeUri: code/}}
            Resources:
              Worker:
                Type: AWS::Serverless::Function
                Properties:
                  Events:
                    Tick: {Type: ScheduleV2, Properties: {ScheduleExpression: rate(1 hour)}}
        """)
    )

    assert {each["Type"] for each in template.resources.values()} == {
        "AWS::Lambda::Function",
        "AWS::IAM::Role",
        "AWS::Scheduler::Schedule",
    }
    code = template.resources["Worker"]["Properties"]["Code"]
    assert code == {"S3Bucket": PACKAGED_BUCKET, "S3Key": "Worker"}
    assert template.assets == {"Worker": tmp_path / "code"}


def test_a_code_folder_that_does_not_exist_is_named(write):
    with pytest.raises(TemplateError, match="Worker: CodeUri 'nowhere/' does not exist"):
        load_template(
            write("""
                Transform: AWS::Serverless-2016-10-31
                Resources: {Worker: {Type: AWS::Serverless::Function, Properties: {CodeUri: nowhere/}}}
            """)
        )


def test_what_the_sam_transform_refuses_is_told(write, tmp_path):
    (tmp_path / "code").mkdir()
    with pytest.raises(TemplateError, match="SAM transform refuses"):
        load_template(
            write("""
                Transform: AWS::Serverless-2016-10-31
                Resources: {W: {Type: AWS::Serverless::Function, Properties: {CodeUri: code/, Hanlder: x}}}
            """)
        )


def test_substitution_keeps_the_definition_json():
    definition = '{"Comment": "${Text}", "Resource": "${Arn}"}'

    filled = substitute(definition, {"Text": 'say "hi"\\', "Arn": "arn:x"}, "Machine")

    assert json.loads(filled) == {"Comment": 'say "hi"\\', "Resource": "arn:x"}


def test_a_placeholder_without_substitution_is_refused():
    with pytest.raises(TemplateError, match=r"Machine: \$\{Arn\} has no value"):
        substitute('{"Resource": "${Arn}"}', {}, "Machine")
