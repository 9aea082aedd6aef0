"""Saying something and reading the answer."""

import pytest

from tests.orchestrator.gateway.playground.browser import NUM_TOKENS
from tests.orchestrator.gateway.playground.site import Site
from tests.orchestrator.gateway.playground.undisturbed import answer

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_answer_is_the_targets_text_with_every_blank(visit):
    await visit.send("Hello")
    assert await visit.text() == answer(("user", "Hello"))
    assert await visit.page.locator(".prompt-text").text_content() == "Hello"


async def test_each_token_says_where_it_came_from(visit):
    await visit.send("Hello")
    origins = await visit.page.locator(".token").evaluate_all("all => all.map(one => one.dataset.origin)")
    assert len(origins) == NUM_TOKENS
    assert {"accepted", "recovered", "bonus"} <= set(origins) <= {"accepted", "recovered", "bonus", "target"}
    styles = """one => {
      const style = getComputedStyle(one);
      return [style.backgroundColor, style.textDecorationStyle];
    }"""
    looks = {
        origin: await visit.page.locator(f'.token[data-origin="{origin}"]').first.evaluate(styles)
        for origin in ("accepted", "recovered", "bonus")
    }
    # Both tell them apart: colours by themselves do not for everybody.
    assert len({look[0] for look in looks.values()}) == len({look[1] for look in looks.values()}) == 3


async def test_text_that_is_there_does_not_move_while_more_comes(visit, site):
    site.prose.hold(6)
    await visit.begin("Hello", 12)
    places = """() => [...document.querySelectorAll('.token')].slice(0, 12).map(one => {
      const own = one.getBoundingClientRect(), all = one.parentElement.getBoundingClientRect();
      return [one.textContent, own.left - all.left, own.top - all.top, own.width];
    })"""
    before = await visit.page.evaluate(places)
    site.prose.release()
    await visit.end()
    assert await visit.page.evaluate(places) == before


async def test_a_token_tells_its_round_position_probability_and_alternatives(visit):
    await visit.send("Hello")
    await visit.token(5).hover()
    card = visit.page.locator("#card")
    told = await card.text_content()
    num_prompt_tokens = len("user: Hello\nassistant: ")
    for part in ("round", "position", str(num_prompt_tokens + 5), "probability", "60.0%", "40.0%"):
        assert part in told
    await visit.page.mouse.move(5, 5)
    assert await card.is_hidden()


async def test_stop_keeps_the_text_and_continue_goes_on_where_it_stopped(visit, site):
    site.prose.hold(5)
    await visit.begin("Hello", 8)
    await visit.page.click("#stop")
    await visit.end("stopped")
    stopped = await visit.text()
    whole = answer(("user", "Hello"))
    assert whole.startswith(stopped)
    assert 8 <= len(stopped) < len(whole)
    site.prose.release()
    await visit.generating(visit.page.get_by_role("button", name="Continue").click)
    assert await visit.text() == whole
    assert visit.posted[-1]["paceline"]["continuation"]["mode"] == "resume"


async def test_a_double_click_on_an_example_sends_it_once(visit):
    await visit.generating(visit.page.locator(".example").first.dblclick)
    await visit.have_turns(1)
    assert len(visit.posted) == 1


async def test_of_two_messages_at_once_one_is_sent_and_the_other_stays_in_the_box(visit, site):
    site.prose.hold(5)
    await visit.begin("Hello", 5)
    await visit.page.evaluate(
        """() => ["one", "two"].forEach(text => {
          document.getElementById("prompt").value = text;
          document.getElementById("composer").requestSubmit();
        })"""
    )
    await visit.have_turns(2)
    site.prose.release()
    await visit.end()
    assert await visit.page.locator(".prompt-text").all_text_contents() == ["Hello", "one"]
    assert await visit.page.input_value("#prompt") == "two"
    assert len(visit.posted) == 2


async def test_the_next_turn_goes_on_with_the_session(visit, site):
    num_before = await num_sessions(site)
    await visit.send("Hello")
    await visit.send("And then?")
    first = answer(("user", "Hello"))
    second = answer(("user", "Hello"), ("assistant", first), ("user", "And then?"))
    assert [await visit.text(0), await visit.text(1)] == [first, second]
    assert visit.posted[-1]["paceline"]["continuation"]["mode"] == "rewind"
    assert await num_sessions(site) == num_before + 1


async def test_settings_are_what_is_asked_for(visit):
    page = visit.page
    await page.fill("#max-tokens", "6")
    await page.fill("#seed", "99")
    await page.fill("#system", "Be brief.")
    await page.get_by_role("radio", name="Off").check()
    await visit.send("Hello")
    body = visit.posted[-1]
    assert (body["max_tokens"], body["seed"], body["temperature"]) == (6, 99, 0.7)
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert body["paceline"]["speculation"] == {"mode": "off"}
    origins = await page.locator(".token").evaluate_all("all => all.map(one => one.dataset.origin)")
    assert origins == ["target"] * 6


async def test_rounds_and_numbers_are_shown(visit):
    await visit.send("Hello")
    page = visit.page
    rounds = {await token.get_attribute("data-round") for token in await page.locator(".token").all()}
    assert await page.locator(".column").count() == len(rounds)
    assert await page.locator(".cell:not(.cell-refused)").count() == NUM_TOKENS
    gauges = await page.locator("#gauges").text_content()
    assert "tok/s" in gauges
    assert "%" in gauges
    await page.locator(".rounds-table summary").click()
    rows = page.locator(".rounds-table tbody tr")
    await rows.first.wait_for()  # the browser tells the page of an opened table after the click
    assert await rows.count() == len(rounds)


async def num_sessions(site: Site) -> int:
    return (await site.rig.rig.store.list_sessions(None, 1)).num_found
