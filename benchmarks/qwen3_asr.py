"""Qwen3-ASR four ways on one machine: the authors' package, transformers, transformers compiled, and our engine.

    make bench-gpu                                         # everything, into benchmarks/results/qwen3_asr.md
    python -m benchmarks.qwen3_asr --part 0.6b-ours        # one part; `--list` names them
    python -m benchmarks.qwen3_asr --tiny                  # every line of it in a minute, on any machine

It needs an NVIDIA GPU and what `make` installs: .venv, and the authors' package in .qwen-asr. On a machine that has a
PyTorch of its own and no package index, carry the wheels along that benchmarks/qwen3/official-requirements.txt names:

    pip install --no-index --no-deps --target .qwen-asr --find-links WHEELS -r .../official-requirements.txt

Weights are random, of the real sizes, and the same on every side; no text ends by itself, so all sides write equally
many tokens. Each part is a process of its own and leaves its figures in a folder; the report is made of all that are
there, so the parts may also be run one by one.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.qwen3 import vocabulary
from benchmarks.qwen3.official import environment
from benchmarks.qwen3.parts import Part, real_parts, tiny_parts
from benchmarks.qwen3.tables import report
from benchmarks.report import RESULTS

_ROOT = Path(__file__).resolve().parent.parent
_FIGURES = _ROOT / ".asr-queue" / "qwen3-benchmark"


def measure(parts: Sequence[Part], folder: Path, *, repeats: int, limit_s: float) -> list[str]:
    """Run each part in a process of its own; return the names of those that did not end well."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary.write(folder)
    failed = []
    for part in parts:
        command = [sys.executable, "-m", "benchmarks.qwen3.measure", part.name, str(folder), str(repeats), str(limit_s)]
        given = environment() if part.side == "official" else None
        if subprocess.run(command, cwd=_ROOT, env=given, check=False).returncode:
            failed.append(part.name)
    return failed


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for, and write the report of everything in the folder; return 1 where a part failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", metavar="NAME", help="only this one; may be given more than once")
    parser.add_argument("--tiny", action="store_true", help="tiny models on the processor: tries it, measures nothing")
    parser.add_argument("--list", action="store_true", help="name the parts and do nothing")
    parser.add_argument("--repeats", type=int, default=10, help="of each workload (10)")
    parser.add_argument("--limit-s", type=float, default=90.0, help="repeat no workload for longer, but 3 times (90)")
    parser.add_argument("--figures", type=Path, default=_FIGURES, help="the folder of what was measured")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder of the report")
    given = parser.parse_args(arguments)
    known = tiny_parts() if given.tiny else real_parts()
    if given.list:
        print("\n".join(part.name for part in known))
        return 0
    wanted = [part for part in known if given.part is None or part.name in given.part]
    if unknown := set(given.part or ()) - {part.name for part in known}:
        parser.error(f"no part named {', '.join(sorted(unknown))}")
    failed = measure(wanted, given.figures, repeats=given.repeats, limit_s=given.limit_s)
    text = report(given.figures, [part.name for part in known])
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "qwen3_asr.md").write_text(text, encoding="utf-8")
    print(text)
    for name in failed:
        print(f"{name} failed", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
