"""What the terminal has beside the formats of the API: text with times, and one line of JSON a recording."""

import json

from asr_queue.client.errors import QueueClientError
from asr_queue.wire.formats import Format, rendered
from asr_queue.wire.subtitles import to_timed_text
from asr_queue.wire.transcript import Transcript


def printed(transcript: Transcript, form: Format) -> str:
    """Return a transcript as `asr-queue transcribe` writes it: text has times where the words have.

    Raises:
        CallerError: as `asr_queue.wire.formats.rendered`.
    """
    if form is Format.TXT and transcript.timestamps:
        return to_timed_text(transcript)
    return rendered(transcript, form)


def as_json_line(path: str, outcome: Transcript | QueueClientError, form: Format) -> str:
    """Return what became of one of several recordings as one line of JSON: `path` and the transcript, or the error.

    Args:
        form: one of the two of JSON.
    """
    if isinstance(outcome, Transcript):
        fields = json.loads(rendered(outcome, form))
    else:
        fields = {"error": outcome.message, "error_code": outcome.code}
    return json.dumps({"path": path, **fields}, ensure_ascii=False) + "\n"
