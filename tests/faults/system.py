"""The processes of `asr-queue up`, each behind the proxy and on the lab's clock, to be killed and stopped."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx

from asr_queue.adapters.aws import connect
from asr_queue.adapters.system_clock import SystemClock
from asr_queue.local import embedded, environment, programs
from asr_queue.local.processes import Child, Lifeline, Program
from asr_queue.settings import ResourceSettings
from asr_queue.usecases.manage_keys import create_key
from tests.faults.hurried import EPOCH, theirs
from tests.faults.proxy import Proxy
from tests.faults.witness import Witness

VISIBILITY_TIMEOUT_S: Final = 45
"""On the lab's clock: three quarters of a second."""
MAX_RECEIVES: Final = 6
FILE_TTL_S: Final = {"echo": 1800, "whisper": 18_000}
"""On the lab's clock, by engine: half a minute is soon over while one recognises."""
VOICE_ENGINE: Final = "echo"
"""Hums each text as long as it is, whatever engine recognises."""
TENANTS: Final = ("anna", "bert")
_HEARTBEAT_S: Final = 0.2
_ROOT: Final = Path(__file__).parents[2]
_LOOK_EVERY_S: Final = 0.02
_START_PATIENCE_S: Final = 120.0
_SETTINGS: Final = {
    "ASR_QUEUE_VISIBILITY_TIMEOUT_S": str(VISIBILITY_TIMEOUT_S),
    "ASR_QUEUE_HEARTBEAT_S": str(_HEARTBEAT_S),
    "ASR_QUEUE_DECODE_PROCESSES": "1",
    "PYTHONPATH": str(_ROOT),
}


class System:
    """One running system. `running` makes it."""

    def __init__(
        self,
        *,
        proxy: Proxy,
        witness: Witness,
        url: str,
        aws: Mapping[str, str],
        resources: embedded.Resources,
        keys: Mapping[str, str],
        lifeline: Lifeline,
        folder: Path,
        epoch_s: float,
        file_ttl_s: int,
    ) -> None:
        self.file_ttl_s = file_ttl_s
        """Life of an upload or a transcript, on the lab's clock."""
        self.proxy = proxy
        self.witness = witness
        self.url = url
        """Of the API."""
        self.aws = aws
        """What leads straight to the emulator, past the proxy."""
        self.resources = resources
        self.keys = keys
        """An API key a tenant."""
        self.logs = folder / "logs"
        self.journals = folder / "aws"
        self._epoch_s = epoch_s
        self._lifeline = lifeline
        self._children: dict[str, Child] = {}
        self._stopped: set[str] = set()

    def start(self, program: Program) -> None:
        """Run a program, and start it again whenever it dies."""
        self._children[program.name] = Child(program, lifeline=self._lifeline, logs=self.logs)

    def now_s(self) -> float:
        """Return the time on the lab's clock, in seconds since 1970."""
        return theirs(self._epoch_s)

    def names(self) -> list[str]:
        """Return the names of what may be killed."""
        return sorted(self._children)

    def kill(self, name: str) -> None:
        """Kill a program, with all that it started."""
        self._signal(name, signal.SIGKILL)

    async def stall(self, name: str, for_s: float) -> bool:
        """Have a program do nothing for a while; return False where it does nothing already."""
        if name in self._stopped:
            return False
        child = self._children[name]
        self._stopped.add(name)
        try:
            self._signal(name, signal.SIGSTOP)
            await asyncio.sleep(for_s)
        finally:
            self._stopped.discard(name)
            if self._children[name] is child:
                self._signal(name, signal.SIGCONT)
        return True

    async def tend(self) -> None:
        """Start again what has died, for ever."""
        while True:
            for name, child in list(self._children.items()):
                if child.exit_status() is not None:
                    child.sweep_up()
                    self._children[name] = Child(child.program, lifeline=self._lifeline, logs=self.logs)
            await asyncio.sleep(_LOOK_EVERY_S)

    def end(self) -> None:
        """Kill everything."""
        for child in self._children.values():
            child.sweep_up()

    def _signal(self, name: str, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._children[name].pid, number)


@asynccontextmanager
async def running(folder: Path, *, engine: str, workers: int) -> AsyncIterator[System]:
    """Run a system in a folder for the block."""
    epoch_s, file_ttl_s = time.time(), FILE_TTL_S[engine]
    settings = _SETTINGS | {EPOCH: repr(epoch_s), "ASR_QUEUE_FILE_TTL_S": str(file_ttl_s)}
    for made in ("logs", "aws", "ready"):
        (folder / made).mkdir(parents=True)
    with Lifeline() as lifeline, embedded.listener(0) as aws_listening, embedded.listener(0) as api_listening:
        aws_url = embedded.url_of(aws_listening)
        emulator = Child(
            _hurried(embedded.program(aws_listening, folder / "aws"), settings), lifeline=lifeline, logs=folder / "logs"
        )
        try:
            resources = await asyncio.to_thread(
                embedded.deploy,
                aws_url,
                {
                    "Triggers": "DISABLED",
                    "VisibilityTimeoutS": str(VISIBILITY_TIMEOUT_S),
                    "MaxReceives": str(MAX_RECEIVES),
                    "FileTtlS": str(file_ttl_s),
                },
                lifeline=lifeline,
            )
            aws = {**environment.for_clients(aws_url), **resources.as_settings()}
            witness = Witness()
            proxy = Proxy(("127.0.0.1", aws_listening.getsockname()[1]), witness.note)
            proxied = await proxy.start()
            variables = {
                **environment.for_clients(proxied),
                **environment.voice(VOICE_ENGINE),
                **_at(proxied, resources).as_settings(),
                **settings,
            }
            system = System(
                proxy=proxy,
                witness=witness,
                url=embedded.url_of(api_listening),
                aws=aws,
                resources=resources,
                keys=_keys(aws, resources),
                lifeline=lifeline,
                folder=folder,
                epoch_s=epoch_s,
                file_ttl_s=file_ttl_s,
            )
            system.start(_hurried(programs.api(api_listening, variables), settings))
            for number in range(1, workers + 1):
                worker = programs.worker(number, engine=engine, ready=folder / "ready", variables=variables)
                system.start(_hurried(worker, settings))
            scheduled = Program(
                name="scheduled",
                module="tests.faults.scheduled",
                arguments=(_at(proxied, resources).dead_letter_queue_url,),
                environment={**environment.plain(), **variables},
            )
            system.start(_hurried(scheduled, settings))
            tending = asyncio.create_task(system.tend())
            try:
                await _ready(system, folder / "ready")
                yield system
            finally:
                tending.cancel()
                system.end()
                await proxy.close()
        finally:
            emulator.sweep_up()


def _hurried(program: Program, settings: Mapping[str, str]) -> Program:
    return replace(
        program,
        module="tests.faults.hurried",
        arguments=(program.module, *program.arguments),
        environment={**program.environment, **settings},
    )


def _at(url: str, resources: embedded.Resources) -> embedded.Resources:
    """Return the resources as seen through the proxy."""
    netloc = urlsplit(url).netloc

    def moved(queue_url: str) -> str:
        return urlsplit(queue_url)._replace(netloc=netloc).geturl()

    return replace(
        resources,
        transcribe_queue_url=moved(resources.transcribe_queue_url),
        transcribe_high_queue_url=moved(resources.transcribe_high_queue_url),
        transcribe_low_queue_url=moved(resources.transcribe_low_queue_url),
        voice_clone_queue_url=moved(resources.voice_clone_queue_url),
        voice_clone_high_queue_url=moved(resources.voice_clone_high_queue_url),
        voice_clone_low_queue_url=moved(resources.voice_clone_low_queue_url),
        notify_queue_url=moved(resources.notify_queue_url),
        dead_letter_queue_url=moved(resources.dead_letter_queue_url),
    )


def _keys(aws: Mapping[str, str], resources: embedded.Resources) -> dict[str, str]:
    settings = ResourceSettings(
        bucket=resources.bucket, table=resources.table, transcribe_queue_url=resources.transcribe_queue_url
    )
    table = connect(settings, environment=aws).table
    return {
        tenant: create_key(tenant=tenant, name="fault lab", table=table, clock=SystemClock())[0] for tenant in TENANTS
    }


async def _ready(system: System, ready: Path) -> None:
    async with asyncio.timeout(_START_PATIENCE_S):
        async with httpx.AsyncClient(trust_env=False) as http:
            while True:
                with suppress(httpx.TransportError):
                    if (await http.get(f"{system.url}/api/v1/health")).status_code == 200:
                        break
                await asyncio.sleep(_LOOK_EVERY_S)
        while not any(ready.iterdir()):
            await asyncio.sleep(_LOOK_EVERY_S)
