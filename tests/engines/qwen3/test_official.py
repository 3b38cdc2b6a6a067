"""Ours against the authors' own package, qwen-asr 0.0.6, in a process of its own.

Clips of 1 to 8 s: above, the package lets every token of a clip see all others instead of its 8-s window; below, it
convolves the end of the clip as another length than the model was trained on.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.qwen3.official import environment as official_environment
from gpu_worker.engines.qwen3.aligning import Aligning, Spoken
from gpu_worker.engines.qwen3.encoder import AudioEncoder, n_tokens
from gpu_worker.engines.qwen3.generation import Generator
from gpu_worker.engines.qwen3.mel import LogMel
from gpu_worker.engines.qwen3.parsing import parse
from gpu_worker.engines.qwen3.prompts import Prompts
from gpu_worker.engines.qwen3.requests import Request
from gpu_worker.engines.qwen3.weights import load_aligner, load_asr, load_tokenizer
from tests.engines.qwen3 import tiny
from tests.engines.qwen3.authors_layout import rewrite

# Several processes that each import two large libraries: slow where others are at work as well.
pytestmark = pytest.mark.timeout(900)

_DURATIONS_S = (1.0, 2.345, 3.3, 4.01, 5.5, 6.66, 7.9, 8.0)
_HINTS = {None: None, "English": "en", "German": "de"}
_MAX_NEW_TOKENS = 40
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Official:
    """What the package was asked, and what it answered."""

    recogniser: Path
    aligner: Path
    clips: list[np.ndarray]
    hints: list[str | None]
    heard: list[np.ndarray]
    answers: list[dict]


@pytest.fixture(scope="module")
def official(tiny_asr_folder, tiny_aligner_folder, tiny_asr, tmp_path_factory) -> Official:
    try:
        environment = official_environment()
    except FileNotFoundError as error:
        (pytest.fail if "CI" in os.environ else pytest.skip)(str(error))
    folder = tmp_path_factory.mktemp("official")
    recogniser = rewrite(tiny_asr_folder, folder / "asr")
    aligner = rewrite(tiny_aligner_folder, folder / "aligner")
    clips = [tiny.clip(duration_s, seed) for seed, duration_s in enumerate(_DURATIONS_S)]
    hints = [list(_HINTS)[i % len(_HINTS)] for i in range(len(clips))]
    asked = {
        "recogniser": str(recogniser),
        "aligner": str(aligner),
        "max_new_tokens": _MAX_NEW_TOKENS,
        "eos_token_id": tiny_asr.config.eos_token_id,
        "clips": [{"language": hint, "words": "It was late, wasn't it?"} for hint in hints],
    }
    np.savez(folder / "asked.npz", asked=json.dumps(asked), **{f"clip{i}": clip for i, clip in enumerate(clips)})
    program = Path(__file__).with_name("official_outputs.py")
    command = [sys.executable, program, folder / "asked.npz", folder / "answered.npz"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stderr
    answered = np.load(folder / "answered.npz")
    heard = [answered[f"heard{i}"] for i in range(len(clips))]
    return Official(recogniser, aligner, clips, hints, heard, json.loads(str(answered["answered"])))


@pytest.fixture(scope="module")
def generated(official):
    """All clips at once, from the very files that the package read."""
    model = load_asr(official.recogniser, device=_CPU, dtype=torch.float32)
    prompts = Prompts(load_tokenizer(official.recogniser))
    requests = [
        Request(
            samples=clip, before=prompts.before(), after=prompts.behind(_HINTS[hint]), max_new_tokens=_MAX_NEW_TOKENS
        )
        for clip, hint in zip(official.clips, official.hints, strict=True)
    ]
    return Generator(model, max_rows=len(requests), max_context_tokens=512).generate(requests)


def test_the_audio_is_heard_as_the_package_hears_it(official, tiny_asr):
    seconds, n_frames = LogMel(_CPU)(official.clips)
    heard = AudioEncoder(tiny_asr).encode(seconds, n_frames).split([n_tokens(frames) for frames in n_frames])
    for ours, theirs in zip(heard, official.heard, strict=True):
        torch.testing.assert_close(ours, torch.from_numpy(theirs), rtol=0, atol=2e-5)


def test_the_tokens_are_those_of_the_package(official, generated, tiny_asr):
    ends = set(tiny_asr.config.eos_token_id)
    for ours, theirs in zip(generated, official.answers, strict=True):
        ids = theirs["ids"]
        assert list(ours.token_ids) == [token for token in ids if token not in ends]
        assert ours.is_truncated == (ids[-1] not in ends)


def test_the_texts_are_those_of_the_package(official, generated):
    tokenizer = load_tokenizer(official.recogniser)
    for ours, theirs in zip(generated, official.answers, strict=True):
        text = parse(tokenizer.decode(ours.token_ids, skip_special_tokens=True)).text
        # We drop halves of characters and double spaces, which random weights write a lot of.
        assert text == " ".join(theirs["text"].replace("\ufffd", "").split())


def test_the_words_are_where_the_package_puts_them(official):
    aligning = Aligning(
        load_aligner(official.aligner, device=_CPU, dtype=torch.float32), load_tokenizer(official.aligner)
    )
    spoken = [
        Spoken(samples=clip, tokens=[word for word, _, _ in theirs["words"]])
        for clip, theirs in zip(official.clips, official.answers, strict=True)
    ]
    for ours, theirs in zip(aligning.times_ms(spoken), official.answers, strict=True):
        assert ours == [round(1000 * time_s) for _, *times_s in theirs["words"] for time_s in times_s]


def test_another_models_tokens_are_told_apart(official):
    model = tiny.asr_model(seed=1)
    prompts = Prompts(tiny.tokenizer())
    request = Request(
        samples=official.clips[0], before=prompts.before(), after=prompts.behind(None), max_new_tokens=_MAX_NEW_TOKENS
    )
    (made,) = Generator(model, max_rows=1, max_context_tokens=512).generate([request])
    ends = set(model.config.eos_token_id)
    assert list(made.token_ids) != [token for token in official.answers[0]["ids"] if token not in ends]
