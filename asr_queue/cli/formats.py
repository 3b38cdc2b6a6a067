"""A transcript as text for people, players and programs."""

import json
from enum import StrEnum

from asr_queue.client.errors import QueueClientError
from asr_queue.client.subtitles import to_srt, to_timed_text, to_vtt
from asr_queue.wire.transcript import Transcript


class Format(StrEnum):
    """What `--format` accepts; also the suffix of the file."""

    TXT = "txt"
    JSON = "json"
    SRT = "srt"
    VTT = "vtt"

    @property
    def is_subtitle(self) -> bool:
        """Whether it is made of word times, and one file holds one recording."""
        return self in (Format.SRT, Format.VTT)


def rendered(transcript: Transcript, form: Format) -> str:
    """Return a transcript as a document that ends with a line break (empty subtitles are an empty file)."""
    match form:
        case Format.SRT:
            return to_srt(transcript)
        case Format.VTT:
            return to_vtt(transcript)
        case Format.JSON:
            return transcript.to_json().decode() + "\n"
        case Format.TXT if transcript.timestamps:
            return to_timed_text(transcript)
        case Format.TXT:
            return transcript.text + "\n"


def as_json_line(path: str, outcome: Transcript | QueueClientError) -> str:
    """Return what became of one of several recordings as one line of JSON: `path` and the transcript, or the error."""
    if isinstance(outcome, Transcript):
        fields = json.loads(outcome.to_json())
    else:
        fields = {"error": outcome.message, "error_code": outcome.code}
    return json.dumps({"path": path, **fields}, ensure_ascii=False) + "\n"
