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


def closers(cluster: RunningCluster) -> dict[int, float]:
    """A bias towards ids that close something, for schemas whose texts a small model does not bring to an end."""
    tokenizer = Tokenizer.load(find_prepared(cluster.description["target"], TARGET_WEIGHTS))
    texts = {token_id: tokenizer.bytes_of(token_id).strip() for token_id in range(tokenizer.num_tokens)}
    return {token_id: 8.0 for token_id, text in texts.items() if text and not text.strip(b'"}]')}


async def generate(
    orchestrator: Orchestrator,
    structure: Structure,
    speculation: Speculation,
    seed: int,
    max_tokens: int,
    bias: Mapping[int, float] = NO_BIAS,
) -> Completion:
    wish = "Answer with a short JSON value."
    return await orchestrator.complete(
        GenerationRequest(
            Chat((ChatMessage("user", wish),)),
            max_tokens=max_tokens,
            speculation=speculation,
            sampling=Sampling(0.8, seed=seed, structure=structure, logit_bias=bias),
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
    orchestrator: Orchestrator,
    some: Sequence[dict[str, object]],
    max_tokens: int,
    biases: Sequence[Mapping[int, float]] = (NO_BIAS,),
) -> Checked:
    """Generate to each schema, again with another seed and the next bias where the model's text is cut."""
    num_whole = num_texts = num_accepted = num_drafted = 0
    for number, schema in enumerate(some):
        structure = Structure(StructureKind.JSON_SCHEMA, json.dumps(schema))
        for attempt, bias in enumerate(biases):
            seed = number + len(some) * attempt
            alone = await generate(orchestrator, structure, OFF, seed, max_tokens, bias)
            drafted = await generate(orchestrator, structure, FIXED, seed, max_tokens, bias)
            assert drafted.token_ids == alone.token_ids, schema
            num_texts += 1
            num_accepted += drafted.summary.speculation.num_accepted_tokens
            num_drafted += drafted.summary.speculation.num_draft_tokens
            if alone.summary.finish_reason is FinishReason.STOP:
                jsonschema.validate(json.loads(alone.text), schema)
                num_whole += 1
                break
    return Checked(num_whole, num_texts, num_accepted, num_drafted)


async def test_json_is_valid_and_the_same_with_a_draft(tiny_cluster: RunningCluster) -> None:
    some = schemas(10)
    async with connect(tiny_cluster.address) as orchestrator:
        checked = await check_schemas(orchestrator, some, 60)
    assert checked.num_whole >= 7
    assert checked.num_accepted > 0


async def test_regular_expressions_and_choices_hold(tiny_cluster: RunningCluster) -> None:
    choices = ["red", "green", "blue-green"]
    async with connect(tiny_cluster.address) as orchestrator:
        for speculation in (OFF, FIXED):
            regex = Structure(StructureKind.REGEX, r"[a-z]{3,5}-[0-9]{2}")
            text = (await generate(orchestrator, regex, speculation, 1, 30)).text
            assert re.fullmatch(regex.text, text)
            choice = Structure(StructureKind.CHOICE, json.dumps(choices))
            assert (await generate(orchestrator, choice, speculation, 2, 30)).text in choices


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_a_hundred_schemas(tiny_cluster: RunningCluster, capsys: pytest.CaptureFixture[str]) -> None:
    some = schemas(100)
    assert len(some) == 100
    bias = closers(tiny_cluster)
    async with connect(tiny_cluster.address) as orchestrator:
        checked = await check_schemas(orchestrator, some, 150, (NO_BIAS, NO_BIAS, bias, bias))
    with capsys.disabled():
        print(f"\n{checked.describe()}")
    assert checked.num_whole == 100
