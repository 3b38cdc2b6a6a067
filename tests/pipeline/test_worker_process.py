"""The worker as it is started, against the embedded AWS."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

from asr_queue.adapters.aws import connect
from asr_queue.adapters.system_clock import SystemClock
from asr_queue.settings import ResourceSettings
from asr_queue.usecases.accept_upload import accept_upload
from asr_queue.usecases.batch_status import batch_status
from asr_queue.usecases.submit_batch import submit_batch
from asr_queue.wire.api import SubmitItem, SubmitRequest
from tests.pipeline.makers import wav
from tests.pipeline.rig import until

ROOT = Path(__file__).parents[2]


def test_python_m_gpu_worker_transcribes_and_ends_at_sigterm(embedded_aws, tmp_path):
    values = embedded_aws.environment
    names = {name: values[f"ASR_QUEUE_{name.upper()}"] for name in ("bucket", "table", "transcribe_queue_url")}
    aws, clock, tenant = connect(ResourceSettings(**names), environment=values), SystemClock(), str(uuid4())
    recordings = [*[wav(1.0)] * 20, b"no audio"]
    files = [
        accept_upload(
            data,
            tenant=tenant,
            file_name="",
            content_type="",
            store=aws.store,
            table=aws.table,
            clock=clock,
            file_ttl_s=1800,
        )
        for data in recordings
    ]
    request = SubmitRequest(items=[SubmitItem(operation="transcribe", ref_audio=file.file_id) for file in files])
    batch_id = submit_batch(request, tenant=tenant, table=aws.table, queues=aws.queues, clock=clock).answer.batch_id

    ready = tmp_path / "ready"
    own = {"ASR_QUEUE_ENGINE": "echo", "ASR_QUEUE_READY_FILE": str(ready), "TMPDIR": str(tmp_path)}
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen([sys.executable, "-m", "gpu_worker"], cwd=ROOT, env={**values, **own}, stderr=log) as worker,
    ):
        try:
            until(ready.exists)
            until(lambda: batch_status(batch_id, tenant=tenant, table=aws.table).status == "partial")
            until(lambda: batch_status(batch_id, tenant=tenant, table=aws.table).completed == 20)
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(60) == 0
        finally:
            worker.kill()
    assert not ready.exists()
    found = aws.table.load_batch(batch_id)
    assert found is not None
    assert [item.error.code if item.error else "done" for item in found[1]] == ["done"] * 20 + ["audio_format_unknown"]
    assert b"echo of 1.00 s" in aws.store.get(found[1][0].result_key)
    events = [json.loads(line)["event"] for line in (tmp_path / "log").read_text().splitlines()]
    assert events.count("item_published") == 21
