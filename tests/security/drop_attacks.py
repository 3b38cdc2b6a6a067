"""What is put under a tenant's drop prefix to do harm, each with the note that is left beside it."""

import json
from dataclasses import dataclass
from typing import Final

from tests.api.conftest import MAX_UPLOAD_BYTES

MANIFEST: Final = "drop/acme/m.manifest.json"
LINES: Final = "drop/acme/m.manifest.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class DropAttack:
    """One object, and what becomes of it."""

    what: str
    """What is tried, for people: a line of docs/attacks.md."""
    status: int
    code: str
    key: str = MANIFEST
    body: bytes


def listing(what: str, status: int, code: str, *names: str, **fields: object) -> DropAttack:
    items = [{"operation": "transcribe", "ref_audio": name, **fields} for name in names]
    return DropAttack(what=what, status=status, code=code, body=json.dumps({"items": items}).encode())


def holding(what: str, status: int, code: str, body: bytes, *, key: str = MANIFEST) -> DropAttack:
    return DropAttack(what=what, status=status, code=code, body=body, key=key)


DROP_ATTACKS: Final = (
    listing("a path upwards", 422, "invalid_request", "../other/b.wav"),
    listing("a path upwards and down again", 422, "invalid_request", "x/../../other/b.wav"),
    listing("a path from the root", 422, "invalid_request", "/drop/other/b.wav"),
    listing("another tenant's key: looked for below the manifest", 404, "dropped_object_missing", "drop/other/b.wav"),
    listing("another tenant's file", 404, "file_not_found", "$THEIR_FILE$"),
    listing("another tenant's file among one's own", 404, "file_not_found", "a.wav", "$THEIR_FILE$"),
    listing("an address: nothing is fetched", 422, "invalid_request", "http://169.254.169.254/latest/meta-data/"),
    listing("another bucket", 422, "invalid_request", "s3://other-bucket/key"),
    listing("a NUL in a name", 422, "invalid_request", "a.wav\0"),
    listing("a name longer than any key", 422, "invalid_request", "x" * 1020),
    listing("a name of 100,000 characters", 422, "invalid_request", "x" * 100_000),
    listing("a language of 100,000 characters", 422, "invalid_request", "a.wav", language="x" * 100_000),
    listing("an operation of 100,000 characters", 422, "invalid_request", "a.wav", operation="x" * 100_000),
    listing("1,001 items", 422, "invalid_request", *["a.wav"] * 1001),
    holding("100,000 arrays in each other", 400, "malformed_json", b"[" * 100_000),
    holding("a number of 100,000 digits", 400, "malformed_json", b'{"items": ' + b"9" * 100_000 + b"}"),
    holding("17 MiB of spaces", 413, "payload_too_large", b" " * (17 * 1024 * 1024)),
    holding("five million empty objects", 413, "payload_too_large", b'{"items": [' + b"{}," * 5_000_000 + b"{}]}"),
    holding("lines of arrays in each other", 400, "malformed_json", b"[" * 50_000 + b"\n" + b"[" * 50_000, key=LINES),
    holding("a million lines", 422, "invalid_request", b"{}\n" * 1_000_000, key=LINES),
    holding("a recording of no bytes", 422, "empty_upload", b"", key="drop/acme/audio/en/a.wav"),
    holding(
        "a recording of a byte too many",
        413,
        "payload_too_large",
        b"x" * (MAX_UPLOAD_BYTES + 1),
        key="drop/acme/audio/en/a.wav",
    ),
    holding("a language that is markup", 422, "unknown_language", b"RIFF", key="drop/acme/audio/<script>/a.wav"),
    holding("a language of 500 characters", 422, "unknown_language", b"RIFF", key=f"drop/acme/audio/{'x' * 500}/a.wav"),
    holding("a tenant that nobody is", 403, "unknown_tenant", b"RIFF", key="drop/nobody/audio/en/a.wav"),
    holding("a tenant that is a path upwards", 403, "unknown_tenant", b"RIFF", key="drop/../audio/en/a.wav"),
    holding("a tenant that is part of another's key", 403, "unknown_tenant", b"RIFF", key="drop/acme#x/audio/en/a.wav"),
)
