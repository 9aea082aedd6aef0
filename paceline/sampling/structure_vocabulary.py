"""A tokenizer as llguidance reads it, so that its masks speak of our ids."""

from itertools import takewhile

from llguidance import LLTokenizer, TokenizerWrapper

from paceline.models.tokenizer import Tokenizer


class StructureVocabulary:
    """What `TokenizerWrapper` looks up, and the call by which it asks how a forced text is cut into ids.

    Control tokens are given by name and marked as special, so that no text of a structure ever matches one.
    """

    bos_token_id = None

    def __init__(self, tokenizer: Tokenizer, num_tokens: int) -> None:
        self._tokenizer = tokenizer
        control_ids = tokenizer.control_ids
        self.eos_token_id = tokenizer.eos_ids[0]
        self.special_token_ids = sorted(control_ids)
        self.tokens = [
            tokenizer.text_of(token_id).encode() if token_id in control_ids else tokenizer.bytes_of(token_id)
            for token_id in range(num_tokens)
        ]

    def __call__(self, text: str) -> list[int]:
        """Return the ids of a text, as far as they spell it.

        A tokenizer may drop bytes that it has no token for, or normalize: ids behind that are those of another text.
        """
        expected = text.encode("utf-8")
        num_spelled = 0

        def is_spelled(token_id: int) -> bool:
            nonlocal num_spelled
            token = self._tokenizer.bytes_of(token_id)
            is_next = expected.startswith(token, num_spelled)
            num_spelled += len(token)
            return is_next

        return list(takewhile(is_spelled, self._tokenizer.encode(text, parse_special=False)))


def structure_tokenizer(tokenizer: Tokenizer, vocabulary_size: int) -> LLTokenizer:
    """Build llguidance's index of the vocabulary, which takes 0.2 s for 49k tokens and 0.6 s for 152k.

    Ids that are padding of the model's logits are no part of it, so that no structure can name one.
    """
    num_tokens = min(tokenizer.num_tokens, vocabulary_size)
    vocabulary = StructureVocabulary(tokenizer, num_tokens)
    eos_ids = [token_id for token_id in tokenizer.eos_ids if token_id < num_tokens]
    return LLTokenizer(TokenizerWrapper(vocabulary), n_vocab=num_tokens, eos_token=eos_ids)
