"""What generation is asked for, and what it answers."""

from dataclasses import dataclass, field

from gpu_worker.engine import Samples
from gpu_worker.engines.qwen3.encoder import n_tokens
from gpu_worker.engines.qwen3.mel import frames_in


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One clip to be turned into tokens."""

    samples: Samples = field(repr=False)
    """At least one sample, at 16 kHz."""
    before: tuple[int, ...]
    """Ids in front of the audio."""
    after: tuple[int, ...]
    """Ids behind the audio."""
    max_new_tokens: int
    """At least 1; the token that ends the text counts."""

    @property
    def n_audio(self) -> int:
        """Tokens that the audio becomes."""
        return n_tokens(frames_in(self.samples.size))

    @property
    def n_prompt(self) -> int:
        """Tokens in front of the first generated one."""
        return len(self.before) + self.n_audio + len(self.after)

    @property
    def n_context(self) -> int:
        """Tokens at the most, prompt and answer: the slots of the cache that it takes."""
        return self.n_prompt + self.max_new_tokens


@dataclass(frozen=True, slots=True)
class Generated:
    """What follows the prompt."""

    token_ids: tuple[int, ...]
    """Without the one that ended the text."""
    is_truncated: bool
    """Whether `max_new_tokens` ended it."""
