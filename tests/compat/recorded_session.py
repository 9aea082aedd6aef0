"""A session as one release has left it in Redis, with the token to go on with it at another one.

Another release is added with `python -m tests.compat.recorded_session RELEASE`, run with its code.
"""

import asyncio
import json
import sys
import tempfile
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from orchestrator.session_fields import pack_ids, unpack_ids
from paceline.client.generation import (
    GenerationRequest,
    GenerationStarted,
    PromptIds,
    Sampling,
    StopConditions,
    TokenChunk,
)
from paceline.local.redis_server import redis_server
from tests.orchestrator.rig import draft, fixed, orchestrating, target, until

RECORDS = Path(__file__).with_name("records")
PREFIX = "paceline"
PROMPT = (3, 1, 4, 1, 5)
MAX_TOKENS = 60
NUM_TOKENS_BEFORE = 20
# Every part of a record has something in it.
REQUEST = GenerationRequest(
    PromptIds(PROMPT),
    MAX_TOKENS,
    ignore_eos=True,
    stop=StopConditions(("a text that never comes",), (11,)),
    speculation=fixed(3),
    sampling=Sampling(temperature=0.7, seed=7, top_p=0.9, logit_bias={12: -1.0}, num_logprobs=2),
)


@dataclass(frozen=True)
class RecordedSession:
    """What lies in Redis.

    Attributes:
        session_id: The session.
        state: The fields of its hash, each character one byte.
        ids: Its ids, the prompt included.
        token_key: The key that tokens are signed with, as hex digits.
        rollback_token: Of the last point that its client has heard of.
        num_received: How many tokens came before that.
    """

    session_id: str
    state: dict[str, str]
    ids: list[int]
    token_key: str
    rollback_token: str
    num_received: int

    @classmethod
    def read(cls, path: Path) -> "RecordedSession":
        """Read a record."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    async def restore(self, url: str) -> None:
        """Put it into an empty Redis."""
        async with client(url) as redis:
            await redis.set(f"{PREFIX}:token_key", bytes.fromhex(self.token_key))
            await redis.set(_ids_key(self.session_id), pack_ids(self.ids))
            await redis.hset(
                _state_key(self.session_id),
                mapping={name: value.encode("latin-1") for name, value in self.state.items()},
            )


async def record(url: str) -> RecordedSession:
    """Have this code begin a session, and leave it when some tokens have come."""
    session_id, token, num_received = "", "", 0
    async with orchestrating(url, [target(), draft()]) as rig:
        async with aclosing(rig.client.generate(REQUEST)) as events:
            async for event in events:
                if isinstance(event, GenerationStarted):
                    session_id = event.session_id
                elif isinstance(event, TokenChunk):
                    num_received += len(event.tokens)
                    token = event.rollback_token
                if num_received >= NUM_TOKENS_BEFORE:
                    break

        async def is_suspended() -> bool:
            return (await rig.stored(session_id)).status.value == "suspended"

        await until(is_suspended)
    async with client(url) as redis:
        state = await redis.hgetall(_state_key(session_id))
        ids = await redis.get(_ids_key(session_id))
        key = await redis.get(f"{PREFIX}:token_key")
    fields = {name.decode(): value.decode("latin-1") for name, value in sorted(state.items())}
    return RecordedSession(session_id, fields, list(unpack_ids(ids)), key.hex(), token, num_received)


def client(url: str) -> Any:
    """A client of Redis; untyped, because its types leave open what is bytes."""
    return Redis.from_url(url)


def _state_key(session_id: str) -> str:
    return f"{PREFIX}:{{{session_id}}}:state"


def _ids_key(session_id: str) -> str:
    return f"{PREFIX}:{{{session_id}}}:ids"


async def _write(release: str) -> None:
    with tempfile.TemporaryDirectory(prefix="paceline-") as directory:
        async with redis_server(Path(directory), Path(directory) / "redis.log") as server:
            recorded = await record(server.url)
    path = RECORDS / f"{release}.json"
    path.write_text(json.dumps(asdict(recorded), indent=2) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    asyncio.run(_write(sys.argv[1]))
