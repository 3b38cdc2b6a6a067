"""`python -m tests.fuzz FILES [FIRST] [REPORT]`: the long form; `make fuzz` runs it."""

import sys
import time
from collections import Counter
from pathlib import Path

from tests.fuzz.campaign import MAX_AUDIO_S, PROCESSES, TIMEOUT_S, Report, run


def main() -> int:
    """Run, print what came of it, and return 1 where something came out of the decoder that is no refusal."""
    files = int(sys.argv[1])
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    began_s = time.monotonic()
    report = run(range(first, first + files))
    text = described(report, files, first, time.monotonic() - began_s)
    print(text)
    if len(sys.argv) > 3:
        Path(sys.argv[3]).write_text(text)
    return 1 if report.bugs else 0


def described(report: Report, files: int, first: int, took_s: float) -> str:
    """Return a report as a page."""
    kinds = sorted({kind for kind, _ in report.outcomes})
    codes = [code for code, _ in Counter({code: 0 for _, code in report.outcomes}).most_common()]
    totals = Counter[str]()
    for (_, code), number in report.outcomes.items():
        totals[code] += number
    codes.sort(key=lambda code: -totals[code])
    rows = [f"| {kind} | " + " | ".join(str(report.outcomes[kind, code]) for code in codes) + " |" for kind in kinds]
    lines = [
        f"{files:,} damaged files, numbers {first:,} to {first + files - 1:,}, made from {len(kinds)} kinds of good",
        f"ones, through the worker's own decoder: {PROCESSES} processes, at most {TIMEOUT_S:g} s and {MAX_AUDIO_S:g} s",
        "of audio a file.",
        "",
        f"- {took_s:,.0f} s, {files / took_s:,.0f} files a second",
        f"- slowest file: {report.slowest[0]:.2f} s (number {report.slowest[1]})",
        f"- most memory of a decoding process: {report.peak_bytes / 2**20:.0f} MiB",
        f"- what came out that is no refusal: {len(report.bugs)}",
        f"- processes that a file ended, or that were ended for it: {len(report.killed)}",
        *(f"  - {number}: {why}" for number, why in sorted(report.bugs.items())[:50]),
        *(f"  - {number}: {why}" for number, why in sorted(report.killed.items())[:50]),
        "",
        "| kind | " + " | ".join(f"`{code}`" for code in codes) + " |",
        "|---|" + "---|" * len(codes),
        *rows,
        "| **all** | " + " | ".join(str(totals[code]) for code in codes) + " |",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
