"""DynamoDB: the conditions every row of the ledger stands on."""

from typing import Any

import pytest

from .account import Account

KEY = {"pk": {"S": "model"}, "sk": {"S": "lease"}}


@pytest.fixture(scope="module")
def table(account: Account) -> str:
    dynamodb, name = account.client("dynamodb"), account.name("table")
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in ("pk", "sk")],
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
    )
    account.afterwards(dynamodb.delete_table, TableName=name)
    account.until(
        lambda: dynamodb.describe_table(TableName=name)["Table"]["TableStatus"], lambda now: now == "ACTIVE"
    )
    return name


def put(account: Account, table: str, holder: str, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = account.client("dynamodb").put_item(
        TableName=table, Item=KEY | {"holder": {"S": holder}}, **more
    )
    return found


def test_a_row_is_put_once_where_none_may_be(account: Account, table: str) -> None:
    put(account, table, "a", ConditionExpression="attribute_not_exists(pk)")

    code, _ = account.refusal(
        lambda: put(account, table, "b", ConditionExpression="attribute_not_exists(pk)")
    )

    assert code == "ConditionalCheckFailedException"
    found = account.client("dynamodb").get_item(TableName=table, Key=KEY, ConsistentRead=True)["Item"]
    assert found["holder"] == {"S": "a"}


def test_a_failed_condition_hands_back_the_row_it_failed_on(account: Account, table: str) -> None:
    put(account, table, "a")
    dynamodb = account.client("dynamodb")

    with pytest.raises(dynamodb.exceptions.ConditionalCheckFailedException) as refused:
        put(
            account,
            table,
            "b",
            ConditionExpression="holder = :b",
            ExpressionAttributeValues={":b": {"S": "b"}},
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )

    assert refused.value.response["Item"]["holder"] == {"S": "a"}


def test_a_transaction_with_a_failed_condition_writes_nothing(account: Account, table: str) -> None:
    dynamodb = account.client("dynamodb")
    put(account, table, "a")
    fresh = {"pk": {"S": "model"}, "sk": {"S": "champion"}}
    taken = {"TableName": table, "Item": KEY, "ConditionExpression": "attribute_not_exists(pk)"}

    code, message = account.refusal(
        lambda: dynamodb.transact_write_items(
            TransactItems=[{"Put": {"TableName": table, "Item": fresh}}, {"Put": taken}]
        )
    )

    assert code == "TransactionCanceledException"
    assert "[None, ConditionalCheckFailed]" in message
    assert "Item" not in dynamodb.get_item(TableName=table, Key=fresh, ConsistentRead=True)


def test_a_row_over_400_kilobytes_is_refused(account: Account, table: str) -> None:
    code, _ = account.refusal(lambda: put(account, table, "x" * 410_000))

    assert code == "ValidationException"


def test_a_used_table_name_is_refused(account: Account, table: str) -> None:
    code, _ = account.refusal(
        lambda: account.client("dynamodb").create_table(
            TableName=table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        )
    )

    assert code == "ResourceInUseException"
