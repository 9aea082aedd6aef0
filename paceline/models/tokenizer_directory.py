"""A tokenizer as `tokenizer.json` and `tokenizer_config.json`, which Hugging Face directories have too."""

import json
from pathlib import Path

from tokenizers import Tokenizer, decoders

from paceline.models.errors import InvalidModelFileError, UnsupportedTokenizerError
from paceline.models.gguf_vocabulary import Vocabulary
from paceline.models.special_tokens import control_token, end_of_generation_ids, looks_like_control

TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"
GENERATION_FILE = "generation_config.json"
TEMPLATE_FILE = "chat_template.jinja"


def write_vocabulary(vocabulary: Vocabulary, directory: Path) -> None:
    """Write a vocabulary into an existing directory; `read_vocabulary` and transformers read it back."""
    engine = vocabulary.engine
    config: dict[str, object] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": vocabulary.add_bos,
        "bos_token": token_text(engine, vocabulary.bos_id),
        "eos_token": token_text(engine, vocabulary.eos_id),
        "chat_template": vocabulary.chat_template,
        "clean_up_tokenization_spaces": False,
    }
    engine.save(str(directory / TOKENIZER_FILE), pretty=False)
    _write_json(directory / CONFIG_FILE, config)
    _write_json(directory / GENERATION_FILE, {"eos_token_id": list(vocabulary.eos_ids)})


def read_vocabulary(directory: Path) -> Vocabulary:
    """Read a prepared, optimum-intel or Hugging Face directory.

    Raises InvalidModelFileError for missing or broken files, UnsupportedTokenizerError for a tokenizer that
    is not byte-level BPE.
    """
    engine = _read_engine(directory / TOKENIZER_FILE)
    _mark_control_tokens(engine)
    config = _read_json(directory / CONFIG_FILE)
    added = engine.get_added_tokens_decoder().items()
    control_tokens = {token.content: token_id for token_id, token in added if token.special}
    bos_id, eos_id = _id_of(engine, config.get("bos_token")), _id_of(engine, config.get("eos_token"))
    stated_eos_ids = [*_generation_eos_ids(directory), *([] if eos_id is None else [eos_id])]
    return Vocabulary(
        engine=engine,
        eos_id=eos_id,
        eos_ids=end_of_generation_ids(control_tokens, stated_eos_ids),
        bos_id=bos_id,
        add_bos=bos_id is not None and _adds_bos(engine, config, bos_id),
        chat_template=_read_template(directory, config),
    )


def token_text(engine: Tokenizer, token_id: int | None) -> str | None:
    """Return the token of an id that a model may lack."""
    return None if token_id is None else engine.id_to_token(token_id)


def _read_engine(path: Path) -> Tokenizer:
    if not path.is_file():
        raise InvalidModelFileError(path, "there is no such file")
    try:
        engine = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exception for every kind of broken file
        raise InvalidModelFileError(path, str(error)) from error
    if not isinstance(engine.decoder, decoders.ByteLevel):
        raise UnsupportedTokenizerError(f"the decoder {type(engine.decoder).__name__}", ["byte-level BPE"])
    return engine


def _mark_control_tokens(engine: Tokenizer) -> None:
    """Make every `<|name|>` a control token, so that the same model is one vocabulary from whichever file."""
    spelled = sorted(filter(looks_like_control, engine.get_vocab()))
    engine.add_special_tokens(list(map(control_token, spelled)))


def _generation_eos_ids(directory: Path) -> list[int]:
    stated = _read_json(directory / GENERATION_FILE).get("eos_token_id")
    return [stated] if isinstance(stated, int) else _integers(stated)


def _adds_bos(engine: Tokenizer, config: dict[str, object], bos_id: int) -> bool:
    stated = config.get("add_bos_token")
    return stated if isinstance(stated, bool) else engine.encode("").ids[:1] == [bos_id]


def _read_template(directory: Path, config: dict[str, object]) -> str | None:
    inline, path = config.get("chat_template"), directory / TEMPLATE_FILE
    if isinstance(inline, str):
        return inline
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _id_of(engine: Tokenizer, token: object) -> int | None:
    """Look up a token that a config gives as text or as `{"content": text}`."""
    content = _json_object(token).get("content", token)
    return engine.token_to_id(content) if isinstance(content, str) else None


def _integers(value: object) -> list[int]:
    return [one for one in value if isinstance(one, int)] if isinstance(value, list) else []


def _json_object(value: object) -> dict[str, object]:
    return {str(key): one for key, one in value.items()} if isinstance(value, dict) else {}


def _read_json(path: Path) -> dict[str, object]:
    if not path.is_file():
        return {}
    try:
        return _json_object(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InvalidModelFileError(path, f"cannot be read as JSON: {error}") from error


def _write_json(path: Path, value: dict[str, object]) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
