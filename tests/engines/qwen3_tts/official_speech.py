"""What the authors' package makes of texts by itself; a program for its environment.

    python tests/engines/qwen3_tts/official_speech.py ASKED ANSWERED

ASKED is an .npz with `asked`, JSON: the checkpoint's `folder`, the `texts`, their `languages` and what is `said` in the
voice; and the voice's `samples`. ANSWERED gets the samples of each text as `said0`, `said1`, ...
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
import transformers

sys.path.insert(0, str(Path(__file__).parents[3]))
from gpu_worker.engines.qwen3_tts_child import stand_in_for_the_other_codec


def main(asked_path: str, answered_path: str) -> None:
    """Answer one file of questions."""
    transformers.logging.set_verbosity_error()
    stand_in_for_the_other_codec()
    import qwen_tts

    torch.set_num_threads(1)
    asked_file = np.load(asked_path)
    asked = json.loads(str(asked_file["asked"]))
    official = qwen_tts.Qwen3TTSModel.from_pretrained(asked["folder"], dtype=torch.float32)
    said, rate_hz = official.generate_voice_clone(
        asked["texts"],
        asked["languages"],
        ref_audio=(asked_file["samples"], 24_000),
        ref_text=asked["said"] or None,
        x_vector_only_mode=not asked["said"],
        max_new_tokens=500,
    )
    assert rate_hz == 24_000
    np.savez(answered_path, **{f"said{i}": one for i, one in enumerate(said)})


if __name__ == "__main__":
    main(*sys.argv[1:])
