"""Logs and metrics of the functions: JSON lines and embedded metric format, on standard output."""

from aws_lambda_powertools import Logger, single_metric
from aws_lambda_powertools.metrics import MetricUnit

NAMESPACE = "AsrQueue"
_SERVICE = "asr-queue"

logger = Logger(service=_SERVICE)
"""Never pass it text, audio, keys, signed URLs or receipt handles."""


def count(name: str, value: float = 1, **dimensions: str) -> None:
    """Emit a count; dimensions are few, and never an id."""
    with single_metric(name=name, unit=MetricUnit.Count, value=value, namespace=NAMESPACE) as metric:
        metric.add_dimension(name="service", value=_SERVICE)
        for dimension, label in dimensions.items():
            metric.add_dimension(name=dimension, value=label)
