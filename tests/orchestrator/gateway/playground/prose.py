"""Replicas whose scripted text can be read: letters, blanks and line breaks, with log-probabilities."""

import asyncio
import hashlib
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from paceline.v1 import draft_service_pb2, sampling_pb2, target_service_pb2
from tests.orchestrator.byte_tokenizer import byte_tokenizer
from tests.orchestrator.scripted_replicas import ScriptedDraft, ScriptedReplica, ScriptedTarget, timing_since

# As real templates have it: the answer stands where the conversation's next turn will have it.
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
TOKENIZER = byte_tokenizer(CHAT_TEMPLATE)
# Blanks at a line's end and at its beginning are what a page loses first.
LETTERS = b"aeiounrst  \n  "
_QUALITY = 0.7
_PROBABILITY = 0.6


def next_letter(ids: Sequence[int]) -> int:
    """The id after `ids`."""
    return LETTERS[_dice(ids, b"target") % len(LETTERS)]


def other_letter(letter: int) -> int:
    """A letter that the target could have chosen instead."""
    return LETTERS[(LETTERS.index(letter) + 1) % 9]


def prose(ids: Sequence[int], num_ids: int) -> list[int]:
    """What the target generates after `ids` by itself."""
    known = list(ids)
    for _ in range(num_ids):
        known.append(next_letter(known))
    return known[len(ids) :]


def _dice(ids: Sequence[int], salt: bytes) -> int:
    packed = struct.pack(f"<{len(ids)}I", *ids)
    return int.from_bytes(hashlib.blake2b(packed, digest_size=4, salt=salt).digest(), "little")


class ProseTarget(ScriptedTarget):
    def _verdict(self, message):
        started_ns = asyncio.get_running_loop().time() * 1e9
        session_id = message.point.session_id
        if (refusal := self.replica.bring_to(message.point)) is not None:
            return message, refusal
        ids = self.replica.caches[session_id]
        num_accepted = 0
        for draft_id in message.draft_ids:
            if next_letter(ids) != draft_id:
                break
            ids.append(draft_id)
            num_accepted += 1
        own_id = next_letter(ids)
        chosen = [*message.draft_ids[:num_accepted], own_id]
        return target_service_pb2.VerifyResult(
            session_id=session_id,
            round=message.round,
            verdict=target_service_pb2.Verdict(
                num_accepted=num_accepted,
                own_ids=[own_id],
                timing=timing_since(int(started_ns)),
                logprobs=[_logprobs(one) for one in chosen],
            ),
        )


class ProseDraft(ScriptedDraft):
    def _proposal(self, message):
        session_id = message.point.session_id
        if (refusal := self.replica.bring_to(message.point)) is not None:
            return message, refusal
        ids = self.replica.caches[session_id]
        draft_ids: list[int] = []
        for _ in range(message.num_draft_tokens):
            right = next_letter(ids)
            is_right = _dice(ids, b"draft") < _QUALITY * 2**32
            draft_ids.append(right if is_right else other_letter(right))
            ids.append(draft_ids[-1])
        return draft_service_pb2.ProposalResult(
            session_id=session_id,
            round=message.round,
            proposal=draft_service_pb2.Proposal(draft_ids=draft_ids, timing=timing_since(0)),
        )


def _logprobs(letter: int) -> sampling_pb2.TokenLogprobs:
    own, other = math.log(_PROBABILITY), math.log(1 - _PROBABILITY)
    return sampling_pb2.TokenLogprobs(
        id=letter, logprob=own, top_ids=[letter, other_letter(letter)], top_logprobs=[own, other]
    )


@dataclass
class Prose:
    """Two targets and a draft. Verdicts of rounds from `held_round` on wait until `release` is called."""

    held_round: int | None = None
    is_breaking: bool = False
    services: list[ScriptedTarget | ScriptedDraft] = field(default_factory=list)
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        for number in range(2):
            name = f"target-{number}"
            replica = ScriptedReplica(name, TOKENIZER.vocabulary_hash, fault=self._target_fault)
            self.services.append(ProseTarget(replica))
        self.services.append(ProseDraft(ScriptedReplica("draft-0", TOKENIZER.vocabulary_hash)))

    def hold(self, held_round: int) -> None:
        self.held_round = held_round
        self._released.clear()

    def release(self) -> None:
        self.held_round = None
        self._released.set()

    def break_next(self) -> None:
        """Break the connection to the target at its next verdict, as the end of its process does."""
        self.is_breaking = True

    async def _target_fault(self, _session_id: str, round_number: int) -> None:
        if self.held_round is not None and round_number >= self.held_round:
            await self._released.wait()
        if self.is_breaking:
            self.is_breaking = False
            raise ConnectionError
