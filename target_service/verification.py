"""The verdict on draft tokens: plain data in, plain data out."""

from collections.abc import Sequence
from typing import NamedTuple


class Verdict(NamedTuple):
    """The first `num_accepted` draft ids stand, and `own_ids` follow them."""

    num_accepted: int
    own_ids: tuple[int, ...]


def judge(selected_ids: Sequence[int], draft_ids: Sequence[int]) -> Verdict:
    """Return the verdict on draft ids, given what the target chose at each of their positions and after the last.

    A draft id is accepted if it is the target's own choice and all before it are. The target's choice after the
    accepted ones is the recovered id, or the bonus id where all are accepted. This is exact for any way of choosing
    whose noise depends on the position alone, so that the drafts change nothing but the speed.

    Example: draft ids [9, 10, 11] against the target's [9, 10, 12, 13] give Verdict(2, (12,)).
    """
    assert len(selected_ids) == len(draft_ids) + 1
    num_accepted = 0
    while num_accepted < len(draft_ids) and draft_ids[num_accepted] == selected_ids[num_accepted]:
        num_accepted += 1
    return Verdict(num_accepted, (selected_ids[num_accepted],))
