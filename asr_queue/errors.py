"""Every failure with a name, sorted by what must happen next.

    AsrQueueError
    ├── CallerError      the request or its audio is at fault: 4xx, or the item ends `error`
    │   └── QuotaError   too much at once: 429, and later the same request may succeed
    ├── RetryableError   the same work may succeed later: 503, or the message is hidden and comes again
    └── PoisonError      no retry of this message can succeed: dead-letter queue

Anything else that is raised is a bug. Adapters and engines translate at their edge, by code or type.
`code` is part of the wire: once released it keeps its meaning.
"""


class AsrQueueError(Exception):
    """Base of all named failures; `code` is stable, the message is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        """Stable, snake_case, machine-readable."""
        self.message = message
        """What was wrong, with which item, and what to do."""


class CallerError(AsrQueueError):
    """The request or its audio is at fault; repeating it unchanged cannot help."""

    def __init__(self, code: str, message: str, *, http_status: int = 422) -> None:
        super().__init__(code, message)
        self.http_status = http_status
        """The 4xx an HTTP answer gets."""


class QuotaError(CallerError):
    """The caller has used up what it may use; the same request may succeed later."""

    def __init__(self, code: str, message: str, *, retry_after_s: float) -> None:
        super().__init__(code, message, http_status=429)
        self.retry_after_s = retry_after_s
        """The least wait that makes sense before the next try."""


class RetryableError(AsrQueueError):
    """The same work may succeed later."""

    def __init__(self, code: str, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(code, message)
        self.retry_after_s = retry_after_s
        """The least wait that makes sense before the next try."""


class PoisonError(AsrQueueError):
    """No retry of this message can succeed, and no item can be blamed for it."""


class EngineOutOfMemoryError(AsrQueueError):
    """The device ran out of memory; nothing was produced, and fewer inputs at once may fit."""

    def __init__(self, message: str) -> None:
        super().__init__("engine_out_of_memory", message)


class EngineBrokenError(AsrQueueError):
    """The device cannot be used by this process any more, whatever is asked of it; a new process may."""

    def __init__(self, message: str) -> None:
        super().__init__("engine_broken", message)


class EngineLoadError(AsrQueueError):
    """The engine's weights or libraries are missing or damaged; no input can be processed until that is mended."""

    def __init__(self, message: str) -> None:
        super().__init__("engine_load_failed", message)


class EngineNoRoomError(EngineLoadError):
    """There is no room on the device for what an engine needs; there may be once others have left it."""


class EngineRestingError(RetryableError):
    """An engine has failed too often lately and takes nothing for now, whatever is asked of it."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__("engine_resting", message, retry_after_s=retry_after_s)
