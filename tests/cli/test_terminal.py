"""`asr-queue transcribe` on a real terminal (a pty): the bar is for people, and gone at the end."""

import os
import pty
import re
import select
import subprocess
import time
from pathlib import Path

from tests.cli.conftest import COMMAND, environment
from tests.client.contract_server import KEY, ContractServer, Slow

_SHOW_CURSOR = "\x1b[?25h"
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_terminal(server: ContractServer, cwd: Path, *arguments: str, stdout: int | None = None) -> tuple[int, str]:
    """Run the command with a terminal of its own; return its exit status and all that the terminal was sent."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=environment(ASR_QUEUE_URL=server.url, ASR_QUEUE_API_KEY=KEY, TERM="xterm-256color", COLUMNS="100"),
        stdin=theirs,
        stdout=theirs if stdout is None else stdout,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    deadline_s = time.monotonic() + 60
    try:
        while time.monotonic() < deadline_s:
            if not select.select([ours], [], [], 0.1)[0]:
                continue
            try:
                block = os.read(ours, 65_536)
            except OSError:  # Linux: the other side is closed
                break
            if not block:
                break
            seen += block
        return process.wait(60), seen.decode()
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_a_bar_moves_below_what_is_printed_and_is_gone_at_the_end(server: ContractServer, recordings: Path) -> None:
    server.always["fetch"] = Slow(0.5)
    status, seen = on_terminal(server, recordings.parent, "transcribe", "recordings")
    assert status == 1
    plain = _CONTROL.sub("", seen)
    assert re.search(r"0/4 .*4 uploaded", plain)
    assert re.search(r"1/4 .*1 failed", plain), "the broken file was counted while the others were on their way"
    assert "==> recordings/a/talk.mp3 <==\r\nfirst talk.\r\n" in plain
    assert "failed recordings/b/broken.wav: Invalid audio format" in plain
    assert _SHOW_CURSOR in seen
    assert re.match(r"3 done, 1 failed in [\d.]+ s\s*$", plain.splitlines()[-1].rpartition("\r")[2])


def test_what_goes_into_a_pipe_has_no_bar_in_it(server: ContractServer, recordings: Path, tmp_path: Path) -> None:
    with (tmp_path / "texts").open("wb") as texts:
        status, seen = on_terminal(server, recordings.parent, "transcribe", "recordings/a", stdout=texts.fileno())
    assert status == 0
    assert (tmp_path / "texts").read_text() == "==> recordings/a/talk.mp3 <==\nfirst talk.\n\n"
    assert "first talk" not in seen
    assert "0/1" in seen


def test_a_long_line_is_not_broken_for_the_terminal(server: ContractServer, recordings: Path) -> None:
    text = "word " * 100 + "[bold]end[/bold] :smile:"
    (recordings / "a" / "talk.mp3").write_text(text)
    _, seen = on_terminal(server, recordings.parent, "transcribe", "recordings/a/talk.mp3")
    assert text + "\r\n" in _CONTROL.sub("", seen)
