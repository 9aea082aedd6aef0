"""The page as browsers show it: on a phone, in the dark, on paper, and without a network."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from paceline.cli.evaluation.report.language import Language
from paceline.cli.evaluation.report.page import page
from tests.orchestrator.gateway.playground import browser as playground_browser
from tests.orchestrator.gateway.playground.browser import running_browser
from tests.paceline.cli.evaluation.report.sample import sample

pytestmark = pytest.mark.asyncio(loop_scope="module")

FAINT_TEXTS = Path(playground_browser.__file__).with_name("faint_texts.js").read_text()
WIDE_ELEMENTS = """() => [...document.querySelectorAll("body, body *")].filter(one => {
  const { width, right } = one.getBoundingClientRect();
  return width > 0 && right > innerWidth + 1 && !one.closest(".scroll, svg, .unseen");
}).map(one => one.outerHTML.slice(0, 80))"""
CLIPPED_TEXTS = """() => [...document.querySelectorAll(".plot svg text")].filter(one => {
  const text = one.getBoundingClientRect();
  const plot = one.closest(".plot").getBoundingClientRect();
  return text.left < plot.left || text.right > plot.right || text.top < plot.top || text.bottom > plot.bottom;
}).map(one => one.textContent)"""

TWO_FRAMES = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
SHOWN_TABLES = """() => [...document.querySelectorAll("details table")]
  .filter(one => one.checkVisibility({ contentVisibilityAuto: true })).length"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Any]:
    async with running_browser() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=list(Language))
async def visit(browser: Any, request: pytest.FixtureRequest, tmp_path_factory) -> AsyncIterator[Any]:
    """The page in a window of its own; whatever a test does, it asks for nothing and complains of nothing."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page(sample(), request.param), encoding="utf-8")
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    opened = await context.new_page()
    complaints: list[str] = []
    requests: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: requests.append(request.url))
    await opened.goto(path.as_uri())
    yield opened
    await context.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith("data:")] == [path.as_uri()]


async def test_a_phones_width_is_wide_enough(visit):
    await visit.set_viewport_size({"width": 360, "height": 740})
    assert await visit.evaluate(WIDE_ELEMENTS) == []
    assert await visit.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    assert await visit.evaluate(CLIPPED_TEXTS) == []
    await visit.set_viewport_size({"width": 1280, "height": 900})
    assert await visit.evaluate(CLIPPED_TEXTS) == []


async def test_paper_shows_what_the_screen_folds(visit):
    await visit.evaluate("() => document.querySelectorAll('details').forEach(one => { one.open = false; })")
    assert await visit.evaluate(SHOWN_TABLES) == 0
    await visit.emulate_media(media="print")
    await visit.evaluate(TWO_FRAMES)
    assert await visit.evaluate(SHOWN_TABLES) == await visit.locator("details table").count() > 0
    await visit.emulate_media(media="screen")


# The last, as it takes things away.
async def test_texts_can_be_read_in_light_and_in_dark(visit):
    # Each look once: to tell what every text stands on takes seconds.
    await visit.evaluate("""() => {
      document.querySelectorAll("details").forEach(one => { one.open = true; });
      const alike = "tbody:nth-of-type(n + 2), tr:nth-child(n + 4), .plot:nth-child(n + 2)";
      document.querySelectorAll(alike).forEach(one => one.remove());
    }""")
    grounds = set()
    for scheme in ("dark", "light"):
        await visit.emulate_media(color_scheme=scheme)
        assert await visit.evaluate(FAINT_TEXTS) == []
        grounds.add(await visit.evaluate("() => getComputedStyle(document.documentElement).backgroundColor"))
    assert len(grounds) == 2
