"""The transcript: what the worker writes to the store and a client fetches."""

from pydantic import BaseModel, ConfigDict


class TranscriptWord(BaseModel):
    """A word on the wire; seconds from the start of the item's audio."""

    model_config = ConfigDict(frozen=True)

    start: float
    end: float
    text: str


class Transcript(BaseModel):
    """The document at an item's `url`.

    `timestamps` is present exactly when the item asked for it; `language` is the English name of
    the given or identified language, null where nothing was said and none was given.
    """

    model_config = ConfigDict(frozen=True)

    text: str
    language: str | None
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
        optional = ("timestamps", "timestamps_unavailable", "no_speech", "truncated", "repetition")
        leave_out = {name for name in optional if getattr(self, name) in (None, False)}
        return self.model_dump_json(exclude=leave_out).encode()
