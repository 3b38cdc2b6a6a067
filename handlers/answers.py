"""Headers of answers that carry somebody's file."""

from typing import Final

INERT: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "private, no-store",
}
"""What keeps a browser from running, or keeping, what somebody uploaded or said."""


def attachment(name: str) -> dict[str, str]:
    """Return the header that has a browser save an answer under a name of the system's own making: plain ASCII."""
    return {"Content-Disposition": f'attachment; filename="{name}"'}
