"""What stands before and behind the audio in a request to Qwen3-ASR, as token ids; all but a context ahead of time.

<|im_start|>system
Kubernetes, kubectl<|im_end|>           the context, where there is one
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

_MOST_CONTEXT_TOKENS: Final = 1024
"""More than 2,000 characters have in most languages. The cache has to have room for them beside the longest clip."""
_SYSTEM: Final = "<|im_start|>system\n"
_USER: Final = "<|im_end|>\n<|im_start|>user\n<|audio_start|>"
_BEHIND: Final = "<|audio_end|><|im_end|>\n<|im_start|>assistant\n"


class Prompts:
    """The ids around the audio, by context and language."""

    def __init__(self, tokenizer: Any) -> None:
        """Take the checkpoint's tokenizer."""
        # Markers are single tokens and end what can be merged, and so does a line's end in front of what is no space:
        # the sides of the audio can be written apart, and so can the context.
        behind = {None: _BEHIND} | {code: f"{_BEHIND}language {NAMES[code]}<asr_text>" for code in sorted(LANGUAGES)}
        self._tokenizer = tokenizer
        self._markers = frozenset(tokenizer.get_added_vocab().values())
        self._system, self._user = _ids(tokenizer, _SYSTEM), _ids(tokenizer, _USER)
        self._behind: dict[str | None, tuple[int, ...]] = {code: _ids(tokenizer, text) for code, text in behind.items()}

    @property
    def most_tokens(self) -> int:
        """Tokens around any audio."""
        most_behind = max(map(len, self._behind.values()))
        return len(self._system) + _MOST_CONTEXT_TOKENS + len(self._user) + most_behind

    def before(self, context: str = "") -> tuple[int, ...]:
        """Return the ids up to the audio; of a long context the end. What is written like a marker is left out."""
        ids = _ids(self._tokenizer, context.strip()) if context.strip() else ()
        return (*self._system, *[i for i in ids if i not in self._markers][-_MOST_CONTEXT_TOKENS:], *self._user)

    def behind(self, language: str | None) -> tuple[int, ...]:
        """Return the ids behind the audio: the model goes on with the text, or first with the language where None."""
        return self._behind[language]


def _ids(tokenizer: Any, text: str) -> tuple[int, ...]:
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
