"""Checkpoints in transformers' layout: where they are, and whether they are whole."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError

from asr_queue.errors import EngineLoadError

_FILES: Final = ["*.json", "*.txt", "*.jinja", "*.safetensors"]
_SHOWN_KEYS: Final = 5


def locate(source: str | Path, *, cache_dir: Path | None = None) -> Path:
    """Return the folder of a checkpoint: `source` itself, or where the hub's files of that name are now.

    Args:
        source: a folder, or a name on the hub such as `Qwen/Qwen3-ASR-0.6B-hf`.
        cache_dir: where files of the hub are kept; None for the hub's own place.

    Raises:
        EngineLoadError: there is neither, or the hub does not answer and the files were never fetched.
    """
    if Path(source).is_dir():
        return Path(source)
    try:
        return Path(snapshot_download(str(source), cache_dir=cache_dir, allow_patterns=_FILES))
    except (OSError, HFValidationError) as error:
        raise EngineLoadError(
            f"{source} is neither a folder here nor a model that the hub gives out ({type(error).__name__}: {error}). "
            "Without a network, name a folder that holds the checkpoint."
        ) from error


def refuse_incomplete(report: Mapping[str, Any], *, kind: str, folder: Path) -> None:
    """Refuse a checkpoint of which transformers reports that it lacks weights, or has others.

    Args:
        report: what `from_pretrained` returned beside the model.
        kind: what the checkpoint was taken for, for people.
        folder: where it is.

    Raises:
        EngineLoadError: with the first of those weights.
    """
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if keys := sorted(_name(key) for key in report[problem]):
            shown = ", ".join(keys[:_SHOWN_KEYS]) + (", ..." if len(keys) > _SHOWN_KEYS else "")
            raise EngineLoadError(
                f"The checkpoint in {folder} is not one of {kind}: {len(keys)} {problem.replace('_', ' ')} ({shown})."
            )


def _name(key: str | tuple[Any, ...]) -> str:
    """Return the weight's name; mismatches carry both shapes behind it."""
    return key if isinstance(key, str) else f"{key[0]}: {tuple(key[1])} instead of {tuple(key[2])}"
