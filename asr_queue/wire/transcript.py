"""The transcript: what the worker writes to the store and a client fetches."""

import json

from pydantic import BaseModel, ConfigDict


class TranscriptWord(BaseModel):
    """A word on the wire; seconds from the start of the item's audio."""

    model_config = ConfigDict(frozen=True)

    start: float
    end: float
    text: str
    confidence: float | None = None
    """How sure the engine was of it, 0 to 1; None, and no such key, where it does not say."""


class Transcript(BaseModel):
    """The document at an item's `url`.

    `timestamps` is present exactly when the item asked for it; `language` is the English name of
    the given or identified language, null where nothing was said and none was given.
    """

    model_config = ConfigDict(frozen=True)

    text: str
    language: str | None
    language_probability: float | None = None
    """How sure the engine was of the language, 0 to 1; null where it was given, or the engine does not say."""
    duration: float | None = None
    """Length of the audio in seconds; None where an earlier release wrote this."""
    timestamps: list[TranscriptWord] | None = None
    timestamps_unavailable: str | None = None
    """Why `timestamps` is empty though something was said; for people."""
    no_speech: bool = False
    """Nothing was said."""
    truncated: bool = False
    """The model was stopped before it had come to an end: the text may lack what was said last."""
    repetition: bool = False
    """The model ran in circles; the text has once what it said over and over, and may lack what was said after it."""

    def to_json(self) -> bytes:
        """UTF-8 JSON in the shape of the contract: no `timestamps` key unless asked for, and of the rest what is so."""
        optional = ("duration", "timestamps", "timestamps_unavailable", "no_speech", "truncated", "repetition")
        leave_out = {name for name in optional if getattr(self, name) in (None, False)}
        document = self.model_dump(exclude=leave_out)
        for word in document.get("timestamps", ()):
            if word["confidence"] is None:
                del word["confidence"]
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
