"""`asr-queue transcribe` where no server runs: a private one comes and goes, with real audio."""

import signal
import subprocess
import time
from pathlib import Path

import psutil

from tests.cli.conftest import COMMAND, Run, environment

RECORDINGS = Path(__file__).parents[1] / "recordings"
ENGLISH = RECORDINGS / "asterisk-en-queue-youarenext.flac"
FRENCH = RECORDINGS / "asterisk-fr-vm-sorry.flac"


def test_real_recordings_become_subtitles_and_nothing_stays(run: Run, tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_text("this is no audio")
    (tmp_path / "tmp").mkdir()
    arguments = [ENGLISH, FRENCH, "broken.wav", "--format", "srt", "--out", "out"]
    ran = run("transcribe", *arguments, TMPDIR=str(tmp_path / "tmp"))
    assert ran.returncode == 1, ran.stderr
    assert "failed broken.wav: Invalid audio format" in ran.stderr
    assert "2 done, 1 failed; 8.5 s of audio in" in ran.stderr
    [english] = (tmp_path / "out").rglob("asterisk-en-queue-youarenext.srt")
    assert english.read_text().startswith("1\n00:00:0")
    assert "first in line" in english.read_text()
    [french] = (tmp_path / "out").rglob("asterisk-fr-vm-sorry.srt")
    assert "Désolé" in french.read_text()
    assert list((tmp_path / "tmp").glob("asr-queue-*")) == []
    assert not (tmp_path / ".asr-queue").exists()


def test_an_interrupt_ends_the_private_server_too(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "transcribe", str(ENGLISH)],
        cwd=tmp_path,
        env=environment(TMPDIR=str(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        patience_s = time.monotonic() + 60
        while not any((folder / "logs" / "aws.log").exists() for folder in tmp_path.glob("asr-queue-*")):
            assert time.monotonic() < patience_s
            time.sleep(0.05)
        started = psutil.Process(process.pid).children(recursive=True)
        assert started
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    _, alive = psutil.wait_procs(started, timeout=60)
    assert alive == []
    assert list(tmp_path.glob("asr-queue-*")) == []
