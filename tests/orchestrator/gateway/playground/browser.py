"""A browser on this machine, and the playground as a person uses it."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

NUM_TOKENS = 32  # of each answer

_PROGRAMS = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
)
_ARGUMENTS = (
    "--no-sandbox",  # tests run as root in containers
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)
# What a broken connection writes there is no defect.
_EXPECTED = ("Failed to load resource", "net::ERR")
_TWO_FRAMES = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def browser_program() -> str:
    """Return Chromium's program; skips the test where there is none."""
    pytest.importorskip("playwright", reason="playwright is not installed (`make setup` installs it)")
    for name in _PROGRAMS:
        if (found := shutil.which(name)) is not None:
            return found
    pytest.skip("no Chromium on this machine: install chromium or chromium-headless-shell")


@asynccontextmanager
async def running_browser() -> AsyncIterator[Any]:
    """Run Chromium for as long as the block runs."""
    program = browser_program()
    from playwright.async_api import async_playwright  # noqa: PLC0415, not installed everywhere

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Visit:
    """The page in a window of its own; `posted` are the bodies of what it asked the API for."""

    page: Any
    url: str
    posted: list[dict[str, Any]] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(20_000)
        self.page.on("request", self._note_request)
        self.page.on("console", self._note_message)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _note_request(self, request: Any) -> None:
        self.hosts.add(urlsplit(request.url).netloc)
        if request.method == "POST":
            self.posted.append(request.post_data_json)

    def _note_message(self, message: Any) -> None:
        is_expected = any(text in message.text for text in _EXPECTED)
        if message.type in {"error", "warning"} and not is_expected:
            self.complaints.append(message.text)

    async def open(self) -> None:
        """Load the page, and set it."""
        await self.page.goto(f"{self.url}/playground/")
        await self.page.wait_for_selector(".model-target", state="attached")
        await self.set()

    async def begin_anew(self) -> None:
        """Bring the page that is loaded to where it began: most of what a test would take is its loading."""
        await self.page.click("#new")
        await self.page.wait_for_selector("#welcome")
        await self.set()
        self.posted.clear()
        self.complaints.clear()

    async def set(self) -> None:
        """Set the page so that answers are short and rounds have four draft tokens."""
        await self.page.evaluate(
            """numTokens => {
              document.getElementById("settings").reset();
              for (const [id, value] of [["length", 4], ["max-tokens", numTokens], ["seed", 7]]) {
                document.getElementById(id).value = value;
              }
              document.getElementById("settings").dispatchEvent(new Event("input"));
            }""",
            NUM_TOKENS,
        )

    async def send(self, text: str) -> None:
        """Say something, and wait for the answer's end."""
        await self.generating(lambda: self._say(text))

    async def begin(self, text: str, num_tokens: int) -> None:
        """Say something, and wait for so many tokens of the answer."""
        await self._say(text)
        await self.have_tokens(num_tokens)

    async def have_tokens(self, num_tokens: int) -> None:
        """Wait until the last answer has so many tokens."""
        last = f".turn:last-child .token:nth-child({num_tokens})"
        await self.page.wait_for_selector(last, state="attached")

    async def have_turns(self, num_turns: int) -> None:
        """Wait until the branch that is shown has so many turns."""
        await self.page.wait_for_selector(f".turn:nth-child({num_turns}):last-child")

    async def generating(self, act: Callable[[], Awaitable[Any]]) -> None:
        """Do what makes the page ask for text, and wait until it has all of it."""
        async with self.page.expect_request(lambda request: request.method == "POST"):
            await act()
        await self.end()

    async def end(self, status: str = "finished") -> None:
        """Wait for the end of the last answer."""
        await self.page.evaluate(_TWO_FRAMES)
        ended = ("finished", "stopped", "failed")
        await self.page.wait_for_selector(
            ", ".join(f'.turn:last-child .answer-text[data-status="{one}"]' for one in ended)
        )
        answer = self.page.locator(".answer-text").last
        told = await self.page.locator("#notice").text_content()
        assert await answer.get_attribute("data-status") == status, told
        await self.page.evaluate(_TWO_FRAMES)

    async def text(self, turn: int = -1) -> str:
        """Return the text of an answer, with every blank of it."""
        return await self.page.locator(".answer-text").nth(turn).text_content()

    def token(self, index: int, turn: int = -1) -> Any:
        """Return a token of an answer."""
        return self.page.locator(".answer-text").nth(turn).locator(".token").nth(index)

    async def choose(self, index: int, action: str, turn: int = -1) -> None:
        """Click on a token, then on a button of its card, and wait for what is generated."""
        await self.token(index, turn).click()
        await self.generating(self.page.locator("#card").get_by_role("button", name=action).first.click)

    async def _say(self, text: str) -> None:
        await self.page.fill("#prompt", text)
        await self.page.press("#prompt", "Enter")
