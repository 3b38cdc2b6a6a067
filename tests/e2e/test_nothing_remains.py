"""After the time to live nothing of audio or text is left: everything that the system keeps is searched for both."""

import io
import json
import mmap
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import numpy as np
import psutil
import soundfile

from tests.e2e.calls import finished, submit, upload
from tests.e2e.conftest import Stack

FILE_TTL_S = 10
"""Long enough for an upload to be submitted in time on a busy machine."""
GONE_WITHIN_S = 180
RATE_HZ = 16_000
PROMPT = "Pemberley, Netherfield"
PARTS_BYTES = 100_000_001
"""More than goes in one form."""


def noise(seconds: float) -> tuple[bytes, bytes]:
    """Return a recording of noise, and a piece of its samples that is found in nothing else."""
    samples = np.random.default_rng(round(seconds * 1000)).integers(-20_000, 20_000, round(seconds * RATE_HZ), "<i2")
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE_HZ, format="WAV", subtype="PCM_16")
    return buffer.getvalue(), samples[1000:1032].tobytes()


def files(folder: Path) -> Iterator[Path]:
    # What goes away while it is walked is left out, which `Path.rglob` does not do.
    paths = (Path(parent) / name for parent, _, names in os.walk(folder) for name in names)
    return (path for path in paths if path.is_file() and not path.is_symlink())


def holds(path: Path, pieces: list[bytes]) -> bool:
    """Whether one of the pieces is in a file, without reading it into memory."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return any(content.find(piece) >= 0 for piece in pieces)
    except (FileNotFoundError, ValueError):  # it has just gone, or is empty
        return False


def remains(stack: Stack, scratch: Path, pieces: list[bytes]) -> list[str]:
    """Return where anything of the pieces is left: on the disks of all processes, and in each service."""
    found = [str(path) for folder in (stack.data, scratch) for path in files(folder) if holds(path, pieces)]
    for process in psutil.Process(stack.process.pid).children(recursive=True):
        try:
            found += [
                f"{process.pid} holds {path} open"
                for number in Path(f"/proc/{process.pid}/fd").iterdir()
                if (path := number.readlink()).name.endswith("(deleted)") and holds(number, pieces)
            ]
        except OSError:  # the process has ended
            continue
    bucket, table = stack.environment()["ASR_QUEUE_BUCKET"], stack.environment()["ASR_QUEUE_TABLE"]
    s3 = stack.aws("s3")
    versions = s3.list_object_versions(Bucket=bucket)
    found += [f"s3: {entry['Key']}" for kind in ("Versions", "DeleteMarkers") for entry in versions.get(kind, [])]
    found += [f"s3: parts of {entry['Key']}" for entry in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])]
    pages = stack.aws("dynamodb").get_paginator("scan").paginate(TableName=table)
    rows = [json.dumps(row, default=repr).encode() for page in pages for row in page["Items"]]
    found += [f"dynamodb: {row!r}" for row in rows if any(piece in row for piece in pieces)]
    sqs = stack.aws("sqs")
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    for url in sqs.list_queues()["QueueUrls"]:
        counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        found += [f"sqs: {url}: {counts}"] if any(int(count) for count in counts.values()) else []
    return found


def test_after_its_time_nothing_of_a_recording_or_a_transcript_is_left_anywhere(
    up: Callable[..., AbstractContextManager[Stack]], tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    lengths_s = (3.17, 4.23, 5.29)
    recordings, audio = zip(*map(noise, lengths_s), strict=True)
    texts = [f"echo of {length_s:.2f} s".encode() for length_s in lengths_s]
    pieces = [*audio, *texts]
    with (
        up("--engine", "echo", ASR_QUEUE_FILE_TTL_S=str(FILE_TTL_S), TMPDIR=str(scratch)) as stack,
        stack.client() as api,
        httpx.Client(trust_env=False, timeout=60) as store,
    ):
        [worker] = stack.children("gpu_worker")
        worker.suspend()
        through_the_api = upload(api, recordings[0], "one.wav")
        batch_ids = [submit(api, [through_the_api, through_the_api])]
        how = api.post(
            "/api/v1/files/presign", json={"size_bytes": len(recordings[1]), "content_type": "audio/wav"}
        ).json()
        assert store.post(how["url"], data=how["fields"], files={"file": recordings[1]}).status_code == 204
        assert api.post(f"/api/v1/files/{how['file_id']}/complete").status_code == 200
        batch_ids.append(submit(api, [how["file_id"]]))
        batch_ids.append(submit_lines(api, through_the_api))
        dropped = "drop/local/audio/auto/three.wav"
        stack.aws("s3").put_object(Bucket=stack.environment()["ASR_QUEUE_BUCKET"], Key=dropped, Body=recordings[2])
        large = api.post("/api/v1/files/presign", json={"size_bytes": PARTS_BYTES, "content_type": "audio/wav"}).json()
        part = large["parts"][-1]
        sent = (audio[0] * part["size_bytes"])[: part["size_bytes"]]
        assert store.put(part["url"], content=sent).status_code == 200
        assert len(remains(stack, scratch, pieces)) >= 4, "it is looked for where it is"

        worker.resume()
        for batch_id in batch_ids:
            assert finished(api, batch_id)["status"] == "completed"
        assert any("results" in one for one in remains(stack, scratch, texts)), "transcripts are looked for, too"
        form = {"model": "any", "prompt": PROMPT}
        told = api.post("/v1/audio/transcriptions", files={"file": ("one.wav", recordings[0])}, data=form).json()
        assert told["text"].encode() == texts[0] + b" " + PROMPT.encode()
        # What a client began and left lives as long as its address; this one's is ended here.
        assert api.delete(f"/api/v1/files/{large['file_id']}").status_code == 204

        deadline = time.monotonic() + GONE_WITHIN_S
        while left := [one for one in remains(stack, scratch, pieces) if not is_note(one)]:
            assert time.monotonic() < deadline, left
            time.sleep(1)


def submit_lines(api: httpx.Client, file_id: str) -> str:
    """Submit a line as OpenAI's clients do; return the id of its batch."""
    body = {"model": "any", "file_id": file_id, "prompt": PROMPT}
    url = "/v1/audio/transcriptions"
    line = json.dumps({"custom_id": "one", "method": "POST", "url": url, "body": body})
    made = api.post("/v1/files", files={"file": ("lines.jsonl", line.encode())}, data={"purpose": "batch"}).json()
    asked = {"input_file_id": made["id"], "endpoint": url, "completion_window": "24h"}
    return str(api.post("/v1/batches", json=asked).json()["id"])


def is_note(found: str) -> bool:
    """Whether this is a note beside what was dropped, which stays for a day and names ids only.

    An error, where a busy machine came to the object when its time was over.
    """
    return found.endswith((".receipt.json", ".error.json"))
