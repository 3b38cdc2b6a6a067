"""The clients of a run, and what each of them was told."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from tests.faults.plan import Client
from tests.faults.recordings import Recording, upload

_PAUSE_S: Final = 0.05
_TRY_AGAIN: Final = frozenset({429, 503})


@dataclass(slots=True)
class Poll:
    """One answer to the question how far a batch has come."""

    began_s: float
    ended_s: float
    answer: dict[str, Any]


@dataclass(slots=True)
class Story:
    """All that one client was told."""

    client: Client
    files: list[str] = field(default_factory=list)
    """Id of each upload."""
    submitted: dict[str, Any] | None = None
    polls: list[Poll] = field(default_factory=list)
    fetched: dict[str, set[bytes]] = field(default_factory=dict)
    """What each item's result was, by item id, whenever it was fetched."""
    expired: set[str] = field(default_factory=set)
    """Ids of the items whose results had gone when they were asked for."""
    surprises: list[str] = field(default_factory=list)
    """Answers that nobody may get, whatever fails."""

    @property
    def is_finished(self) -> bool:
        """Whether the last poll showed every item final."""
        if not self.polls:
            return False
        last = self.polls[-1].answer
        return bool(last["completed"] + last["failed"] == last["total"])


class Actor:
    """Plays a client against an API."""

    def __init__(
        self, client: Client, recordings: list[Recording], http: httpx.AsyncClient, key: str, *, file_life_s: float
    ) -> None:
        """Take a part.

        Args:
            file_life_s: how long a file lives, on our clock: sooner than that, nothing may be gone.
        """
        self.story = Story(client)
        self._client = client
        self._recordings = recordings
        self._http = http
        self._headers = {"X-API-Key": key}
        self._file_life_s = file_life_s
        self._began_s = time.monotonic()

    async def act(self) -> None:
        """Upload, submit, poll to the end, fetch. Ends early where the client gives up."""
        client, story = self._client, self.story
        await asyncio.sleep(client.begins_s)
        for place in client.uploads:
            data = upload(place, self._recordings)
            answer = await self._ask("POST", "/api/v1/files/upload", files={"file": ("clip", data)})
            if answer is None:
                return
            story.files.append(str(answer.json()["file_id"]))
        items = [self._item(number) for number in range(len(client.items))]
        accepted = await self._ask(
            "POST",
            "/api/v1/queue/submit",
            tries=client.tries,
            json={"label": client.label, "priority": client.priority, "items": items},
            headers={"Idempotency-Key": client.label},
        )
        if accepted is None:
            return
        story.submitted = accepted.json()
        batch_id = story.submitted["batch_id"]
        await asyncio.gather(*(self._poll(batch_id, number) for number in range(client.pollers)), self._cancel())
        await self.fetch()

    async def look_again(self) -> None:
        """Poll and fetch once more, after all has ended."""
        if self.story.is_finished and self.story.submitted is not None:
            await self._poll_once(self.story.submitted["batch_id"])
            await self.fetch()

    async def fetch(self) -> None:
        """Fetch every result there is."""
        for item in self.story.polls[-1].answer["items"] if self.story.polls else ():
            if item["url"] is None:
                continue
            result = await self._ask("GET", item["url"])
            if result is None:
                self.story.expired.add(item["item_id"])
            else:
                self.story.fetched.setdefault(item["item_id"], set()).add(result.content)

    def _item(self, number: int) -> dict[str, Any]:
        file_id, saying = self.story.files[self._client.items[number]], self._client.saying(number)
        if saying is None:
            return {"operation": "transcribe", "ref_audio": file_id}
        return {"operation": "voice_clone", "ref_audio": file_id, "text": saying.text, "format": saying.form}

    async def _poll(self, batch_id: str, number: int) -> None:
        await asyncio.sleep(number * self._client.poll_every_s / 2)
        while not (self.story.is_finished or self.story.surprises):
            await self._poll_once(batch_id)
            await asyncio.sleep(self._client.poll_every_s)

    async def _cancel(self) -> None:
        cancel, submitted = self._client.cancel, self.story.submitted
        if cancel is None or submitted is None:
            return
        await asyncio.sleep(cancel.after_s)
        item = "" if cancel.item is None else f"/items/{submitted['item_ids'][cancel.item]}"
        await self._ask("POST", f"/api/v1/queue/batches/{submitted['batch_id']}{item}/cancel")

    async def _poll_once(self, batch_id: str) -> None:
        began_s = time.monotonic()
        answer = await self._ask("GET", f"/api/v1/queue/status/{batch_id}")
        if answer is not None:
            self.story.polls.append(Poll(began_s, time.monotonic(), answer.json()))

    async def _ask(self, method: str, path: str, *, tries: int = 1_000_000, **request: Any) -> httpx.Response | None:
        """Ask until there is an answer; None where that takes too many tries, or the file it is about has expired."""
        request["headers"] = self._headers | request.get("headers", {})
        for _ in range(tries):
            try:
                answer = await self._http.request(method, path, **request)
            except httpx.TransportError:
                await asyncio.sleep(_PAUSE_S)
                continue
            if answer.status_code == 200:
                return answer
            if answer.status_code == 410 and time.monotonic() - self._began_s > self._file_life_s:
                return None
            if answer.status_code not in _TRY_AGAIN and not _is_in_progress(answer):
                self.story.surprises.append(f"{method} {path} was answered {answer.status_code} {answer.text[:200]}")
                return None
            await asyncio.sleep(_PAUSE_S)
        return None


def _is_in_progress(answer: httpx.Response) -> bool:
    return answer.status_code == 409 and answer.json().get("code") == "request_in_progress"
