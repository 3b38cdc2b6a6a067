"""Word times for texts that were recognised: what goes wrong with them costs them alone, and is told."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import torch

from asr_queue.domain.transcript import Word
from asr_queue.errors import EngineBrokenError
from gpu_worker.engine import Done, Recognition, SpeechInput
from gpu_worker.engines.qwen3_aligner import AlignmentInput, Qwen3Aligner

_logger = logging.getLogger(__name__)

_NO_ALIGNER: Final = "This worker runs without an aligner, so there are no word times."
_FAILED: Final = "The alignment failed, so there are no word times."


def with_words(
    aligner: Qwen3Aligner | None, inputs: Sequence[SpeechInput], recognised: Sequence[Recognition]
) -> list[Recognition]:
    """Return the recognitions with words where they are wanted, or with the reason why there are none.

    Args:
        aligner: loaded; None where the worker has none.
        inputs: what was asked for.
        recognised: what was said in each.

    Raises:
        EngineBrokenError: the device failed.
    """
    to_align = {
        i: AlignmentInput(samples=one.samples, text=recognised[i].text, language=recognised[i].language)
        for i, one in enumerate(inputs)
        if one.want_words and recognised[i].text
    }
    aligned = dict(zip(to_align, _align(aligner, list(to_align.values())), strict=True))
    complete = list(recognised)
    for i, words in aligned.items():
        remark = {"timestamps_unavailable": words} if isinstance(words, str) else {"words": words}
        complete[i] = replace(complete[i], **remark)
    return complete


def _align(aligner: Qwen3Aligner | None, inputs: Sequence[AlignmentInput]) -> list[tuple[Word, ...] | str]:
    """Return the words of each input, or why there are none."""
    if aligner is None:
        return [_NO_ALIGNER] * len(inputs)
    try:
        return [one.value if isinstance(one, Done) else one.error.message for one in aligner.run(inputs)]
    except torch.AcceleratorError as error:
        raise EngineBrokenError(f"The device failed: {error}") from error
    except Exception:
        # A text is worth more than its times, whatever the matter with these.
        _logger.exception("alignment_bug", extra={"clips": len(inputs)})
    if len(inputs) == 1:
        return [_FAILED]
    return [words for one in inputs for words in _align(aligner, [one])]
