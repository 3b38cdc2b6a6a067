"""What a transcript is made of, before it has a shape on the wire."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Word:
    """One word, with its punctuation, and when it was said; `0 <= start_s <= end_s`."""

    start_s: float
    end_s: float
    text: str
    confidence: float | None = None
    """How sure the engine was of it, 0 to 1; None where it does not say."""
