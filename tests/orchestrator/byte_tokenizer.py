"""A tokenizer of single bytes, so that tests need no model: 256 bytes and an end-of-generation token."""

from collections.abc import Sequence

from tokenizers import Tokenizer as Engine
from tokenizers import decoders, models, pre_tokenizers

from paceline.models.byte_alphabet import BYTE_OF_CHARACTER
from paceline.models.gguf_vocabulary import Vocabulary
from paceline.models.special_tokens import control_token
from paceline.models.tokenizer import Tokenizer

EOS_ID = 256
VOCABULARY_SIZE = 264  # some padding, as in real models
CHAT_TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"


def byte_tokenizer(
    chat_template: str | None = CHAT_TEMPLATE, more_control_tokens: Sequence[str] = ()
) -> Tokenizer:
    characters = {byte: character for character, byte in BYTE_OF_CHARACTER.items()}
    control_tokens = ["<|end|>", *more_control_tokens]
    vocabulary = {characters[byte]: byte for byte in range(256)}
    vocabulary |= {token: EOS_ID + place for place, token in enumerate(control_tokens)}
    engine = Engine(models.BPE(vocab=vocabulary, merges=[]))
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    engine.decoder = decoders.ByteLevel()
    engine.add_special_tokens([control_token(token) for token in control_tokens])
    return Tokenizer(Vocabulary(engine, EOS_ID, (EOS_ID,), None, False, chat_template))
