"""What stands before and behind the audio in a request to Qwen3-ASR, as token ids made ahead of time.

<|im_start|>system
<|im_end|>
<|im_start|>user
<|audio_start|><|audio_pad|>…<|audio_end|><|im_end|>
<|im_start|>assistant
language English<asr_text>              only where the language is given
"""

from typing import Any, Final

from asr_queue.domain.languages import NAMES

LANGUAGES: Final = frozenset(
    "ar cs da de el en es fa fi fr hi hu id it ja ko mk ms nl pl pt ro ru sv th tl tr vi yue zh".split()  # noqa: SIM905
)
"""Codes of the 30 languages that the model was trained on; it knows them by the English names in `NAMES`."""

_BEFORE: Final = "<|im_start|>system\n<|im_end|>\n<|im_start|>user\n<|audio_start|>"
_BEHIND: Final = "<|audio_end|><|im_end|>\n<|im_start|>assistant\n"


class Prompts:
    """The ids around the audio, by language."""

    def __init__(self, tokenizer: Any) -> None:
        """Take the checkpoint's tokenizer."""
        # The markers of the audio are single tokens and end what can be merged, so the two sides can be written apart.
        behind = {None: _BEHIND} | {code: f"{_BEHIND}language {NAMES[code]}<asr_text>" for code in sorted(LANGUAGES)}
        self.before: tuple[int, ...] = _ids(tokenizer, _BEFORE)
        """Ids up to the audio."""
        self._behind: dict[str | None, tuple[int, ...]] = {code: _ids(tokenizer, text) for code, text in behind.items()}

    @property
    def most_tokens(self) -> int:
        """Tokens around any audio."""
        return len(self.before) + max(map(len, self._behind.values()))

    def behind(self, language: str | None) -> tuple[int, ...]:
        """Return the ids behind the audio: the model goes on with the text, or first with the language where None."""
        return self._behind[language]


def _ids(tokenizer: Any, text: str) -> tuple[int, ...]:
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
