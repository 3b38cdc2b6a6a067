"""`asr-queue drop`, as far as it goes without a system that answers (`tests/e2e/test_drop.py` has one)."""

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.test_keys import stack_folder
from tests.conftest import EmbeddedAws


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "name the --bucket"),
        (["--language", "Klingon"], "no language"),
        (["--label", "x" * 501], "500 are the most"),
        (["--data", "nowhere"], "asr-queue up"),
    ],
)
def test_what_cannot_be_dropped_says_why_and_ends_with_2(
    run: Run, recordings: Path, options: list[str], words: str
) -> None:
    ran = run("drop", recordings, *options, COLUMNS="200")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert words in ran.stderr


def test_a_folder_without_recordings_or_a_bucket_that_is_not_there_says_so(
    run: Run, embedded_aws: EmbeddedAws, recordings: Path, tmp_path: Path
) -> None:
    data = stack_folder(embedded_aws, tmp_path)
    (tmp_path / "empty").mkdir()
    ran = run("drop", tmp_path / "empty", "--data", data)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "there is no audio" in ran.stderr
    with (data / "stack.env").open("a") as variables:
        variables.write("ASR_QUEUE_BUCKET=no-such-bucket\n")
    ran = run("drop", recordings, "--data", data)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "NoSuchBucket" in ran.stderr
    assert "Traceback" not in ran.stderr
