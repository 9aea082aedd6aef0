"""How a conversation goes on behind the ids that a session holds already."""

from collections.abc import Callable, Sequence
from typing import NamedTuple


class Joined(NamedTuple):
    """A conversation's ids, the first `num_kept` of which are the session's own."""

    ids: tuple[int, ...]
    num_kept: int


def join(
    session_ids: Sequence[int],
    conversation_ids: Sequence[int],
    bytes_of: Callable[[int], bytes],
    control_ids: frozenset[int],
) -> Joined:
    """Return the ids of a whole conversation, of which a session may hold the beginning.

    What the model has said was sampled token by token, and its text may be tokenized otherwise when it comes back in
    the next turn. So the session's ids are kept wherever they spell the beginning of the conversation, control tokens
    included, and only what follows is taken from the conversation. Where they do not, because the caller has
    changed something, as many are kept as are equal.

    Example: the session holds ["Hel", "lo", <end>], the conversation is ["Hello", <end>, <user>, "Hi"]: the joined ids
    are the session's three, then [<user>, "Hi"].
    """
    spell = _Spelling(bytes_of, control_ids)
    place = _end_of(spell.all(session_ids), conversation_ids, spell)
    if place is not None:
        return Joined((*session_ids, *conversation_ids[place:]), len(session_ids))
    return Joined(tuple(conversation_ids), _num_equal(session_ids, conversation_ids))


class _Spelling(NamedTuple):
    """Spells ids as symbols: a byte is itself, a control token 256 more than its id."""

    bytes_of: Callable[[int], bytes]
    control_ids: frozenset[int]

    def one(self, token_id: int) -> list[int]:
        return [256 + token_id] if token_id in self.control_ids else list(self.bytes_of(token_id))

    def all(self, ids: Sequence[int]) -> list[int]:
        return [symbol for token_id in ids for symbol in self.one(token_id)]


def _end_of(symbols: Sequence[int], ids: Sequence[int], spell: _Spelling) -> int | None:
    """Return how many of the ids spell just these symbols; None where none do."""
    num_spelled = 0
    for place, token_id in enumerate(ids):
        if num_spelled == len(symbols):
            return place
        spelled = spell.one(token_id)
        if symbols[num_spelled : num_spelled + len(spelled)] != spelled:
            return None
        num_spelled += len(spelled)
    return len(ids) if num_spelled == len(symbols) else None


def _num_equal(known_ids: Sequence[int], new_ids: Sequence[int]) -> int:
    """Length of the common beginning."""
    pairs = enumerate(zip(known_ids, new_ids, strict=False))
    shorter = min(len(known_ids), len(new_ids))
    return next((place for place, (known, new) in pairs if known != new), shorter)
