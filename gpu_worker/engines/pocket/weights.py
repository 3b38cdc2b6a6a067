"""Checkpoints of Pocket TTS in transformers' layout, by a name on the hub or as a folder."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import (
    AutoTokenizer,
    PocketTTSAudioTokenizerModel,
    PocketTTSFeatureExtractor,
    PocketTTSForConditionalGeneration,
    PocketTTSProcessor,
)
from transformers.utils.logging import disable_progress_bar

from asr_queue.errors import EngineLoadError
from gpu_worker.engines.pocket.noise import SeededPocketTts
from gpu_worker.engines.pytorch.checkpoints import locate, refuse_incomplete

_CODEC_FOLDER: Final = "audio_tokenizer"
"""Where a checkpoint that is a folder may keep its codec, whatever the processor's configuration says."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint holds, on the device."""

    model: SeededPocketTts
    codec: PocketTTSAudioTokenizerModel
    """In float32 whatever the model's type: it is small, and rounding in it is heard."""
    processor: PocketTTSProcessor

    def tensors(self) -> list[Tensor]:
        """Return every weight that it computes with, none of which it writes to."""
        return [tensor for part in (self.model, self.codec) for tensor in (*part.parameters(), *part.buffers())]


def load(source: str | Path, *, cache_dir: Path, device: torch.device, dtype: torch.dtype) -> Checkpoint:
    """Return the checkpoint, every weight of it read and on the device.

    Args:
        source: a folder, or a name on the hub. Its codec is where its processor's configuration says, by a name on the
            hub or as a folder beside it; or in its folder `audio_tokenizer`.
        cache_dir: where files of the hub are kept.
        device: where it computes.
        dtype: of the model's weights.

    Raises:
        EngineLoadError: the checkpoint cannot be found or read, is not exactly one of this model, or hears no voices.
    """
    disable_progress_bar()  # type: ignore[no-untyped-call]
    folder = locate(source, cache_dir=cache_dir)
    settings = _read(folder / "processor_config.json")
    model = _whole(SeededPocketTts, PocketTTSForConditionalGeneration, folder, dtype)
    codec_folder = _codec_folder(folder, settings, cache_dir)
    codec = _whole(PocketTTSAudioTokenizerModel, PocketTTSAudioTokenizerModel, codec_folder, torch.float32)
    if codec.encoder is None or codec.decoder is None:
        raise EngineLoadError(f"The codec in {codec_folder} only decodes: without its encoder no voice can be cloned.")
    try:
        listener = PocketTTSFeatureExtractor.from_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        template = folder / "chat_template.jinja"
        # Not by the processor's own loader: it fetches the codec from the hub though there is one in the folder.
        processor = PocketTTSProcessor.from_args_and_dict(
            [listener, tokenizer],
            {name: value for name, value in settings.items() if name != "audio_tokenizer"},
            audio_tokenizer=codec,
            chat_template=template.read_text(encoding="utf-8"),
        )
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise EngineLoadError(f"The tokenizer and processor in {folder} cannot be read: {error}") from error
    checkpoint = Checkpoint(model.to(device), codec.to(device), processor)
    if device.type == "cpu":
        for tensor in checkpoint.tensors():
            # They are views of mapped files, at any address, and the last bits of a product depend on how its factors
            # are aligned: in memory of their own they are as in the arena, and what was parked says the same again.
            tensor.data = tensor.data.clone()
    return checkpoint


def _codec_folder(folder: Path, settings: dict[str, Any], cache_dir: Path) -> Path:
    if (folder / _CODEC_FOLDER).is_dir():
        return folder / _CODEC_FOLDER
    try:
        named = str(settings["audio_tokenizer"]["audio_tokenizer_name_or_path"])
    except (KeyError, TypeError):
        raise EngineLoadError(
            f"The checkpoint in {folder} has no codec: no folder {_CODEC_FOLDER}, "
            "and its processor_config.json names none."
        ) from None
    return locate(folder / named if (folder / named).is_dir() else named, cache_dir=cache_dir)


def _whole(model_class: Any, published: Any, folder: Path, dtype: torch.dtype) -> Any:
    if (kind := _read(folder / "config.json").get("model_type")) != published.config_class.model_type:
        raise EngineLoadError(
            f"{folder / 'config.json'} describes a model of type {kind!r}, not {published.config_class.model_type!r}."
        )
    try:
        model, report = model_class.from_pretrained(
            folder,
            dtype=dtype,
            # So that they are in the report, which says which ones.
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise EngineLoadError(f"The checkpoint in {folder} cannot be read: {error}") from error
    refuse_incomplete(report, kind=published.__name__, folder=folder)
    return model.eval().requires_grad_(False)


def _read(path: Path) -> dict[str, Any]:
    try:
        written: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EngineLoadError(f"{path} cannot be read: {error}") from error
    return written
