"""What is simulated: one point of a sweep."""

from dataclasses import dataclass, field, fields, replace
from typing import Self

from benchmarks.simulation.step_time import StepTime
from paceline.client.generation import Speculation, SpeculationMode
from paceline.errors import ConfigError

OFF, ADAPTIVE = "off", "adaptive"
MAX_ADAPTIVE_TOKENS = 8


@dataclass(frozen=True)
class Settings:
    """A cluster and its load. Times of models and networks are those that are simulated, before dilation.

    Attributes:
        targets, drafts: Replicas of each pool.
        sessions: Generations at once.
        acceptance: Probability that the target agrees with a draft token if it agreed with those before it.
        second_chance: Probability that the draft's second choice is the target's where the first is not.
        num_draft_tokens: Draft tokens a round, "adaptive", or "off".
        rtt_ms: Emulated round trip between orchestrator and targets, beside the real one.
        draft_rtt_ms: The same between orchestrator and drafts.
        target_steps, draft_steps: How long passes take.
        max_rows: Most rows of a pass.
        max_tokens: Tokens of each generation.
        prompt_tokens: Mean length of prompts; they differ by up to a quarter.
        orchestrators: Orchestrator processes.
        dilation: Real seconds that a simulated second takes, so that more than this machine can carry still fits.
    """

    targets: int = 1
    drafts: int = 1
    sessions: int = 1
    acceptance: float = 0.7
    second_chance: float = 0.5
    num_draft_tokens: int | str = 5
    rtt_ms: float = 0.0
    draft_rtt_ms: float = 0.0
    target_steps: StepTime = field(default_factory=lambda: StepTime.line(40.0, 1.0))
    draft_steps: StepTime = field(default_factory=lambda: StepTime.line(10.0, 0.5))
    max_rows: int = 64
    max_tokens: int = 128
    prompt_tokens: int = 64
    orchestrators: int = 1
    dilation: float = 1.0

    def __post_init__(self) -> None:
        _require("targets", self.targets >= 1, "at least 1")
        _require("drafts", self.drafts >= 0, "0 or more")
        _require("sessions", self.sessions >= 1, "at least 1")
        _require("acceptance", 0 <= self.acceptance <= 1, "a probability from 0 to 1")
        _require("second-chance", 0 <= self.second_chance <= 1, "a probability from 0 to 1")
        _require("rtt", min(self.rtt_ms, self.draft_rtt_ms) >= 0, "0 or more milliseconds")
        _require("max-rows", self.max_rows >= 1, "at least 1")
        _require("max-tokens", self.max_tokens >= 2, "at least 2")
        _require("prompt-tokens", self.prompt_tokens >= 4, "at least 4")
        _require("orchestrators", self.orchestrators >= 1, "at least 1")
        _require("dilation", self.dilation > 0, "above 0")
        known = (OFF, ADAPTIVE)
        is_number = isinstance(self.num_draft_tokens, int) and 1 <= self.num_draft_tokens <= 64
        _require("num-draft-tokens", is_number or self.num_draft_tokens in known, "1 to 64, adaptive or off")

    @property
    def prompt_range(self) -> tuple[int, int]:
        """Shortest and longest prompt."""
        return self.prompt_tokens - self.prompt_tokens // 4, self.prompt_tokens + self.prompt_tokens // 4

    @property
    def speculation(self) -> Speculation:
        """The draft length as a request says it."""
        match self.num_draft_tokens:
            case int(number):
                return Speculation(SpeculationMode.FIXED, number)
            case "adaptive":
                return Speculation(SpeculationMode.ADAPTIVE, MAX_ADAPTIVE_TOKENS)
            case _:
                return Speculation(SpeculationMode.OFF)

    def with_value(self, name: str, text: str) -> Self:
        """Return the settings with one of them read from text; raises ConfigError for what cannot be swept."""
        if name not in SWEPT:
            raise ConfigError(f"--sweep {name}: choose one of {', '.join(SWEPT)}", setting="sweep")
        return replace(self, **{SWEPT[name]: _read(name, text)})


# The names of sweeps, and what they set.
SWEPT = {
    field.name.replace("_", "-").removesuffix("-ms"): field.name
    for field in fields(Settings)
    if field.name not in {"target_steps", "draft_steps"}
}


def _read(name: str, text: str) -> int | float | str:
    try:
        if name == "num-draft-tokens" and text in {OFF, ADAPTIVE}:
            return text
        return (
            float(text)
            if name in {"acceptance", "second-chance", "rtt", "draft-rtt", "dilation"}
            else int(text)
        )
    except ValueError as error:
        raise ConfigError(f"--sweep {name}={text}: that is no value for {name}", setting="sweep") from error


def _require(name: str, is_met: bool, what: str) -> None:
    if not is_met:
        raise ConfigError(f"--{name} must be {what}", setting=name)
