"""A body's bytes to its fields, and what is not supported of it: refused, or ignored with a warning."""

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from orchestrator.gateway.generation_body import GenerationBody
from orchestrator.gateway.http_errors import invalid
from orchestrator.gateway.parameters import Endpoint, Treatment, known
from paceline.errors import InvalidRequestError

B = TypeVar("B", bound=GenerationBody)

# What pydantic puts into the place of an error where a field may have several types.
_TYPE_NAMES = frozenset({"bool", "constrained-int", "constrained-str", "dict", "float", "int", "str"})
_MAX_NAME = 64
# Lists and objects in a body. Each costs microseconds in which nobody else is served; a text has few of their signs.
_MAX_OPENINGS = 1 << 17


class ReadBody(NamedTuple, Generic[B]):
    """The fields of a body, and what the caller should know of those that were ignored."""

    body: B
    warnings: tuple[str, ...]


def read_body(content: bytes, kind: type[B], endpoint: Endpoint) -> ReadBody[B]:
    """Read a body; raises InvalidRequestError, with the parameter if it is about one."""
    if content.count(b"{") + content.count(b"[") > _MAX_OPENINGS:
        raise InvalidRequestError(f"the body has more than {_MAX_OPENINGS} lists and objects; send fewer")
    try:
        body = kind.model_validate_json(content)
    except ValidationError as error:
        raise _invalid(_clearest(error.errors(include_url=False, include_context=False))) from None
    warnings = [
        one for one in (_warning(name, value, endpoint) for name, value in extra_of(body).items()) if one
    ]
    return ReadBody(body, tuple(warnings))


def extra_of(body: GenerationBody) -> dict[str, object]:
    """Return what a body has besides its fields."""
    return dict(body.model_extra or {})


def _warning(name: str, value: object, endpoint: Endpoint) -> str | None:
    """Return what to tell of a parameter that is not supported; raises InvalidRequestError where it is refused."""
    if value is None:
        return None
    parameter = known(endpoint).get(name)
    if parameter is None:
        shown = name[:_MAX_NAME]
        raise invalid(
            shown, f"{shown} is not a parameter of this request; check its spelling, or leave it out"
        )
    if parameter.is_neutral(value):
        return None
    if parameter.treatment is Treatment.REFUSED:
        raise invalid(name, f"{name} is not supported: {parameter.about}")
    return f"{name} is ignored: {parameter.about}"


def _clearest(errors: Sequence[ErrorDetails]) -> ErrorDetails:
    """Return the error that came farthest: of several possible types it is about the one that was meant."""
    return max(errors, key=lambda error: len(_place(error["loc"])))


def _invalid(error: ErrorDetails) -> InvalidRequestError:
    place, message = _place(error["loc"]), error["msg"]
    if error["type"] == "json_invalid":
        return InvalidRequestError(f"the body is not JSON: {message.removeprefix('Invalid JSON: ')}")
    if not place:
        return InvalidRequestError("the body must be a JSON object")
    parameter = place[0] + "".join(_step(step) for step in place[1:])
    return invalid(parameter, f"{parameter}: {message[0].lower()}{message[1:]}")


def _step(step: str) -> str:
    return f"[{step}]" if step.isdecimal() else f".{step}"


def _place(location: Sequence[int | str]) -> list[str]:
    """Return the way to a value: fields and numbers, without what only pydantic knows."""
    steps = [str(step)[:_MAX_NAME] for step in location]
    return [step for step in steps if step not in _TYPE_NAMES and _is_plain(step)]


def _is_plain(step: str) -> bool:
    return step.isdecimal() or (step.replace("_", "a").isalnum() and step.islower())
