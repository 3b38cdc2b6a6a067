"""The console in a browser, from the key to the last download, on a whole system with real recordings."""

import itertools
import json
import re
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.console.conftest import INLINE_MAX_BYTES, RECORDINGS, SCREENSHOTS, Tab
from tests.e2e.calls import finished, upload

SPEECH = RECORDINGS / "librivox-0870.flac"
OTHER = RECORDINGS / "asterisk-en-tt-weasels.flac"
HOSTILE = '<img src=x onerror="document.title=1">.wav'
EARLY_S = 0.02
"""As in player.js."""
NewTab = Callable[..., Tab]


@pytest.fixture
def corrupt(tmp_path: Path) -> Path:
    path = tmp_path / "corrupt.wav"
    path.write_bytes(b"no audio at all\n" * 500)
    return path


def three(tab: Tab, corrupt: Path) -> None:
    """Drop two recordings and something that is none, and wait for what becomes of them."""
    tab.drop(SPEECH, OTHER, corrupt)
    expect(tab.page.locator(".drop progress").first).to_be_visible()
    for name, state in ((SPEECH.name, "done"), (OTHER.name, "done"), ("corrupt.wav", "error")):
        tab.await_state(name, state)


def submits(tab: Tab) -> int:
    return len([address for address in tab.requested if address.endswith("/queue/submit")])


def audio(tab: Tab, what: str) -> Any:
    return tab.page.evaluate(f"document.querySelector('audio').{what}")


def item_of(tab: Tab) -> dict[str, Any]:
    """Return the item whose transcript is shown."""
    batch_id, item_id = tab.page.url.split("/")[-2:]
    with tab.stack.client() as api:
        items = api.get(f"/api/v1/queue/status/{batch_id}").json()["items"]
    [item] = [item for item in items if item["item_id"] == item_id]
    return dict(item)


def transcript_of(tab: Tab) -> dict[str, Any]:
    with tab.stack.client() as api:
        return dict(api.get(item_of(tab)["url"]).json())


def hear(tab: Tab) -> None:
    """Note where each seek of the recording ends, and wait until it can be played."""
    tab.page.locator("audio").wait_for()
    tab.page.evaluate("""() => {
        const audio = document.querySelector("audio");
        window.sought = [];
        audio.addEventListener("seeked", () => window.sought.push(audio.currentTime));
    }""")
    expect(tab.page.locator("audio")).to_have_js_property("readyState", 4)


def plays_from(tab: Tab, second: float) -> None:
    """Check that the next seek ends at a second, and that the recording plays on from there."""
    until_s = time.monotonic() + 5
    while not tab.page.evaluate("window.sought.length"):
        assert time.monotonic() < until_s, "nothing was sought"
    heard_s = tab.page.evaluate("window.sought.pop()")
    expect(tab.page.locator("audio")).to_have_js_property("paused", False)
    assert abs(heard_s - second) <= 0.1
    tab.page.wait_for_timeout(300)
    assert audio(tab, "currentTime") > heard_s


def download(tab: Tab, label: str) -> tuple[str, str]:
    """Press a button that saves a file; return the file's name and what it says."""
    with tab.page.expect_download() as downloading:
        tab.page.get_by_role("button", name=label, exact=True).click()
    return downloading.value.suggested_filename, downloading.value.path().read_text()


def test_three_files_one_of_them_corrupt_from_the_key_to_the_last_download(new_tab: NewTab, corrupt: Path) -> None:
    tab = new_tab(permissions=["clipboard-read", "clipboard-write"])
    page = tab.page
    tab.open()
    tab.enter_key()
    three(tab, corrupt)
    assert submits(tab) == 1
    expect(page.locator(".summary")).to_have_text("2 done · 1 failed")
    expect(page.get_by_role("status")).to_have_text("2 of 3 done, 1 failed")
    failed = tab.row("corrupt.wav")
    expect(failed).to_contain_text("This is not a recording. Invalid audio format")

    failed.get_by_role("button", name="Try again").click()
    expect(failed.locator(".pill")).not_to_have_text("Failed")
    tab.await_state("corrupt.wav", "error")
    assert submits(tab) == 2
    expect(failed).to_contain_text("This is not a recording.")

    page.get_by_role("link", name=f"Read {SPEECH.name}").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(SPEECH.name)
    transcript = transcript_of(tab)
    words = transcript["timestamps"]
    expect(page.locator(".word")).to_have_text([word["text"] for word in words])
    hear(tab)
    for index in (len(words) // 2, 1):
        page.locator(".word").nth(index).click()
        plays_from(tab, words[index]["start"])
    spoken = page.locator(".word[aria-current]")
    page.evaluate("document.querySelector('audio').pause()")
    at = audio(tab, "currentTime")
    index = max(place for place, word in enumerate(words) if word["start"] <= at + EARLY_S)
    expect(spoken).to_have_text(words[index]["text"])

    page.get_by_role("button", name="Copy the text").click()
    expect(page.get_by_role("status")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == transcript["text"]
    saved = {label: download(tab, label) for label in ("Text", "JSON", "Detailed JSON", "SRT", "WebVTT")}
    assert [name for name, _ in saved.values()] == [
        f"librivox-0870{suffix}" for suffix in (".txt", ".json", ".verbose.json", ".srt", ".vtt")
    ]
    assert saved["Text"][1].strip() == transcript["text"]
    assert json.loads(saved["JSON"][1]) == transcript
    assert len(json.loads(saved["Detailed JSON"][1])["words"]) == len(words)
    assert saved["WebVTT"][1].startswith("WEBVTT")
    for subtitles in (saved["SRT"][1], saved["WebVTT"][1]):
        lines = re.sub(r"^WEBVTT|^\d+$|^\S+ --> \S+$", "", subtitles, flags=re.MULTILINE).split()
        assert lines == transcript["text"].split()
        assert len(re.findall(r"^00:00:\d\d[.,]\d{3} --> 00:00:\d\d[.,]\d{3}$", subtitles, re.MULTILINE)) >= 1

    page.get_by_role("link", name="All of the batch").click()
    for label, suffix in (("Text", ".txt"), ("SRT", ".srt"), ("WebVTT", ".vtt"), ("JSON", ".json")):
        page.get_by_label("Format").select_option(label)
        with page.expect_download() as downloading:
            page.get_by_role("button", name="Download all").click()
        assert downloading.value.suggested_filename == "asterisk-en-tt-weasels.flac and 2 more.zip"
        with zipfile.ZipFile(downloading.value.path()) as zipped:
            assert zipped.testzip() is None
            names = zipped.namelist()
            assert names == [f"0001_{OTHER.name}{suffix}", f"0003_{SPEECH.name}{suffix}", "errors.json"]
            text = zipped.read(names[1]).decode()
    assert json.loads(text) == transcript


def test_everything_by_the_keyboard_alone(new_tab: NewTab) -> None:
    tab = new_tab(reduced_motion="reduce")
    page = tab.page
    tab.open()
    keys = page.keyboard
    page.get_by_role("heading", level=1).wait_for()
    keys.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    keys.press("Enter")
    keys.press("Tab")
    expect(page.get_by_label("API key")).to_be_focused()
    keys.insert_text(tab.stack.api_key)
    keys.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    keys.press("Tab")
    expect(page.get_by_role("button", name="Choose files")).to_be_focused()
    with page.expect_file_chooser() as chooser:
        keys.press("Enter")
    chooser.value.set_files(SPEECH)
    tab.await_state(SPEECH.name, "done")
    reach(tab, f"Read {SPEECH.name}")
    keys.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    hear(tab)
    words = transcript_of(tab)["timestamps"]
    reach(tab, words[0]["text"])
    for key, index in (("ArrowRight", 1), ("ArrowRight", 2), ("End", len(words) - 1), ("Home", 0), ("ArrowRight", 1)):
        keys.press(key)
        expect(page.locator(".word").nth(index)).to_be_focused()
    keys.press("Enter")
    plays_from(tab, words[1]["start"])
    keys.press("Tab")
    assert page.evaluate("document.activeElement.className") != "word", "the words are one stop of the tab key"


def reach(tab: Tab, name: str) -> None:
    """Press the tab key until something of this name has the focus."""
    for _ in range(60):
        tab.page.keyboard.press("Tab")
        focused = tab.page.evaluate("""() => {
            const element = document.activeElement;
            return element.getAttribute("aria-label") ?? element.textContent;
        }""")
        if focused == name:
            return
    pytest.fail(f"the tab key does not lead to {name}")


def test_names_and_transcripts_are_data(new_tab: NewTab, tmp_path: Path) -> None:
    hostile = tmp_path / HOSTILE
    hostile.write_bytes(SPEECH.read_bytes())
    said = '<script>document.title = "2"</script><img src=x onerror="document.title=3">'
    transcript = {
        "text": said,
        "language": said,
        "timestamps": [{"start": 0, "end": 1, "text": said, "confidence": 0.1}],
    }
    tab = new_tab()
    page = tab.page
    page.route("**/api/v1/files/queue_transcribe_*", lambda route: route.fulfill(json=transcript))
    tab.open()
    tab.enter_key()
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Name of the batch").fill(HOSTILE)
    tab.drop(hostile)
    tab.await_state(HOSTILE, "done")
    expect(page.locator(".drop h2")).to_have_text(HOSTILE)
    page.get_by_role("link", name="Read").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
    expect(page.locator(".word")).to_have_text([said])
    expect(page.locator(".facts")).to_contain_text(said)
    expect(page.locator(".word[data-unsure]")).to_have_count(1)
    expect(page.get_by_text("A dotted line is under words")).to_be_visible()
    page.get_by_label("Plain text").check()
    expect(page.locator(".plain")).to_have_text(said)
    page.get_by_role("link", name="All of the batch").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
    expect(page.locator(".name")).to_have_text([HOSTILE])
    assert page.evaluate("document.querySelectorAll('main img, main script').length") == 0
    assert page.title() == f"{HOSTILE} · asr-queue"


@pytest.mark.parametrize("recording", [SPEECH, OTHER], ids=["the bucket", "the api"])
def test_a_batch_that_is_opened_later_is_played_from_the_server(new_tab: NewTab, recording: Path) -> None:
    """A larger recording comes from the bucket, which is not told the key."""
    tab = new_tab()
    page = tab.page
    tab.open()
    tab.enter_key()
    tab.drop(recording)
    tab.await_state(recording.name, "done")
    page.get_by_role("link", name="Everything of this batch").click()
    page.get_by_role("link", name="Read").click()
    page.locator(".word").first.wait_for()
    page.reload()
    page.get_by_role("button", name="Load the recording").click()
    hear(tab)
    page.locator(".word").nth(3).click()
    plays_from(tab, transcript_of(tab)["timestamps"][3]["start"])
    assert tab.told_the_key == {tab.stack.url}
    elsewhere = [address for address in tab.requested if not address.startswith((tab.stack.url, "blob:"))]
    assert len(elsewhere) == (1 if recording.stat().st_size > INLINE_MAX_BYTES else 0)


def test_what_waits_is_shown_and_can_be_given_up(new_tab: NewTab, tmp_path: Path) -> None:
    tab = new_tab()
    page = tab.page
    tab.open()
    tab.enter_key()
    [worker] = tab.stack.children("gpu_worker")
    worker.suspend()
    try:
        tab.drop(SPEECH, OTHER)
        expect(page.locator(".summary")).to_have_text("2 in the queue")
        expect(page.get_by_role("progressbar", name="All of them")).to_be_visible()
        page.get_by_role("link", name="Everything of this batch").click()
        expect(page.locator(".facts .pill")).to_have_text("In the queue")
        page.get_by_role("button", name="Cancel what is left").click()
        expect(page.locator(".recordings .pill")).to_have_text(["Cancelled", "Cancelled"])
        expect(page.get_by_role("button", name="Cancel what is left")).to_be_hidden()
        page.get_by_role("navigation").get_by_role("link", name="Transcribe").click()
        expect(page.locator(".summary")).to_have_text("2 cancelled")

        page.get_by_role("button", name=f"Try again: {OTHER.name}").click()
        expect(page.locator(".summary")).to_have_text("1 in the queue · 1 cancelled")
        page.get_by_role("button", name=f"Cancel {OTHER.name}").click()
        expect(page.locator(".summary")).to_have_text("2 cancelled")
    finally:
        worker.resume()
    page.get_by_role("navigation").get_by_role("link", name="Queue").click()
    expect(page.get_by_role("table", name="Workers")).to_contain_text("whisper")
    expect(page.get_by_role("table", name="Waiting, by priority").locator("tbody tr")).to_have_count(3)


def test_earlier_batches_are_listed_filtered_and_read_on(new_tab: NewTab) -> None:
    tab = new_tab()
    page = tab.page
    with tab.stack.client() as api:
        file_id = upload(api, b"no audio at all")
        for number in range(27):
            items = [{"operation": "transcribe", "ref_audio": file_id}]
            made = api.post("/api/v1/queue/submit", json={"label": f"batch {number}", "items": items})
            finished(api, made.raise_for_status().json()["batch_id"])
    tab.open("/batches")
    page.get_by_label("API key").fill(tab.stack.api_key)
    page.get_by_role("button", name="Continue").click()
    names = page.locator(".recordings .name")
    expect(names).to_have_count(25)
    expect(names.first).to_have_text("batch 26")
    page.get_by_role("button", name="Show more").click()
    expect(names.nth(26)).to_have_text("batch 0")
    page.get_by_label("Name, exactly").fill("batch 7")
    expect(names).to_have_text(["batch 7"])
    page.get_by_label("State").select_option("Done")
    expect(page.get_by_text("There are none.")).to_be_visible()
    page.get_by_label("State").select_option("All failed")
    expect(names).to_have_text(["batch 7"])
    names.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("batch 7")
    first = page.url
    page.get_by_role("button", name="Try the failed ones again").click()
    page.wait_for_url(lambda address: address != first)
    tab.await_state("Recording 1", "error")


def test_what_cannot_be_sent_says_why_and_what_is_not_sent_yet_is_taken_away(new_tab: NewTab, tmp_path: Path) -> None:
    tab = new_tab()
    tab.complains_of = "/files/upload"
    page = tab.page
    (tmp_path / "empty.wav").write_bytes(b"")
    tab.open()
    tab.enter_key()
    tab.drop(tmp_path / "empty.wav")
    tab.await_state("empty.wav", "error")
    expect(tab.row("empty.wav")).to_contain_text("The file is empty.")
    held: list[Any] = []
    page.route("**/files/upload", lambda route: held.append(route))  # which never goes on
    tab.drop(SPEECH)
    tab.await_state(SPEECH.name, "uploading")
    page.get_by_role("button", name=f"Cancel {SPEECH.name}").click()
    expect(tab.row(SPEECH.name)).to_have_count(0)
    expect(page.locator(".drop")).to_have_count(1)
    page.unroute("**/files/upload")
    page.get_by_role("button", name="Try again").click()
    tab.await_state("empty.wav", "error")


def test_a_server_that_is_away_is_told_of_and_found_again(new_tab: NewTab) -> None:
    tab = new_tab()
    tab.complains_of = ""
    page = tab.page
    tab.open()
    tab.enter_key()
    [worker] = tab.stack.children("gpu_worker")
    worker.suspend()
    try:
        tab.drop(OTHER)
        expect(page.locator(".summary")).to_have_text("1 in the queue")
        page.context.set_offline(True)
        expect(page.get_by_role("alert")).to_contain_text("The server does not answer at the moment.", timeout=30_000)
    finally:
        worker.resume()
    page.context.set_offline(False)
    tab.await_state(OTHER.name, "done")
    expect(page.get_by_role("alert")).to_be_hidden()


def test_words_are_set_as_the_text_has_them(new_tab: NewTab) -> None:
    tab = new_tab()
    tab.open()
    read = "async ([text, words]) => (await import('/console/reading.js')).paragraphs(text, words)"

    def read_as(text: str, *words: tuple[float, float, str]) -> list[str]:
        timed = [{"start": start, "end": end, "text": word} for start, end, word in words]
        found = tab.page.evaluate(read, [text, timed])
        return ["".join(word["before"] + word["text"] for word in paragraph["words"]) for paragraph in found]

    assert read_as("今日は。", (0, 1, "今日"), (1, 2, "は。")) == ["今日は。"]
    assert read_as("One two.\nThree.", (0, 1, "One"), (1, 2, "two."), (2, 3, "Three.")) == ["One two.\nThree."]
    assert read_as("One. Two.", (0, 1, "One."), (3, 4, "Two.")) == ["One.", "Two."]
    assert read_as("One two", (0, 1, "One"), (9, 9.5, "two")) == ["One two"], "a pause within a sentence"
    assert read_as("a b c", (0, 1, "a"), (1, 2, "c"), (2, 3, "b")) == ["a c b"], "a word that is not there"


def test_the_key_is_in_the_tab_alone_and_goes_when_it_is_to(new_tab: NewTab) -> None:
    tab = new_tab()
    page = tab.page
    tab.open()
    tab.enter_key()
    assert page.evaluate("[Object.values(sessionStorage), Object.values(localStorage), document.cookie]") == [
        [tab.stack.api_key],
        [],
        "",
    ]
    page.get_by_role("button", name="Forget the key").click()
    expect(page.get_by_label("API key")).to_be_focused()
    assert page.evaluate("Object.values(sessionStorage)") == []
    expect(page.get_by_role("navigation")).to_be_hidden()


def test_a_wrong_key_is_refused_in_words_and_not_kept(new_tab: NewTab) -> None:
    tab = new_tab()
    tab.complains_of = "/api/v1/queue"  # a browser notes each answer that is an error
    page = tab.page
    tab.open()
    for key, words in (("asrq_wrong", "The server does not know this key."), ("grüße", "This cannot be a key.")):
        page.get_by_label("API key").fill(key)
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_role("alert")).to_contain_text(words)
        expect(page.get_by_label("API key")).to_be_focused()
    assert page.evaluate("Object.values(sessionStorage)") == []
    page.evaluate("sessionStorage.setItem('asr-queue-key', 'asrq_revoked')")
    page.goto(f"{tab.stack.url}/console?#/queue")
    expect(page.get_by_role("alert")).to_contain_text("The server does not know this key.")
    assert page.evaluate("Object.values(sessionStorage)") == []


def test_a_large_recording_goes_straight_to_the_bucket(new_tab: NewTab, tmp_path: Path) -> None:
    large = tmp_path / "large.wav"
    soundfile.write(large, np.zeros(150 * 16_000, np.float32), 16_000, subtype="PCM_16")
    assert large.stat().st_size > 4_000_000
    tab = new_tab()
    tab.open()
    tab.enter_key()
    tab.drop(large)
    tab.await_state("large.wav", "done")
    assert not [address for address in tab.requested if address.endswith("/files/upload")]
    assert [address for address in tab.requested if not address.startswith((tab.stack.url, "blob:"))]
    tab.page.get_by_role("link", name="Read").click()
    expect(tab.page.locator("main .notice")).to_have_text("Nothing was said in this recording.")


def folder(at: Path) -> Path:
    """Make a folder with two recordings, deep and not, and with what is none."""
    (at / "talks" / "deep").mkdir(parents=True)
    (at / "talks" / ".hidden").mkdir()
    for name in ("one.flac", "deep/two.FLAC", ".hidden/three.flac", "notes.txt"):
        (at / "talks" / name).write_bytes(OTHER.read_bytes())
    return at / "talks"


def test_a_folder_is_searched_for_recordings(new_tab: NewTab, tmp_path: Path) -> None:
    tab = new_tab()
    tab.open()
    tab.enter_key()
    with tab.page.expect_file_chooser() as chooser:
        tab.page.get_by_role("button", name="Choose a folder").click()
    chooser.value.set_files(folder(tmp_path))
    expect(tab.page.locator(".name")).to_have_text(["talks/deep/two.FLAC", "talks/one.flac"], ignore_case=False)


def test_files_and_folders_are_dropped(new_tab: NewTab, tmp_path: Path) -> None:
    tab = new_tab()
    tab.open()
    tab.enter_key()
    place = tab.page.locator(".zone").bounding_box()
    assert place is not None
    session = tab.page.context.new_cdp_session(tab.page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send(
            "Input.dispatchDragEvent",
            {
                "type": kind,
                "x": place["x"] + 50,
                "y": place["y"] + 50,
                "data": {"items": [], "files": [str(SPEECH), str(folder(tmp_path / kind))], "dragOperationsMask": 1},
            },
        )
    names = tab.page.locator(".name")
    expect(names).to_have_count(3)
    assert sorted(names.all_text_contents()) == sorted([SPEECH.name, "talks/one.flac", "talks/deep/two.FLAC"])


WIDTHS = {"wide": 1280, "narrow": 390}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_view_is_accessible_and_fits_its_width(new_tab: NewTab, corrupt: Path, scheme: str, width: str) -> None:
    tab = new_tab(color_scheme=scheme, viewport={"width": WIDTHS[width], "height": 844})
    page = tab.page
    tab.open()
    page.get_by_role("heading", level=1).wait_for()
    look(tab, f"1-key-{scheme}-{width}")
    tab.enter_key()
    page.get_by_text("More", exact=True).click()
    look(tab, f"2-empty-{scheme}-{width}")
    tab.drop(SPEECH, OTHER, corrupt)
    tab.page.locator(".drop").wait_for()
    look(tab, f"3-progress-{scheme}-{width}")
    for name, state in ((SPEECH.name, "done"), (OTHER.name, "done"), ("corrupt.wav", "error")):
        tab.await_state(name, state)
    look(tab, f"4-done-{scheme}-{width}")
    page.get_by_role("link", name=f"Read {SPEECH.name}").click()
    hear(tab)
    page.locator(".word").nth(4).click()
    page.wait_for_timeout(400)
    page.evaluate("document.querySelector('audio').pause()")
    look(tab, f"5-transcript-{scheme}-{width}")
    page.get_by_role("link", name="All of the batch").click()
    page.get_by_role("button", name="Download all").wait_for()
    look(tab, f"6-batch-{scheme}-{width}")
    for number, (link, what) in enumerate({"Batches": "batches", "Queue": "queue"}.items(), start=7):
        page.get_by_role("navigation").get_by_role("link", name=link).click()
        page.get_by_role("heading", name=link, level=1).wait_for()
        page.wait_for_timeout(500)
        look(tab, f"{number}-{what}-{scheme}-{width}")


def look(tab: Tab, name: str) -> None:
    """Keep a picture, and check what a view must be however it looks."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    tab.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
    found = Axe().run(tab.page).response["violations"]
    assert not found, json.dumps([(one["id"], [node["html"] for node in one["nodes"]]) for one in found], indent=1)
    page_width, window_width = tab.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert page_width <= window_width, f"{name} is wider than its window"
    tops = [int(level) for level in re.findall(r"H(\d)", tab.page.evaluate(HEADINGS))]
    assert tops[0] == 1
    assert tops.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(tops))


HEADINGS = "[...document.querySelectorAll('h1, h2, h3')].map((one) => one.tagName).join()"
