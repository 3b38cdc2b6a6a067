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
