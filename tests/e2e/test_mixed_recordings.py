"""Good and bad recordings in one batch: the bad ones say what is wrong, and cost nobody else anything."""

import io
import itertools
import json
from pathlib import Path

import numpy as np
import soundfile

from tests.e2e.calls import finished, submit, upload
from tests.e2e.conftest import Stack

RECORDINGS = Path(__file__).parents[1] / "recordings"
RATE_HZ = 16_000
LONG_S = 600


def wav(samples: "np.ndarray[tuple[int], np.dtype[np.float32]]") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE_HZ, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def ten_minutes(files: list[Path]) -> bytes:
    """Return speech with short pauses, again and again."""
    pieces = []
    for path in files:
        samples, rate_hz = soundfile.read(path, dtype="float32")
        assert rate_hz == RATE_HZ
        pieces += [samples, np.zeros(RATE_HZ // 2, np.float32)]
    once = np.concatenate(pieces)
    return wav(np.tile(once, LONG_S * RATE_HZ // once.size + 1)[: LONG_S * RATE_HZ])


def test_bad_recordings_among_good_ones(whisper_stack: Stack) -> None:
    manifest = json.loads((RECORDINGS / "recordings.json").read_text())
    speech = [RECORDINGS / entry["file"] for entry in manifest if entry["file"].startswith("librivox")]
    good = [(RECORDINGS / entry["file"]).read_bytes() for entry in manifest[:16]]
    flac = good[0]
    others = {
        "corrupt": flac[:60] + bytes(np.random.default_rng(0).integers(0, 256, 20_000, dtype=np.uint8)),
        "no samples": wav(np.zeros(0, np.float32)),
        "text": b"This is a text file that somebody named .wav.\n" * 20,
        "short": wav(np.full(int(0.05 * RATE_HZ), 0.1, np.float32)),
        "silence": wav(np.zeros(5 * RATE_HZ, np.float32)),
        "long": ten_minutes(speech),
    }
    with whisper_stack.client() as api:
        file_ids = [upload(api, data) for data in [*good[:8], *others.values(), *good[8:]]]
        batch_id = submit(api, file_ids, return_timestamps=True)
        batch = finished(api, batch_id, patience_s=400)
        items = batch["items"]
        by_name = dict(zip(others, items[8:14], strict=True))
        assert [item["status"] for item in items[:8] + items[14:]] == ["done"] * 16
        assert batch["status"] == "partial"

        codes = {name: by_name[name]["error_code"] for name in ("no samples", "text", "short")}
        assert codes == {"no samples": "audio_corrupt", "text": "audio_format_unknown", "short": "audio_too_short"}
        assert by_name["corrupt"]["error_code"] in ("audio_corrupt", "audio_format_unknown")
        assert "0.05 s" in by_name["short"]["error"]
        assert all(item["url"] is None and len(item["error"]) > 20 for name, item in by_name.items() if name in codes)

        silence = api.get(by_name["silence"]["url"]).json()
        assert (silence["text"], silence["language"], silence["timestamps"]) == ("", None, [])
        assert silence["no_speech"] is True

        transcript = api.get(by_name["long"]["url"]).json()
        words = transcript["timestamps"]
        assert by_name["long"]["audio_s"] == LONG_S
        assert words[-1]["end"] > LONG_S - 15, "the end is there"
        assert all(word["start"] <= word["end"] <= LONG_S for word in words)
        assert all(one["start"] <= other["start"] for one, other in itertools.pairwise(words))
        longest_gap_s = max(other["start"] - one["end"] for one, other in itertools.pairwise(words))
        assert longest_gap_s < 10, "nothing in the middle is missing"
        assert len(words) > LONG_S
