"""Names of events and metrics, and the formatter that writes events as JSON."""

import json
import logging
from datetime import UTC, datetime

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line; whatever a call passes as `extra` becomes a field.

    Never pass text, audio, keys, signed URLs or receipt handles.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        event = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "event": record.getMessage(),
        }
        event |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return json.dumps(event, default=str, ensure_ascii=False)


def log_to_stderr(level: str) -> None:
    """Send every logger's events of at least `level` to standard error as JSON."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # It tells at INFO where it found its credentials.
    logging.getLogger("botocore").setLevel(max(logging.WARNING, logging.getLevelName(level)))
