"""DynamoDB's calls on one table, with plain Python values."""

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from asr_queue.adapters.aws_errors import error_code, translated
from asr_queue.adapters.dynamodb.rows import Row
from asr_queue.errors import RetryableError

MAX_ACTIONS: Final = 100
"""Actions of one transaction (TransactWriteItems reference)."""
_GET_AT_ONCE: Final = 100
"""Keys of one BatchGetItem (its reference)."""
_NAME: Final = re.compile(r"#([a-z_]+)")
_TRIES: Final = 8
_FIRST_PAUSE_S: Final = 0.02
_LONGEST_PAUSE_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """A change of one row, in DynamoDB's expressions: `#name` stands for the attribute `name`, `:name` for a value."""

    key: Row
    change: str
    condition: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """A whole row, written if the condition holds; names and values as in Update."""

    row: Row
    condition: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """A row's removal."""

    key: Row
    condition: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A condition on a row that is not changed."""

    key: Row
    condition: str
    values: Mapping[str, Any] = field(default_factory=dict)


Action = Update | Put | Delete | Check


class ConditionFailedError(Exception):
    """Conditions did not hold, and nothing was written."""

    def __init__(self, rows: Mapping[int, Row | None]) -> None:
        super().__init__(f"conditions of actions {sorted(rows)} failed")
        self.rows = rows
        """By place among the actions: the row as it stands, or None where there is none."""


class Table:
    """One DynamoDB table. Safe to use from several threads."""

    def __init__(self, client: Any, name: str) -> None:
        """Take a boto3 DynamoDB client and the name of a table that exists."""
        self._client = client
        self._name = name

    def get(self, key: Row) -> Row | None:
        """Return a row, read consistently."""
        with translated("dynamodb"):
            answer = self._client.get_item(TableName=self._name, Key=_packed(key), ConsistentRead=True)
        return _unpacked(answer["Item"]) if "Item" in answer else None

    def get_many(self, keys: Sequence[Row]) -> list[Row]:
        """Return those of the rows that exist, read consistently, in any order.

        Args:
            keys: no two equal.
        """
        rows: list[Row] = []
        for start in range(0, len(keys), _GET_AT_ONCE):
            missing = [_packed(key) for key in keys[start : start + _GET_AT_ONCE]]
            for pause_s in _pauses():
                with translated("dynamodb"):
                    request = {self._name: {"Keys": missing, "ConsistentRead": True}}
                    answer = self._client.batch_get_item(RequestItems=request)
                rows += [_unpacked(row) for row in answer["Responses"].get(self._name, [])]
                missing = answer.get("UnprocessedKeys", {}).get(self._name, {}).get("Keys", [])
                if not missing:
                    break
                time.sleep(pause_s)
            else:
                raise RetryableError("dynamodb_unavailable", f"dynamodb left {len(missing)} keys unread")
        return rows

    def query(self, partition: str, *, sort_key: str | None = None) -> Iterator[Row]:
        """Return a partition's rows in order of their sort keys, or the one with this sort key, read consistently."""
        key = {"pk": partition} if sort_key is None else {"pk": partition, "sk": sort_key}
        return self._pages(
            self._client.query,
            KeyConditionExpression=" AND ".join(f"#{name} = :{name}" for name in key),
            ExpressionAttributeNames={f"#{name}": name for name in key},
            ExpressionAttributeValues=_packed({f":{name}": value for name, value in key.items()}),
            ConsistentRead=True,
        )

    def query_index(
        self, index: str, *, hash_name: str, hash_value: str, range_name: str | None = None, at_most: int | None = None
    ) -> Iterator[Row]:
        """Return an index partition's rows in order, which may be some seconds old.

        Args:
            index: name of the index.
            hash_name: its hash key.
            hash_value: the partition.
            range_name: its range key, where `at_most` bounds it.
            at_most: the greatest value of the range key.
        """
        condition, names = "#hash = :hash", {"#hash": hash_name}
        values: Row = {":hash": hash_value}
        if range_name is not None:
            condition += " AND #range <= :range"
            names["#range"] = range_name
            values[":range"] = at_most
        return self._pages(
            self._client.query,
            IndexName=index,
            KeyConditionExpression=condition,
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=_packed(values),
        )

    def query_index_backwards(
        self, index: str, *, hash_name: str, hash_value: str, range_name: str, between: tuple[str, str], most: int
    ) -> list[Row]:
        """Return up to `most` rows of an index partition, last first, which may be some seconds old.

        Args:
            index: name of the index.
            hash_name: its hash key.
            hash_value: the partition.
            range_name: its range key.
            between: the least and the greatest value of that, both included.
            most: how many; no more are read, or paid for, than fill the last page.
        """
        rows = self._pages(
            self._client.query,
            IndexName=index,
            KeyConditionExpression="#hash = :hash AND #range BETWEEN :low AND :high",
            ExpressionAttributeNames={"#hash": hash_name, "#range": range_name},
            ExpressionAttributeValues=_packed({":hash": hash_value, ":low": between[0], ":high": between[1]}),
            ScanIndexForward=False,
            Limit=most,
        )
        return list(islice(rows, most))

    def scan(self, *, attribute: str, value: Any) -> Iterator[Row]:
        """Return all rows whose attribute has this value, read consistently; every row of the table is paid for."""
        return self._pages(
            self._client.scan,
            FilterExpression="#attribute = :value",
            ExpressionAttributeNames={"#attribute": attribute},
            ExpressionAttributeValues=_packed({":value": value}),
            ConsistentRead=True,
        )

    def put(self, row: Row) -> None:
        """Write a row, whatever is there."""
        with translated("dynamodb"):
            self._client.put_item(TableName=self._name, Item=_packed(row))

    def write(self, action: Put | Update | Delete) -> Row | None:
        """Do one action; return the row as an update leaves it.

        Raises:
            ConditionFailedError: with the row as it stands.
        """
        parameters = _parameters(action, self._name)
        try:
            with translated("dynamodb"):
                if isinstance(action, Update):
                    answer = self._client.update_item(**parameters, ReturnValues="ALL_NEW")
                    return _unpacked(answer["Attributes"])
                (self._client.put_item if isinstance(action, Put) else self._client.delete_item)(**parameters)
                return None
        except ClientError as error:
            if error_code(error) != "ConditionalCheckFailedException":
                raise
            row = error.response.get("Item")
            raise ConditionFailedError({0: _unpacked(row) if row else None}) from error

    def transact(self, actions: Sequence[Action]) -> None:
        """Do up to MAX_ACTIONS actions on different rows, all or none.

        The SDK sends a client request token, so its own repetition after a lost reply changes nothing twice.

        Raises:
            ConditionFailedError: with each failed action's row as it stands.
            RetryableError: other transactions kept getting in the way, or the service failed.
        """
        entries = [{_KINDS[type(action)]: _parameters(action, self._name)} for action in actions]
        for pause_s in _pauses():
            try:
                with translated("dynamodb"):
                    self._client.transact_write_items(TransactItems=entries)
            except ClientError as error:
                failed = _failed_conditions(error)
                if failed:
                    raise ConditionFailedError(failed) from error
            else:
                return
            time.sleep(pause_s)
        raise RetryableError("dynamodb_busy", "dynamodb: transactions on the same rows kept getting in the way")

    def _pages(self, call: Callable[..., Any], **parameters: Any) -> Iterator[Row]:
        start: dict[str, Any] = {}
        while True:
            with translated("dynamodb"):
                page = call(TableName=self._name, **parameters, **start)
            yield from map(_unpacked, page["Items"])
            if "LastEvaluatedKey" not in page:
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


_KINDS: Final[dict[type, str]] = {Update: "Update", Put: "Put", Delete: "Delete", Check: "ConditionCheck"}
_PASSING_REASONS: Final = frozenset(
    {"None", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded", "RequestLimitExceeded"}
)
_SERIALIZER: Final = TypeSerializer()
_DESERIALIZER: Final = TypeDeserializer()


def _failed_conditions(error: ClientError) -> dict[int, Row | None]:
    """Return, by place, the rows whose conditions failed; none where the transaction may simply be repeated."""
    if error_code(error) != "TransactionCanceledException":
        raise error
    reasons = error.response.get("CancellationReasons", [])
    failed = {
        place: _unpacked(reason["Item"]) if reason.get("Item") else None
        for place, reason in enumerate(reasons)
        if reason["Code"] == "ConditionalCheckFailed"
    }
    if not failed and not {reason["Code"] for reason in reasons} <= _PASSING_REASONS:
        raise error
    return failed


def _parameters(action: Action, table: str) -> dict[str, Any]:
    parameters: dict[str, Any] = {"TableName": table}
    expressions = []
    if isinstance(action, Put):
        parameters["Item"] = _packed(action.row)
    else:
        parameters["Key"] = _packed(action.key)
    if isinstance(action, Update):
        parameters["UpdateExpression"] = action.change
        expressions.append(action.change)
    if action.condition is not None:
        parameters["ConditionExpression"] = action.condition
        parameters["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        expressions.append(action.condition)
    names = {word for expression in expressions for word in _NAME.findall(expression)}
    if names:
        parameters["ExpressionAttributeNames"] = {f"#{name}": name for name in sorted(names)}
    if action.values:
        parameters["ExpressionAttributeValues"] = _packed({f":{name}": value for name, value in action.values.items()})
    return parameters


def _packed(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _SERIALIZER.serialize(value) for name, value in row.items()}


def _unpacked(row: Mapping[str, Any]) -> Row:
    return {name: _DESERIALIZER.deserialize(value) for name, value in row.items()}


def _pauses() -> Iterator[float]:
    """Return what to wait after each try: full jitter under a bound that doubles."""
    for n in range(_TRIES):
        yield random.uniform(0, min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**n))  # noqa: S311 - jitter, no secret
