"""A transcript in every format that the API and the client hand out. Pure."""

import json
import math
import zlib
from enum import StrEnum
from typing import Any, Final

from asr_queue.errors import CallerError
from asr_queue.wire.subtitles import Words, joint_of, segments_of, to_srt, to_vtt
from asr_queue.wire.transcript import Transcript


class Format(StrEnum):
    """What `format` may ask for."""

    JSON = "json"
    """As it is stored."""
    VERBOSE_JSON = "verbose_json"
    """In the shape of OpenAI's `verbose_json`."""
    TXT = "txt"
    """The text alone."""
    SRT = "srt"
    VTT = "vtt"

    @property
    def media_type(self) -> str:
        """The content type of a document."""
        return _MEDIA_TYPES[self]

    @property
    def suffix(self) -> str:
        """The suffix of a file, with its dot."""
        return ".json" if self.is_json else f".{self}"

    @property
    def is_json(self) -> bool:
        """Whether a document is JSON."""
        return self in (Format.JSON, Format.VERBOSE_JSON)

    @property
    def is_subtitle(self) -> bool:
        """Whether it is made of word times."""
        return self in (Format.SRT, Format.VTT)


_MEDIA_TYPES: Final = {
    Format.JSON: "application/json",
    Format.VERBOSE_JSON: "application/json",
    Format.TXT: "text/plain; charset=utf-8",
    Format.SRT: "application/x-subrip; charset=utf-8",
    Format.VTT: "text/vtt; charset=utf-8",
}


def rendered(transcript: Transcript, form: Format) -> str:
    """Return a transcript as a document that ends with a line break; SubRip of silence is an empty one.

    Raises:
        CallerError: `no_word_times`: subtitles are made of them, and the transcript has none.
    """
    match form:
        case Format.JSON:
            return transcript.to_json().decode() + "\n"
        case Format.VERBOSE_JSON:
            return json.dumps(verbose(transcript), ensure_ascii=False) + "\n"
        case Format.TXT:
            return transcript.text + "\n"
    try:
        return to_srt(transcript) if form is Format.SRT else to_vtt(transcript)
    except ValueError as error:
        raise CallerError("no_word_times", f"There is no {form} of it: {str(error).rstrip('.')}.") from error


def verbose(transcript: Transcript) -> dict[str, Any]:
    """Return a transcript in the shape of OpenAI's `verbose_json`, with what is known and nothing made up.

    `words` is there exactly where `timestamps` is. Segments are sentences; without word times there is one, the whole.
    Of a segment's numbers, `compression_ratio` is always there, and `avg_logprob`, the mean over its words, where the
    engine said how sure it was of each. `seek`, `tokens`, `temperature` and `no_speech_prob` are inner matters of an
    engine, and never there.
    """
    document: dict[str, Any] = {
        "task": "transcribe",
        "language": transcript.language and transcript.language.lower(),
        "duration": transcript.duration,
        "text": transcript.text,
        "segments": _segments(transcript),
    }
    if transcript.timestamps is not None:
        document["words"] = [
            {"word": word.text, "start": word.start, "end": word.end} for word in transcript.timestamps
        ]
    return document


def _segments(transcript: Transcript) -> list[dict[str, Any]]:
    if transcript.timestamps:
        joint = joint_of(transcript)
        return [
            _segment(number, words[0].start, words[-1].end, joint.join(word.text for word in words)) | _certainty(words)
            for number, words in enumerate(segments_of(transcript))
        ]
    if transcript.text and transcript.duration is not None:
        return [_segment(0, 0.0, transcript.duration, transcript.text)]
    return []


def _segment(number: int, start_s: float, end_s: float, text: str) -> dict[str, Any]:
    data = text.encode()
    ratio = len(data) / len(zlib.compress(data))
    return {"id": number, "start": start_s, "end": end_s, "text": text, "compression_ratio": round(ratio, 3)}


def _certainty(words: Words) -> dict[str, float]:
    known = [word.confidence for word in words if word.confidence is not None]
    if len(known) < len(words):
        return {}
    # To the thousandth, as confidences are kept: of less than that nothing is known.
    return {"avg_logprob": round(sum(math.log(max(one, 0.001)) for one in known) / len(known), 3)}
