"""Stands between the system and its AWS, and has each call meet its fate.

Not microburst: it fails calls well, but knows no messages. Here a message can be lost, doubled, delayed or delivered
again, and a call can take effect after its caller was told that it failed.
"""

import asyncio
import random
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from tests.faults.calls import Answer, Call, ask, failed, read_call, throttled
from tests.faults.fates import MESSAGE_FATES, Fate, Fates
from tests.faults.messages import tampered, was_tampered

_SILENCE_S: Final = 6.0
"""Longer than any caller waits."""
_SLOW_S: Final = (0.02, 0.4)
_LATE_S: Final = (0.05, 0.8)
_LIMIT_BYTES: Final = 1 << 20
_RESETTING: Final = struct.pack("ii", 1, 0)


class _ResetError(Exception):
    """The caller is to lose its connection."""


class _CutError(Exception):
    """The caller is to get this much of an answer, and then the end of its connection."""

    def __init__(self, part: bytes) -> None:
        super().__init__()
        self.part = part


class Proxy:
    """A server on a free port of this machine."""

    def __init__(self, upstream: tuple[str, int], witness: Callable[[Call, Answer], None]) -> None:
        """Serve from `start` on.

        Args:
            upstream: where AWS is.
            witness: told of each call that AWS has answered, whatever becomes of the answer.
        """
        self._upstream = upstream
        self._witness = witness
        self._fates: Fates | None = None
        self._chance = random.Random()
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._serving: set[asyncio.Task[None]] = set()
        self._late: set[asyncio.Task[None]] = set()
        self._index_reads: dict[bytes, Answer] = {}
        self._calls: list[str] = []

    async def start(self) -> str:
        """Return the URL that it is reached by."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_LIMIT_BYTES)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        """Let go of everybody."""
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        for _, writer in self._idle:
            writer.close()

    def follow(self, fates: Fates | None, seed: int) -> None:
        """Give the calls from now on these fates."""
        self._fates = fates
        self._chance.seed(f"{seed} details")

    def forget_calls(self) -> list[str]:
        """Return the calls since the last time, in order, each with its fate."""
        calls, self._calls = self._calls, []
        return calls

    async def settle(self) -> None:
        """Wait for what was to take effect later."""
        while self._late:
            await asyncio.wait(self._late)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (call := await read_call(reader, writer)) is not None:
                answer = await self._fate_of(call, reader)
                writer.write(answer)
                await writer.drain()
        except _ResetError:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESETTING)
            writer.transport.abort()
        except _CutError as cut:
            writer.write(cut.part)
        except (ConnectionError, asyncio.IncompleteReadError):
            writer.transport.abort()  # the caller has died, or has given up
        finally:
            writer.close()

    async def _fate_of(self, call: Call, reader: asyncio.StreamReader) -> bytes:
        """Return what the caller reads."""
        fates = self._fates
        fate = fates.next(call) if fates is not None else Fate.AS_ASKED
        self._calls.append(f"{time.monotonic():.3f} {call.service} {call.action}: {fate}")
        if fates is None or fate is Fate.AS_ASKED:
            return (await self._forward(call)).packed()
        if fate in MESSAGE_FATES:
            answer = await tampered(call, fate, self._forward, self._chance)
            if was_tampered(call, fate, answer):
                fates.note(fate, call)
            return answer.packed()
        fates.note(fate, call)
        return await self._failed(call, fate, reader)

    async def _failed(self, call: Call, fate: Fate, reader: asyncio.StreamReader) -> bytes:
        match fate:
            case Fate.THROTTLED:
                return throttled(call).packed()
            case Fate.FAILED:
                return failed(call).packed()
            case Fate.RESET:
                raise _ResetError
            case Fate.SILENT:
                await _until_given_up(reader)
                raise _ResetError
            case Fate.REPLY_LOST:
                await self._forward(call)
                raise _ResetError
            case Fate.REPLY_CUT:
                whole = (await self._forward(call)).packed()
                raise _CutError(whole[: max(1, len(whole) - 5)])
            case Fate.DONE_BUT_FAILED:
                await self._forward(call)
                return failed(call).packed()
            case Fate.DONE_BUT_SILENT:
                await self._forward(call)
                await _until_given_up(reader)
                raise _ResetError
            case Fate.SLOW:
                await asyncio.sleep(self._chance.uniform(*_SLOW_S))
                return (await self._forward(call)).packed()
            case Fate.LATE:
                later = asyncio.create_task(self._forward_later(call, self._chance.uniform(*_LATE_S)))
                self._late.add(later)
                later.add_done_callback(self._late.discard)
                return failed(call).packed()
            case Fate.STALE:
                return (self._index_reads.get(_index_key(call)) or await self._forward(call)).packed()
            case _:
                raise ValueError(fate)

    async def _forward_later(self, call: Call, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._forward(call)

    async def _forward(self, call: Call) -> Answer:
        connection = self._idle.pop() if self._idle else await asyncio.open_connection(*self._upstream)
        try:
            answer = await ask(call, *connection)
        except BaseException:
            connection[1].close()
            raise
        self._idle.append(connection)
        self._witness(call, answer)
        if call.action == "Query" and b'"IndexName"' in call.body and answer.status == 200:
            self._index_reads[_index_key(call)] = answer
        return answer


def _index_key(call: Call) -> bytes:
    """Return what tells reads of the same index partition from others: all but the instant that bounds them."""
    asked = call.asked()
    hash_value = asked.get("ExpressionAttributeValues", {}).get(":hash", {})
    return repr((asked.get("IndexName"), hash_value, asked.get("ExclusiveStartKey"))).encode()


async def _until_given_up(reader: asyncio.StreamReader) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(reader.read(1), _SILENCE_S)
