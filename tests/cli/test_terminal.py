"""`asr-queue transcribe` on a real terminal (a pty): the live screen is for people, and gone at the end."""

import re
from pathlib import Path

from tests.cli.terminals import CTRL_C, SHOW_CURSOR, on_terminal
from tests.client.contract_server import KEY, ContractServer, Slow


def named(server: ContractServer) -> dict[str, str]:
    return {"ASR_QUEUE_URL": server.url, "ASR_QUEUE_API_KEY": KEY}


def test_a_bar_moves_below_what_is_printed_and_a_table_ends_it(server: ContractServer, recordings: Path) -> None:
    server.polls_to_finish = 3
    server.always["fetch"] = Slow(0.5)
    with on_terminal(recordings.parent, "transcribe", "recordings", extra=named(server)) as terminal:
        assert terminal.ended() == 1
    plain = terminal.plain
    assert re.search(r"0/4 .*left -", plain)
    assert re.search(r"4 queued\r\n *queued +recordings/a/talk.mp3 +0:00:0", plain)
    assert re.search(r"4 processing\r\n *processing +recordings/a/talk.mp3 +0:00:0", plain)
    assert re.search(r"1/4 .*left 0:0\d:\d\d", plain), "the broken file was counted while the others were on their way"
    assert re.search(r" *fetching +recordings/a/talk.mp3", plain)
    assert "==> recordings/a/talk.mp3 <==\r\nfirst talk.\r\n" in plain
    assert "failed recordings/b/broken.wav: Invalid audio format" in plain
    assert SHOW_CURSOR in terminal.seen
    table = plain[plain.rindex("files ") :]
    assert re.match(r"files +4 *\r\ndone +3 *\r\nfailed +1 *\r\nwall time +0:00:\d\d", table)
    assert re.search(r"recordings/b/broken\.wav +Invalid audio format: not audio", table)
    assert "queued" not in table


def test_what_the_server_expects_and_what_it_cost_are_shown(server: ContractServer, recordings: Path) -> None:
    server.polls_to_finish = 4
    server.beyond = {"estimate": {"basis": "batch", "seconds_left": 4000.0}}
    server.beyond_of_items = [{"audio_s": 3000.0, "device_s": 12.5, "cost_usd": 0.25}] * 4
    with on_terminal(recordings.parent, "transcribe", "recordings", extra=named(server)) as terminal:
        terminal.until(r"0/4 .*left 1:06:\d\d")
        assert terminal.ended() == 1
    table = terminal.plain[terminal.plain.rindex("files ") :]
    assert re.search(r"audio +2:30:00", table)
    assert re.search(r"speed +[\d.]+ audio s/s", table)
    assert re.search(r"device +50\.0 s", table)
    assert re.search(r"cost +1\.0000 USD", table)
    assert re.search(rf"batch +{next(iter(server.batches))}", table)


def test_an_upload_shows_how_far_it_is(server: ContractServer, tmp_path: Path) -> None:
    (tmp_path / "long.wav").write_bytes(b"bad" + bytes(2_999_997))
    server.always["upload"] = Slow(0.5)
    with on_terminal(tmp_path, "transcribe", "long.wav", extra=named(server)) as terminal:
        terminal.until(r"uploading +long\.wav +3\.0 MB of 3\.0 MB")
        assert terminal.ended() == 1


def test_ctrl_c_in_the_middle_leaves_the_terminal_in_order(server: ContractServer, recordings: Path) -> None:
    server.polls_to_finish = 10**9
    with on_terminal(recordings.parent, "transcribe", "recordings", extra=named(server)) as terminal:
        terminal.until(r"4 processing")
        terminal.type(CTRL_C)
        assert terminal.ended() == 130
    assert SHOW_CURSOR in terminal.seen[terminal.seen.rindex("processing") :]
    assert "Traceback" not in terminal.plain


def test_many_files_take_no_more_lines_than_there_are(server: ContractServer, tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number:02}.wav").write_text("words")
    server.polls_to_finish = 10**9
    with on_terminal(tmp_path, "transcribe", ".", rows=9, columns=60, extra=named(server)) as terminal:
        terminal.until(r"40 processing")
        terminal.forget()
        pictures = terminal.until(r"0/40[\s\S]*0/40[\s\S]*0/40").split("0/40")[1:-1]
        terminal.type(CTRL_C)
        terminal.ended()
    assert all(picture.count("processing  ") == 5 for picture in pictures)
    # What the terminal echoes of Ctrl-C still fits the line, so that all of the picture can be erased.
    assert max(len(line) for picture in pictures for line in picture.splitlines()) == 58


def test_what_goes_into_a_pipe_has_no_bar_in_it(server: ContractServer, recordings: Path, tmp_path: Path) -> None:
    arguments = ("transcribe", "recordings/a")
    with (
        (tmp_path / "texts").open("wb") as texts,
        on_terminal(recordings.parent, *arguments, stdout=texts.fileno(), extra=named(server)) as terminal,
    ):
        assert terminal.ended() == 0
    assert (tmp_path / "texts").read_text() == "==> recordings/a/talk.mp3 <==\nfirst talk.\n\n"
    assert "first talk" not in terminal.seen
    assert "0/1" in terminal.seen


def test_a_long_line_is_not_broken_for_the_terminal(server: ContractServer, recordings: Path) -> None:
    text = "word " * 100 + "[bold]end[/bold] :smile:"
    (recordings / "a" / "talk.mp3").write_text(text)
    with on_terminal(recordings.parent, "transcribe", "recordings/a/talk.mp3", extra=named(server)) as terminal:
        terminal.ended()
    assert text + "\r\n" in terminal.plain


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(server: ContractServer, recordings: Path) -> None:
    extra = {**named(server), "TERM": "dumb"}
    with on_terminal(recordings.parent, "transcribe", "recordings", extra=extra) as terminal:
        assert terminal.ended() == 1
    assert "/4] done recordings/a/talk.mp3\r\n" in terminal.seen
    assert "\x1b" not in terminal.seen
