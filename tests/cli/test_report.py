"""`asr-queue report`: a page about a batch that needs nothing else, and in which names are data."""

import re
import xml.etree.ElementTree as ET
from collections import Counter
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from asr_queue.client import Client, transcribe_item
from tests.cli.conftest import Run
from tests.client.contract_server import KEY, ContractServer

_CREATED = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
_HOSTILE = "<script>alert(1)</script> | [x](http://evil.example) *`\x1b[2J"
_PLOTS = ["Waiting time", "Run time", "Micro-batch fill", "Real-time factor", "Throughput"]


def at(seconds: float) -> str:
    return (_CREATED + timedelta(seconds=seconds)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def submitted(server: ContractServer, *names: str, label: str = "my batch") -> str:
    """Submit items that are their own names; those that begin with `bad` fail."""
    with Client(server.url, KEY) as client:
        items = [transcribe_item(client.upload(name.encode()).file_id, custom_id=name) for name in names]
        return client.submit(items, label=label).batch_id


@pytest.fixture
def batch_id(server: ContractServer) -> str:
    """Forty items of 10 s each, two a second from 2 s on, each run for 3 s; two failed."""
    names = [f"bad {number}" if number in (7, 9) else f"talk {number}.wav" for number in range(40)]
    server.beyond = {
        "created_at": at(0),
        "finished_at": at(24.5),
        "priority": "low",
        "device_s": 20.0,
        "cost_usd": 0.05,
    }
    server.beyond_of_items = [
        {
            "started_at": at(2 + number / 2),
            "finished_at": at(5 + number / 2),
            "audio_s": 10.0,
            "device_s": 0.5,
            "micro_batch": 16 if number < 32 else 8,
            **({"error_code": "invalid_audio"} if name.startswith("bad") else {}),
        }
        for number, name in enumerate(names)
    ]
    return submitted(server, *names)


class Page(HTMLParser):
    """What a page has in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.addresses: list[str] = []
        self.labels: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        for name, value in attrs:
            assert not name.startswith("on"), f"{name} is a script"
            if name == "id":
                self.ids[value or ""] += 1
            elif name == "aria-label" and tag == "svg":
                self.labels.append(value or "")
            elif name in ("href", "xlink:href", "src"):
                self.addresses.append(value or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_holds_everything(run: Run, server: ContractServer, batch_id: str, tmp_path: Path) -> None:
    ran = run("report", batch_id, server=server)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"asr-queue-{batch_id}.html\n", "")
    text = (tmp_path / f"asr-queue-{batch_id}.html").read_text()
    page = Page(text)
    assert page.tags["svg"] == len(_PLOTS)
    assert not {"script", "img", "link", "iframe", "object", "image"} & set(page.tags)
    assert all(address.startswith("#") for address in page.addresses)
    assert {address[1:] for address in page.addresses} <= set(page.ids)
    assert "url(http" not in text
    assert max(page.ids[address[1:]] for address in page.addresses) == 1, "plots do not take each other's parts"
    assert "prefers-color-scheme: dark" in text


def test_the_page_says_what_the_batch_came_to(run: Run, server: ContractServer, batch_id: str, tmp_path: Path) -> None:
    run("report", batch_id, "--out", "page.html", server=server)
    text = (tmp_path / "page.html").read_text()
    totals = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", text))
    assert totals == {
        "items": "40",
        "done": "38",
        "failed": "2",
        "audio": "0:06:40",
        "wall time": "24.5 s",
        "throughput": "17.8 audio s/s",  # 400 s of audio from 2 s to 24.5 s
        "device": "20.0 s",
        "RTFx": "20.0",
        "cost": "0.0500 USD",
        "micro-batch fill": "14.4 chunks",
        "waited (median, 95%)": "11.8 s, 20.5 s",
        "ran (median, 95%)": "3.0 s, 3.0 s",
    }
    page = Page(text)
    assert [label.partition(".")[0] for label in page.labels] == _PLOTS
    assert "Half waited at most 11.8 s, 95% at most 20.5 s, the longest 21.5 s." in page.labels[0]
    assert "20.0 in total" in page.labels[3]
    assert "priority low" in page.text
    assert re.search(r"invalid_audio\s*2\s*Invalid audio format: not audio\s*bad 7, bad 9", page.text)


def test_markdown_has_its_plots_beside_it(run: Run, server: ContractServer, batch_id: str, tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    ran = run("report", batch_id, "--out", "pages/monday.md", server=server)
    assert (ran.returncode, ran.stdout) == (0, "pages/monday.md\n")
    text = (tmp_path / "pages" / "monday.md").read_text()
    assert text.startswith("# my batch\n")
    assert "| RTFx | 20.0 |" in text
    assert "| invalid&#95;audio | 2 | Invalid audio format: not audio | bad 7, bad 9 |" in text
    shown = re.findall(r"!\[(.+?)\]\((.+?)\)", text)
    assert len(shown) == len(_PLOTS)
    for _, file in shown:
        svg = ET.parse(tmp_path / "pages" / file).getroot()
        assert svg.tag == "{http://www.w3.org/2000/svg}svg"
        assert svg.attrib["aria-label"]
        assert "currentColor" not in (tmp_path / "pages" / file).read_text(), "there is no page to take it from"


def test_names_and_labels_are_data(run: Run, server: ContractServer, tmp_path: Path) -> None:
    hostile = submitted(server, f"bad {_HOSTILE}", label=_HOSTILE)
    server.beyond_of_items = [{"error": _HOSTILE, "error_code": _HOSTILE}]
    for out in ("page.html", "page.md"):
        assert run("report", hostile, "--out", out, server=server).returncode == 0
    page = Page((tmp_path / "page.html").read_text())
    assert page.tags["script"] == page.tags["a"] == 0
    assert page.text.count("<script>alert(1)</script> | [x](http://evil.example) *`") == 5, "title, head, and the table"
    markdown = (tmp_path / "page.md").read_text()
    assert "\x1b" not in page.text + markdown
    assert "<script" not in markdown
    assert "](http" not in markdown
    assert "://evil" not in markdown, "some would make a link of it"
    [row] = [line for line in markdown.splitlines() if line.startswith("| &#60;script")]
    assert row.count("|") == 5, "a name does not end its cell"


def test_a_batch_under_way_says_how_far_it_has_come(run: Run, server: ContractServer, tmp_path: Path) -> None:
    batch_id = submitted(server, "a", "b", "c")
    server.polls_to_finish = 10**9
    server.beyond = {"created_at": at(0)}
    server.beyond_of_items = [
        {"status": "done", "started_at": at(1), "finished_at": at(2), "audio_s": 3.0, "url": "/x.json"},
        {"status": "processing", "started_at": at(1)},
    ]
    assert run("report", batch_id, "--out", "page.html", server=server).returncode == 0
    page = Page((tmp_path / "page.html").read_text())
    assert "2 of 3 items have not ended yet" in page.text
    assert page.tags["svg"] == 3, "nothing is known of the device"


def test_a_server_that_tells_no_times_gives_totals_alone(run: Run, server: ContractServer, tmp_path: Path) -> None:
    batch_id = submitted(server, "a", "bad b")
    for out in ("page.html", "page.md"):
        assert run("report", batch_id, "--out", out, server=server).returncode == 0
        assert "There is nothing to plot yet" in (tmp_path / out).read_text()
    assert Page((tmp_path / "page.html").read_text()).tags["svg"] == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nonsense"], "batch_not_found"),
        (["nonsense", "--out", "page.pdf"], "ends with .html or .md"),
        (["nonsense", "--url", "http://127.0.0.1:1"], "no answer"),
    ],
)
def test_what_cannot_be_reported_ends_with_2(
    run: Run, server: ContractServer, tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    ran = run("report", *arguments, server=server)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert complaint in ran.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_cannot_be_written_ends_with_2(run: Run, server: ContractServer, batch_id: str) -> None:
    for out in ("absent/page.html", "absent/page.md"):
        ran = run("report", batch_id, "--out", out, server=server)
        assert ran.returncode == 2
        assert "cannot write absent/page" in ran.stderr
        assert "No such file" in ran.stderr
