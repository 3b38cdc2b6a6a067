"""The console's files, as they are served: what a browser is told of them, and what it may do with them."""

import re
from pathlib import Path

import boto3
import httpx
import pytest
from botocore.config import Config

from asr_queue.adapters.s3_presigner import S3Presigner
from asr_queue.cli.recordings import SUFFIXES
from asr_queue.domain.languages import NAMES
from handlers import console_page
from tests.api.conftest import System

FOLDER = Path(console_page.__file__).parent / "console"
FILES = sorted(path.name for path in FOLDER.iterdir())
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
STYLES_AND_SCRIPTS_IN_MARKUP = re.compile(r"<style|<script(?![^>]*\ssrc=)|\sstyle=|\son\w+=|javascript:", re.IGNORECASE)
FROM_TEXT = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|setHTML|\.style\b|"
    r"localStorage|\.cookie\b|indexedDB|console\.\w+\("
)
ELSEWHERE = re.compile(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\(")


def addresses() -> dict[str, str]:
    return {"index.html": "/console"} | {name: f"/console/{name}" for name in FILES if name != "index.html"}


def policy(answer: httpx.Response) -> dict[str, list[str]]:
    parts = answer.headers["content-security-policy"].split("; ")
    return {name: values for name, *values in (part.split() for part in parts)}


@pytest.mark.parametrize("name", FILES)
def test_each_file_is_served_to_anybody_as_what_it_is(system: System, name: str) -> None:
    answer = system.anonymous.get(addresses()[name])
    assert answer.content == (FOLDER / name).read_bytes()
    assert answer.headers["content-type"] == TYPES.get(Path(name).suffix, "text/html; charset=utf-8")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"


@pytest.mark.parametrize("name", FILES)
def test_what_a_browser_has_is_not_sent_again(system: System, name: str) -> None:
    first = system.anonymous.get(addresses()[name])
    assert first.headers["cache-control"] == "no-cache"
    for known in (first.headers["etag"], f"W/{first.headers['etag']}", f'"x", {first.headers["etag"]}', "*"):
        again = system.anonymous.get(addresses()[name], headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
    assert system.anonymous.get(addresses()[name], headers={"If-None-Match": '"x"'}).status_code == 200


@pytest.mark.parametrize("name", ["index.html", "x.js", "..%2fconsole_page.py", "%2e%2e/api.py", "", "__pycache__"])
def test_nothing_else_is_served(system: System, name: str) -> None:
    answer = system.anonymous.get(f"/console/{name}", follow_redirects=False)
    assert answer.status_code == (307 if name == "" else 404)


def test_the_page_may_run_and_reach_nothing_but_what_is_its_own(system: System) -> None:
    told = policy(system.anonymous.get("/console"))
    assert told["default-src"] == told["base-uri"] == told["form-action"] == told["frame-ancestors"] == ["'none'"]
    assert told["script-src"] == told["style-src"] == ["'self'"]
    assert told["require-trusted-types-for"] == ["'script'"]
    assert not [value for values in told.values() for value in values if "unsafe" in value or value in ("*", "https:")]


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
def test_the_page_may_send_recordings_to_the_bucket_and_to_no_other(
    system: System, region: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3 = boto3.Session(aws_access_key_id="a", aws_secret_access_key="b", region_name=region).client(
        "s3", config=Config(signature_version="s3v4", s3={"addressing_style": "path"})
    )
    presigner = S3Presigner(lambda: s3, "recordings")
    monkeypatch.setattr(system.wired.presigner, "form", presigner.form)
    form = presigner.form("uploads/a", size_bytes=1, content_type="audio/wav", life_s=1).url
    own, bucket, inside = policy(system.anonymous.get("/console"))["connect-src"]
    assert own == "'self'"
    assert bucket == form == inside.rstrip("/")
    assert presigner.link("uploads/a", content_type="audio/wav", life_s=1).startswith(inside)


@pytest.mark.parametrize("name", FILES)
def test_no_file_makes_code_or_markup_of_a_text_or_asks_anybody_else(name: str) -> None:
    text = (FOLDER / name).read_text()
    assert not ELSEWHERE.search(text)
    if name.endswith(".html"):
        assert not STYLES_AND_SCRIPTS_IN_MARKUP.search(text)
    elif name.endswith(".js"):
        assert not FROM_TEXT.search(text)


def test_it_offers_the_languages_that_the_api_takes() -> None:
    offered = dict(re.findall(r'^  (\w+): "(.+)",$', (FOLDER / "languages.js").read_text(), re.MULTILINE))
    assert offered == NAMES


def test_a_folder_is_searched_for_what_the_command_line_searches_for() -> None:
    [listed] = re.findall(r"SUFFIXES = new Set\(\[(.*?)\]\)", (FOLDER / "drop.js").read_text(), re.DOTALL)
    assert set(re.findall(r'"(\.\w+)"', listed)) == SUFFIXES
