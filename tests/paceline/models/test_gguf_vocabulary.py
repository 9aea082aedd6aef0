import json
from pathlib import Path

import pytest
from gguf import GGUFWriter
from tokenizers import Tokenizer as HubTokenizer

from paceline.models.errors import InvalidModelFileError, UnsupportedTokenizerError
from paceline.models.gguf_vocabulary import vocabulary_from_gguf
from paceline.models.tokenizer import Tokenizer

GOLDEN_DIRECTORY = Path(__file__).parent / "golden"


def golden_texts(model_name: str) -> list[dict[str, object]]:
    """Awkward texts with the ids that llama.cpp's own tokenizer gives for the same GGUF file."""
    return json.loads((GOLDEN_DIRECTORY / f"{model_name}.json").read_text(encoding="utf-8"))


def test_smollm2_gives_the_ids_that_llama_cpp_gives(smollm2: Tokenizer):
    for golden in golden_texts("smollm2-135m-instruct"):
        assert smollm2.encode(str(golden["text"]), parse_special=False) == golden["plain_ids"]
        assert smollm2.encode(str(golden["text"]), parse_special=True) == golden["parsed_ids"]


@pytest.mark.slow
def test_qwen_gives_the_ids_that_llama_cpp_gives(small_qwen: Tokenizer):
    for golden in golden_texts("qwen2.5-coder-0.5b-instruct"):
        assert small_qwen.encode(str(golden["text"]), parse_special=False) == golden["plain_ids"]
        assert small_qwen.encode(str(golden["text"]), parse_special=True) == golden["parsed_ids"]


@pytest.mark.slow
@pytest.mark.reference
def test_qwen_gives_the_ids_that_transformers_gives(small_qwen: Tokenizer, small_qwen_path: Path):
    from transformers import AutoTokenizer  # noqa: PLC0415 - an optional package

    theirs = AutoTokenizer.from_pretrained(str(small_qwen_path.parent), gguf_file=small_qwen_path.name)
    for golden in golden_texts("qwen2.5-coder-0.5b-instruct"):
        # transformers always parses control tokens, and has lost <tool_call> on the way from GGUF.
        text = str(golden["text"]).replace("<", "")
        assert small_qwen.encode(text, parse_special=False) == theirs.encode(text)


def test_smollm2_ends_its_turn_with_id_2_and_starts_without_a_bos(smollm2: Tokenizer):
    assert smollm2.eos_ids == (0, 2)
    assert smollm2.text_of(2) == "<|im_end|>"
    assert not smollm2.add_bos
    assert smollm2.encode_prompt("hi", parse_special=False) == [6004]


def test_smollm2_takes_digits_one_by_one(smollm2: Tokenizer):
    assert [smollm2.text_of(one) for one in smollm2.encode("in 2024", parse_special=False)] == [
        "in", " ", "2", "0", "2", "4",
    ]  # fmt: skip


def test_padding_tokens_are_no_part_of_a_vocabulary(tmp_path: Path):
    plain = Tokenizer.load(_write_vocabulary(tmp_path / "plain.gguf", ["a", "b", "ab"]))
    padded = Tokenizer.load(_write_vocabulary(tmp_path / "padded.gguf", ["a", "b", "ab", "[PAD3]", "[PAD4]"]))
    assert padded.num_tokens == plain.num_tokens == 3
    assert padded.vocabulary_hash == plain.vocabulary_hash
    assert padded.decode([2, 3, 4]) == "ab"


def test_a_control_token_makes_another_vocabulary_than_the_same_text_as_an_ordinary_one(tmp_path: Path):
    as_control = _write_vocabulary(tmp_path / "control.gguf", ["a", "b", "ab"], token_types=[1, 1, 3])
    as_text = _write_vocabulary(tmp_path / "text.gguf", ["a", "b", "ab"])
    assert Tokenizer.load(as_control).vocabulary_hash != Tokenizer.load(as_text).vocabulary_hash


def test_an_unsupported_pre_tokenizer_is_named(tmp_path: Path):
    path = _write_vocabulary(tmp_path / "model.gguf", ["a", "b", "ab"], pre="tekken")
    with pytest.raises(UnsupportedTokenizerError, match=r"pre-tokenizer 'tekken'.*smollm, qwen2"):
        vocabulary_from_gguf(path)


def test_an_unsupported_tokenizer_model_is_named(tmp_path: Path):
    path = _write_vocabulary(tmp_path / "model.gguf", ["a", "b", "ab"], model="llama")
    with pytest.raises(UnsupportedTokenizerError, match="'llama'"):
        vocabulary_from_gguf(path)


def test_a_vocabulary_with_a_token_twice_is_refused(tmp_path: Path):
    with pytest.raises(InvalidModelFileError, match="twice"):
        vocabulary_from_gguf(_write_vocabulary(tmp_path / "model.gguf", ["a", "b", "ab", "a"]))


def test_a_merge_of_tokens_that_do_not_exist_is_refused(tmp_path: Path):
    with pytest.raises(InvalidModelFileError):
        vocabulary_from_gguf(_write_vocabulary(tmp_path / "model.gguf", ["a", "b"]))


def test_a_directory_marks_every_spelled_control_token(smollm2: Tokenizer, tmp_path: Path):
    smollm2.save(tmp_path)
    file = tmp_path / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    for token in content["added_tokens"]:
        token["special"] = token["id"] != 1 and token["special"]
    file.write_text(json.dumps(content), encoding="utf-8")
    assert not HubTokenizer.from_file(str(file)).get_added_tokens_decoder()[1].special
    assert Tokenizer.load(tmp_path).vocabulary_hash == smollm2.vocabulary_hash


@pytest.mark.parametrize("content", ["", "{", "[]", '{"model": 1}'])
def test_a_broken_tokenizer_file_is_refused(tmp_path: Path, content: str):
    (tmp_path / "tokenizer.json").write_text(content, encoding="utf-8")
    with pytest.raises(InvalidModelFileError):
        Tokenizer.load(tmp_path)


def test_a_directory_without_a_tokenizer_is_refused(tmp_path: Path):
    with pytest.raises(InvalidModelFileError, match="no such file"):
        Tokenizer.load(tmp_path)


def _write_vocabulary(
    path: Path,
    tokens: list[str],
    *,
    model: str = "gpt2",
    pre: str = "smollm",
    token_types: list[int] | None = None,
) -> Path:
    writer = GGUFWriter(path, "llama")
    writer.add_tokenizer_model(model)
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(token_types or [1] * len(tokens))
    writer.add_token_merges(["a b"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path
