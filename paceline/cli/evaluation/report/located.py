"""Parts of an evaluation that know where they stand in its JSON."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Generic, TypeVar

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, eq=False)
class Located(Generic[T_co]):
    """A part of an evaluation, and the path that leads to it; what is taken from it knows its own.

    Example: `Located(evaluation).acceptance[2].tokens_per_round["3"]` has the path
    `acceptance[2].tokens_per_round['3']`.

    Attributes:
        raw: The part itself.
        path: Empty for the whole evaluation.
        divisor_path: Of a quotient: the path of what was divided by.
    """

    raw: T_co
    path: str = ""
    divisor_path: str = ""

    def __getattr__(self, name: str) -> "Located[Any]":
        # Fields alone, so that a template that asks for anything else is told so.
        if not is_dataclass(self.raw) or name not in {field.name for field in fields(self.raw)}:
            raise AttributeError(f"{type(self.raw).__name__} at {self.path or 'the top'} has no {name}")
        return Located(getattr(self.raw, name), f"{self.path}.{name}" if self.path else name)

    def __getitem__(self, key: int | str) -> "Located[Any]":
        raw: Any = self.raw
        return Located(raw[key], f"{self.path}[{key!r}]")

    def __iter__(self) -> Iterator["Located[Any]"]:
        raw: Any = self.raw
        return (self[place] for place in range(len(raw)))

    def items(self) -> list[tuple[str, "Located[Any]"]]:
        """Return the entries of a mapping."""
        raw: Any = self.raw
        return [(key, self[key]) for key in raw]

    def over(self, divisor: "Located[float]") -> "Located[Any]":
        """Return the quotient of two numbers; of None where one is not known or the divisor is 0."""
        raw: Any = self.raw
        quotient = None if raw is None or not divisor.raw else raw / divisor.raw
        return Located(quotient, self.path, divisor.path)
