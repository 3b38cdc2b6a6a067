"""Every way in which the client can fail, in one tree.

    AsrQueueError                 (asr_queue.errors) any named failure: `code`, `message`
    └── QueueClientError          any failure of the client
        ├── ApiError              the server answered with an error: `status`, `code`, `detail`, `retry_after_s`
        ├── TransportError        no answer: refused, broken off, timed out; retries included
        ├── BadAnswerError        an answer that is not what the contract says
        ├── ItemFailedError       nothing comes of this item: its `code` and why
        ├── SourceError           a local file cannot be read, or changed while it was sent
        └── DeadlineError         the caller's own deadline passed first

A wrong argument is a plain `ValueError`. `str(error)` is one line for people; `error.code` is stable, for programs.
"""

from asr_queue.errors import AsrQueueError


class QueueClientError(AsrQueueError):
    """Base of everything that the client raises on its own."""


class ApiError(QueueClientError):
    """The server answered with an error; what is worth repeating has been repeated already."""

    def __init__(self, status: int, code: str, detail: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(code, f"{detail} (HTTP {status} {code})")
        self.status = status
        """The HTTP status."""
        self.detail = detail
        """The problem's `detail`: what was wrong and what to do."""
        self.retry_after_s = retry_after_s
        """The server's `Retry-After`, where it sent one."""


class TransportError(QueueClientError):
    """No answer came. Whether the request took effect is unknown; every call of the client is safe to repeat."""

    def __init__(self, message: str) -> None:
        super().__init__("no_answer", message)


class BadAnswerError(QueueClientError):
    """The answer is not what the contract says: probably another service, or a proxy, answers at this address."""

    def __init__(self, message: str) -> None:
        super().__init__("bad_answer", message)


class ItemFailedError(QueueClientError):
    """Nothing comes of this item, and asking again would not help; the others of its batch are not affected."""


class SourceError(QueueClientError):
    """A local file cannot be read."""

    def __init__(self, message: str) -> None:
        super().__init__("unreadable_source", message)


class DeadlineError(QueueClientError):
    """The deadline that the caller set has passed; nothing says that the work itself failed."""

    def __init__(self, message: str) -> None:
        super().__init__("deadline_exceeded", message)
