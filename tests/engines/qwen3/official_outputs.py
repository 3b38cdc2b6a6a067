"""What the authors' package makes of clips; a program for `benchmarks.qwen3.official.environment`.

    python tests/engines/qwen3/official_outputs.py ASKED ANSWERED

ASKED is an .npz with the clips `clip0`, `clip1`, ... and `asked`, JSON: the folders of both checkpoints, and of each
clip its language or null and the words to align. ANSWERED gets an .npz with `heard0`, ... (the audio's features behind
the projector) and `answered`, JSON: of each clip the ids, the text, the language and the aligned words.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[3]))
from benchmarks.qwen3.official import package

_RATE_HZ = 16_000


def main(asked_path: str, answered_path: str) -> None:
    """Answer one file of questions."""
    asked_file = np.load(asked_path)
    asked = json.loads(str(asked_file["asked"]))
    clips = [asked_file[f"clip{i}"] for i in range(len(asked["clips"]))]
    official = package()
    recogniser = official.Qwen3ASRModel.from_pretrained(
        asked["recogniser"], dtype=torch.float32, max_inference_batch_size=1, max_new_tokens=asked["max_new_tokens"]
    )
    heard, ids = _listen(recogniser, asked["eos_token_id"])
    aligner = official.Qwen3ForcedAligner.from_pretrained(asked["aligner"], dtype=torch.float32)
    answers = []
    for clip, question in zip(clips, asked["clips"], strict=True):
        said = recogniser.transcribe((clip, _RATE_HZ), language=question["language"])[0]
        aligned = aligner.align((clip, _RATE_HZ), question["words"], "English")[0]
        words = [[word.text, word.start_time, word.end_time] for word in aligned]
        answers.append({"ids": ids[-1], "text": said.text, "language": said.language, "words": words})
    np.savez(answered_path, answered=json.dumps(answers), **{f"heard{i}": one for i, one in enumerate(heard)})


def _listen(recogniser, eos_token_id):
    """Return two lists that fill up with what passes inside the package: audio features, and generated ids."""
    heard, ids = [], []
    model = recogniser.model
    model.thinker.audio_tower.register_forward_hook(
        lambda _module, _in, out: heard.append(out.last_hidden_state.numpy())
    )
    generate = model.generate

    def listened(input_ids, **inputs):
        # The package has the ids of the real vocabulary written into its code.
        made = generate(input_ids=input_ids, **{**inputs, "eos_token_id": eos_token_id, "do_sample": False})
        ids.append(made.sequences[0, input_ids.shape[1] :].tolist())
        return made

    model.generate = listened
    return heard, ids


if __name__ == "__main__":
    main(*sys.argv[1:])
