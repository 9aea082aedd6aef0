"""The page's pure modules, in the browser that will run them."""

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def run(visit, module: str, script: str):
    """Run a script with a module of the page as `it`."""
    return await visit.page.evaluate(f"async () => {{ const it = await import('./{module}'); {script} }}")


async def test_events_are_read_however_their_bytes_are_cut(visit):
    text = ': keep-alive\r\n\r\ndata: {"a": 1}\n\ndata: two\rdata:lines\r\revent: x\ndata: [DONE]\n\n'
    script = f"""
      const text = {text!r};
      return Array.from({{ length: text.length }}, (_, width) => {{
        const parser = new it.EventParser(), found = [];
        for (let at = 0; at < text.length; at += width + 1) found.push(...parser.push(text.slice(at, at + width + 1)));
        return found.join("|");
      }});
    """
    assert set(await run(visit, "sse.js", script)) == {'{"a": 1}|two\nlines|[DONE]'}


async def test_what_is_sent_twice_is_shown_once(visit):
    script = """
      const token = (id) => ({ id, text: `${id} `, origin: "target", logprob: null, alternatives: [] });
      const chunk = (position, ...ids) => ({ kind: "chunk", tokens: ids.map(token), round: 1, epoch: 1, position,
        numAccepted: 0, numDraftTokens: 0, rollbackToken: `r${position + ids.length}`, seconds: null });
      const started = (position) => ({ kind: "started", sessionId: "s", position, rollbackToken: `r${position}` });
      let answer = it.newAnswer(7, 0);
      for (const event of [started(3), chunk(3, 1, 2), started(5), chunk(4, 2, 3), chunk(4, 2)]) {
        answer = it.after(answer, event, 1);
      }
      const tokens = answer.points.map(one => one.rollbackToken);
      return [it.textOf(answer), answer.position, tokens, it.pointAt(answer, 1).ids];
    """
    assert await run(visit, "answer.js", script) == ["1 2 3 ", 6, ["r3", "r5", "r6"], [1]]


async def test_only_a_higher_epoch_of_the_same_stream_is_a_failover(visit):
    script = """
      const tokens = [{ id: 1, text: "a", origin: "target", logprob: null, alternatives: [] }];
      const chunk = (position, epoch) => ({ kind: "chunk", position, epoch, tokens, round: 1, numAccepted: 0,
        numDraftTokens: 0, rollbackToken: "r", seconds: null });
      const started = { kind: "started", sessionId: "s", position: 1, rollbackToken: "r" };
      let answer = it.newAnswer(7, 0);
      for (const event of [started, chunk(1, 4), chunk(2, 5), { ...started, position: 3 }, chunk(3, 6)]) {
        answer = it.after(answer, event, 1);
      }
      return answer.tokens.map(one => one.isAfterFailover);
    """
    assert await run(visit, "answer.js", script) == [False, True, False]


async def test_a_session_that_another_branch_needs_is_not_cut(visit):
    script = """
      const point = (numTokens, sessionId = "s") =>
        ({ numTokens, position: 3 + numTokens, sessionId, rollbackToken: "r" });
      const answer = { sessionId: "s", tokens: [], points: [point(0), point(4), point(8)] };
      let conversation = it.withTurn(it.newConversation(), 0, "Hello", answer);
      const before = it.mayRewind(conversation, 1, point(4));
      conversation = it.switched(it.forked(conversation, 1, 8), 1);
      return [before, it.mayRewind(conversation, 1, point(4)), it.mayRewind(conversation, 1, point(8)),
        it.mayRewind(conversation, 1, point(4, "other"))];
    """
    assert await run(visit, "conversation.js", script) == [True, False, True, False]


async def test_a_fence_makes_code_until_the_next_one(visit):
    script = """
      const fence = new it.CodeFence();
      return ["Use ", "`", "x", "`:\\n", "```", "c\\n", "int x;\\n", "``", "`\\n", "done ```"]
        .map(one => fence.push(one));
    """
    found = await run(visit, "code_fence.js", script)
    assert found == [False, False, False, False, True, True, True, True, True, False]


async def test_every_text_is_there_in_both_languages(visit):
    script = """
      const names = new Set();
      const files = ["index.html", "main.js", "turn_view.js", "token_card.js", "timeline.js", "gauges.js"];
      const sources = await Promise.all(files.map(name => fetch(name).then(answer => answer.text())));
      for (const [, name] of sources.join("").matchAll(/(?:\\bt\\(|data-t(?:-\\w+)?=)"(\\w+)"/g)) names.add(name);
      const texts = [...names].map(name => ["en", "ja"].map(language => (it.speak(language), it.t(name))));
      it.speak("en");
      const num = (isSuch) => texts.filter(isSuch).length;
      return [names.size, num(pair => pair.some(text => !text)), num(([english, japanese]) => english === japanese)];
    """
    num_names, num_missing, num_same = await run(visit, "strings.js", script)
    assert num_names > 50
    assert num_missing == 0
    assert num_same <= 3  # words such as Top-p
