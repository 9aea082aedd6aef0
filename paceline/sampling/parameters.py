"""How a session wants its ids chosen."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SamplingParameters:
    """`temperature` 0 is greedy decoding; `seed` names the noise, which greedy decoding does not use."""

    temperature: float = 0.0
    seed: int = 0
