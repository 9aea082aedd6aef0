"""Going back to a token: rewind, fork, another token, an edited message."""

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
