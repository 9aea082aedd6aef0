"""Structured output through real processes: always valid, and the same with speculation as without."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import jsonschema
import pytest

from paceline.cli.model_setup import TARGET_WEIGHTS
from paceline.client.completion import Completion
from paceline.client.generation import (
    Chat,
    FinishReason,
    GenerationRequest,
    Sampling,
    Speculation,
    SpeculationMode,
)
from paceline.client.orchestrator import Orchestrator, connect
from paceline.models.chat_message import ChatMessage
from paceline.models.prepared import find_prepared
from paceline.models.tokenizer import Tokenizer
from paceline.sampling.parameters import Structure, StructureKind
from tests.end_to_end.cluster_process import RunningCluster

SCHEMAS = Path(__file__).parents[1] / "paceline/sampling/schemas.json"
NO_BIAS: Mapping[int, float] = MappingProxyType({})
OFF = Speculation(SpeculationMode.OFF)
FIXED = Speculation(SpeculationMode.FIXED, 4)


def schemas(num_schemas: int) -> list[dict[str, object]]:
    """Schemas of varied shape, spread over the corpus."""
    served = list(json.loads(SCHEMAS.read_text(encoding="utf-8"))["served"].values())
    return served[:: max(1, len(served) // num_schemas)][:num_schemas]


class Attempt(NamedTuple):
    """How a text is asked for; small models do not bring every kind of text to an end by themselves."""

    max_tokens: int
    bias: Mapping[int, float] = NO_BIAS
    has_schema_in_prompt: bool = False


def attempts(cluster: RunningCluster) -> list[Attempt]:
    """As the model likes, then with a bias to what closes and ends, then to what ends a string that it is told of."""
    tokenizer = Tokenizer.load(find_prepared(cluster.description["target"], TARGET_WEIGHTS))
    texts = {token_id: tokenizer.bytes_of(token_id).strip() for token_id in range(tokenizer.num_tokens)}
    ends = dict.fromkeys(tokenizer.eos_ids, 8.0)
    closers = {token_id: 8.0 for token_id, text in texts.items() if text and not text.strip(b'"}]')}
    quotes = {token_id: 8.0 for token_id, text in texts.items() if text == b'"'}
    told = Attempt(600, ends | quotes, has_schema_in_prompt=True)
    return [Attempt(150), Attempt(150, ends | closers), told, told, told]


async def generate(
    orchestrator: Orchestrator, structure: Structure, speculation: Speculation, seed: int, attempt: Attempt
) -> Completion:
    wish = "Answer with a short JSON value."
    if attempt.has_schema_in_prompt:
        wish = f"Answer with a short JSON value that matches this schema: {structure.text}"
    return await orchestrator.complete(
        GenerationRequest(
            Chat((ChatMessage("user", wish),)),
            max_tokens=attempt.max_tokens,
            speculation=speculation,
            sampling=Sampling(0.8, seed=seed, structure=structure, logit_bias=attempt.bias),
        )
    )


class Checked(NamedTuple):
    """What came of generating to schemas."""

    num_whole: int  # schemas with a text that ended by itself, and is valid
    num_texts: int  # whole ones and those cut by `max_tokens`: all the same with a draft and without
    num_accepted: int
    num_drafted: int

    def describe(self) -> str:
        """What was found, in a line."""
        return (
            f"{self.num_whole} schemas with a whole text, each valid; all {self.num_texts} texts, the cut ones too, "
            f"equal with a draft and without; {self.num_accepted} of {self.num_drafted} draft tokens "
            f"accepted ({self.num_accepted / self.num_drafted:.0%})"
        )


async def check_schemas(
    orchestrator: Orchestrator, some: Sequence[dict[str, object]], tries: Sequence[Attempt]
) -> Checked:
    """Generate to each schema, again with another seed in the next way where the model's text is cut."""
    num_whole = num_texts = num_accepted = num_drafted = 0
    for number, schema in enumerate(some):
        structure = Structure(StructureKind.JSON_SCHEMA, json.dumps(schema))
        for place, attempt in enumerate(tries):
            seed = number + len(some) * place
            alone = await generate(orchestrator, structure, OFF, seed, attempt)
            drafted = await generate(orchestrator, structure, FIXED, seed, attempt)
            assert drafted.token_ids == alone.token_ids, schema
            num_texts += 1
            num_accepted += drafted.summary.speculation.num_accepted_tokens
            num_drafted += drafted.summary.speculation.num_draft_tokens
            if alone.summary.finish_reason is FinishReason.STOP:
                jsonschema.validate(json.loads(alone.text), schema)
                num_whole += 1
                break
        else:
            print(f"no whole text for {structure.text[:200]}")
    return Checked(num_whole, num_texts, num_accepted, num_drafted)


async def test_json_is_valid_and_the_same_with_a_draft(tiny_cluster: RunningCluster) -> None:
    some = schemas(10)
    async with connect(tiny_cluster.address) as orchestrator:
        checked = await check_schemas(orchestrator, some, [Attempt(60)])
    assert checked.num_whole >= 7
    assert checked.num_accepted > 0


async def test_regular_expressions_and_choices_hold(tiny_cluster: RunningCluster) -> None:
    choices = ["red", "green", "blue-green"]
    async with connect(tiny_cluster.address) as orchestrator:
        for speculation in (OFF, FIXED):
            regex = Structure(StructureKind.REGEX, r"[a-z]{3,5}-[0-9]{2}")
            text = (await generate(orchestrator, regex, speculation, 1, Attempt(30))).text
            assert re.fullmatch(regex.text, text)
            choice = Structure(StructureKind.CHOICE, json.dumps(choices))
            assert (await generate(orchestrator, choice, speculation, 2, Attempt(30))).text in choices


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_a_hundred_schemas(tiny_cluster: RunningCluster, capsys: pytest.CaptureFixture[str]) -> None:
    some = schemas(100)
    assert len(some) == 100
    async with connect(tiny_cluster.address) as orchestrator:
        checked = await check_schemas(orchestrator, some, attempts(tiny_cluster))
    with capsys.disabled():
        print(f"\n{checked.describe()}")
    assert checked.num_whole >= 95
