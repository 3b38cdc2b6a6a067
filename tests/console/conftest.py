"""Debian's Chromium, driven by Playwright, before a whole system with the CPU engine."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

from tests.e2e.conftest import Stack, running

CHROMIUM = Path("/usr/bin/chromium")
SCREENSHOTS = Path(__file__).parents[2] / "build" / "console"
RECORDINGS = Path(__file__).parents[1] / "recordings"
PATIENCE_MS = 90_000
INLINE_MAX_BYTES = 100_000
expect.set_options(timeout=30_000)  # of a machine that does other things as well
_OPTIONS = [
    "--no-sandbox",  # CI is root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_WATCH = """
addEventListener("securitypolicyviolation", (event) => console.error(`violates ${event.violatedDirective}`));
"""


@dataclass(slots=True)
class Tab:
    """A page, and all that it asked for and complained of."""

    page: Page
    stack: Stack
    requested: list[str] = field(default_factory=list)
    """Addresses of all requests."""
    complains_of: str = "nothing"
    """How the address ends of which it may complain."""
    told_the_key: set[str] = field(default_factory=set)
    """Origins of all requests that had the key in a header."""
    complaints: list[str] = field(default_factory=list)
    """Errors on its console, violations of its policy, exceptions that nobody caught."""

    def open(self, view: str = "/") -> None:
        """Go to a view of the console."""
        self.page.goto(f"{self.stack.url}/console#{view}")

    def enter_key(self) -> None:
        """Enter the key as a user does."""
        self.page.get_by_label("API key").fill(self.stack.api_key)
        self.page.get_by_role("button", name="Continue").click()
        self.page.get_by_role("button", name="Choose files").wait_for()

    def drop(self, *files: Path | dict[str, Any]) -> None:
        """Choose files with the file picker."""
        with self.page.expect_file_chooser() as chooser:
            self.page.get_by_role("button", name="Choose files").click()
        chooser.value.set_files(list(files))  # type: ignore[arg-type]

    def row(self, name: str) -> Any:
        """Return the line of a recording, the newest first."""
        return self.page.locator(".recording", has=self.page.locator(".name", has_text=name)).first

    def await_state(self, name: str, state: str) -> None:
        """Wait until a recording's line has a state."""
        self.row(name).locator(f".pill[data-state={state}]").wait_for(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A system whose API leads to the bucket for what is larger than a few seconds, as Lambda's does for more."""
    settings = {"ASR_QUEUE_INLINE_MAX_BYTES": str(INLINE_MAX_BYTES)}
    with running(tmp_path_factory.mktemp("console"), "--engine", "whisper", settings=settings) as stack:
        yield stack


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser of the module's own: where none is installed the tests skip at home, and fail in CI."""
    if not CHROMIUM.exists():
        (pytest.fail if "CI" in os.environ else pytest.skip)(f"{CHROMIUM} is not installed; `make browser` does that")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def new_tab(browser: Browser, stack: Stack) -> Iterator[Callable[..., Tab]]:
    """Make tabs, each with a profile of its own; what one complained of fails the test."""
    tabs: list[tuple[BrowserContext, Tab]] = []

    def make(**options: Any) -> Tab:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "locale": "en-GB", **options})
        context.add_init_script(_WATCH)
        tab = Tab(context.new_page(), stack)
        tab.page.on("request", lambda request: _look(tab, request))
        tab.page.on("console", lambda message: _note(tab, message))
        tab.page.on("pageerror", lambda error: tab.complaints.append(str(error)))
        # Choosers are intercepted while somebody listens; a key that is pressed at once would come before that.
        tab.page.on("filechooser", lambda _: None)
        tabs.append((context, tab))
        return tab

    yield make
    for context, tab in tabs:
        context.close()
        assert tab.complaints == []
        assert not [address for address in tab.requested if stack.api_key in address]
        assert tab.told_the_key <= {stack.url}


def _look(tab: Tab, request: Request) -> None:
    tab.requested.append(request.url)
    if tab.stack.api_key in request.headers.values():
        tab.told_the_key.add("/".join(request.url.split("/")[:3]))


def _note(tab: Tab, message: ConsoleMessage) -> None:
    url = str(message.location.get("url"))
    if message.type in ("error", "warning") and not url.endswith(tab.complains_of):
        tab.complaints.append(f"{message.text} {url}")
