"""What requests and answers look like, for the OpenAPI description; tests hold them against the schemas."""

import json
from typing import Any, Final

from asr_queue.wire.api import Problem
from handlers.problems import MEDIA_TYPE

_FILE_ID: Final = "8f14e45f-ceea-467f-9b1d-3c0a6a9a1c11"
_BATCH_ID: Final = "3b0f2a53-6d5e-4a55-8f86-51f5d1f7b9ce"
_ITEM_IDS: Final = ["c3d6a5e0-97a5-4d6b-b7b7-2f7a5d0f1c22", "51d0f8a2-3f0e-4a6d-8e57-0a5b6c7d8e33"]

UPLOADED: Final = {"file_id": _FILE_ID, "size_bytes": 480_044, "expires_at": "2026-01-31T12:30:00.000Z"}
PRESIGN: Final = {"file_name": "talk.flac", "size_bytes": 62_914_560, "content_type": "audio/flac"}
PRESIGNED: Final = {
    "file_id": _FILE_ID,
    "method": "POST",
    "url": "https://s3.eu-central-1.amazonaws.com/asr-queue-bucket",
    "fields": {
        "Content-Type": "audio/flac",
        "key": f"uploads/acme/{_FILE_ID}.presigned",
        "policy": "eyJleHBpcmF0aW9uIjogIjIwMjYtMDEtMzFUMTM6MDA6MDBaIn0=",
        "x-amz-signature": "5f0c...",
    },
    "expires_in_s": 3600,
}
SUBMIT: Final = {
    "label": "My long recording",
    "items": [
        {
            "operation": "transcribe",
            "ref_audio": _FILE_ID,
            "language": "auto",
            "return_timestamps": True,
            "custom_id": "chunk_001",
            "text": "",
        },
        {
            "operation": "voice_clone",
            "ref_audio": _FILE_ID,
            "text": "This is said in the voice of the recording.",
            "language": "English",
            "format": "flac",
            "custom_id": "answer_001",
        },
    ],
}
SUBMITTED: Final = {"batch_id": _BATCH_ID, "total_items": 2, "item_ids": _ITEM_IDS, "status": "queued"}
STATUS: Final = {
    "batch_id": _BATCH_ID,
    "label": "My long recording",
    "status": "partial",
    "completed": 1,
    "failed": 1,
    "total": 2,
    "queued": 0,
    "processing": 0,
    "priority": "normal",
    "created_at": "2026-01-31T12:00:00.000Z",
    "finished_at": "2026-01-31T12:00:04.210Z",
    "audio_s": {"done": 15.05, "total": 15.05, "is_estimate": False},
    "estimate": None,
    "device_s": 0.112,
    "cost_usd": 0.0000251,
    "items": [
        {
            "item_id": _ITEM_IDS[0],
            "custom_id": "chunk_001",
            "ref_audio": _FILE_ID,
            "status": "done",
            "url": f"/api/v1/files/queue_transcribe_{_ITEM_IDS[0]}.json",
            "error": None,
            "error_code": None,
            "audio_s": 15.0,
            "started_at": "2026-01-31T12:00:03.480Z",
            "finished_at": "2026-01-31T12:00:04.210Z",
            "attempt": 1,
            "device_s": 0.112,
            "micro_batch": 16,
            "cost_usd": 0.0000251,
        },
        {
            "item_id": _ITEM_IDS[1],
            "custom_id": "chunk_002",
            "ref_audio": _FILE_ID,
            "status": "error",
            "url": None,
            "error": "The audio has 0.05 s; at least 0.1 s are needed.",
            "error_code": "audio_too_short",
            "audio_s": 0.05,
            "started_at": "2026-01-31T12:00:03.480Z",
            "finished_at": "2026-01-31T12:00:03.610Z",
            "attempt": 1,
            "device_s": None,
            "micro_batch": None,
            "cost_usd": None,
        },
    ],
}
BATCHES: Final = {
    "batches": [
        {
            "batch_id": _BATCH_ID,
            "label": "My long recording",
            "status": "partial",
            "priority": "normal",
            "completed": 1,
            "failed": 1,
            "queued": 0,
            "processing": 0,
            "total": 2,
            "created_at": "2026-01-31T12:00:00.000Z",
            "finished_at": "2026-01-31T12:00:09.250Z",
            "retry_of": None,
        }
    ],
    "next_cursor": "YWNtZS8xNzY5ODYwODAwMDAwLzNiMGYyYTUzLTZkNWUtNGE1NS04Zjg2LTUxZjVkMWY3YjljZQ",
}
RETRIED: Final = {
    "batch_id": "9a1c0c6e-54f3-4a53-8d0e-0b6a3f1c7d42",
    "total_items": 1,
    "item_ids": ["e0a7b9c4-1f5d-4c2a-9f3e-6d8b7a5c4e31"],
    "status": "queued",
    "retry_of": _BATCH_ID,
}
CANCELLED: Final = {"batch_id": _BATCH_ID, "cancelled": 2}
QUEUE: Final = {
    "backlog": [{"priority": "normal", "visible": 1204, "in_flight": 48}],
    "waiting_audio_s": 37560.0,
    "audio_s_per_s": 148.2,
    "workers": [
        {
            "worker_id": "0d1f6a3e-5b2c-4f0e-8d7a-9b6c5e4f3a21",
            "engine": "qwen3-asr",
            "started_at": "2026-01-31T11:02:07.312Z",
            "seen_at": "2026-01-31T12:30:01.120Z",
            "held_items": 48,
            "micro_batch_max": 16,
            "micro_batch_fill": 0.98,
            "audio_s_per_s": 148.2,
            "busy": 0.97,
            "items_done": 10734,
            "audio_s_done": 322020.0,
            "resident": ["transcribe", "voice_clone"],
            "swaps": 0,
            "mean_swap_s": None,
            "device_bytes": 38654705664,
        }
    ],
}
VOICE_WANTED: Final = {
    "name": "Anna, the warm one",
    "ref_audio": _FILE_ID,
    "said": "He was not an ill-disposed young man.",
    "consent": True,
}
VOICE: Final = {
    "voice_id": "6e2b8f0d-1c7a-4e5b-9d3f-2a8c4b6e0f17",
    "name": VOICE_WANTED["name"],
    "said": VOICE_WANTED["said"],
    "size_bytes": 480_044,
    "created_at": "2026-01-31T12:00:00.000Z",
}
VOICES: Final = {"voices": [VOICE], "next_cursor": f"1769860800000.{VOICE['voice_id']}"}
TRANSCRIPT: Final = {
    "text": "The transcribed text.",
    "language": "English",
    "language_probability": 0.988,
    "duration": 1.4,
    "timestamps": [
        {"start": 0.0, "end": 0.25, "text": "The", "confidence": 0.998},
        {"start": 0.25, "end": 0.8, "text": "transcribed", "confidence": 0.914},
        {"start": 0.8, "end": 1.1, "text": "text.", "confidence": 0.987},
    ],
}
DOWNLOADED: Final = (
    json.dumps(
        {
            "item_id": _ITEM_IDS[0],
            "custom_id": "chunk_001",
            "status": "done",
            "transcript": TRANSCRIPT,
            "error": None,
            "error_code": None,
        }
    )
    + "\n"
)
DELIVERY: Final = {
    "webhook_id": f"msg_{_BATCH_ID}",
    "callback_url": "https://example.com/asr-queue",
    "state": "pending",
    "attempts": [
        {"at": "2026-01-31T12:00:00.000Z", "status": 500, "error": None, "duration_s": 0.21},
        {
            "at": "2026-01-31T12:00:05.300Z",
            "status": None,
            "error": "The receiver did not answer within 10 s.",
            "duration_s": 10.002,
        },
    ],
    "next_attempt_at": "2026-01-31T12:05:30.000Z",
}
SECRET: Final = {
    "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=",
    "created_at": "2026-01-31T12:00:00.000Z",
}
_PROBLEMS: Final = {
    400: ("malformed_json", "Bad Request", "The body is not JSON: Invalid JSON: EOF while parsing at line 1 column 9."),
    401: ("unauthorized", "Unauthorized", "Send your API key in the X-API-Key header."),
    404: ("file_not_found", "Not Found", f"items[0].ref_audio: there is no file '{_FILE_ID}'; upload it first."),
    409: ("request_in_progress", "Conflict", "A request with this Idempotency-Key is being served right now."),
    410: ("file_expired", "Gone", f"File '{_FILE_ID}' expired at 2026-01-31T12:30:00+00:00; upload it again."),
    413: ("payload_too_large", "Request Entity Too Large", "A request may have 536870912 bytes at most."),
    422: ("unknown_language", "Unprocessable Entity", "items[0].language is 'Klingon'; use \"auto\", an English name."),
    429: ("too_many_requests", "Too Many Requests", "This key may send 10 requests a second."),
    503: ("dynamodb_unavailable", "Service Unavailable", "A service that this needs failed for the moment."),
}


_SCHEMA: Final = Problem.model_json_schema()


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's description of error answers, with an example each."""
    described: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        code, title, detail = _PROBLEMS[status]
        example = {"type": "about:blank", "title": title, "status": status, "detail": detail, "code": code}
        described[status] = {"description": title, "content": {MEDIA_TYPE: {"schema": _SCHEMA, "example": example}}}
    return described
