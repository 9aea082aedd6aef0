"""The tokenizer inside a GGUF file, rebuilt as the model's authors published it.

`tokenizer.ggml.pre` names the rule that cuts text before BPE; the rules here are those of the upstream
tokenizer.json files, which llama.cpp's `llm_tokenizer_bpe` mirrors. transformers' own GGUF conversion gets
SmolLM2 wrong (its class, its end id, an added BOS), hence this module.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from paceline.models.errors import InvalidModelFileError, UnsupportedTokenizerError
from paceline.models.gguf_file import GgufFile, GgufValue, read_gguf
from paceline.models.special_tokens import control_token, end_of_generation_ids, num_without_padding

SUPPORTED_MODEL = "gpt2"

# llama.cpp's llama_token_type.
UNKNOWN_TOKEN = 2
CONTROL_TOKEN = 3
USER_DEFINED_TOKEN = 4

QWEN2_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer's parts: the engine that cuts and merges, and what its model expects around a text.

    `eos_id` is the one end token that the model states; `eos_ids` is every id that ends an answer, ascending.
    """

    engine: Tokenizer
    eos_id: int | None
    eos_ids: tuple[int, ...]
    bos_id: int | None
    add_bos: bool
    chat_template: str | None


def vocabulary_from_gguf(path: Path) -> Vocabulary:
    """Build the tokenizer of a GGUF file.

    Raises InvalidModelFileError when the file has no usable vocabulary, UnsupportedTokenizerError when its
    kind is not byte-level BPE with a known pre-tokenizer.
    """
    file = read_gguf(path)
    _require_supported(file)
    tokens = _strings(file, "tokenizer.ggml.tokens")
    tokens = tokens[: num_without_padding(tokens)]
    control_ids = _ids_of_type(file, len(tokens), UNKNOWN_TOKEN, CONTROL_TOKEN)
    eos_id = _optional_id(file, "tokenizer.ggml.eos_token_id")
    control_tokens = {tokens[token_id]: token_id for token_id in control_ids}
    template = file.metadata.get("tokenizer.chat_template")
    return Vocabulary(
        engine=_engine(file, tokens, control_ids),
        eos_id=eos_id,
        eos_ids=end_of_generation_ids(control_tokens, () if eos_id is None else (eos_id,)),
        bos_id=_optional_id(file, "tokenizer.ggml.bos_token_id"),
        add_bos=file.metadata.get("tokenizer.ggml.add_bos_token") is True,
        chat_template=template if isinstance(template, str) else None,
    )


def _engine(file: GgufFile, tokens: list[str], control_ids: list[int]) -> Tokenizer:
    merges = [_pair(file, merge) for merge in _strings(file, "tokenizer.ggml.merges")]
    vocabulary = {token: token_id for token_id, token in enumerate(tokens)}
    if len(vocabulary) != len(tokens):
        raise InvalidModelFileError(file.path, "its vocabulary lists a token twice")
    try:
        engine = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    except Exception as error:  # tokenizers raises bare Exception for merges that do not fit
        raise InvalidModelFileError(file.path, str(error)) from error
    PRE_TOKENIZERS[_text(file, "tokenizer.ggml.pre")](engine)
    engine.decoder = decoders.ByteLevel()
    user_defined_ids = _ids_of_type(file, len(tokens), USER_DEFINED_TOKEN)
    engine.add_special_tokens([control_token(tokens[token_id]) for token_id in control_ids])
    engine.add_tokens([AddedToken(tokens[token_id], normalized=False) for token_id in user_defined_ids])
    return engine


def _cut_as_smollm(engine: Tokenizer) -> None:
    engine.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )


def _cut_as_qwen2(engine: Tokenizer) -> None:
    engine.normalizer = normalizers.NFC()
    engine.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


PRE_TOKENIZERS: dict[str, Callable[[Tokenizer], None]] = {"smollm": _cut_as_smollm, "qwen2": _cut_as_qwen2}


def _require_supported(file: GgufFile) -> None:
    model = _text(file, "tokenizer.ggml.model")
    if model != SUPPORTED_MODEL:
        raise UnsupportedTokenizerError(f"the GGUF tokenizer model {model!r}", [SUPPORTED_MODEL])
    rule = _text(file, "tokenizer.ggml.pre")
    if rule not in PRE_TOKENIZERS:
        raise UnsupportedTokenizerError(f"the GGUF pre-tokenizer {rule!r}", PRE_TOKENIZERS)


def _ids_of_type(file: GgufFile, num_tokens: int, *token_types: int) -> list[int]:
    types = _array(file, "tokenizer.ggml.token_type")[:num_tokens]
    return [token_id for token_id, token_type in enumerate(types) if token_type in token_types]


def _pair(file: GgufFile, merge: str) -> tuple[str, str]:
    left, separator, right = merge.partition(" ")
    if not separator:
        raise InvalidModelFileError(file.path, f"its merge {merge!r} is not a pair")
    return left, right


def _array(file: GgufFile, key: str) -> list[bool | int | float | str]:
    value: GgufValue | None = file.metadata.get(key)
    if not isinstance(value, list):
        raise InvalidModelFileError(file.path, f"it has no list {key}")
    return value


def _strings(file: GgufFile, key: str) -> list[str]:
    return [value for value in _array(file, key) if isinstance(value, str)]


def _text(file: GgufFile, key: str) -> str:
    value = file.metadata.get(key)
    if not isinstance(value, str):
        raise InvalidModelFileError(file.path, f"it has no text {key}")
    return value


def _optional_id(file: GgufFile, key: str) -> int | None:
    value = file.metadata.get(key)
    return value if isinstance(value, int) else None
