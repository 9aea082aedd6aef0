"""Text to token ids and back, exactly as the model was trained to see it."""

import hashlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from paceline.models.byte_alphabet import token_bytes
from paceline.models.chat_message import ChatMessage
from paceline.models.detokenizer import Detokenizer
from paceline.models.errors import ChatTemplateError, InvalidTextError
from paceline.models.gguf_vocabulary import Vocabulary, vocabulary_from_gguf
from paceline.models.special_tokens import Segment, control_pattern, num_without_padding, split_at
from paceline.models.tokenizer_directory import read_vocabulary, token_text, write_vocabulary

if TYPE_CHECKING:
    from paceline.models.chat_template import ChatTemplate


class Tokenizer:
    """A model's tokenizer; safe to share between threads: after loading, only its caches change.

    Control tokens are those that steer the model (`<|im_start|>`); text becomes one only where a caller says
    so. Ids at or above `num_tokens` are padding of the embedding matrix: they decode to nothing.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._engine = vocabulary.engine
        # Control tokens are found by `_control_pattern` instead, and only where a caller allows them.
        self._engine.encode_special_tokens = True
        added = self._engine.get_added_tokens_decoder()
        self._added_texts = {token_id: token.content for token_id, token in added.items()}
        control_tokens = {token_id: token for token_id, token in added.items() if token.special}
        self.control_ids = frozenset(control_tokens)
        self._control_pattern = control_pattern(control_tokens.values())
        self._bytes_of_id: dict[int, bytes] = {}

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Load from a GGUF file or a directory with a tokenizer.json: prepared, optimum-intel, Hugging Face.

        Raises InvalidModelFileError or UnsupportedTokenizerError.
        """
        return cls(read_vocabulary(path) if path.is_dir() else vocabulary_from_gguf(path))

    def save(self, directory: Path) -> None:
        """Write the files that `load` reads back into a directory, creating it if needed."""
        directory.mkdir(parents=True, exist_ok=True)
        write_vocabulary(self._vocabulary, directory)

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """Every id that ends an answer, ascending."""
        return self._vocabulary.eos_ids

    @property
    def bos_id(self) -> int | None:
        """The id that the model names as start of text; `add_bos` says whether prompts begin with it."""
        return self._vocabulary.bos_id

    @property
    def add_bos(self) -> bool:
        """Whether the model was trained with `bos_id` in front of every text."""
        return self._vocabulary.add_bos

    @property
    def chat_template_source(self) -> str | None:
        """The model's chat template as Jinja, where it has one."""
        return self._vocabulary.chat_template

    @cached_property
    def num_tokens(self) -> int:
        """How many ids stand for something; a model's logits may have more columns, which are padding."""
        return len(self._tokens)

    @cached_property
    def vocabulary_hash(self) -> str:
        """SHA-256 (hex) over the ordered tokens and which of them are control tokens, padding left out.

        A draft and a target with equal hashes mean the same text by the same id.
        """
        digest = hashlib.sha256()
        for token_id, token in enumerate(self._tokens):
            kind = b"control" if token_id in self.control_ids else b"text"
            digest.update(token.encode("utf-8") + b"\0" + kind + b"\0")
        return digest.hexdigest()

    def encode(self, text: str, *, parse_special: bool) -> list[int]:
        """Return the ids of a text, without a BOS.

        With `parse_special`, control tokens spelled in the text become control ids: for prompts that the
        operator wrote, never for what a user typed. Raises InvalidTextError for a lone surrogate.
        """
        if not parse_special:
            return self._encode_plain(text)
        return self._encode_segments(split_at(self._control_pattern, text))

    def encode_prompt(self, text: str, *, parse_special: bool) -> list[int]:
        """Return the ids of a raw prompt: `encode`, after the BOS where the model was trained with one."""
        prefix = [self.bos_id] if self.add_bos and self.bos_id is not None else []
        return prefix + self.encode(text, parse_special=parse_special)

    def encode_chat(
        self, messages: Sequence[ChatMessage], *, tools_json: str = "", add_generation_prompt: bool = True
    ) -> list[int]:
        """Return the ids of a chat; what the messages say stays text, whatever it spells.

        `tools_json` are tools that the model may call, as the OpenAI API has them; empty means none.
        `add_generation_prompt` ends the ids where the assistant's answer starts. Raises ChatTemplateError,
        InvalidRequestError (no messages, or tools that cannot be told to the model) or InvalidTextError.
        """
        return self._encode_segments(
            self._chat_template.render(
                messages, tools_json=tools_json, add_generation_prompt=add_generation_prompt
            )
        )

    def decode(self, token_ids: Iterable[int], *, keep_special: bool = False) -> str:
        """Return the text of ids, without control tokens unless kept; broken UTF-8 reads as U+FFFD."""
        bytes_of = self._bytes_with_control if keep_special else self.bytes_of
        return b"".join(map(bytes_of, token_ids)).decode("utf-8", errors="replace")

    def detokenizer(self, *, keep_special: bool = False) -> Detokenizer:
        """Start decoding one stream of ids piece by piece."""
        return Detokenizer(self._bytes_with_control if keep_special else self.bytes_of)

    def text_of(self, token_id: int) -> str:
        """Return one token for display: control tokens by name, parts of a character as U+FFFD."""
        return self._bytes_with_control(token_id).decode("utf-8", errors="replace")

    def control_id(self, text: str) -> int | None:
        """Return the control token that is spelled so; None where there is none."""
        token_id = self._engine.token_to_id(text)
        return token_id if token_id in self.control_ids else None

    def bytes_of(self, token_id: int) -> bytes:
        """Return the bytes that an id adds to a text: none for control tokens and padding."""
        known = self._bytes_of_id.get(token_id)
        if known is None:
            known = self._bytes_of_id[token_id] = self._look_up(token_id)
        return known

    def _bytes_with_control(self, token_id: int) -> bytes:
        if token_id in self.control_ids:
            return self._added_texts[token_id].encode("utf-8")
        return self.bytes_of(token_id)

    def _look_up(self, token_id: int) -> bytes:
        if token_id in self.control_ids or not 0 <= token_id < self.num_tokens:
            return b""
        added = self._added_texts.get(token_id)
        return token_bytes(self._tokens[token_id]) if added is None else added.encode("utf-8")

    def _encode_segments(self, segments: Iterable[Segment]) -> list[int]:
        token_ids: list[int] = []
        for segment in segments:
            # A control token may have swallowed spaces around it, so it is looked up without them.
            control_id = self._engine.token_to_id(segment.text.strip()) if segment.is_control else None
            token_ids += self._encode_plain(segment.text) if control_id is None else [control_id]
        return token_ids

    def _encode_plain(self, text: str) -> list[int]:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InvalidTextError(error.start) from error
        return self._engine.encode(text, add_special_tokens=False).ids

    @cached_property
    def _tokens(self) -> list[str]:
        """Every token in the order of its id, without trailing padding; an unused id is empty."""
        ids = self._engine.get_vocab()
        tokens = [""] * (max(ids.values(), default=-1) + 1)
        for token, token_id in ids.items():
            tokens[token_id] = token
        return tokens[: num_without_padding(tokens)]

    @cached_property
    def _chat_template(self) -> "ChatTemplate":
        # Imported here because the model services use a tokenizer without chat and ship without jinja2.
        from paceline.models.chat_template import ChatTemplate  # noqa: PLC0415

        source = self.chat_template_source
        if source is None:
            raise ChatTemplateError("the model has none; send a raw prompt instead")
        named_ids = {"bos_token": self.bos_id, "eos_token": self._vocabulary.eos_id}
        special_tokens = {name: token_text(self._engine, one) or "" for name, one in named_ids.items()}
        return ChatTemplate(source, self._control_pattern, special_tokens)
