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

    def to_json(self) -> bytes:
        """UTF-8 JSON in the shape of the contract: no `timestamps` key unless asked for."""
        leave_out = {"timestamps"} if self.timestamps is None else set()
        return self.model_dump_json(exclude=leave_out).encode()
