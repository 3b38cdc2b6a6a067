"""The documentation, as the blocks of code in it."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
_NOT_FOR_READERS_HANDS = ("docs/decisions/", "docs/attacks.md")
"""Reasons of their time, and what a program wrote."""
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: what stands between two lines of backquotes."""

    page: str
    line: int
    language: str
    text: str
    is_right_below: bool
    """Nothing stands between it and the block before: it shows what that one prints."""

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a console, and what the page shows below it."""

    text: str
    shown: tuple[str, ...]
    place: str

    @property
    def serves(self) -> bool:
        """Whether it runs until somebody ends it, and tells by its first line that it is ready."""
        return bool(self.shown) and self.shown[0].startswith("ready ")


def names() -> list[str]:
    """Return the pages, README first, as paths from the root."""
    found = [path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")]
    return ["README.md", *sorted(name for name in found if not name.startswith(_NOT_FOR_READERS_HANDS))]


def blocks(name: str) -> list[Block]:
    """Return a page's blocks, in order; those in lists and quotations too."""
    text = (ROOT / name).read_text(encoding="utf-8")
    lines = text.splitlines()
    found: list[Block] = []
    end = 0
    for token in MarkdownIt().parse(text):
        if token.type in ("fence", "code_block"):
            assert token.map is not None
            start = token.map[0]
            is_right_below = bool(found) and not any(line.strip() for line in lines[end:start])
            language = token.info.split()[0] if token.info.strip() else ""
            found.append(Block(name, start + 1, language, token.content, is_right_below))
            end = token.map[1]
    return found


def inline(name: str) -> list[str]:
    """Return what stands between single backquotes, blocks left out."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return [
        code for token in MarkdownIt().parse(text) if token.type == "inline" for code in _INLINE.findall(token.content)
    ]


def links(name: str) -> list[str]:
    """Return where a page's links lead, those out of the repository left out."""
    tokens = MarkdownIt().enable("table").parse((ROOT / name).read_text(encoding="utf-8"))
    found = [child.attrGet("href") for token in tokens for child in token.children or () if child.type == "link_open"]
    return [str(target) for target in found if not re.match(r"\w+:", str(target))]


def anchors(page: Path) -> set[str]:
    """Return what a link to a page may have after `#`: its headings, as GitHub writes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(block: Block) -> list[Command]:
    """Take a console apart: lines after `$ ` are typed, with those that continue them; the rest is what appears."""
    found: list[Command] = []
    typed, shown, began = "", list[str](), block.line

    def keep() -> None:
        if typed:
            found.append(Command(typed, tuple(line for line in shown if line.strip()), f"{block.page}:{began}"))

    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        if typed and not shown and _goes_on(typed):
            typed += f"\n{line}"
        elif line.startswith("$ "):
            keep()
            typed, shown, began = line.removeprefix("$ "), [], number
        else:
            assert typed, f"{block.place}: a console begins with a command, after `$ `"
            shown.append(line)
    keep()
    assert found, f"{block.place}: a console without a command"
    return found


def _goes_on(typed: str) -> bool:
    """Tell whether a shell would wait for more: a line that ends in a backslash, or an open quotation."""
    if typed.endswith("\\"):
        return True
    try:
        shlex.split(typed, comments=True)
    except ValueError:
        return True
    return False
