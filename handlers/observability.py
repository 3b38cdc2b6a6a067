"""Logs and metrics of the functions: JSON lines and embedded metric format, on standard output."""

from collections.abc import Mapping

from aws_lambda_powertools import Logger, single_metric
from aws_lambda_powertools.metrics import MetricUnit

NAMESPACE = "AsrQueue"
_SHOWN_CHARS = 1500
"""Enough to see the key in one of S3's own messages."""

logger = Logger()
"""Its service, a dimension of every metric too, is the stack's name: `POWERTOOLS_SERVICE_NAME` (`template.yaml`).

Never pass it text, audio, keys, signed URLs or receipt handles.
"""


def count(name: str, value: float = 1, **dimensions: str) -> None:
    """Emit a count; dimensions are few, and never an id."""
    _emit(name, MetricUnit.Count, value, dimensions)


def seconds(name: str, value: float, **dimensions: str) -> None:
    """Emit a number of seconds; dimensions as above."""
    _emit(name, MetricUnit.Seconds, value, dimensions)


def poison(body: str, code: str) -> None:
    """Tell of a message that nobody can be told about and that would come for ever: the log is where it ends."""
    logger.error("poison_message", extra={"code": code, "body": body[:_SHOWN_CHARS]})
    count("PoisonMessages")


def _emit(name: str, unit: MetricUnit, value: float, dimensions: Mapping[str, str]) -> None:
    with single_metric(name=name, unit=unit, value=value, namespace=NAMESPACE) as metric:
        for dimension, label in {"service": logger.service, **dimensions}.items():
            metric.add_dimension(name=dimension, value=label)
