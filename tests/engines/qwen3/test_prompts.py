"""Prompts written ahead of time are those that transformers' processor writes for each clip."""

import pytest
from transformers import Qwen3ASRProcessor
from transformers.models.qwen3_asr import processing_qwen3_asr as native

from asr_queue.domain.languages import NAMES, resolve
from gpu_worker.engines.qwen3.alignment import LANGUAGES as ALIGNED
from gpu_worker.engines.qwen3.prompts import LANGUAGES, Prompts
from tests.engines.qwen3.tiny import clip


def test_the_languages_are_those_of_transformers_under_our_codes() -> None:
    assert {resolve(name) for name in native.LANGUAGE_CODE_TO_NAME.values()} == LANGUAGES
    assert {NAMES[code] for code in LANGUAGES} == set(native.LANGUAGE_CODE_TO_NAME.values())
    assert {NAMES[code] for code in ALIGNED} == native.FORCED_ALIGNER_LANGUAGES
    assert len(LANGUAGES) == 30


@pytest.mark.parametrize("code", [None, *sorted(LANGUAGES)])
def test_a_prompt_is_what_the_processor_writes(tiny_processor: Qwen3ASRProcessor, code: str | None) -> None:
    sound = clip(1.0)
    ids = tiny_processor.apply_transcription_request([sound], language=code and NAMES[code])["input_ids"][0].tolist()
    prompts = Prompts(tiny_processor.tokenizer)
    audio = [tiny_processor.audio_token_id] * 13
    assert [*prompts.before, *audio, *prompts.behind(code)] == ids
