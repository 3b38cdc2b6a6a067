"""Every page, typed from top to bottom by a reader who has nothing but the page."""

import importlib.util
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import typer.core
import typer.main
import yaml
from botocore import xform_name

from asr_queue.cli.app import app
from tests.docs import here, pages
from tests.docs.elsewhere import TABLE
from tests.docs.pages import ROOT, Block, Command
from tests.docs.session import Ran, Session
from tests.docs.shown import check_shown, document, has_the_shape_of, last_document

PROGRAMS = ("bash", "python", "js")
TYPED = ("console", *PROGRAMS)
READ = {"json": json.loads, "yaml": yaml.safe_load, "toml": tomllib.loads}
LOOKED_AT = ("", "text", "mermaid", *READ)
_LOOKS_TYPED = re.compile(
    r"^(\$ |import |from \S+ import |const |curl |export |make |(\.venv/bin/)?asr-queue |aws |sam |docker )",
    re.MULTILINE,
)
_PROMPT = re.compile(r"(.*\[[^\]]+\]: ?)(\S+)")
"""A question of a program, with the answer that the reader types."""


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with here.aws_account(tmp_path_factory.mktemp("account")) as url:
        yield url


@pytest.mark.parametrize("name", pages.names())
def test_a_reader_who_types_a_page_from_top_to_bottom_sees_what_it_shows(
    name: str, account: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    found = pages.blocks(name)
    unknown = {block.language for block in found} - {*TYPED, *LOOKED_AT}
    assert not unknown, f"{name} has blocks of a kind that nobody looks at: {unknown}"
    port = here.free_port()
    found = [
        Block(one.page, one.line, one.language, here.said_here(one.text, port=port), one.is_right_below)
        for one in found
    ]
    if not any(block.language in TYPED for block in found):
        for block in found:
            _look_at(block, None)
        return
    with here.reader(tmp_path, port=port, account=account) as session:
        if any(block.language == "js" for block in found):
            packages: Path = request.getfixturevalue("node_packages")
            (session.folder / "node_modules").symlink_to(packages / "node_modules")
        typed = [command for block in found if block.language == "console" for command in pages.commands(block)]
        deploys = any(command.text.startswith("sam ") for command in typed)
        if not deploys and not any(command.serves for command in typed):
            speaks = any(".speak(" in block.text for block in found)
            up = f"asr-queue up --port {port}{' --voice-engine echo' if speaks else ''}"
            _must_work(session.leave_running(up, "ready "), f"{name}: the system it takes as given")
            _must_work(session.shell(here.GIVEN), f"{name}: what it takes as given")
        ran: Ran | None = None
        for block in found:
            if block.language in LOOKED_AT:
                _look_at(block, ran if block.is_right_below else None)
            else:
                ran = _type(block, session)
            if deploys:
                _must_work(session.shell(here.after_each_step(account)), block.place)


def _type(block: Block, session: Session) -> Ran | None:
    """Do what a block says; return what the last of it came to, or None where it was only looked at."""
    if block.language == "console":
        return [_type_command(command, session) for command in pages.commands(block)][-1]
    for entry in TABLE:
        if entry.is_it(block.text.strip()):
            entry.look(block.text, session)
            return None
    run = {"python": session.python, "js": session.node}.get(block.language, session.shell)
    return _must_work(run(block.text), block.place)


def _type_command(command: Command, session: Session) -> Ran | None:
    for entry in TABLE:
        if entry.is_it(command.text):
            entry.look(command.text, session)
            return None
    questions = [_PROMPT.fullmatch(line) for line in command.shown]
    if command.serves:
        ran = session.leave_running(command.text, "ready ")
    else:
        ran = session.shell(command.text, typed="".join(f"{one[2]}\n" for one in questions if one))
    _must_work(ran, f"{command.place}: {command.text}")
    if document("\n".join(command.shown)) is not None:
        check_shown("\n".join(command.shown), ran, command.place)
        return ran
    for line, question in zip(command.shown, questions, strict=True):
        check_shown(question[1] if question else line, ran, command.place)
    return ran


def _must_work(ran: Ran, what: str) -> Ran:
    assert ran.worked, f"{what}\n{ran.seen}"
    return ran


def _look_at(block: Block, above: Ran | None) -> None:
    """Read what is no command, and hold it against what the block above it came to."""
    if block.language == "text" and above is not None:
        for line in filter(None, block.text.splitlines()):
            check_shown(line, above, block.place)
    elif block.language == "mermaid":
        assert ";" not in block.text, f"{block.place}: a semicolon ends a line in a drawing"
    elif block.language not in READ:
        assert not _LOOKS_TYPED.search(block.text), f"{block.place}: code of no language, so nobody runs it"
    else:
        shown = READ[block.language](block.text)
        if above is not None:
            has_the_shape_of(last_document(above.output), shown, block.place)


def test_what_is_listed_as_not_run_is_on_a_page() -> None:
    every = [block for name in pages.names() for block in pages.blocks(name)]
    typed = [block.text.strip() for block in every if block.language in PROGRAMS]
    typed += [command.text for block in every if block.language == "console" for command in pages.commands(block)]
    assert [entry.pattern for entry in TABLE if not any(map(entry.is_it, typed))] == []


def test_every_page_is_in_the_table_of_the_readme() -> None:
    assert set(pages.names()) - {"README.md"} <= set(pages.links("README.md"))


@pytest.mark.parametrize("name", pages.names())
def test_links_lead_somewhere(name: str) -> None:
    for target in pages.links(name):
        path, _, anchor = target.partition("#")
        there = (ROOT / name).parent / path if path else ROOT / name
        assert there.exists(), f"{name} leads to {target}"
        if anchor:
            assert anchor in pages.anchors(there), f"{name} leads to {target}"


@pytest.mark.parametrize("name", pages.names())
def test_commands_within_sentences_exist(name: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for code in pages.inline(name):
        assert set(re.findall(r"asr-queue\[([\w-]+)\]", code)) <= set(extras), f"{name}: `{code}`"
        words = code.split()
        if words[0] == "make" and len(words) > 1:
            made = subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, capture_output=True, check=False)
            assert made.returncode == 0, f"{name}: `{code}`: {made.stderr.decode()}"
        elif words[0] == "asr-queue" and len(words) > 1:
            _our_command_takes(words[1:], f"{name}: `{code}`")
        elif words[0] == "aws" and len(words) > 3 and words[1] != "s3":  # whose commands are of no API
            _aws_takes(words[1], words[2], words[3:], f"{name}: `{code}`")
        elif words[:2] == ["python", "-m"]:
            assert importlib.util.find_spec(words[2]), f"{name}: `{code}`"


def _aws_takes(service: str, operation: str, words: list[str], what: str) -> None:
    model = botocore.session.get_session().get_service_model(service)
    operations = {xform_name(one, "-"): one for one in model.operation_names}
    assert operation in operations, what
    shape = model.operation_model(operations[operation]).input_shape
    assert {one for one in words if one.startswith("--")} <= {f"--{xform_name(one, '-')}" for one in shape.members}, (
        what
    )


def _our_command_takes(words: list[str], what: str) -> None:
    command: Any = typer.main.get_command(app)
    while isinstance(command, typer.core.TyperGroup) and words and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    if isinstance(command, typer.core.TyperGroup):
        assert not words or words[0].startswith("-"), what
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert {word.strip("[]") for word in words if word.strip("[").startswith("-")} <= options, what
