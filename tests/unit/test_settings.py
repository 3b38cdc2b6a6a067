"""Settings: what is written of them is so, and what cannot work is refused at the start."""

import logging
import re
from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from asr_queue.settings import LeaseSettings
from gpu_worker.settings import WorkerSettings
from handlers.observability import logger
from handlers.settings import ApiSettings
from handlers.wiring import services

SETTINGS = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
DOCUMENTED = dict(re.findall(r"^\| `(ASR_QUEUE_[A-Z_]+)` \| ([^|]+) \|", SETTINGS, re.MULTILINE))


@pytest.mark.parametrize("settings", [ApiSettings, WorkerSettings])
def test_every_setting_is_documented_with_its_default(settings: type[BaseSettings]) -> None:
    for name, field in settings.model_fields.items():
        told = DOCUMENTED[f"ASR_QUEUE_{name.upper()}"]
        if field.is_required():
            assert told == "required"
        elif isinstance(field.default, int | float):
            assert told == f"`{field.default:g}`" if isinstance(field.default, float) else f"`{field.default}`"
        elif isinstance(field.default, str):
            assert told == (f"`{field.default}`" if field.default else "none")


def test_a_visibility_timeout_leaves_room_for_two_lost_heartbeats() -> None:
    LeaseSettings(visibility_timeout_s=30, heartbeat_s=10)
    assert LeaseSettings(visibility_timeout_s=6).heartbeat_s == 2
    assert LeaseSettings(visibility_timeout_s=600).heartbeat_s == 10
    with pytest.raises(ValidationError, match="at least three times"):
        LeaseSettings(visibility_timeout_s=29, heartbeat_s=10)


def test_the_environment_is_where_settings_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"BUCKET": "b", "TABLE": "t", "TRANSCRIBE_QUEUE_URL": "u", "FILE_TTL_S": "5"}.items():
        monkeypatch.setenv(f"ASR_QUEUE_{name}", value)
    assert ApiSettings().file_ttl_s == 5


def test_the_functions_log_at_the_level_that_they_were_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"BUCKET": "b", "TABLE": "t", "TRANSCRIBE_QUEUE_URL": "u", "LOG_LEVEL": "ERROR"}.items():
        monkeypatch.setenv(f"ASR_QUEUE_{name}", value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    before = logger.level
    try:
        services.__wrapped__()
        assert logger.level == logging.ERROR
    finally:
        logger.setLevel(before)
