"""The resource types of a template that the local runtime can create, one function each."""

from collections.abc import Mapping

from driftwheel_local.resources import compute, identity, messaging, observation, storage
from driftwheel_local.resources.declared import Provision

PROVISIONS: Mapping[str, Provision] = {
    "AWS::CloudWatch::Alarm": observation.alarm,
    "AWS::DynamoDB::Table": storage.table,
    "AWS::Events::EventBus": messaging.event_bus,
    "AWS::Events::Rule": messaging.rule,
    "AWS::IAM::ManagedPolicy": identity.managed_policy,
    "AWS::IAM::Policy": identity.inline_policy,
    "AWS::IAM::Role": identity.role,
    "AWS::KMS::Alias": storage.alias,
    "AWS::KMS::Key": storage.key,
    "AWS::Lambda::EventInvokeConfig": compute.event_invoke_config,
    "AWS::Lambda::EventSourceMapping": compute.event_source_mapping,
    "AWS::Lambda::Function": compute.function,
    "AWS::Lambda::LayerVersion": compute.layer_version,
    "AWS::Lambda::Permission": compute.permission,
    "AWS::Logs::LogGroup": observation.log_group,
    "AWS::S3::Bucket": storage.bucket,
    "AWS::S3::BucketPolicy": storage.bucket_policy,
    "AWS::SNS::Subscription": messaging.subscription,
    "AWS::SNS::Topic": messaging.topic,
    "AWS::SNS::TopicPolicy": messaging.topic_policy,
    "AWS::SQS::Queue": messaging.queue,
    "AWS::SQS::QueuePolicy": messaging.queue_policy,
    "AWS::SSM::Parameter": storage.parameter,
    "AWS::SageMaker::ModelPackageGroup": compute.model_package_group,
    "AWS::Scheduler::Schedule": messaging.schedule,
    "AWS::Scheduler::ScheduleGroup": messaging.schedule_group,
    "AWS::StepFunctions::StateMachine": compute.state_machine,
}
