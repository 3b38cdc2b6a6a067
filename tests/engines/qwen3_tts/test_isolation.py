"""A model in a process of its own, killed, stuck, full and talking nonsense; no library of models is needed here."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from asr_queue.domain.items import Operation
from asr_queue.errors import (
    EngineLoadError,
    EngineNoRoomError,
    EngineOutOfMemoryError,
    EngineRestingError,
    RetryableError,
)
from gpu_worker.engine import Done, EngineSettings, Failed, Parkable, Voice, VoiceInput, VoiceLimits
from gpu_worker.engines.isolated import IsolatedVoiceEngine
from gpu_worker.engines.isolated_child import Frame
from gpu_worker.engines.isolated_process import ChildGoneError, IsolatedProcess
from gpu_worker.model_host import ModelHost

PROGRAM = Path(__file__).with_name("obedient_child.py")
LIMITS = VoiceLimits(
    max_micro_batch=16,
    max_chars=200_000,
    sample_rate_hz=24_000,
    min_sample_s=0.5,
    max_sample_s=30.0,
    speech_rate_hz=24_000,
    languages=frozenset({"en", "de", "fr"}),
)
PASS_S = 20.0


def made(tmp_path, *, pass_s=PASS_S, rest_s=60.0, python=None, **options):
    settings = EngineSettings(cache_dir=tmp_path, python=python)
    return IsolatedVoiceEngine(settings, program=PROGRAM, limits=LIMITS, options=options, pass_s=pass_s, rest_s=rest_s)


@pytest.fixture
def engine(tmp_path):
    engine = made(tmp_path)
    engine.load()
    yield engine
    engine.unload()


def voice(loudness=0.5, seconds=1.0):
    samples = np.full(round(seconds * LIMITS.sample_rate_hz), loudness, dtype=np.float32)
    return Voice(digest=f"{loudness}".ljust(64, "0"), samples=samples)


def texts(*texts, of=None):
    return [VoiceInput(text=text, voice=of or voice(), language="en") for text in texts]


def sizes(outcomes):
    return [one.value.samples.size if isinstance(one, Done) else one.error.code for one in outcomes]


def ended(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_for_the_end_of(pid):
    deadline_s = time.monotonic() + 20
    while not ended(pid):
        assert time.monotonic() < deadline_s, f"{pid} lives"
        time.sleep(0.01)


def test_outcomes_come_in_the_order_of_their_inputs_each_in_its_voice(engine):
    quiet, loud = voice(0.25), voice(0.75)
    inputs = [VoiceInput(text="a" * n, voice=(quiet, loud)[n % 2], language=None) for n in range(1, 9)]
    outcomes = engine.run(inputs)
    assert sizes(outcomes) == [100 * n for n in range(1, 9)]
    assert [float(one.value.samples.max()) for one in outcomes] == [0.75, 0.25] * 4


def test_a_bad_input_fails_alone(engine):
    too_short = VoiceInput(text="short", voice=voice(0.1, seconds=0.1), language="en")
    unspoken = VoiceInput(text="fremd", voice=voice(), language="fr")
    outcomes = engine.run([*texts("one"), too_short, unspoken, *texts("refuse", "three", "...")])
    # The model speaks two of the three languages that the engine has at most.
    assert sizes(outcomes) == [300, "voice_too_short", "language_not_supported", "text_empty", 500, "text_empty"]
    assert engine.limits.languages == {"en", "de"}


def test_only_bad_inputs_never_reach_the_process(engine):
    os.kill(engine.pid, signal.SIGSTOP)
    assert sizes(engine.run(texts("...", "?"))) == ["text_empty"] * 2
    os.kill(engine.pid, signal.SIGCONT)


def test_what_was_cut_off_is_said_to_be(engine):
    first, second = engine.run(texts("cut", "whole"))
    assert first.value.is_truncated
    assert not second.value.is_truncated


def test_a_huge_text_and_a_long_voice_arrive_whole(engine):
    (outcome,) = engine.run(texts("ü" * 200_000, of=voice(seconds=30)))
    assert outcome.value.samples.size == 20_000_000


@pytest.mark.parametrize("text", ["die", "leave", "lose the device", "garbage", "no json", "boundless", "half"])
def test_a_process_that_ends_or_talks_nonsense_costs_its_pass_and_no_other(engine, text):
    before = engine.pid
    with pytest.raises(ChildGoneError) as caught:
        engine.run(texts("one", text, "three"))
    assert isinstance(caught.value, RetryableError)
    assert ended(before)
    assert engine.device_bytes == 0
    assert sizes(engine.run(texts("one", "three"))) == [300, 500]
    assert engine.device_bytes > 0


def test_a_process_that_is_killed_in_the_middle_of_a_pass_is_started_again(engine):
    threading.Timer(0.5, os.kill, (engine.pid, signal.SIGKILL)).start()
    with pytest.raises(ChildGoneError, match="SIGKILL"):
        engine.run(texts("hang"))
    assert sizes(engine.run(texts("one"))) == [300]


def test_a_process_that_is_killed_between_two_passes_is_not_even_noticed(engine):
    os.kill(engine.pid, signal.SIGKILL)
    wait_for_the_end_of(engine.pid)
    assert sizes(engine.run(texts("one"))) == [300]
    os.kill(engine.pid, signal.SIGKILL)
    wait_for_the_end_of(engine.pid)
    engine.load()
    assert engine.device_bytes == 1000
    assert sizes(engine.run(texts("one"))) == [300]


def test_a_process_that_is_stuck_is_killed_in_time(tmp_path):
    engine = made(tmp_path, pass_s=1.5)
    engine.load()
    stuck = engine.pid
    began_s = time.monotonic()
    with pytest.raises(ChildGoneError, match="did not answer"):
        engine.run(texts("one", "hang"))
    assert time.monotonic() - began_s < 8
    assert ended(stuck)
    assert sizes(engine.run(texts("one"))) == [300]
    engine.unload()


def test_a_process_that_is_stuck_between_two_passes_is_replaced(tmp_path):
    engine = made(tmp_path, pass_s=1.5)
    engine.load()
    stuck = engine.pid
    os.kill(stuck, signal.SIGSTOP)
    assert sizes(engine.run(texts("one", of=voice(seconds=30)))) == [300]
    assert ended(stuck)
    engine.unload()


def test_a_process_that_stops_in_the_middle_of_what_it_is_told_is_killed_in_time(tmp_path):
    process = IsolatedProcess(PROGRAM, python=None, options={})
    process.ask(Frame({"do": "load"}, []), timeout_s=PASS_S)
    os.kill(process.pid, signal.SIGSTOP)
    long = np.zeros(10_000_000, dtype=np.float32)
    with pytest.raises(ChildGoneError, match="did not answer"):
        process.ask(Frame({"do": "run", "inputs": []}, [long]), timeout_s=1.0)
    assert ended(process.pid)


def test_a_process_that_dies_of_everything_is_left_alone_for_a_while(tmp_path):
    engine = made(tmp_path, rest_s=1.0)
    engine.load()
    for _ in range(3):
        with pytest.raises(ChildGoneError):
            engine.run(texts("die"))
    began_s = time.monotonic()
    for _ in range(16):
        with pytest.raises(EngineRestingError) as caught:
            engine.run(texts("one"))
        assert 0 < caught.value.retry_after_s <= 1.0
    assert time.monotonic() - began_s < 0.5
    time.sleep(1.0)
    assert sizes(engine.run(texts("one"))) == [300]
    engine.unload()


def test_one_input_that_kills_costs_two_processes_and_its_neighbours_nothing(engine):
    batch = texts("one", "die", "three", "four")
    starts, done = {engine.pid}, {}
    with pytest.raises(ChildGoneError):
        engine.run(batch)
    # As `pipeline.infer` goes on.
    for one in batch:
        try:
            done[one.text] = sizes(engine.run([one]))
        except ChildGoneError:
            done[one.text] = "again"
        starts.add(engine.pid)
    assert done == {"one": [300], "die": "again", "three": [500], "four": [400]}
    assert len(starts) == 3


def test_out_of_memory_leaves_the_process_alive(engine):
    before = engine.pid
    with pytest.raises(EngineOutOfMemoryError):
        engine.run(texts("too much", "one"))
    assert sizes(engine.run(texts("too much"))) == [800]
    assert engine.pid == before


def test_a_bug_inside_leaves_the_process_alive_and_its_message_behind(engine):
    before = engine.pid
    with pytest.raises(RetryableError, match=r"ValueError at .*obedient_child\.py:\d+") as caught:
        engine.run(texts("one", "fail"))
    assert caught.value.code == "engine_bug"
    assert "cannot say" not in str(caught.value), "it could quote the item"
    assert sizes(engine.run(texts("one"))) == [300]
    assert engine.pid == before


@pytest.mark.parametrize("text", ["not a number", "silence", "forget one"])
def test_what_is_no_speech_is_no_outcome(engine, text):
    with pytest.raises(RetryableError) as caught:
        engine.run(texts(text))
    assert caught.value.code == "engine_bug"
    assert sizes(engine.run(texts("one"))) == [300]


def test_parking_gives_the_device_back_and_keeps_the_process(engine):
    assert isinstance(engine, Parkable)
    before = engine.pid
    assert engine.device_bytes == 1000
    for _ in range(3):
        engine.park()
        engine.park()
        assert engine.device_bytes == 0
        with pytest.raises(RuntimeError, match="before load"):
            engine.run(texts("one"))
        engine.load()
        engine.load()
        assert sizes(engine.run(texts("one"))) == [300]
    assert engine.pid == before


def test_a_process_that_is_killed_while_it_is_parked_is_started_by_load(engine):
    engine.park()
    before = engine.pid
    os.kill(before, signal.SIGKILL)
    engine.load()
    assert engine.pid != before
    assert sizes(engine.run(texts("one"))) == [300]
    os.kill(engine.pid, signal.SIGKILL)
    engine.park()
    engine.load()
    assert sizes(engine.run(texts("one"))) == [300]


def test_one_that_cannot_be_parked_is_ended(tmp_path):
    engine = made(tmp_path, park="bug")
    engine.load()
    before = engine.pid
    engine.park()
    assert ended(before)
    engine.load()
    assert sizes(engine.run(texts("one"))) == [300]
    engine.unload()


def test_unloading_ends_the_process_and_may_be_repeated(tmp_path):
    engine = made(tmp_path)
    engine.unload()
    with pytest.raises(RuntimeError, match="before load"):
        engine.run(texts("one"))
    for _ in range(2):
        engine.load()
        pid = engine.pid
        engine.unload()
        assert ended(pid)
        engine.unload()
        engine.park()
        assert engine.device_bytes == 0
        with pytest.raises(RuntimeError, match="before load"):
            engine.run(texts("one"))


@pytest.mark.parametrize(
    ("how", "error", "says"),
    [
        ("unusable", EngineLoadError, "There is no such checkpoint"),
        ("bug", EngineLoadError, "KeyError"),
        ("die", EngineLoadError, "SIGKILL"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_told_with_the_reason(tmp_path, how, error, says):
    engine = made(tmp_path, load=how)
    with pytest.raises(error, match=says):
        engine.load()
    assert engine.pid is None or ended(engine.pid)
    with pytest.raises(RuntimeError, match="before load"):
        engine.run(texts("one"))
    engine.unload()


def test_where_there_is_no_room_the_process_waits_with_what_it_has_read(tmp_path):
    engine = made(tmp_path, load="no room")
    with pytest.raises(EngineNoRoomError):
        engine.load()
    before = engine.pid
    engine.load()
    assert engine.pid == before
    assert sizes(engine.run(texts("one"))) == [300]
    engine.unload()


def test_a_kill_during_the_load_is_survived(tmp_path):
    engine = made(tmp_path, load="die at first", mark=str(tmp_path / "mark"))
    engine.load()
    assert sizes(engine.run(texts("one"))) == [300]
    engine.unload()


def test_an_interpreter_that_does_not_exist_is_named(tmp_path):
    engine = made(tmp_path, python=tmp_path / "no-python")
    with pytest.raises(EngineLoadError, match="no-python"):
        engine.load()


def test_an_interpreter_that_is_none_is_told(tmp_path):
    engine = made(tmp_path, python=Path("/bin/false"))
    with pytest.raises(EngineLoadError, match="status 1"):
        engine.load()


def test_credentials_stay_with_the_worker(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("ASR_QUEUE_TABLE", "table")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    engine = made(tmp_path)
    engine.load()
    (told,) = engine.run(texts("environment"))
    assert isinstance(told, Failed)
    names = told.error.message.split()
    assert {"PATH", "HF_HOME"} <= set(names)
    assert not [name for name in names if name.startswith(("AWS", "ASR_QUEUE", "PYTHON"))]
    engine.unload()


def test_what_the_process_prints_is_logged_in_bounds_and_never_during_a_pass(tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="gpu_worker.engines.isolated_process")
    engine = made(tmp_path)
    engine.load()
    engine.run(texts("talk"))
    engine.unload()
    lines = [record.line for record in caplog.records if record.message == "engine_process_said"]
    assert lines[0].startswith("loading xxx")
    assert all(len(line) <= 500 for line in lines)
    assert not [line for line in lines if "talk" in line]


def test_signals_to_the_worker_and_its_group_leave_the_process_to_the_worker(engine):
    os.kill(engine.pid, signal.SIGTERM)
    os.kill(engine.pid, signal.SIGINT)
    assert os.getpgid(engine.pid) != os.getpgid(0)
    assert sizes(engine.run(texts("one"))) == [300]


def test_a_process_outlives_the_thread_that_loaded_it(tmp_path):
    engine = made(tmp_path)
    loading = threading.Thread(target=engine.load)
    loading.start()
    loading.join()
    before = engine.pid
    time.sleep(0.3)
    assert sizes(engine.run(texts("one"))) == [300]
    assert engine.pid == before
    engine.unload()


def test_two_take_turns_under_the_model_host_and_one_that_is_killed_comes_back(tmp_path):
    engines = {Operation.TRANSCRIBE: made(tmp_path), Operation.VOICE_CLONE: made(tmp_path)}
    # Each holds 1,000.
    host = ModelHost(engines, memory_bytes=1500)
    host.load(Operation.VOICE_CLONE)
    pids = {operation: engine.pid for operation, engine in engines.items()}
    for _ in range(5):
        for operation, engine in engines.items():
            host.admit(operation)
            assert host.resident() == {operation}
            assert sizes(engine.run(texts("one"))) == [300]
    assert {operation: engine.pid for operation, engine in engines.items()} == pids
    parked = engines[Operation.TRANSCRIBE]
    os.kill(parked.pid, signal.SIGKILL)
    assert sizes(engines[Operation.VOICE_CLONE].run(texts("one"))) == [300]
    host.admit(Operation.TRANSCRIBE)
    assert sizes(parked.run(texts("one"))) == [300]
    assert host.report().failed_loads == 0
    host.unload()


@pytest.mark.parametrize("text", ["", "hang"], ids=["idle", "in a pass"])
def test_nothing_is_left_when_the_worker_is_killed(tmp_path, text):
    program = f"""
import sys, threading
from pathlib import Path
from tests.engines.qwen3_tts.test_isolation import made, texts
engine = made(Path({str(tmp_path)!r}), pass_s=600)
engine.load()
print(engine.pid, flush=True)
if {text!r}:
    engine.run(texts({text!r}))
threading.Event().wait()
"""
    root = Path(__file__).parents[3]
    with subprocess.Popen([sys.executable, "-c", program], cwd=root, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        pid = int(worker.stdout.readline())
        time.sleep(0.3)
        assert not ended(pid)
        worker.kill()
    wait_for_the_end_of(pid)
