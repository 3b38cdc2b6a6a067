"""Speech that the system makes: what kinds of file it comes as."""

from enum import StrEnum
from typing import Final


class SpeechFormat(StrEnum):
    """Kinds of file, as the wire names them; each is also the suffix of its files."""

    WAV = "wav"
    FLAC = "flac"
    MP3 = "mp3"

    @property
    def content_type(self) -> str:
        """Media type of such a file."""
        return _TYPES[self]


_TYPES: Final = {
    SpeechFormat.WAV: "audio/wav",
    SpeechFormat.FLAC: "audio/flac",
    SpeechFormat.MP3: "audio/mpeg",
}
