"""`asr-queue watch` on the real local system, with the engine that needs no weights."""

import json
from pathlib import Path

from asr_queue.client import Client, transcribe_item
from asr_queue.local.up import private_stack
from tests.cli.conftest import Run
from tests.cli.terminals import on_terminal

RECORDINGS = Path(__file__).parents[1] / "recordings"
ENGLISH = RECORDINGS / "asterisk-en-queue-youarenext.flac"


def test_a_queue_is_followed(run: Run, tmp_path: Path) -> None:
    with private_stack(tmp_path / "data", engine="echo") as (url, key), Client(url, key) as client:
        named = {"ASR_QUEUE_URL": url, "ASR_QUEUE_API_KEY": key}
        with on_terminal(tmp_path, "watch", columns=140, extra=named) as terminal:
            terminal.until(r" echo +\d")
            items = [transcribe_item(client.upload(ENGLISH).file_id, custom_id=f"{n}") for n in range(20)]
            items.append(transcribe_item(client.upload(b"no audio").file_id, custom_id="broken"))
            client.wait(client.submit(items, label="of today").batch_id, deadline_s=60)
            terminal.until(r" echo .* 21 +0:0")
            terminal.type("q")
            assert terminal.ended() == 0
        told = json.loads(run("watch", "--json", **named).stdout)
        assert [lane["visible"] for lane in told["queue"]["backlog"]] == [0, 0, 0]
        assert told["batches"] == []
