"""Named voices: samples that stay until somebody deletes them.

A voice is a file whose object lies under a prefix of its own, where no lifecycle rule of the bucket reaches
(`template.yaml`). So pins, tenants and quotas are those of all files.
"""

from datetime import UTC, datetime
from typing import Final

from asr_queue.domain.listed_files import listed_key

VOICES_PREFIX: Final = "voices/"
MAX_VOICE_BYTES: Final = 20_000_000
"""Of a sample: some minutes of uncompressed audio, where engines listen to seconds; and what makes a voice of it passes
through the memory of a function."""
NEVER: Final = datetime(9999, 12, 31, tzinfo=UTC)
"""When a voice expires."""
VOICE: Final = "voice"
"""What their keys say that they are for (`domain.listed_files`)."""


def voices_prefix(tenant: str) -> str:
    """Prefix of all voices of a tenant."""
    return f"{VOICES_PREFIX}{tenant}/"


def voice_key(tenant: str, voice_id: str, *, created_at: datetime) -> str:
    """Object key of a voice's sample; voices can be listed by it."""
    return listed_key(voices_prefix(tenant), voice_id, created_at=created_at, purpose=VOICE)
