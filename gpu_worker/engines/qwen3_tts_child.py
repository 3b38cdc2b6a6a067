"""Qwen3-TTS in its process: a program for `isolated_child`, under an interpreter that has qwen-tts 0.1.1.

voices ─▶ prompt of each, kept ─┐
texts ──────────────────────────┴▶ frames of codes, 12.5 a second ─▶ samples
"""

import gc
import importlib.util
import re
import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple

import numpy as np

from gpu_worker.engines.isolated_child import Frame, LostDeviceError, OutOfMemoryError, Samples, UnusableModelError

LANGUAGES: Final = {
    "de": "german",
    "en": "english",
    "es": "spanish",
    "fr": "french",
    "it": "italian",
    "ja": "japanese",
    "ko": "korean",
    "pt": "portuguese",
    "ru": "russian",
    "zh": "chinese",
}
"""Codes, and the names that the model knows them by."""
_ANY_LANGUAGE: Final = "auto"
_RATE_HZ: Final = 24_000
_KEPT_VOICES: Final = 256
"""At most 50 KB each, in the host's memory."""
_FRAMES_PER_CHARACTER: Final = 6
"""Half a second. Digits are the longest to say: in English 17,777,777 takes 5 s."""
_FRAMES_BESIDE: Final = 50
_MOST_FRAMES: Final = 2048
"""Nearly three minutes: the package's own bound."""
_WARM_UP_FRAMES: Final = 4
_OF_THE_OTHER_CODEC: Final = ("sox", "torchaudio", "torchaudio.compliance", "torchaudio.compliance.kaldi")
"""Imported by the package for models of 25 Hz, of which none that clones has been published."""
_FILES: Final = ["*.json", "*.txt", "*.safetensors", "speech_tokenizer/*"]


class _Line(NamedTuple):
    """One text to say, as the package takes it."""

    text: str
    language: str
    prompt: Any
    most_frames: int


class Qwen3Tts:
    """One model, and the prompts of the voices that it spoke in last."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._official: Any = None
        self._device: Any = None
        self._is_warm = False
        self._copies: list[tuple[Any, Any]] = []
        """Tensors of the model and their copies in the host's memory, made when they first leave the device."""
        self._prompts: OrderedDict[str, Any] = OrderedDict()

    def load(self) -> dict[str, Any]:
        """Read the weights where that was not done, and put them on the device; the first time, warm up as well."""
        if self._official is None:
            self._official, self._device = _read(self._options)
            self._official.device = self._official.model.speech_tokenizer.device = self._device
        with _translated():
            _bring(self._copies or [(tensor, tensor.data) for tensor in _tensors(self._official)], self._device)
            if not self._is_warm:
                noise = np.random.default_rng(0).normal(0, 0.1, 3 * _RATE_HZ).astype(np.float32)
                prompt = self._prompt({"digest": "", "said": "Hello."}, noise)
                self._say([_Line("Hello.", _ANY_LANGUAGE, prompt, _WARM_UP_FRAMES)])
                self._is_warm = True
        known = self._official.model.get_supported_languages()
        return {**self._memory(), "languages": [code for code, name in LANGUAGES.items() if name in known]}

    def park(self) -> dict[str, Any]:
        """Have the weights in the host's memory only, pinned where that makes their way back faster."""
        with _translated():
            # A tensor of the last pass, which the next one makes anew.
            self._official.model.talker.rope_deltas = None
            copied = {id(tensor) for tensor, _ in self._copies}
            self._copies += [(one, _copy(one)) for one in _tensors(self._official) if id(one) not in copied]
            for tensor, copy in self._copies:
                tensor.data = copy
        _give_memory_back()
        return {"device_bytes": 0}

    def run(self, head: Mapping[str, Any], arrays: Sequence[Samples]) -> Frame:
        """Say each text in its voice; what is nothing but markers of the model is refused."""
        lines: list[_Line] = []
        refusals: list[tuple[str, str] | None] = []
        with _translated():
            prompts = [self._prompt(voice, samples) for voice, samples in zip(head["voices"], arrays, strict=True)]
            for one in head["inputs"]:
                text = self._plain(one["text"])
                if any(map(str.isalnum, text)):
                    name = LANGUAGES[one["language"]] if one["language"] else _ANY_LANGUAGE
                    lines.append(_Line(text, name, prompts[one["voice"]], _most_frames(text)))
                    refusals.append(None)
                else:
                    refusals.append(("text_empty", "There is nothing in the text that could be said; send words."))
            said = self._say(lines) if lines else []
        told = iter(said)
        return Frame(
            {
                "outcomes": [
                    {"refused": refused} if refused else {"is_truncated": next(told)[1]} for refused in refusals
                ],
                **self._memory(),
            },
            [samples for samples, _ in said],
        )

    def _prompt(self, voice: Mapping[str, Any], samples: Samples) -> Any:
        """Return what the package makes of a voice; with what is said in it, it also follows how that is said."""
        digest = voice["digest"]
        if digest not in self._prompts:
            said = self._plain(voice["said"])
            (prompt,) = self._official.create_voice_clone_prompt(
                (np.array(samples), _RATE_HZ), ref_text=said or None, x_vector_only_mode=not said
            )
            # The package brings them to where it computes; until then they need not be in the way there.
            prompt.ref_spk_embedding = prompt.ref_spk_embedding.cpu()
            prompt.ref_code = None if prompt.ref_code is None else prompt.ref_code.cpu()
            self._prompts[digest] = prompt
        self._prompts.move_to_end(digest)
        while len(self._prompts) > _KEPT_VOICES:
            self._prompts.popitem(last=False)
        return self._prompts[digest]

    def _say(self, lines: Sequence[_Line]) -> list[tuple[Samples, bool]]:
        """Return the samples of each, and whether the model had not come to an end where they end."""
        texts, languages, prompts, most_frames = map(list, zip(*lines, strict=True))
        said, rate_hz = self._official.generate_voice_clone(
            texts,
            languages,
            voice_clone_prompt=prompts,
            # The first makes no frame, and one more shows who has not come to an end.
            max_new_tokens=max(most_frames) + 2,
        )
        if rate_hz != _RATE_HZ:
            raise RuntimeError("another rate")
        frame = self._official.model.speech_tokenizer.get_decode_upsample_rate()
        return [
            (samples[: most * frame], round(samples.size / frame) > most)
            for samples, most in zip(said, most_frames, strict=True)
        ]

    def _plain(self, text: str) -> str:
        """Return the text without what is written like the model's own markers, `<|im_end|>` for one."""
        names = [name for name in self._official.processor.tokenizer.get_added_vocab() if name.startswith("<")]
        return re.sub("|".join(map(re.escape, names)), " ", text).strip() if names else text.strip()

    def _memory(self) -> dict[str, int]:
        import torch

        if self._device.type == "cuda":
            return {"device_bytes": torch.cuda.memory_reserved(self._device)}
        return {"device_bytes": sum(tensor.nbytes for tensor in _tensors(self._official))}


def create(options: Mapping[str, Any]) -> Qwen3Tts:
    """Return a model that is not read yet."""
    return Qwen3Tts(options)


def _read(options: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the package's model, on the processor, and the device that it is for."""
    try:
        import torch
        import transformers

        stand_in_for_the_other_codec()
        import qwen_tts
    except ImportError as error:
        raise UnusableModelError(
            f"{sys.executable} lacks a package of Qwen3-TTS: {error}. ASR_QUEUE_VOICE_PYTHON names an interpreter that "
            "has qwen-tts."
        ) from error
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    torch.set_num_threads(options["threads"])
    try:
        device = torch.device(options["device"] or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=device)
    # PyTorch built without CUDA raises an AssertionError.
    except (RuntimeError, AssertionError) as error:
        raise UnusableModelError(f"Device {options['device']!r} cannot be used: {error}") from error
    if device.type == "cuda" and options["memory_bytes"] is not None:
        total_bytes = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, options["memory_bytes"] / total_bytes), device)
    dtype = getattr(torch, options["dtype"] or ("bfloat16" if device.type == "cuda" else "float32"))
    folder = _folder(options["model"], options["cache_dir"])
    try:
        official = qwen_tts.Qwen3TTSModel.from_pretrained(str(folder), dtype=dtype)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise UnusableModelError(
            f"The checkpoint in {folder} cannot be read: {type(error).__name__}: {error}"
        ) from error
    if official.model.tts_model_type != "base":
        raise UnusableModelError(
            f"The checkpoint in {folder} has voices of its own and cannot take another one's ("
            f"{official.model.tts_model_type}); those whose names end in Base can."
        )
    codec = official.model.speech_tokenizer
    if codec.get_model_type() != "qwen3_tts_tokenizer_12hz" or codec.get_output_sample_rate() != _RATE_HZ:
        raise UnusableModelError(f"The checkpoint in {folder} has another codec than that of 12 Hz.")
    official.model.eval().requires_grad_(False)
    codec.model.eval().requires_grad_(False)
    return official, device


def _folder(model: str, cache_dir: str) -> Path:
    if Path(model).is_dir():
        return Path(model)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(snapshot_download(model, cache_dir=cache_dir, allow_patterns=_FILES))
    except (OSError, HFValidationError) as error:
        raise UnusableModelError(
            f"{model} is neither a folder here nor a model that the hub gives out ({type(error).__name__}). Without a "
            "network, name a folder that holds the checkpoint."
        ) from error


def stand_in_for_the_other_codec() -> None:
    """Make the package's import work where it has not all that it imports.

    After transformers, which would take the stand-ins for the real ones.
    """
    for name in _OF_THE_OTHER_CODEC:
        parent, _, last = name.rpartition(".")
        if parent in sys.modules or (not parent and importlib.util.find_spec(name) is None):
            sys.modules[name] = ModuleType(name)
            if parent:
                setattr(sys.modules[parent], last, sys.modules[name])


def _most_frames(text: str) -> int:
    return min(_FRAMES_BESIDE + _FRAMES_PER_CHARACTER * len(text), _MOST_FRAMES)


def _tensors(official: Any) -> list[Any]:
    """Return all that holds memory, in an order that stays: weights, buffers, and what modules keep beside them."""
    import torch

    found = {}
    for part in (official.model, official.model.speech_tokenizer.model):
        for module in part.modules():
            beside = [value for value in vars(module).values() if isinstance(value, torch.Tensor)]
            for tensor in [*module.parameters(recurse=False), *module.buffers(recurse=False), *beside]:
                found[id(tensor)] = tensor
    return list(found.values())


def _copy(tensor: Any) -> Any:
    import torch

    copy = torch.empty_like(tensor, device="cpu", pin_memory=tensor.is_cuda)
    return copy.copy_(tensor)


def _bring(places: Sequence[tuple[Any, Any]], device: Any) -> None:
    """Have each tensor hold on the device what it is paired with; where there is no room for all, none is there."""
    try:
        for tensor, source in places:
            tensor.data = source.to(device, non_blocking=True)
    except (MemoryError, RuntimeError):
        for tensor, source in places:
            tensor.data = source
        raise


@contextmanager
def _translated() -> Iterator[None]:
    """Have what PyTorch raises told apart by what it means."""
    import torch

    lost: tuple[type[BaseException], ...] = (torch.AcceleratorError,) if hasattr(torch, "AcceleratorError") else ()
    try:
        with torch.inference_mode():
            yield
    except lost as error:
        # After an illegal address, a failed assertion or a lost device every further call fails as well.
        raise LostDeviceError(type(error).__name__) from error
    except (MemoryError, RuntimeError) as error:
        # On a processor PyTorch raises a bare RuntimeError; only its text tells what happened.
        if not isinstance(error, (MemoryError, torch.OutOfMemoryError)) and "DefaultCPUAllocator" not in str(error):
            raise
    else:
        return
    # Not inside the handler: until its end the error's frames hold what they had on the device.
    _give_memory_back()
    raise OutOfMemoryError("the allocator refused")


def _give_memory_back() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
