"""A second AWS, independent of the embedded one: moto as a process, `python -m tests.contract.moto_server FD`.

FD is a listening socket. Requests are served one at a time: moto's backends are plain dictionaries, and without the
lock two transactions of different threads both win, and a message is received twice.
"""

import copy
import sys
from collections.abc import Callable, Iterable
from threading import Lock
from types import SimpleNamespace
from typing import Any

from moto.dynamodb import models
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.table import Table
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


def one_at_a_time(application: Application) -> Application:
    """Return a WSGI application whose requests wait for each other."""
    lock = Lock()

    def locked(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with lock:
            return list(application(environ, start_response))

    return locked


def copy_tables_once() -> None:
    """Have a transaction copy its table once: moto does it for each action, so that 100 of them take seconds."""
    transact = DynamoDBBackend.transact_write_items

    def transact_write_items(backend: DynamoDBBackend, transact_items: list[dict[str, Any]]) -> None:
        copies: dict[int, Table] = {}

        def deepcopy(value: Any) -> Any:
            if not isinstance(value, Table):
                return copy.deepcopy(value)
            if id(value) not in copies:
                copies[id(value)] = copy.deepcopy(value)
            return copies[id(value)]

        models.copy = SimpleNamespace(deepcopy=deepcopy)
        transact(backend, transact_items)

    DynamoDBBackend.transact_write_items = transact_write_items


def main() -> None:
    """Serve until killed; there is nothing to keep."""
    [fd] = sys.argv[1:]
    copy_tables_once()
    application = one_at_a_time(DomainDispatcherApplication(create_backend_app))
    MotoRequestHandler.protocol_version = "HTTP/1.1"  # clients keep their connections
    MotoRequestHandler.disable_nagle_algorithm = True
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=MotoRequestHandler, fd=int(fd))
    server.serve_forever()


if __name__ == "__main__":
    main()
