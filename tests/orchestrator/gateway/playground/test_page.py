"""The page for everybody: keyboard, narrow windows, languages, themes, keys, pools."""

from pathlib import Path

import pytest

from tests.orchestrator.gateway.playground.browser import NUM_TOKENS, Visit
from tests.orchestrator.gateway.playground.site import serving_prose
from tests.orchestrator.gateway.playground.undisturbed import answer
from tests.orchestrator.tenant_rig import entry, write_tenants

pytestmark = pytest.mark.asyncio(loop_scope="session")

FAINT_TEXTS = Path(__file__).with_name("faint_texts.js").read_text()
WIDE_ELEMENTS = """() => [...document.querySelectorAll('body, body *')].filter(one => {
  const { width, right } = one.getBoundingClientRect();
  return width > 0 && right > innerWidth + 1 && !one.closest('.timeline-scroll, .table-scroll, .unseen');
}).map(one => one.outerHTML.slice(0, 80))"""
NAMELESS_CONTROLS = """() => [...document.querySelectorAll('button, input, textarea, [tabindex="0"]')]
  .filter(one => one.checkVisibility())
  .filter(one => !(one.textContent.trim() || one.ariaLabel || one.labels?.length || one.matches('.token')))
  .map(one => one.outerHTML)"""
HELLO = ("user", "Hello")
FOCUSED = "() => document.activeElement.id || document.activeElement.className"


async def test_everything_can_be_done_with_the_keyboard(visit):
    page, press = visit.page, visit.page.keyboard.press
    assert await page.evaluate(FOCUSED) == "prompt"  # a new conversation begins there
    await page.keyboard.type("one")
    await press("Shift+Enter")
    await page.keyboard.type("two")
    await visit.generating(lambda: press("Enter"))
    assert await page.locator(".prompt-text").text_content() == "one\ntwo"
    for _ in range(20):  # back over the buttons below the answer
        await press("Shift+Tab")
        if "token" in await page.evaluate(FOCUSED):
            break
    await press("Home")
    for _ in range(7):
        await press("ArrowRight")
    assert await page.evaluate("() => document.activeElement.dataset.index") == "7"
    await page.locator("#card").wait_for()
    await press("ArrowDown")
    await press("ArrowUp")
    await press("Enter")
    assert await page.evaluate("() => document.activeElement.closest('#card') !== null")
    await press("Escape")
    assert "token" in await page.evaluate(FOCUSED)
    await press("Home")
    await press("Enter")
    await visit.generating(lambda: page.get_by_role("button", name="Rewind here").press("Enter"))
    assert await visit.text() == answer(("user", "one\ntwo"), num_tokens=1 + NUM_TOKENS)


async def test_escape_stops(visit, site):
    site.prose.hold(5)
    await visit.begin("Hello", 5)
    await visit.token(3).click()
    await visit.page.keyboard.press("Escape")  # what is on top first
    assert await visit.page.locator("#card").is_hidden()
    assert await visit.page.locator("#stop").is_visible()
    await visit.page.keyboard.press("Escape")
    await visit.end("stopped")
    assert await visit.page.locator("#send").is_visible()


async def test_the_focus_stays_in_the_turn_whose_buttons_go(visit):
    await visit.send("Hello")
    turn = visit.page.locator(".turn")
    await visit.generating(lambda: turn.get_by_role("button", name="Again").press("Enter"))
    assert "answer-text" in await visit.page.evaluate(FOCUSED)
    await turn.get_by_role("button", name="Edit").press("Enter")
    await visit.page.keyboard.press("Escape")
    assert await visit.page.evaluate("() => document.activeElement.textContent") == "Edit"


async def test_a_phones_width_is_wide_enough(browser, site):
    context = await browser.new_context(
        viewport={"width": 360, "height": 640}, has_touch=True, is_mobile=True
    )
    visit = Visit(await context.new_page(), site.rig.url)
    await visit.open()
    await visit.send("word" * 60)
    views = ("rounds", "pools", "settings", "chat")
    for view in views:
        await visit.page.locator(f".views [data-view={view}]").tap()
        assert [one for one in views if await visit.page.locator(f"#{one}").is_visible()] == [view]
        assert await visit.page.evaluate(WIDE_ELEMENTS) == []
        assert await visit.page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    await visit.token(3).tap()
    assert await visit.page.locator("#card").get_by_role("button", name="Fork here").is_visible()
    await context.close()


async def test_japanese_is_chosen_by_the_browser_and_english_by_a_switch(browser, site):
    context = await browser.new_context(locale="ja-JP")
    visit = Visit(await context.new_page(), site.rig.url)
    await visit.open()
    page = visit.page
    assert await page.locator("#send").text_content() == "送信"
    assert await page.get_attribute("html", "lang") == "ja"
    await page.click("#language")
    assert await page.locator("#send").text_content() == "Send"
    await page.reload()
    assert await page.locator("#send").text_content() == "Send"
    await context.close()


async def test_text_can_be_read_and_controls_have_names(visit):
    await visit.send("Hello")
    for scheme in ("dark", "light"):
        await visit.page.emulate_media(color_scheme=scheme)
        assert await visit.page.evaluate(FAINT_TEXTS) == []
    assert await visit.page.evaluate(NAMELESS_CONTROLS) == []
    ids = await visit.page.locator("[id]").evaluate_all("all => all.map(one => one.id)")
    assert len(ids) == len(set(ids))


async def test_a_chosen_theme_stays(browser, site):
    context = await browser.new_context(color_scheme="light")
    visit = Visit(await context.new_page(), site.rig.url)
    await visit.open()
    ground = "() => getComputedStyle(document.documentElement).backgroundColor"
    by_system = await visit.page.evaluate(ground)
    await visit.page.click("#theme")
    assert await visit.page.evaluate(ground) == by_system
    await visit.page.click("#theme")
    dark = await visit.page.evaluate(ground)
    assert dark != by_system
    await visit.page.reload()
    assert await visit.page.evaluate(ground) == dark
    await context.close()


async def test_the_pools_are_shown_while_the_page_is(visit):
    await visit.page.wait_for_selector(".replica")
    shown = await visit.page.locator(".pools").text_content()
    for part in ("target-0", "target-1", "draft-0", "ready"):
        assert part in shown


async def test_a_key_is_asked_for_and_kept_in_the_tab_alone(browser, redis, tmp_path):
    tenants = write_tenants(tmp_path, entry("ann"), entry("ops", role="operator"))
    async with serving_prose(redis.url, tenants_file=tenants) as site:
        context = await browser.new_context(locale="en-GB")
        page = await context.new_page()
        await page.goto(f"{site.rig.url}/playground/")
        await page.wait_for_selector('#notice:has-text("API key")')
        await page.fill("#key", "key-of-ann")
        await page.press("#key", "Tab")
        await page.wait_for_selector(".model-target", state="attached")
        await page.wait_for_selector('#pools-list:has-text("operator")')
        visit = Visit(page, site.rig.url)
        await page.fill("#max-tokens", str(NUM_TOKENS))
        await visit.send("Hello")
        assert await visit.text() == answer(HELLO)
        await page.fill("#key", "key-of-ops")
        await page.press("#key", "Tab")
        await page.wait_for_selector(".replica")
        stored = await page.evaluate("() => [JSON.stringify(localStorage), JSON.stringify(sessionStorage)]")
        assert "key-of" not in stored[0]
        assert "key-of-ops" in stored[1]
        assert await context.cookies() == []
        await context.close()
