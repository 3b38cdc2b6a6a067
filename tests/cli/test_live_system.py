"""`asr-queue watch` and `report` on the real local system, with the engine that needs no weights."""

import json
import re
from pathlib import Path

from asr_queue.client import Client, transcribe_item
from asr_queue.local.up import private_stack
from tests.cli.conftest import Run
from tests.cli.terminals import on_terminal

RECORDINGS = Path(__file__).parents[1] / "recordings"
ENGLISH = RECORDINGS / "asterisk-en-queue-youarenext.flac"


def test_a_queue_is_followed_and_a_batch_reported(run: Run, tmp_path: Path) -> None:
    with private_stack(tmp_path / "data", engine="echo") as (url, key), Client(url, key) as client:
        named = {"ASR_QUEUE_URL": url, "ASR_QUEUE_API_KEY": key}
        with on_terminal(tmp_path, "watch", columns=140, extra=named) as terminal:
            terminal.until(r" echo +\d")
            items = [transcribe_item(client.upload(ENGLISH).file_id, custom_id=f"{n}") for n in range(20)]
            items.append(transcribe_item(client.upload(b"no audio").file_id, custom_id="broken"))
            batch = client.wait(client.submit(items, label="of today").batch_id, deadline_s=60)
            terminal.until(r" echo .* 21 +0:0")
            terminal.type("q")
            assert terminal.ended() == 0
        told = json.loads(run("watch", "--json", **named).stdout)
        assert [lane["visible"] for lane in told["queue"]["backlog"]] == [0, 0, 0]
        assert told["batches"] == []
        ran = run("report", batch.batch_id, "--out", "page.html", **named)
        assert (ran.returncode, ran.stdout) == (0, "page.html\n"), ran.stderr
    page = (tmp_path / "page.html").read_text()
    assert "<h1>of today</h1>" in page
    assert page.count("<svg ") == 5
    assert "<dt>done</dt><dd>20</dd>" in page
    assert re.search(r'<code>\w+</code></td><td class="number">1</td><td>[^<]+</td><td>broken</td>', page)
