"""An HTTP API in front of a function, payload format 2.0, with API Gateway's limits."""

import base64
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from threading import Thread
from typing import Any

from tests.lambda_runtime.function import Function
from tests.lambda_runtime.runtime_api import POLL_S, FunctionError, PayloadTooLargeError, QuickHandler

LIMIT_BYTES = 10 * 1024 * 1024
"""Payload of an HTTP API (API Gateway quotas)."""
_TEXT = re.compile(r"text/|application/(json|javascript|xml)\b")
"""Bodies of these types go into the event as they are, all others in base64."""


@contextmanager
def serving(function: Function) -> Iterator[str]:
    """Serve a function for the block; yield the URL."""

    class Handler(QuickHandler):
        def _serve(self) -> None:
            body = self.body()
            if len(body) > LIMIT_BYTES:
                self._message(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Request Entity Too Large")
                return
            try:
                answer = function.invoke(self._event(body))
            except PayloadTooLargeError:
                self._message(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Request Too Long")
            except FunctionError:
                self._message(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal Server Error")
            else:
                content = answer["body"].encode() if not answer["isBase64Encoded"] else base64.b64decode(answer["body"])
                headers = {name: value for name, value in answer["headers"].items() if name != "content-length"}
                self.reply(answer["statusCode"], content, headers)

        do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the names of http.server

        def _message(self, status: HTTPStatus, text: str) -> None:
            self.reply(status, json.dumps({"message": text}).encode(), {"Content-Type": "application/json"})

        def _event(self, body: bytes) -> dict[str, Any]:
            path, _, query = self.path.partition("?")
            is_text = bool(_TEXT.match(self.headers.get("Content-Type", "")))
            names = {name.lower() for name in self.headers}
            return {
                "version": "2.0",
                "routeKey": "$default",
                "rawPath": path,
                "rawQueryString": query,
                "headers": {name: ",".join(self.headers.get_all(name, [])) for name in names},
                "requestContext": {
                    "accountId": "anonymous",
                    "apiId": "api",
                    "domainName": self.headers.get("Host", ""),
                    "http": {
                        "method": self.command,
                        "path": path,
                        "protocol": self.request_version,
                        "sourceIp": self.client_address[0],
                        "userAgent": self.headers.get("User-Agent", ""),
                    },
                    "routeKey": "$default",
                    "stage": "$default",
                },
                "body": body.decode() if is_text else base64.b64encode(body).decode(),
                "isBase64Encoded": not is_text,
            }

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, args=(POLL_S,), name="http-front", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
