import json
import random
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from paceline.errors import InvalidRequestError
from paceline.models.cache import default_cache_dir
from paceline.models.catalog import SMOLLM2_135M
from paceline.models.pull import pull
from paceline.models.tokenizer import Tokenizer
from paceline.sampling.parameters import Structure, StructureKind
from paceline.sampling.structure import MAX_COMPILED_STRUCTURES, CompiledStructure, StructureCompiler
from paceline.sampling.structure_grammar import MAX_COMPLAINT_LENGTH, MAX_STRUCTURE_BYTES

SCHEMAS: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "schemas.json").read_text(encoding="utf-8")
)
NUM_PADDING = 100
NUM_WALKS = 3
MAX_WALK = 200
MAX_CUT_SHARE = 0.05

JSON_SCHEMA, REGEX, CHOICE, GRAMMAR = StructureKind
ITEMS = Structure(
    JSON_SCHEMA,
    json.dumps(
        {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "size": {"type": "number"}},
                "required": ["name"],
            },
        }
    ),
)
CALCULATION = Structure(
    GRAMMAR,
    """
    start: sum
    sum: product ("+" product)*
    product: NUMBER ("*" NUMBER)*
    NUMBER: /[0-9]{1,3}/
    """,
)
YES_OR_NO_IN_GBNF = Structure(GRAMMAR, 'root ::= answer "."\nanswer ::= "yes" | "no" | "perhaps " [a-z]+')


class Walk(NamedTuple):
    """A text that random logits chose under a mask, and whether it came to its end."""

    token_ids: list[int]
    text: str
    has_ended: bool


@pytest.fixture(scope="module")
def smollm2() -> Tokenizer:
    return Tokenizer.load(pull(SMOLLM2_135M, default_cache_dir()))


@pytest.fixture(scope="module")
def compiler(smollm2: Tokenizer) -> StructureCompiler:
    return StructureCompiler(smollm2, smollm2.num_tokens + NUM_PADDING)


@pytest.fixture(scope="module")
def walk(smollm2: Tokenizer) -> Callable[[CompiledStructure, int], Walk]:
    """Logits are noise that prefers to close what is open, so that most walks end."""
    preference = np.zeros(smollm2.num_tokens + NUM_PADDING, np.float32)
    closing = re.compile(rb'["}\]]+[,:]?')
    preference[[at for at in range(smollm2.num_tokens) if closing.fullmatch(smollm2.bytes_of(at))]] = 6
    preference[list(smollm2.eos_ids)] = 9

    def walk_once(structure: CompiledStructure, seed: int) -> Walk:
        noise = np.random.default_rng(seed)
        rows, token_ids = structure.rows(0), list[int]()
        while len(token_ids) < MAX_WALK:
            allowed = rows(len(token_ids), token_ids)
            assert allowed is not None
            logits = preference + noise.standard_normal(len(preference), np.float32)
            logits *= noise.choice([0.5, 1.0, 2.0])
            token_ids.append(int(np.where(allowed, logits, -np.inf).argmax()))
            if token_ids[-1] in smollm2.eos_ids:
                break
        has_ended = token_ids[-1] in smollm2.eos_ids
        return Walk(token_ids, smollm2.decode(token_ids), has_ended)

    return walk_once


@pytest.fixture(scope="module")
def walks(
    compiler: StructureCompiler, walk: Callable[[CompiledStructure, int], Walk]
) -> dict[Structure, list[list[int]]]:
    """Token ids that each structure allows, ends included."""
    structures = [ITEMS, CALCULATION, Structure(REGEX, "(ab?c*|[0-9]{2})+"), choice("yes", "yesterday")]
    return {one: [walk(compiler.compile(one), seed).token_ids for seed in range(4)] for one in structures}


def json_schema(schema: object) -> Structure:
    return Structure(JSON_SCHEMA, json.dumps(schema))


def choice(*texts: str) -> Structure:
    return Structure(CHOICE, json.dumps(texts))


def ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text, parse_special=False)


def texts(tokenizer: Tokenizer, allowed: np.ndarray | None) -> set[str]:
    """The allowed tokens, for masks that allow few."""
    assert allowed is not None
    assert allowed.sum() < 100
    return {tokenizer.text_of(int(token_id)) for token_id in allowed.nonzero()[0]}


class TestOutput:
    def test_random_walks_under_every_schema_are_valid_json_of_that_schema(
        self, compiler: StructureCompiler, walk: Callable[[CompiledStructure, int], Walk]
    ):
        assert len(SCHEMAS["served"]) >= 100
        num_cut, invalid = 0, list[str]()
        for name, schema in SCHEMAS["served"].items():
            structure = compiler.compile(json_schema(schema))
            for seed in range(NUM_WALKS):
                walked = walk(structure, seed)
                num_cut += not walked.has_ended
                if walked.has_ended and (problem := problem_of(walked.text, schema)):
                    invalid.append(f"{name}: {walked.text!r}: {problem}")
        assert invalid == []
        assert num_cut <= MAX_CUT_SHARE * NUM_WALKS * len(SCHEMAS["served"])

    @pytest.mark.parametrize(
        "pattern",
        [
            r"[a-z]{3,8}@[a-z]{2,5}\.(com|org)",
            r"\d{4}-\d{2}-\d{2}",
            r"(yes|no|maybe)!?",
            r"[ぁ-ん]{2,6}",
            r"(?i:error): .{0,20}",
            r"^v[0-9]+(\.[0-9]+)*$",
            r"a/b|c\\d|\"e\"",
        ],
    )
    def test_random_walks_under_a_regex_match_it(
        self, compiler: StructureCompiler, walk: Callable[[CompiledStructure, int], Walk], pattern: str
    ):
        structure = compiler.compile(Structure(REGEX, pattern))
        walks = [walk(structure, seed) for seed in range(10)]
        assert [one.text for one in walks if one.has_ended and not re.fullmatch(pattern, one.text)] == []
        assert any(one.has_ended for one in walks)

    def test_digits_of_a_regex_are_those_of_ascii(self, compiler: StructureCompiler, smollm2: Tokenizer):
        rows = compiler.compile(Structure(REGEX, r"\d")).rows(0)
        assert texts(smollm2, rows(0, [])) == set("0123456789")

    def test_random_walks_under_choices_reach_every_one_and_nothing_else(
        self, compiler: StructureCompiler, walk: Callable[[CompiledStructure, int], Walk]
    ):
        choices = ["yes", "no", "not sure", 'a "quoted" \\ one', "二つ\n目", "😀", "<|im_end|>"]
        structure = compiler.compile(choice(*choices))
        assert {walk(structure, seed).text for seed in range(200)} == set(choices)

    @pytest.mark.parametrize(
        ("structure", "pattern"),
        [
            pytest.param(CALCULATION, r"\d{1,3}([+*]\d{1,3})*", id="lark"),
            pytest.param(YES_OR_NO_IN_GBNF, r"(yes|no|perhaps [a-z]+)\.", id="gbnf"),
        ],
    )
    def test_random_walks_under_a_grammar_are_of_its_language(
        self,
        compiler: StructureCompiler,
        walk: Callable[[CompiledStructure, int], Walk],
        structure: Structure,
        pattern: str,
    ):
        walks = [walk(compiler.compile(structure), seed) for seed in range(20)]
        assert [one.text for one in walks if one.has_ended and not re.fullmatch(pattern, one.text)] == []
        assert any(one.has_ended for one in walks)

    def test_json_may_have_one_space_and_neither_two_nor_a_line_break(
        self, compiler: StructureCompiler, smollm2: Tokenizer
    ):
        rows = compiler.compile(json_schema({"type": "array", "items": {"type": "integer"}})).rows(0)

        def is_allowed(text: str) -> bool:
            token_ids = [token_id for one in text for token_id in ids(smollm2, one)]
            return rows(len(token_ids), token_ids) is not None

        assert all(map(is_allowed, ["[1,2]", "[1, 2]", "[ 1 , 2 ]"]))
        assert not any(map(is_allowed, ["[1,  2]", "[1,\n2]", " [1]", "[1] "]))

    def test_a_known_key_cannot_be_spelled_with_escapes_to_get_another_value(
        self, compiler: StructureCompiler, smollm2: Tokenizer
    ):
        schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
        rows = compiler.compile(json_schema(schema)).rows(0)
        spelled = ids(smollm2, '{"\\u0061":"x"}')
        assert rows(len(spelled), spelled) is None


class TestEnd:
    def test_the_end_is_allowed_where_the_text_may_end_and_alone_where_it_must(
        self, compiler: StructureCompiler, smollm2: Tokenizer
    ):
        rows = compiler.compile(Structure(REGEX, "ab?")).rows(0)
        end = {smollm2.text_of(token_id) for token_id in smollm2.eos_ids}
        assert not end & texts(smollm2, rows(0, []))
        a, b = ids(smollm2, "a") + ids(smollm2, "b")
        assert texts(smollm2, rows(1, [a])) == {"b"} | end
        assert texts(smollm2, rows(2, [a, b])) == end
        assert texts(smollm2, rows(3, [a, b, smollm2.eos_ids[0]])) == end

    def test_a_row_behind_a_drafted_end_does_not_disturb_the_rows_that_follow(
        self, compiler: StructureCompiler, smollm2: Tokenizer
    ):
        rows = compiler.compile(Structure(REGEX, "a+")).rows(0)
        a = ids(smollm2, "a")
        before = rows(1, a)
        rows(2, [*a, smollm2.eos_ids[0]])
        rows(4, [*a, smollm2.eos_ids[0], *a, *a])
        assert same(rows(1, a), before)
        assert same(rows(2, a + a), compiler.compile(Structure(REGEX, "a+")).rows(0)(2, a + a))

    def test_a_text_that_the_vocabulary_cannot_spell_further_ends(
        self, compiler: StructureCompiler, smollm2: Tokenizer
    ):
        rows = compiler.compile(Structure(REGEX, r"ab\x04c")).rows(0)
        ab = ids(smollm2, "ab")
        assert texts(smollm2, rows(len(ab), ab)) == {smollm2.text_of(one) for one in smollm2.eos_ids}
        assert texts(smollm2, rows(0, [])) <= {"a", "ab"}

    @pytest.mark.parametrize("structure", [Structure(REGEX, r"(.|\n)*"), ITEMS, CALCULATION])
    def test_padding_and_control_tokens_other_than_the_end_are_never_allowed(
        self, compiler: StructureCompiler, smollm2: Tokenizer, structure: Structure
    ):
        allowed = compiler.compile(structure).rows(0)(0, [])
        assert allowed is not None
        assert allowed.shape == (smollm2.num_tokens + NUM_PADDING,)
        assert allowed.dtype == np.bool_
        assert not allowed[smollm2.num_tokens :].any()
        assert not allowed[sorted(smollm2.control_ids - set(smollm2.eos_ids))].any()


class TestRollback:
    @given(data=st.data())
    @settings(max_examples=150, deadline=None)
    def test_a_mask_depends_on_the_context_alone(
        self, compiler: StructureCompiler, walks: dict[Structure, list[list[int]]], data: st.DataObject
    ):
        structure = data.draw(st.sampled_from(sorted(walks, key=repr)))
        compiled = compiler.compile(structure)
        num_prompt_tokens = data.draw(st.integers(0, 3))
        rows = compiled.rows(num_prompt_tokens)
        for _ in range(data.draw(st.integers(2, 8))):
            walked = data.draw(st.sampled_from(walks[structure]))
            output_ids = walked[: data.draw(st.integers(0, len(walked)))]
            refused_ids = data.draw(st.lists(st.integers(0, 49_251), max_size=2))
            context = [7] * num_prompt_tokens + output_ids + refused_ids
            seen = rows(len(context), context)
            fresh = compiled.rows(num_prompt_tokens)(len(context), context)
            assert same(seen, fresh)

    @pytest.mark.parametrize("seed", range(10))
    def test_refused_drafts_do_not_change_the_masks_of_later_rounds(
        self, compiler: StructureCompiler, smollm2: Tokenizer, seed: int
    ):
        compiled = compiler.compile(json_schema({"type": "object"}))
        output_ids = ids(
            smollm2, '{ "name":"Ann", "creds":{"picture":{ "keys":[{"creds":["A b", "C d 32"]},{"x":[11]}]}}}'
        )
        dice, rows, num_committed = random.Random(seed), compiled.rows(0), 0
        while num_committed < len(output_ids):
            num_accepted = dice.randint(0, min(4, len(output_ids) - num_committed - 1))
            context = output_ids[: num_committed + num_accepted]
            for _ in range(dice.randint(0, 4)):  # drafts that the structure allows and the target refuses
                allowed = compiled.rows(0)(len(context), context)
                assert allowed is not None
                context = [*context, int(dice.choice(np.flatnonzero(allowed)))]
            for position in range(num_committed, len(context) + 1):
                fresh = compiled.rows(0)(position, context)
                assert same(rows(position, context), fresh), smollm2.decode(context[:position])
            num_committed += num_accepted + 1

    def test_a_refused_token_lifts_the_mask_of_the_rows_behind_it_and_of_no_others(
        self, compiler: StructureCompiler, smollm2: Tokenizer
    ):
        rows = compiler.compile(ITEMS).rows(0)
        known = ids(smollm2, '[{"name"')
        expected = rows(len(known), known)
        wrong = known + ids(smollm2, " wrong") * 3
        assert [rows(position, wrong) is None for position in range(len(known), len(wrong) + 1)] == [
            False, True, True, True,
        ]  # fmt: skip
        assert same(rows(len(known), known), expected)

    @pytest.mark.parametrize("odd_id", [49_200, 10**9])
    def test_an_id_outside_the_vocabulary_is_a_refused_token(
        self, compiler: StructureCompiler, smollm2: Tokenizer, odd_id: int
    ):
        rows = compiler.compile(ITEMS).rows(0)
        known = ids(smollm2, "[{")
        expected = rows(len(known), known)
        assert rows(len(known) + 1, [*known, odd_id]) is None
        assert same(rows(len(known), known), expected)

    def test_ids_from_the_position_on_are_no_context(self, compiler: StructureCompiler, smollm2: Tokenizer):
        rows = compiler.compile(ITEMS).rows(2)
        draft = [5, 6, *ids(smollm2, '[{"name')]
        fresh = compiler.compile(ITEMS).rows(2)
        for position in range(2, len(draft)):
            assert same(rows(position, draft), fresh(position, draft[:position]))

    def test_rows_may_move_between_threads_and_sessions_do_not_disturb_each_other(
        self, compiler: StructureCompiler, walks: dict[Structure, list[list[int]]]
    ):
        compiled = compiler.compile(ITEMS)
        walked = max(walks[ITEMS], key=len)
        positions = range(len(walked))
        expected = [compiled.rows(0)(position, walked) for position in positions]
        sessions = [compiled.rows(0) for _ in range(4)]
        with ThreadPoolExecutor(4) as threads:
            for position in positions:
                masks = list(threads.map(lambda rows, at=position: rows(at, walked), sessions))
                assert all(same(mask, expected[position]) for mask in masks)


class TestCompiling:
    @pytest.mark.parametrize("name", SCHEMAS["refused"])
    def test_a_schema_that_cannot_be_kept_is_refused_instead_of_kept_in_part(
        self, compiler: StructureCompiler, name: str
    ):
        refused = refusal_of(compiler, json_schema(SCHEMAS["refused"][name]))
        assert re.fullmatch(r"structure is no JSON schema that can be served: .+; docs/.+", refused.message)

    @pytest.mark.parametrize(
        ("structure", "complaint"),
        [
            pytest.param(
                Structure(JSON_SCHEMA, '{"type":'), "it is not JSON: Expecting value", id="cut JSON"
            ),
            pytest.param(Structure(JSON_SCHEMA, "[" * 50_000), "it is not JSON: ", id="deep JSON"),
            pytest.param(Structure(JSON_SCHEMA, "5"), "it must be a JSON object or true", id="number"),
            pytest.param(Structure(REGEX, "(a"), "unclosed group", id="open group"),
            pytest.param(Structure(REGEX, "(?=a)b"), "look-around, .*is not supported", id="look-around"),
            pytest.param(Structure(REGEX, "a?" * 4000), "it is too complex", id="complex regex"),
            pytest.param(Structure(REGEX, r"\x04"), "no token of the model's vocabulary", id="no token"),
            pytest.param(Structure(CHOICE, "yes"), "it is not JSON", id="bare choice"),
            pytest.param(Structure(CHOICE, "[]"), "at least one text", id="no choices"),
            pytest.param(Structure(CHOICE, '["a", ""]'), "none of them empty", id="empty choice"),
            pytest.param(Structure(CHOICE, '["a", 1]'), "at least one text", id="number as choice"),
            pytest.param(Structure(GRAMMAR, "start: a"), 'line 1, column 8: unknown name: "a"', id="no rule"),
            pytest.param(Structure(GRAMMAR, 'root ::= "a'), "Failed to convert", id="cut GBNF"),
            pytest.param(Structure(GRAMMAR, "start: " + "(" * 9000), "too deeply nested", id="deep grammar"),
            pytest.param(Structure(GRAMMAR, 'start: "a" <[49200]>'), "too large: 49200", id="padding by id"),
        ],
    )
    def test_a_bad_structure_is_refused_with_one_sentence(
        self, compiler: StructureCompiler, structure: Structure, complaint: str
    ):
        refused = refusal_of(compiler, structure)
        assert refused.facts["field"] == "sampling.structure"
        assert refused.facts["kind"] == structure.kind
        assert re.search(complaint, refused.message)
        assert "\n" not in refused.message
        assert len(refused.message) < MAX_COMPLAINT_LENGTH + 150

    @pytest.mark.parametrize("kind", StructureKind)
    def test_a_large_structure_is_refused_with_the_limit(
        self, compiler: StructureCompiler, kind: StructureKind
    ):
        maximum = MAX_STRUCTURE_BYTES[kind]
        refused = refusal_of(compiler, Structure(kind, "é" * (maximum // 2) + "a"))
        assert refused.facts["value"] == maximum + 1
        assert refused.facts["maximum"] == maximum

    def test_a_long_chain_of_references_does_not_end_the_process(self, compiler: StructureCompiler):
        links = {str(at): {"items": {"$ref": f"#/$defs/{at + 1}"}} for at in range(1500)}
        chain = json_schema({"$defs": {**links, "1500": {"type": "string"}}, "$ref": "#/$defs/0"})
        assert len(chain.text) <= MAX_STRUCTURE_BYTES[JSON_SCHEMA]
        compiler.compile(chain)

    @pytest.mark.parametrize(
        "schema",
        [
            pytest.param({"allOf": [{"pattern": f"[a-z]{{{at}}}x"} for at in range(1, 31)]}, id="allOf"),
            pytest.param(
                {"patternProperties": {f"^p{at}_": {} for at in range(600)}}, id="patternProperties"
            ),
        ],
    )
    def test_a_short_schema_that_takes_minutes_is_refused_within_seconds(
        self, compiler: StructureCompiler, monkeypatch: pytest.MonkeyPatch, schema: dict[str, Any]
    ):
        monkeypatch.setattr("paceline.sampling.structure_probe.MAX_SECONDS", 2.0)
        assert "too long to compile" in refusal_of(compiler, json_schema(schema)).message

    def test_many_patterns_that_compile_in_time_are_served(
        self, compiler: StructureCompiler, smollm2: Tokenizer
    ):
        patterns = {f"k{at}": {"type": "string", "pattern": f"^[a-z]{{{at + 1}}}$"} for at in range(40)}
        rows = compiler.compile(json_schema({"properties": patterns, "type": "object"})).rows(0)
        known = ids(smollm2, '{"k2": "abc"}')
        assert rows(len(known), known) is not None

    def test_the_last_structures_are_kept_and_no_more(self, smollm2: Tokenizer, compiler: StructureCompiler):
        structures = [Structure(REGEX, f"a{{{count}}}") for count in range(1, MAX_COMPILED_STRUCTURES + 2)]
        compiled = [compiler.compile(structure) for structure in structures]
        assert compiler.compile(structures[-1]) is compiled[-1]
        assert compiler.compile(structures[1]) is compiled[1]
        assert compiler.compile(structures[0]) is not compiled[0]

    def test_threads_may_compile_at_the_same_time(self, smollm2: Tokenizer):
        compiler = StructureCompiler(smollm2, smollm2.num_tokens)
        structures = [Structure(REGEX, f"[a-z]{{{count}}}") for count in range(1, 9)]
        with ThreadPoolExecutor(4) as threads:
            compiled = list(threads.map(compiler.compile, structures * 4))
        masks = [one.rows(0)(0, []) for one in compiled]
        assert all(same(one, other) for one, other in pairwise(masks[0::8]))


def same(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    return one is other if one is None or other is None else np.array_equal(one, other)


def problem_of(text: str, schema: Any) -> str | None:
    """What keeps a text from being JSON of a schema, formats that jsonschema can check included."""
    try:
        value = json.loads(text)
        Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(value)
    except (ValueError, ValidationError) as error:
        return str(error).partition("\n")[0]
    return None


def refusal_of(compiler: StructureCompiler, structure: Structure) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as refused:
        compiler.compile(structure)
    return refused.value
