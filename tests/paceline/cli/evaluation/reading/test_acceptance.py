"""How well drafts meet the target, read from real processes."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from paceline.cli.evaluation.findings import Acceptance
from paceline.cli.evaluation.reading.acceptance import AcceptanceReading, read_acceptance
from paceline.cli.evaluation.reading.chain import tokens_per_round, walk_rounds
from paceline.cli.evaluation.reading.chats import encoded_prompts
from paceline.cli.evaluation.reading.plan import ModelSource, ReadingPlan, ignore_progress
from paceline.cli.evaluation.reading.served import draft_engine, target_engine
from paceline.engine.engine import Engine
from paceline.engine.work import Work
from paceline.errors import ConfigError
from paceline.models.tokenizer import Tokenizer
from target_service.verification import judge
from tests.orchestrator.byte_tokenizer import byte_tokenizer
from tests.paceline.cli.evaluation.reading.plans import PROMPTS, Steps, random_plan, smollm2_plan
from tests.paceline.engine.capture import logits_of

TEMPERATURE = 0.8


@pytest.fixture(scope="module")
def plan(random_models: dict[str, Path]) -> ReadingPlan:
    """A draft that is the target itself, one like it, and one that is always wrong."""
    return random_plan(random_models, ("target", "good", "adversarial"), temperatures=(TEMPERATURE,))


@pytest.fixture(scope="module")
def reading(plan: ReadingPlan) -> AcceptanceReading:
    steps = Steps()
    found = read_acceptance(plan, steps)
    steps.check()
    assert {"target f32: writing texts", "good f32: reading texts"} <= set(steps.names)
    return found


def written(plan: ReadingPlan, prompt: int) -> tuple[list[int], list[int]]:
    """The ids of a prompt and the target's greedy text, from an engine in this process."""
    tokenizer = Tokenizer.load(plan.target.directory)
    ids = list(encoded_prompts(plan.prompts, tokenizer)[prompt])
    with Engine.load(target_engine(plan.target.directory, None)) as engine:
        work = Work(
            engine.open_sequence(),
            0,
            np.array(ids),
            num_selected=1,
            num_drawn=plan.max_tokens - 1,
            stop_ids=frozenset(tokenizer.eos_ids),
        )
        result = engine.submit(work).future.result()
    return ids, [*result.selected_ids.tolist(), *result.drawn_ids.tolist()]


def of(reading: AcceptanceReading, draft: str, kind: str, sampling: str) -> Acceptance:
    [found] = [
        one for one in reading.acceptance if (one.draft, one.kind, one.sampling) == (draft, kind, sampling)
    ]
    return found


def test_there_is_a_figure_for_each_draft_kind_and_sampling(reading: AcceptanceReading) -> None:
    assert [(one.draft, one.sampling, one.kind) for one in reading.acceptance] == [
        (draft, sampling, kind)
        for draft in ("target", "good", "adversarial")
        for sampling in ("greedy", "T = 0.8")
        for kind in ("code", "prose", "all")
    ]


def test_the_positions_are_those_of_the_target_s_own_texts(
    plan: ReadingPlan, reading: AcceptanceReading
) -> None:
    lengths = [len(written(plan, number)[1]) for number in range(len(PROMPTS))]
    texts = [one for one in reading.texts if one.draft == "good"]
    assert [(one.kind, one.prompt) for one in texts] == [(one.kind, one.name) for one in PROMPTS]
    assert [len(one.ids) for one in texts] == [len(one.outlooks) for one in texts] == lengths
    assert of(reading, "good", "all", "greedy").num_positions == sum(lengths)
    assert of(reading, "good", "code", "greedy").num_positions == sum(lengths[:2])


@pytest.mark.parametrize("sampling", ["greedy", "T = 0.8"])
def test_the_target_is_the_best_draft_and_its_opposite_the_worst(
    reading: AcceptanceReading, sampling: str
) -> None:
    best, worst = (of(reading, draft, "all", sampling) for draft in ("target", "adversarial"))
    assert (best.observed.value, best.per_position) == (1.0, (1.0,) * 4)
    assert worst.observed.value < 0.1
    assert best.tokens_per_round["4"] > best.tokens_per_round["2"] > 2
    assert worst.tokens_per_round["4"] == pytest.approx(1.0, abs=0.2)


def test_outlooks_are_what_the_draft_thinks_of_each_place_of_the_target_s_text(
    plan: ReadingPlan, reading: AcceptanceReading
) -> None:
    first = next(one for one in reading.texts if one.draft == "good")
    prompt_ids, text = written(plan, 0)
    assert list(first.ids) == list(text)
    with Engine.load(draft_engine(plan.drafts[1].directory, None)) as engine:
        logits = logits_of(engine, engine.open_sequence(), 0, [*prompt_ids, *text[:-1]], len(text))
    for row, outlook in zip(logits, first.outlooks, strict=True):
        best = np.argsort(-row, kind="stable")[: len(outlook.token_ids)]
        assert list(outlook.token_ids) == best.tolist()
        assert sorted(outlook.chances, reverse=True) == list(outlook.chances)
        assert outlook.chances[1] / outlook.chances[0] == pytest.approx(
            np.exp(row[best[1]] - row[best[0]]), abs=1e-3
        )


def test_exact_acceptance_is_there_where_something_is_random(reading: AcceptanceReading) -> None:
    for one in reading.acceptance:
        expected = (one.expected_shared, one.expected_rejection, one.optimum)
        if one.sampling == "greedy":
            assert expected == (None, None, None)
            continue
        assert one.expected_shared is not None
        assert one.expected_rejection is not None
        assert one.optimum is not None
        distance = 1 - one.optimum
        assert (1 - distance) / (1 + distance) - 1e-6 <= one.expected_shared <= one.optimum + 1e-6
        assert one.expected_rejection == pytest.approx(one.optimum, abs=0.05)
    assert of(reading, "target", "all", "T = 0.8").expected_shared == pytest.approx(1.0, abs=1e-3)
    assert (of(reading, "adversarial", "all", "T = 0.8").optimum or 1.0) < 0.05


@pytest.mark.parametrize("num_draft_tokens", [2, 4])
def test_real_rounds_accept_what_the_chain_says(
    plan: ReadingPlan, reading: AcceptanceReading, num_draft_tokens: int
) -> None:
    prompt_ids, text = written(plan, 0)
    known, accepted = list(prompt_ids), list[int]()
    with Engine.load(draft_engine(plan.drafts[1].directory, None)) as engine:
        while len(known) < len(prompt_ids) + len(text):
            start = len(known) - len(prompt_ids)
            num_left = min(num_draft_tokens, len(text) - start)
            work = Work(engine.open_sequence(), 0, np.array(known), num_selected=1, num_drawn=num_left - 1)
            result = engine.submit(work).future.result()
            drafted = [*result.selected_ids.tolist(), *result.drawn_ids.tolist()]
            verdict = judge([*text[start : start + num_left], -1], drafted)
            accepted.append(verdict.num_accepted)
            known += text[start : start + verdict.num_accepted + 1]
            engine.close_sequence(work.sequence)
    first = next(one for one in reading.texts if one.draft == "good")
    assert [one.num_accepted for one in walk_rounds(first.foreseen.agrees, num_draft_tokens)] == accepted
    share = of(reading, "good", "code", "greedy")
    code = [one.foreseen.agrees for one in reading.texts if one.draft == "good" and one.kind == "code"]
    assert share.tokens_per_round[str(num_draft_tokens)] == tokens_per_round(code, num_draft_tokens)


def test_a_draft_of_another_vocabulary_is_refused(plan: ReadingPlan, tmp_path: Path) -> None:
    directory = tmp_path / "stranger"
    shutil.copytree(plan.target.directory, directory)
    byte_tokenizer(more_control_tokens=("<|more|>",)).save(directory)
    stranger = ModelSource("stranger", str(directory), "f32", directory)
    with pytest.raises(ConfigError, match="stranger cannot draft for target"):
        read_acceptance(replace(plan, drafts=(stranger,)), ignore_progress)


def test_a_real_model_that_rounds_more_coarsely_is_a_good_draft_for_itself() -> None:
    reading = read_acceptance(smollm2_plan("int8", temperatures=(0.7,)), ignore_progress)
    greedy, sampled = (of(reading, "smollm2-135m-instruct", "all", name) for name in ("greedy", "T = 0.7"))
    assert greedy.num_positions == sum(len(one.ids) for one in reading.texts)
    assert 0.7 < greedy.observed.value <= 1
    assert 2 < greedy.tokens_per_round["2"] <= 3
    assert sampled.expected_shared is not None
    assert sampled.optimum is not None
    assert 0.7 < sampled.expected_shared <= sampled.optimum <= 1
