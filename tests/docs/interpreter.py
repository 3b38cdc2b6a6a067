"""Python's prompt, for a test: each line of standard input is a file to run, and all share their names."""

import contextlib
import sys
import traceback
from pathlib import Path

names: dict[str, object] = {"__name__": "__main__"}
for line in sys.stdin:
    step = Path(line.strip())
    with (
        step.with_suffix(".output").open("w") as output,
        step.with_suffix(".complaints").open("w") as complaints,
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(complaints),
    ):
        try:
            exec(compile(step.read_text(), str(step), "exec"), names)
            ended = "done"
        except BaseException:  # noqa: BLE001 - sys.exit() of a program too ends that program alone
            traceback.print_exc()
            ended = "failed"
    sys.__stdout__.write(f"{ended}\n")
    sys.__stdout__.flush()
