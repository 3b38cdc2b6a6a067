"""What a transcript is made of, before it has a shape on the wire."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Word:
    """One word, with its punctuation, and when it was said; `0 <= start_s <= end_s`."""

    start_s: float
    end_s: float
    text: str
