import pytest
from pydantic import ValidationError

from gpu_worker.settings import WorkerSettings

RESOURCES = {"bucket": "b", "table": "t", "transcribe_queue_url": "q"}


def test_every_setting_has_a_default_but_the_names_of_the_resources(monkeypatch):
    for name, value in RESOURCES.items():
        monkeypatch.setenv(f"ASR_QUEUE_{name.upper()}", value)
    monkeypatch.setenv("ASR_QUEUE_ENGINE", "echo")
    settings = WorkerSettings()
    assert (settings.bucket, settings.engine, settings.micro_batch) == ("b", "echo", 16)


@pytest.mark.parametrize("wrong", [{"micro_batch": 0}, {"pass_timeout_s": 0}, {"heartbeat_s": 11}, {"threads": 0}])
def test_a_setting_that_cannot_work_is_refused_at_start(wrong):
    with pytest.raises(ValidationError):
        WorkerSettings(**RESOURCES, **wrong)
