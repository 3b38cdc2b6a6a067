"""Keeping a task from being scaled in while it works, where it runs on ECS.

Without it nothing is lost either: a task that is ended finishes its pass and hands back the rest. But a long pass would
be cut off by the stop timeout, and done again from its beginning elsewhere.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

import urllib3
from pydantic_settings import BaseSettings, SettingsConfigDict

_logger = logging.getLogger(__name__)

_LOOK_EVERY_S: Final = 2.0
_EXPIRES_MINUTES: Final = 15
"""Protection of a worker that hangs ends by itself after this."""
_RENEW_AFTER_S: Final = 300.0
_TIMEOUT_S: Final = 5.0
_OK: Final = 200


class EcsSettings(BaseSettings):
    """What the ECS agent tells every container."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    ecs_agent_uri: str | None = None
    """Where the agent answers this task; None elsewhere than on ECS."""


class TaskProtection:
    """The scale-in protection of this task (Amazon ECS task scale-in protection endpoint)."""

    def __init__(self, agent_uri: str) -> None:
        """Take the value of `ECS_AGENT_URI`."""
        self._url = f"{agent_uri}/task-protection/v1/state"
        self._http = urllib3.PoolManager(timeout=_TIMEOUT_S, retries=False)
        self._is_protected = False
        self._told_s = 0.0

    def keep(self, is_busy: Callable[[], bool], *, until: threading.Event) -> None:
        """Let protection follow the work, within two seconds, until told to end."""
        while not until.wait(_LOOK_EVERY_S):
            self.follow(is_busy=is_busy(), now_s=time.monotonic())

    def follow(self, *, is_busy: bool, now_s: float) -> None:
        """Protect a busy task and let an idle one go; says so to the agent when that changes, and every five minutes.

        An agent that does not agree is asked again at the next call.
        """
        is_old = is_busy and now_s - self._told_s >= _RENEW_AFTER_S
        if (is_busy != self._is_protected or is_old) and self._tell(is_busy):
            self._is_protected = is_busy
            self._told_s = now_s

    def _tell(self, is_busy: bool) -> bool:
        state: dict[str, object] = {"ProtectionEnabled": is_busy}
        if is_busy:
            state["ExpiresInMinutes"] = _EXPIRES_MINUTES
        try:
            answer = self._http.request("PUT", self._url, json=state)
        except urllib3.exceptions.HTTPError as error:
            _logger.warning("task_protection_failed", extra={"reason": type(error).__name__})
            return False
        # A request that was understood and yet refused is answered with 200 and a `failure`.
        if answer.status != _OK or b'"failure"' in answer.data:
            _logger.warning("task_protection_failed", extra={"status": answer.status})
            return False
        return True
