"""A script that runs at the server."""

import hashlib
from pathlib import Path
from typing import Any

from redis.exceptions import NoScriptError

from orchestrator.redis_connection import RedisClient
from orchestrator.session_fields import Value


class LuaScript:
    """A file in Lua, which a server gets when it does not know it yet."""

    def __init__(self, path: Path) -> None:
        self._text = path.read_bytes()
        self._sha = hashlib.sha1(self._text, usedforsecurity=False).hexdigest()  # EVALSHA names scripts so

    async def run(self, redis: RedisClient, *parts: Value) -> list[Any]:
        """Run it with the number of its keys, the keys and the arguments; return its answer."""
        try:
            answer = await redis.execute_command("EVALSHA", self._sha, *parts)
        except NoScriptError:  # a server that has been restarted or is new to us
            answer = await redis.execute_command("EVAL", self._text, *parts)
        assert isinstance(answer, list), answer
        return answer
