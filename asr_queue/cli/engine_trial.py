"""Trying a worker's engine from the command line: in a process of its own, as the worker is the other half."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from asr_queue.cli.checks import Check

_TRIAL: Final = "gpu_worker.trial"
"""Named, not imported."""
_EXTRAS: Final = {"qwen3-asr": "qwen3"}
"""What an engine needs where that has another name than itself."""


def try_engine(
    engine: str, *, model: str | None, aligner: str | None, device: str | None, recording: Path | None
) -> Check:
    """Load an engine, recognise a recording or a tone with it, and say how fast that was.

    The weights may have to be downloaded, which may take long; nothing is waited for otherwise.
    """
    options = {"model": model, "aligner": aligner, "device": device, "recording": recording}
    command = [sys.executable, "-m", _TRIAL, "--engine", engine]
    command += [part for name, value in options.items() if value is not None for part in (f"--{name}", str(value))]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own module
    name = f"engine {engine}"
    try:
        found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        told = ran.stderr.strip().splitlines() or [f"exit status {ran.returncode}"]
        return Check(name, "wrong", told[-1], f"pip install 'asr-queue[{_EXTRAS.get(engine, engine)}]'")
    if "error" in found:
        return Check(name, "wrong", found["error"], "mend what it says, or name other weights with --model")
    if found["faults"]:
        return Check(name, "wrong", " ".join(found["faults"]), "report this, with your device and PyTorch's version")
    return Check(name, "ok", _told(found, is_speech=recording is not None))


def _told(found: dict[str, Any], *, is_speech: bool) -> str:
    audio_s, copies = found["audio_s"], found["copies"]
    facts = [
        f"loaded in {found['load_s']:.1f} s",
        f"{audio_s:.1f} s of {'speech' if is_speech else 'a tone'} in {found['alone_s']:.2f} s "
        f"({audio_s / found['alone_s']:.0f} times as fast as it is long)",
        f"{copies} of them at once in {found['together_s']:.2f} s ({copies * audio_s / found['together_s']:.0f} times)",
    ]
    if is_speech:
        facts.append(f"heard in {found['language'] or 'no known language'}, {found['words']} words with times")
    return "; ".join(facts) + f"\n        {found['text']!r}" + "".join(f"\n        {one}" for one in found["remarks"])
