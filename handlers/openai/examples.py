"""What requests and answers under `/v1` look like, for the OpenAPI description."""

from typing import Any, Final

TRANSCRIBED: Final = {"text": "The transcribed text.", "usage": {"type": "duration", "seconds": 2}}
_TEXT: Final = {"type": "string"}
TRANSCRIPTION_FORM: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "model"],
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "minLength": 1,
                            "description": "Any audio, or the audio track of a video.",
                        },
                        "model": {**_TEXT, "minLength": 1, "maxLength": 256, "description": "Any; see GET /v1/models."},
                        "language": {**_TEXT, "description": "An ISO 639-1 code, or an English name."},
                        "prompt": {**_TEXT, "description": "Names and rare words; of a long one the end counts."},
                        "keywords[]": {"type": "array", "items": {**_TEXT, "maxLength": 200}, "maxItems": 100},
                        "response_format": {**_TEXT, "enum": ["json", "text", "srt", "verbose_json", "vtt"]},
                        "temperature": {"type": "number", "minimum": 0, "maximum": 1},
                        "timestamp_granularities[]": {
                            "type": "array",
                            "items": {**_TEXT, "enum": ["word", "segment"]},
                            "maxItems": 2,
                        },
                        "stream": {"type": "boolean", "enum": [False]},
                    },
                }
            }
        },
    }
}
"""The body of a transcription, which is read by hand."""

_FILE_ID: Final = "8f14e45f-ceea-467f-9b1d-3c0a6a9a1c11"
_BATCH_ID: Final = "3b0f2a53-6d5e-4a55-8f86-51f5d1f7b9ce"
FILE: Final = {
    "id": _FILE_ID,
    "object": "file",
    "bytes": 480_044,
    "created_at": 1_769_860_800,
    "expires_at": 1_769_862_600,
    "filename": "talk.flac",
    "purpose": "user_data",
    "status": "processed",
}
FILE_FORM: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "minLength": 1},
                        "purpose": {**_TEXT, "enum": ["batch", "user_data", "audio"]},
                    },
                }
            }
        },
    }
}
"""The body of a new file, which is read by hand."""
BATCH_REQUEST: Final = {
    "input_file_id": _FILE_ID,
    "endpoint": "/v1/audio/transcriptions",
    "completion_window": "24h",
    "metadata": {"project": "interviews"},
}
BATCH: Final = {
    "id": _BATCH_ID,
    "object": "batch",
    "endpoint": "/v1/audio/transcriptions",
    "model": "whisper-1",
    "errors": None,
    "input_file_id": _FILE_ID,
    "completion_window": "24h",
    "status": "completed",
    "output_file_id": f"output-{_BATCH_ID}",
    "error_file_id": None,
    "created_at": 1_769_860_800,
    "in_progress_at": 1_769_860_800,
    "expires_at": 1_769_862_660,
    "finalizing_at": 1_769_860_860,
    "completed_at": 1_769_860_860,
    "failed_at": None,
    "expired_at": None,
    "cancelling_at": None,
    "cancelled_at": None,
    "request_counts": {"total": 20, "completed": 20, "failed": 0},
    "metadata": {"project": "interviews"},
}
MODEL: Final = {"id": "whisper-1", "object": "model", "created": 1_677_532_384, "owned_by": "asr-queue"}
