"""What a failed AWS call means to us."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from botocore.exceptions import ClientError, FlexibleChecksumError, HTTPClientError, IncompleteReadError
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.parsers import ResponseParserError

from asr_queue.errors import RetryableError

_PASSING_CODES: Final = frozenset(
    {
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "KmsThrottled",
        "LimitExceededException",
        "OperationAborted",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TransactionInProgressException",
    }
)
"""Error codes that pass by themselves (the services' API references, "Common errors")."""
_BROKEN_CALLS: Final = (
    HTTPClientError,
    BotoConnectionError,
    IncompleteReadError,
    FlexibleChecksumError,
    ResponseParserError,
)
"""No answer, or half of one."""
_FIRST_SERVER_STATUS: Final = 500


@contextmanager
def translated(service: str) -> Iterator[None]:
    """Turn what passes by itself into RetryableError; anything else, such as a missing permission, is left a bug."""
    try:
        yield
    except ClientError as error:
        code = error_code(error)
        if code in _PASSING_CODES or _status(error) >= _FIRST_SERVER_STATUS:
            raise RetryableError(f"{service}_unavailable", f"{service} answered {code}") from error
        raise
    except _BROKEN_CALLS as error:
        raise RetryableError(f"{service}_unreachable", f"{service}: {type(error).__name__}") from error


def error_code(error: ClientError) -> str:
    """Return the code of an AWS error."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
