"""What breaks in mid-answer, and what the page makes of it: the text is always whole."""

import pytest

from tests.orchestrator.gateway.playground.browser import Visit
from tests.orchestrator.gateway.playground.undisturbed import answer
from tests.orchestrator.tcp_proxy import wire_to

pytestmark = pytest.mark.asyncio(loop_scope="session")

HELLO = ("user", "Hello")


async def test_a_broken_stream_goes_on_by_itself(browser, site):
    site.prose.hold(5)
    async with wire_to(site.rig.url.removeprefix("http://")) as wire:
        context = await browser.new_context(locale="en-GB")
        visit = Visit(await context.new_page(), f"http://{wire.address}")
        await visit.open()
        await visit.begin("Hello", 10)
        wire.close()  # every connection there is; new ones are let in
        await visit.page.wait_for_selector('#notice:has-text("lost")')
        site.prose.release()
        await visit.end()
        assert await visit.text() == answer(HELLO)
        assert visit.posted[-1]["paceline"]["continuation"]["mode"] == "resume"
        assert visit.complaints == []
        await context.close()


async def test_a_lost_target_changes_no_text_and_its_successors_tokens_show(visit, site):
    site.prose.hold(5)
    await visit.begin("Hello", 10)
    site.prose.break_next()
    site.prose.release()
    await visit.end()
    assert site.prose.is_breaking is False
    assert await visit.text() == answer(HELLO)
    marks = await visit.page.locator(".token").evaluate_all(
        "all => all.map(one => one.classList.contains('is-after-failover'))"
    )
    assert marks == sorted(marks)  # from one token on
    assert marks[0] is False
    assert marks[-1] is True
    assert "1 failover" in await visit.page.locator(".facts").text_content()


@pytest.mark.parametrize("status", [502, 504])
async def test_a_proxy_that_does_not_reach_the_gateway_is_a_lost_connection(visit, status):
    async def refuse(route):
        await route.fulfill(status=status, body="<html>Bad gateway</html>")

    await visit.page.route("**/v1/chat/completions", refuse, times=1)
    await visit.send("Hello")
    assert await visit.text() == answer(HELLO)
    assert len(visit.posted) == 2


async def refuse_once(visit, seconds: int) -> None:
    """Refuse the next message as a full gateway does."""
    refusal = {
        "error": {"message": "no room", "type": "rate_limit_error", "param": None, "code": "QUOTA_EXCEEDED"}
    }

    async def refuse(route):
        await route.fulfill(status=429, json=refusal, headers={"Retry-After": str(seconds)})

    await visit.page.route("**/v1/chat/completions", refuse, times=1)


async def test_nothing_is_waited_for_once_it_is_stopped(visit):
    await refuse_once(visit, 600)
    await visit._say("Hello")
    await visit.page.wait_for_selector('#notice:has-text("in 600 s")')
    await visit.page.click("#stop")
    await visit.end("stopped")
    assert await visit.page.locator("#notice").is_hidden()


async def test_a_full_gateway_is_waited_for_as_it_says(visit):
    await refuse_once(visit, 1)
    await visit._say("Hello")
    await visit.page.wait_for_selector('#notice:has-text("in 1 s")')
    await visit.end()
    assert await visit.text() == answer(HELLO)
    assert len(visit.posted) == 2


async def test_a_refusal_says_in_plain_words_what_to_do(visit):
    await visit._say("x" * 5000)
    notice = visit.page.locator("#notice")
    await notice.wait_for()
    told = await notice.text_content()
    assert "no longer fits" in told
    assert "shorten" in told
    assert await notice.get_attribute("role") == "alert"
    assert "broken off" in await visit.page.locator("#announcer").text_content()
