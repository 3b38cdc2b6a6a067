"""The report: one table a model, from the figures that the parts left behind."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.qwen3 import vocabulary
from benchmarks.qwen3.parts import SIDES, real_parts, tiny_parts
from benchmarks.qwen3.sizes import SIZES
from benchmarks.report import table

_TITLES = {
    "official": "qwen-asr 0.0.6",
    "native": "transformers",
    "compiled": "transformers, static and compiled",
    "ours": "ours",
}
_WANTED = (
    ("0.6b", "16 x 30 s x 80 tokens", 3600.0),
    ("0.6b", "64 x 30 s x 80 tokens", 6000.0),
    ("1.7b", "16 x 30 s x 80 tokens", 2000.0),
    ("1.7b", "64 x 30 s x 80 tokens", 3900.0),
)
_RAGGED = (
    (16, "16 x 2-30 s, 16 at once"),
    (16, "256 x 2-30 s, 16 at once"),
    (64, "64 x 2-30 s, 64 at once"),
    (128, "512 x 2-30 s, 128 at once"),
)
"""Rows, and what goes through them: as many clips as there are rows, or a stream that refills them."""
_WANTED_ALIGNER_MS = 45
_WANTED_TIMES_OFFICIAL = 8
_WANTED_RAGGED = 0.8


def report(folder: Path, names: Sequence[str]) -> str:
    """Return what the parts of these names measured, those that ran."""
    found = [_read(folder / f"{name}.json") for name in names if (folder / f"{name}.json").exists()]
    if not found:
        return "Nothing has been measured.\n"
    models = list(dict.fromkeys(part["model"] for part in found))
    chapters = [_chapter(model, [part for part in found if part["model"] == model]) for model in models]
    machines = "\n".join(f"- {machine}" for machine in dict.fromkeys(part["machine"] for part in found))
    return f"""# Qwen3-ASR four ways

From samples on the host to token ids on the host; medians, with the least and the most in brackets. Weights are random,
of the real sizes, the same on every side, and bfloat16; they prove nothing about word errors. Audio seconds are those
of the clips, nothing padded. No text ends by itself, and all sides write the same number of tokens.

{_verdicts(found)}
{"".join(chapters)}
## Measured on

{machines}

- The floor is the arithmetic of encoder and prefill at the peak of a large matrix product, and of each step either that
  or the reading of all weights, keys and values at the peak of a large copy; peaks are those of the same process.
- Sides other than ours take a stream in batches as it comes, in the order that it comes; a batch ends with its longest
  text. Of the stream they are given 64 clips instead of 512.
- FlashAttention is not installed: the authors' package runs on PyTorch's own attention, as transformers does.
- A step is (everything - first token) / (tokens - 1); prefill is first token - spectra - encoder.
"""


def _read(path: Path) -> dict[str, Any]:
    part: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return part


def _chapter(model: str, parts: Sequence[dict[str, Any]]) -> str:
    parts = sorted(parts, key=lambda part: SIDES.index(part["side"]))
    rows, stages = [], []
    workloads = dict.fromkeys(case["workload"] for part in parts for case in part["cases"])
    for workload in workloads:
        for part in parts:
            for case in part["cases"]:
                if case["workload"] == workload:
                    rows.append(_row(model, part, case))
                    if "stages_s" in case:
                        stages.append(_stage_row(part, case))
    head = ["", "", "ms", "audio s/s", "tokens/s", "% of floor", "peak GB", "repeats"]
    text = f"\n## {model}\n\n{table(head, rows)}\n"
    if stages:
        text += f"\n{table(['', '', 'spectra ms', 'encoder ms', 'prefill ms', 'a step ms', 'first run s'], stages)}\n"
    return text + "\n" + "".join(_notes(part) for part in parts)


def _row(model: str, part: dict[str, Any], case: dict[str, Any]) -> list[str]:
    begin = [case["workload"], _TITLES[part["side"]]]
    if "error" in case:
        return [*begin, case["error"], "", "", "", "", ""]
    took_s = median(case["took_s"])
    ms = [1000 * one for one in case["took_s"]]
    peak_bytes = case["peak_bytes"]
    return [
        *begin,
        f"{median(ms):.1f} ({min(ms):.1f}-{max(ms):.1f})",
        f"{case['audio_s'] / took_s:.0f}",
        f"{case['tokens'] / took_s:.0f}" if case["tokens"] else "",
        f"{100 * _floor_s(model, part, case) / took_s:.0f}",
        f"{peak_bytes / 1e9:.1f}" if peak_bytes else "",
        str(len(ms)),
    ]


def _stage_row(part: dict[str, Any], case: dict[str, Any]) -> list[str]:
    stages = [f"{1000 * seconds:.2f}" for seconds in case["stages_s"].values()]
    return [case["workload"], _TITLES[part["side"]], *stages, f"{case['first_s']:.1f}"]


def _notes(part: dict[str, Any]) -> str:
    peaks = part["peaks"]
    setup = ", ".join(f"{what} {seconds:.1f} s" for what, seconds in part.get("setup_s", {}).items())
    return (
        f"- {_TITLES[part['side']]}: {peaks['flop_s'] / 1e12:.0f} TFLOP/s, {peaks['bytes_s'] / 1e12:.2f} TB/s, "
        f"{peaks['staged_bytes_s'] / 1e9:.0f} GB/s from the host{f'; {setup}' if setup else ''}.\n"
    )


def _floor_s(model: str, part: dict[str, Any], case: dict[str, Any]) -> float:
    peaks = {name: part["peaks"][name] for name in ("flop_s", "bytes_s")}
    workload = next(
        workload
        for known in (*real_parts(), *tiny_parts())
        for workload in known.workloads
        if workload.name == case["workload"]
    )
    if case["kind"] == "alignment":
        text_tokens = 3 * len(vocabulary.WORDS.split()) + 2
        return SIZES[model].aligning_floor_s(list(workload.durations_s), text_tokens, flop_s=peaks["flop_s"])
    return SIZES[model].floor_s(workload, **peaks)


def _verdicts(found: Sequence[dict[str, Any]]) -> str:
    """Return how what was wanted of our side came out, as far as it was measured."""
    speeds = {
        (part["model"], part["side"], case["workload"]): case["audio_s"] / median(case["took_s"])
        for part in found
        for case in part["cases"]
        if "error" not in case
    }
    lines = []
    for model, workload, wanted in _WANTED:
        if (ours := speeds.get((model, "ours", workload))) is not None:
            lines.append(
                f"- {model}, {workload}: **{ours:.0f}** audio seconds a second; wanted: at least {wanted:.0f}."
            )
            official = speeds.get((model, "official", workload))
            if official is not None and workload.startswith("16 "):
                times = (
                    f"**{ours / official:.1f} times** the authors' package; wanted: at least {_WANTED_TIMES_OFFICIAL}"
                )
                lines.append(f"- {model}, {workload}: {times}.")
    for model in ("0.6b", "1.7b"):
        for rows, name in _RAGGED:
            equal, ragged = speeds.get((model, "ours", f"{rows} x 30 s x 80 tokens")), speeds.get((model, "ours", name))
            if equal is not None and ragged is not None:
                share = f"**{100 * ragged / equal:.0f} %** of the audio seconds a second of {rows} x 30 s"
                lines.append(f"- {model}, {name}: {share}; wanted: at least {100 * _WANTED_RAGGED:.0f} %.")
    aligned = speeds.get(("aligner", "ours", "16 x 30 s x 80 tokens"))
    if aligned is not None:
        took = f"**{1000 * 16 * 30 / aligned:.1f} ms** for 16 x 30 s and 75 words each"
        lines.append(f"- aligner: {took}; wanted: under {_WANTED_ALIGNER_MS}.")
    return "\n".join(lines) + "\n" if lines else ""
