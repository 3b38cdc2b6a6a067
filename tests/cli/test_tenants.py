"""`asr-queue tenants purge` against a running stack."""

from pathlib import Path
from uuid import uuid4

from asr_queue.adapters.aws import connect
from asr_queue.adapters.system_clock import SystemClock
from asr_queue.settings import ResourceSettings
from asr_queue.usecases.accept_upload import accept_upload
from asr_queue.usecases.manage_keys import create_key
from asr_queue.usecases.presign_upload import presign_upload
from asr_queue.usecases.submit_batch import submit_batch
from asr_queue.wire.api import SubmitItem, SubmitRequest
from tests.cli.conftest import Run
from tests.cli.test_keys import stack_folder
from tests.conftest import EmbeddedAws


def test_everything_of_one_tenant_goes_and_nothing_of_another(
    run: Run, embedded_aws: EmbeddedAws, tmp_path: Path
) -> None:
    variables = {name: value for name, value in embedded_aws.environment.items() if name.startswith("ASR_QUEUE_")}
    settings = ResourceSettings(**{name.removeprefix("ASR_QUEUE_").lower(): value for name, value in variables.items()})
    aws, clock = connect(settings, environment=embedded_aws.environment), SystemClock()
    tenants = [f"purge-{uuid4()}" for _ in range(2)]
    uploads, batches = [], []
    for tenant in tenants:
        create_key(tenant=tenant, name="any", table=aws.table, clock=clock)
        upload = accept_upload(
            b"audio",
            tenant=tenant,
            file_name="a.wav",
            content_type="audio/wav",
            store=aws.store,
            table=aws.table,
            clock=clock,
            file_ttl_s=1800,
        )
        presign_upload(
            tenant=tenant,
            file_name="b.wav",
            size_bytes=200_000_000,
            content_type="audio/wav",
            presigner=aws.presigner,
            table=aws.table,
            clock=clock,
            max_upload_bytes=300_000_000,
        )
        aws.store.put(f"drop/{tenant}/m.wav", b"dropped", content_type="audio/wav")
        request = SubmitRequest(items=[SubmitItem(operation="transcribe", ref_audio=upload.file_id)])
        submitted = submit_batch(
            request, tenant=tenant, table=aws.table, queues=aws.queues, clock=clock, idempotency_key="k"
        )
        uploads.append(upload)
        batches.append(submitted.answer.batch_id)

    data = stack_folder(embedded_aws, tmp_path)
    asked = run("tenants", "purge", tenants[0], "--data", data)
    assert asked.returncode == 1, "nobody said yes"
    assert aws.table.load_batch(batches[0]) is not None
    ran = run("tenants", "purge", tenants[0], "--yes", "--data", data)
    assert ran.returncode == 0, ran.stderr
    # Rows: two files, a batch, an item, an answer. Objects: an upload, a half-sent one, a drop.
    assert ran.stdout == "1 keys revoked, 5 rows and 3 objects removed\n"
    assert "0 keys revoked, 0 rows and 0 objects" in run("tenants", "purge", tenants[0], "--yes", "--data", data).stdout

    assert [aws.table.load_batch(batch_id) is None for batch_id in batches] == [True, False]
    assert [set(aws.table.get_files([upload.file_id])) for upload in uploads] == [set(), {uploads[1].file_id}]
    left = [key for prefix in ("uploads/", "drop/") for key in aws.store.list_keys(prefix)]
    assert [any(tenant in key for key in left) for tenant in tenants] == [False, True]
    in_force = {key.tenant for key in aws.table.list_keys() if key.revoked_at is None}
    assert tenants[0] not in in_force
    assert tenants[1] in in_force
