"""Times and rates as people read them."""

from typing import Final

_SHORT_S: Final = 180.0


def clock(seconds: float) -> str:
    """Return a time of any length as h:mm:ss, rounded to whole seconds."""
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}"


def span(seconds: float) -> str:
    """Return a time with tenths where it is short, else as `clock` does."""
    return f"{seconds:.1f} s" if seconds < _SHORT_S else clock(seconds)


def rate(audio_s: float, took_s: float) -> str:
    """Return how many seconds of audio a second came to."""
    return f"{audio_s / took_s:.1f} audio s/s" if took_s > 0 else "-"
