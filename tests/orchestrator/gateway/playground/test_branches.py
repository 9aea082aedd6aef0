"""Going back to a token: rewind, fork, another token, an edited message."""

import re

import pytest

from tests.orchestrator.gateway.playground.browser import NUM_TOKENS
from tests.orchestrator.gateway.playground.prose import LETTERS
from tests.orchestrator.gateway.playground.undisturbed import answer, prompt_ids, text_after

pytestmark = pytest.mark.asyncio(loop_scope="session")

HELLO = ("user", "Hello")


async def last_in_a_round(visit, *, is_last: bool) -> int:
    """A token that ends a round, or that does not, so that no rollback token names the point behind it."""
    tokens = await visit.page.locator(".token").evaluate_all(
        "all => all.map(one => [one.dataset.round, one.textContent])"
    )
    return next(
        index
        for index in range(6, len(tokens))
        if tokens[index][1].strip() and (tokens[index][0] != tokens[index + 1][0]) == is_last
    )


@pytest.mark.parametrize("is_last", [True, False], ids=["at a round's end", "within a round"])
async def test_rewinding_keeps_what_is_before_the_token_and_generates_anew(visit, is_last):
    await visit.send("Hello")
    index = await last_in_a_round(visit, is_last=is_last)
    await visit.choose(index, "Rewind here")
    # The scripted target writes the same again: the ids that it went on from were the right ones.
    assert await visit.text() == answer(HELLO, num_tokens=index + 1 + NUM_TOKENS)
    assert visit.posted[-1]["paceline"]["continuation"]["mode"] == "rewind"
    assert await visit.page.locator("#branches").is_hidden()


async def test_a_fork_is_a_branch_and_leaves_the_first_as_it_was(visit):
    await visit.send("Hello")
    before = await visit.text()
    index = await last_in_a_round(visit, is_last=False)
    await visit.choose(index, "Fork here")
    assert visit.posted[-1]["paceline"]["continuation"]["mode"] == "fork"
    longer = answer(HELLO, num_tokens=index + 1 + NUM_TOKENS)
    assert await visit.text() == longer
    branches = visit.page.locator("#branches button")
    assert await branches.count() == 2
    await branches.first.click()
    await visit.page.wait_for_selector('#branches button[aria-pressed="true"]:first-child')
    assert await visit.text() == before
    await branches.last.click()
    await visit.page.wait_for_selector('#branches button[aria-pressed="true"]:last-child')
    assert await visit.text() == longer


async def test_a_token_can_be_put_in_the_place_of_another(visit):
    await visit.send("Hello")
    before = await visit.text()
    index = next(place for place in range(9, NUM_TOKENS) if before[place] in "aeio")
    await visit.choose(index, "instead")
    after = await visit.text()
    other = after[index]
    assert other != before[index]
    assert other.encode() in LETTERS
    ids = [*prompt_ids([HELLO]), *before[:index].encode(), *other.encode()]
    assert after == before[:index] + other + text_after(ids, NUM_TOKENS)
    await visit.send("And then?")
    assert await visit.text() == answer(HELLO, ("assistant", after), ("user", "And then?"))


@pytest.mark.slow  # six answers
async def test_turns_of_branches_do_not_disturb_each_other(visit):
    await visit.send("Hello")
    first = await visit.text()
    await visit.choose(10, "Fork here")
    forked = await visit.text()
    await visit.send("In the fork")
    await visit.page.locator("#branches button").first.click()
    await visit.have_turns(1)
    await visit.send("In the first")
    assert await visit.text(0) == first
    assert await visit.text() == answer(HELLO, ("assistant", first), ("user", "In the first"))
    await visit.choose(4, "Rewind here", turn=0)
    assert await visit.text() == answer(HELLO, num_tokens=5 + NUM_TOKENS)
    await visit.page.locator("#branches button").last.click()
    await visit.have_turns(2)
    assert await visit.text(0) == forked
    # The point lies in what the fork has from the first branch's session, which nothing may have cut.
    await visit.choose(10, "Rewind here", turn=0)
    assert await visit.text() == answer(HELLO, num_tokens=11 + NUM_TOKENS)


@pytest.mark.parametrize("button", ["Send", "Send as a branch"])
async def test_an_edited_message_is_answered_anew(visit, button):
    await visit.send("Hello")
    await visit.send("And then?")
    first = await visit.text(0)
    turn = visit.page.locator(".turn").nth(1)
    await turn.get_by_role("button", name="Edit").click()
    await turn.get_by_role("textbox").fill("Why?")
    await visit.generating(turn.get_by_role("button", name=button, exact=True).click)
    assert await visit.text() == answer(HELLO, ("assistant", first), ("user", "Why?"))
    assert await visit.page.locator(".prompt-text").all_text_contents() == ["Hello", "Why?"]
    assert await visit.page.locator("#branches button").count() == (0 if button == "Send" else 2)


async def test_another_system_prompt_leaves_earlier_points_good(visit):
    await visit.send("Hello")
    await visit.page.fill("#system", "Be brief.")
    await visit.send("And then?")
    await visit.choose(8, "Rewind here", turn=0)
    assert await visit.text() == answer(HELLO, num_tokens=9 + NUM_TOKENS)


async def test_a_session_that_the_server_has_lost_is_begun_anew(visit, site):
    await visit.send("Hello")
    first = await visit.text()
    await site.rig.rig.store._redis.flushdb()
    await visit.send("And then?")
    assert await visit.text() == answer(HELLO, ("assistant", first), ("user", "And then?"))
    assert "sent again" in await visit.page.locator("#notice").text_content()


@pytest.mark.parametrize("action", ["Rewind here", "Again"])
async def test_what_is_refused_loses_no_text_and_can_be_asked_for_again(visit, action):
    async def act():
        if action == "Again":
            await visit.page.locator(".turn").first.get_by_role("button", name="Again").click()
        else:
            await visit.token(5, turn=0).click()
            await visit.page.locator("#card").get_by_role("button", name=action).click()

    async def refuse(route):
        error = {"message": "no key", "type": "authentication_error", "param": None, "code": "KEY_UNKNOWN"}
        await route.fulfill(status=401, json={"error": error})

    await visit.send("Hello")
    await visit.send("And then?")
    before = [await visit.text(0), await visit.text(1)]
    await visit.page.route(re.compile("/completions$"), refuse, times=1)
    await visit.generating(act)
    again = visit.page.locator("#notice").get_by_role("button", name="Try again")
    await again.wait_for()
    assert [await visit.text(0), await visit.text(1)] == before
    await visit.generating(again.click)
    assert await visit.text() == answer(HELLO, num_tokens=NUM_TOKENS + (6 if action == "Rewind here" else 0))
    await visit.have_turns(1)


async def test_an_answer_that_later_turns_follow_is_gone_on_with_by_a_rewind(visit, site):
    site.prose.hold(5)
    await visit.begin("Hello", 8)
    await visit.page.click("#stop")
    await visit.end("stopped")
    num_tokens = len(await visit.text())
    site.prose.release()
    await visit.send("And then?")
    await visit.generating(visit.page.get_by_role("button", name="Continue").first.click)
    assert await visit.text() == answer(HELLO, num_tokens=num_tokens + NUM_TOKENS)
    assert visit.posted[-1]["paceline"]["continuation"]["mode"] == "rewind"
    await visit.have_turns(1)


async def test_another_first_message_leaves_a_branch_the_point_behind_the_prompt(visit):
    await visit.send("Hello")
    await visit.choose(0, "Fork here")
    await visit.page.locator("#branches button").first.click()
    await visit.page.wait_for_selector('#branches button[aria-pressed="true"]:first-child')
    await visit.page.get_by_role("button", name="Edit").click()
    await visit.page.locator(".turn").get_by_role("textbox").fill("Why?")
    await visit.generating(visit.page.get_by_role("button", name="Send", exact=True).first.click)
    assert await visit.text() == answer(("user", "Why?"))
    await visit.page.locator("#branches button").last.click()
    await visit.page.wait_for_selector('#branches button[aria-pressed="true"]:last-child')
    await visit.choose(0, "instead")
    assert visit.posted[-1]["paceline"]["continuation"]["mode"] == "fork"


async def test_buttons_and_focus_stay_while_an_answer_comes_in(visit, site):
    await visit.send("Hello")
    await visit.choose(5, "Fork here")
    await visit.page.locator(".rounds-table summary").click()
    site.prose.hold(5)
    await visit.begin("And then?", 6)
    held = await visit.page.evaluate_handle(
        "() => [...document.querySelectorAll('#branches button, #branches span, .rounds-table summary')]"
    )
    await visit.page.locator(".rounds-table summary").focus()
    site.prose.release()
    await visit.end()
    assert await held.evaluate("all => all.length === 5 && all.every(one => one.isConnected)")
    assert await visit.page.evaluate("() => document.activeElement.matches('.rounds-table summary')")
