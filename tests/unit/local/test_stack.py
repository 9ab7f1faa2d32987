import json
import textwrap
from itertools import pairwise
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from driftwheel_local.intrinsics import TemplateError
from driftwheel_local.resources import PROVISIONS
from driftwheel_local.resources.request import Api
from driftwheel_local.stack import StackError, check_supported, create, dependencies, outputs
from driftwheel_local.template import load_template


@pytest.fixture
def api(moto_endpoint):
    return Api(boto3.Session("local", "local", region_name="us-east-1"), moto_endpoint)


@pytest.fixture
def load(tmp_path):
    def load_text(text, **parameters):
        path = tmp_path / "template.yaml"
        path.write_text(textwrap.dedent(text))
        return load_template(path, parameters=parameters)

    return load_text


def made(api, template):
    resources = create(template, api, template.assets)
    return {logical_id: each.ref for logical_id, each in resources.created.items()}, outputs(
        template, resources
    )


STORAGE = """
    Parameters: {Days: {Type: Number, Default: 5}}
    Resources:
      Key: {Type: AWS::KMS::Key, Properties: {EnableKeyRotation: true, Description: d}}
      Alias: {Type: AWS::KMS::Alias, Properties: {AliasName: alias/x, TargetKeyId: !Ref Key}}
      Bucket:
        Type: AWS::S3::Bucket
        Properties:
          VersioningConfiguration: {Status: Enabled}
          BucketEncryption:
            ServerSideEncryptionConfiguration:
              - ServerSideEncryptionByDefault: {SSEAlgorithm: aws:kms, KMSMasterKeyID: !GetAtt Key.Arn}
                BucketKeyEnabled: true
          NotificationConfiguration: {EventBridgeConfiguration: {EventBridgeEnabled: true}}
          LifecycleConfiguration:
            Rules:
              - Id: old
                Status: Enabled
                Prefix: runs/
                ExpirationInDays: !Ref Days
                NoncurrentVersionExpiration: {NoncurrentDays: 3}
                AbortIncompleteMultipartUpload: {DaysAfterInitiation: 1}
          OwnershipControls: {Rules: [{ObjectOwnership: BucketOwnerEnforced}]}
          Tags: [{Key: a, Value: b}]
      Policy:
        Type: AWS::S3::BucketPolicy
        Properties:
          Bucket: !Ref Bucket
          PolicyDocument:
            Version: 2012-10-17
            Statement: [{Effect: Deny, Principal: "*", Action: "s3:*", Resource: !Sub "${Bucket.Arn}/*"}]
      Table:
        Type: AWS::DynamoDB::Table
        Properties:
          BillingMode: PAY_PER_REQUEST
          AttributeDefinitions: [{AttributeName: pk, AttributeType: S}]
          KeySchema: [{AttributeName: pk, KeyType: HASH}]
          TimeToLiveSpecification: {AttributeName: expires, Enabled: "true"}
          PointInTimeRecoverySpecification: {PointInTimeRecoveryEnabled: true}
          SSESpecification: {SSEEnabled: true, SSEType: KMS}
      Parameter: {Type: AWS::SSM::Parameter, Properties: {Type: String, Value: "1", Name: /x}}
    Outputs:
      TableArn: {Value: !GetAtt Table.Arn}
"""


def test_storage_is_created_with_every_declared_setting(api, load):
    refs, told = made(api, load(STORAGE))

    s3, name = api.client("s3"), refs["Bucket"]
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    rule = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"].endswith(refs["Key"])
    lifecycle = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"][0]
    assert lifecycle["Expiration"] == {"Days": 5}
    assert json.loads(s3.get_bucket_policy(Bucket=name)["Policy"])["Statement"][0]["Effect"] == "Deny"
    assert s3.get_bucket_tagging(Bucket=name)["TagSet"] == [{"Key": "a", "Value": "b"}]
    dynamodb = api.client("dynamodb")
    assert dynamodb.describe_time_to_live(TableName=refs["Table"])["TimeToLiveDescription"] == {
        "TimeToLiveStatus": "ENABLED",
        "AttributeName": "expires",
    }
    assert told["TableArn"] == f"arn:aws:dynamodb:us-east-1:123456789012:table/{refs['Table']}"
    assert api.client("ssm").get_parameter(Name="/x")["Parameter"]["Value"] == "1"


def test_a_second_start_adopts_what_exists_under_the_same_names(api, load):
    first, _ = made(api, load(STORAGE))
    second, _ = made(api, load(STORAGE))

    assert first == second
    assert len(api.client("s3").list_buckets()["Buckets"]) == 1
    keys = [each["KeyId"] for each in api.client("kms").list_keys()["Keys"]]
    assert keys.count(first["Key"]) == 1


MESSAGING = """
    Resources:
      Dead: {Type: AWS::SQS::Queue}
      Queue:
        Type: AWS::SQS::Queue
        Properties:
          VisibilityTimeout: 30
          RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 3}
          Tags: [{Key: a, Value: b}]
      Fifo: {Type: AWS::SQS::Queue, Properties: {FifoQueue: true}}
      Topic: {Type: AWS::SNS::Topic, Properties: {DisplayName: x}}
      Subscription:
        Type: AWS::SNS::Subscription
        Properties: {TopicArn: !Ref Topic, Protocol: sqs, Endpoint: !GetAtt Queue.Arn, FilterPolicy: {a: [b]}}
      Rule:
        Type: AWS::Events::Rule
        Properties:
          EventPattern: {source: [x]}
          Targets: [{Id: a, Arn: !GetAtt Queue.Arn, DeadLetterConfig: {Arn: !GetAtt Dead.Arn}}]
      Group: {Type: AWS::Scheduler::ScheduleGroup, Properties: {Name: g}}
      Schedule:
        Type: AWS::Scheduler::Schedule
        Properties:
          GroupName: !Ref Group
          ScheduleExpression: rate(1 hour)
          FlexibleTimeWindow: {Mode: "OFF"}
          Target: {Arn: !GetAtt Queue.Arn, RoleArn: arn:aws:iam::123456789012:role/r}
      Log: {Type: AWS::Logs::LogGroup, Properties: {LogGroupName: /l, RetentionInDays: 7}}
    Outputs:
      Fifo: {Value: !GetAtt Fifo.QueueName}
      Rule: {Value: !GetAtt Rule.Arn}
      Log: {Value: !GetAtt Log.Arn}
      Schedule: {Value: !GetAtt Schedule.Arn}
"""


def test_messaging_is_created_with_every_declared_setting(api, load):
    refs, told = made(api, load(MESSAGING))

    attributes = api.client("sqs").get_queue_attributes(QueueUrl=refs["Queue"], AttributeNames=["All"])[
        "Attributes"
    ]
    assert attributes["VisibilityTimeout"] == "30"
    assert json.loads(attributes["RedrivePolicy"])["maxReceiveCount"] == 3
    assert told["Fifo"].endswith(".fifo")
    assert told["Rule"] == f"arn:aws:events:us-east-1:123456789012:rule/{refs['Rule']}"
    assert told["Log"] == "arn:aws:logs:us-east-1:123456789012:log-group:/l:*"
    targets = api.client("events").list_targets_by_rule(Rule=refs["Rule"])["Targets"]
    assert targets[0]["DeadLetterConfig"]["Arn"].endswith(":" + refs["Dead"].rsplit("/", 1)[1])
    schedule = api.client("scheduler").get_schedule(GroupName="g", Name=refs["Schedule"])
    assert schedule["Arn"] == told["Schedule"]
    assert refs["Subscription"].startswith(refs["Topic"])
    assert made(api, load(MESSAGING))[0].keys() == refs.keys()


def test_an_unsupported_resource_type_is_named_before_anything_is_made(api, load):
    template = load("Resources: {Web: {Type: AWS::EC2::Instance}, Queue: {Type: AWS::SQS::Queue}}")

    with pytest.raises(TemplateError, match=r"Web: resource type AWS::EC2::Instance is not supported"):
        create(template, api, {})
    assert "QueueUrls" not in api.client("sqs").list_queues()


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        (
            "{WebsiteConfiguration: {IndexDocument: i}}",
            r"Bucket \(AWS::S3::Bucket\): property WebsiteConfiguration",
        ),
        (
            "{NotificationConfiguration: {QueueConfigurations: []}}",
            r"NotificationConfiguration: property QueueConfigurations",
        ),
        ("{VersioningConfiguration: {Statos: Enabled}}", "Statos"),
        (
            "{LifecycleConfiguration: {Rules: [{Status: Enabled, ObjectSizeLessThan: 3}]}}",
            r"Rules\[0\].*ObjectSize",
        ),
    ],
)
def test_an_unsupported_property_is_named_with_its_resource(api, load, properties, message):
    with pytest.raises(StackError, match=message):
        made(api, load(f"Resources: {{Bucket: {{Type: AWS::S3::Bucket, Properties: {properties}}}}}"))


def test_a_refused_call_names_the_resource(api, load):
    text = "Resources: {Queue: {Type: AWS::SQS::Queue, Properties: {QueueName: 'a b'}}}"

    with pytest.raises(StackError, match=r"Queue \(AWS::SQS::Queue\): .*InvalidParameterValue"):
        made(api, load(text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "Resources: {A: {Type: AWS::SQS::Queue, Properties: {QueueName: !Ref Nobody}}}",
            "refers to 'Nobody'",
        ),
        (
            "Resources: {A: {Type: AWS::SNS::Topic, DependsOn: B}, B: {Type: AWS::SNS::Topic, DependsOn: A}}",
            "circle: A, B",
        ),
    ],
)
def test_dependencies_that_cannot_be_met_are_refused(load, text, message):
    with pytest.raises(TemplateError, match=message):
        dependencies(load(text))


def test_an_unknown_attribute_is_refused_with_those_there_are(api, load):
    text = """
        Resources:
          Queue: {Type: AWS::SQS::Queue}
          Other: {Type: AWS::SQS::Queue, Properties: {QueueName: !GetAtt Queue.Aarn}}
    """
    with pytest.raises(StackError, match=r"Queue has no attribute 'Aarn'; it has Arn, QueueName, QueueUrl"):
        made(api, load(text))


def test_resources_are_created_after_those_they_refer_to(api, load):
    order = []
    template = load(STORAGE)

    create(template, api, {}, created=lambda logical_id, _: order.append(logical_id))

    wanted = ["Key", "Bucket", "Policy"]
    assert [each for each in order if each in wanted] == wanted
    assert all(a != b for a, b in pairwise(sorted(order)))


def test_every_supported_type_is_refused_by_no_check(load):
    text = "Resources:\n" + "\n".join(f"  R{i}: {{Type: {kind}}}" for i, kind in enumerate(PROVISIONS))

    check_supported(load(text))


def test_roles_get_their_policies(api, load):
    text = """
        Resources:
          Role:
            Type: AWS::IAM::Role
            Properties:
              AssumeRolePolicyDocument:
                Version: 2012-10-17
                Statement: [{Effect: Allow, Action: sts:AssumeRole, Principal: {AWS: '123456789012'}}]
              Policies:
                - PolicyName: p
                  PolicyDocument: {Statement: [{Effect: Allow, Action: "s3:GetObject", Resource: "*"}]}
          Shared:
            Type: AWS::IAM::ManagedPolicy
            Properties:
              Roles: [!Ref Role]
              PolicyDocument:
                Version: 2012-10-17
                Statement: [{Effect: Allow, Action: "s3:PutObject", Resource: "*"}]
    """
    refs, _ = made(api, load(text))

    iam = api.client("iam")
    assert iam.list_role_policies(RoleName=refs["Role"])["PolicyNames"] == ["p"]
    attached = iam.list_attached_role_policies(RoleName=refs["Role"])["AttachedPolicies"]
    assert [each["PolicyArn"] for each in attached] == [refs["Shared"]]
    assert made(api, load(text))[0] == refs


def test_a_client_of_the_stack_does_not_retry(api):
    with pytest.raises(ClientError) as raised:
        api.client("sqs").get_queue_url(QueueName="absent")

    assert raised.value.response["ResponseMetadata"]["RetryAttempts"] == 0


def test_the_shipped_template_can_run_here():
    template = load_template(Path(__file__).parents[3] / "template.yaml")

    check_supported(template)
    needed = dependencies(template)

    assert set(needed) == set(template.resources)
    assert {"AWS::StepFunctions::StateMachine", "AWS::Scheduler::Schedule"} <= {
        resource["Type"] for resource in template.resources.values()
    }
