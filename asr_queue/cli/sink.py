"""Where transcripts go: to standard output, or to a file each."""

from pathlib import Path

from asr_queue.cli.formats import as_json_line, printed
from asr_queue.cli.recordings import Recording
from asr_queue.cli.screen import Screen
from asr_queue.client import ItemResult, QueueClientError
from asr_queue.client.protocol import displayable
from asr_queue.client.saving import whole_file
from asr_queue.errors import CallerError
from asr_queue.wire.formats import Format


class Sink:
    """Takes every result, and says which of them failed.

    Args:
        form: of every document.
        out: the folder for files; None for standard output.
        is_single: whether one file was named, so that its document stands alone.
    """

    def __init__(self, form: Format, out: Path | None, *, is_single: bool) -> None:
        self._form = form
        self._out = out
        self._is_single = is_single

    def take(self, recording: Recording, result: ItemResult, shown: Screen) -> str | None:
        """Write what became of a recording; return why it failed, or None."""
        outcome = result.transcript or result.error
        assert outcome is not None, "a result has a transcript or an error"
        name = displayable(str(recording.path))
        if self._out is None and self._form.is_json and not self._is_single:
            shown.text(as_json_line(name, outcome, self._form))
            return outcome.message if isinstance(outcome, QueueClientError) else None
        if isinstance(outcome, QueueClientError):
            return outcome.message
        try:
            return self._put(recording, printed(outcome, self._form), shown)
        except CallerError as error:
            return error.message

    def _put(self, recording: Recording, document: str, shown: Screen) -> str | None:
        if self._out is None:
            if self._is_single:
                shown.text(document)
            elif self._form is Format.TXT:
                shown.text(f"==> {displayable(str(recording.path))} <==\n{document}\n")
            return None
        path = self._out / recording.output.with_name(f"{recording.output.name}{self._form.suffix}")
        try:
            _write(path, document)
        except OSError as error:
            return f"cannot write {displayable(str(path))}: {error.strerror}"
        return None


def _write(path: Path, text: str) -> None:
    """Write a file so that a reader sees all of it or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(text.encode())
