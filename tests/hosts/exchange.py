"""What a test and the client on its own host tell each other: JSON, one message a line."""

from dataclasses import dataclass

from pydantic import TypeAdapter

from paceline.client.generation import GenerationEvent, GenerationRequest


@dataclass(frozen=True)
class Asked:
    """Generations to run beside each other over one client, by name, at the orchestrators of some addresses."""

    addresses: tuple[str, ...]
    requests: dict[str, GenerationRequest]


@dataclass(frozen=True)
class Told:
    """An event of a generation, or the failure that ended it."""

    name: str
    event: GenerationEvent | None = None
    failure: str = ""


_ASKED = TypeAdapter(Asked)
_TOLD = TypeAdapter(Told)


def write_asked(asked: Asked) -> bytes:
    return _ASKED.dump_json(asked) + b"\n"


def read_asked(line: bytes) -> Asked:
    return _ASKED.validate_json(line)


def write_told(told: Told) -> bytes:
    return _TOLD.dump_json(told) + b"\n"


def read_told(line: bytes) -> Told:
    return _TOLD.validate_json(line)
