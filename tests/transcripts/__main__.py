"""Makes `real.jsonl` anew: `python -m tests.transcripts`, some ten minutes of two cores."""

import tempfile
from pathlib import Path

from gpu_worker.engine import EngineSettings
from gpu_worker.engines.catalog import create
from tests.transcripts.real import REAL, recordings, transcribed

_AT_ONCE = 16


def main() -> None:
    """Transcribe every recording, and keep the transcripts as the worker stores them, a line each."""
    sounds = recordings()
    with tempfile.TemporaryDirectory() as folder, REAL.open("w", encoding="utf-8") as out:
        engine = create("whisper", EngineSettings(cache_dir=Path(folder)))
        engine.load()
        for start in range(0, len(sounds), _AT_ONCE):
            for data in transcribed(engine, sounds[start : start + _AT_ONCE]):
                out.write(data.decode() + "\n")
            print(f"{start + _AT_ONCE} of {len(sounds)}", flush=True)


if __name__ == "__main__":
    main()
