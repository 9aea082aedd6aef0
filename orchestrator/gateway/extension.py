"""The object `paceline` in a request: what OpenAI's API has no words for."""

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

MAX_UINT32 = 2**32 - 1

Uint32 = Annotated[int, Field(ge=0, le=MAX_UINT32)]
Item = TypeVar("Item")
# The first error is enough: a body that is as large as may be could have millions.
Items = Annotated[list[Item], Field(fail_fast=True)]


class Strict(BaseModel):
    """Types are not converted, numbers are finite, and what is not known is refused."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=()
    )


class SpeculationFields(Strict):
    """How to speculate; what is left out is as the orchestrator is configured. It never changes the text."""

    mode: Annotated[
        Literal["adaptive", "fixed", "off"] | None, Field(description="How draft lengths are chosen.")
    ] = None
    num_draft_tokens: Annotated[
        Uint32 | None, Field(description="Draft tokens a round: the number if fixed, the most if adaptive.")
    ] = None
    drafter: Annotated[
        Literal["model", "prompt_lookup", "none"] | None, Field(description="Where draft tokens come from.")
    ] = None


class ContinuationFields(Strict):
    """Going on with a session from one of its points."""

    mode: Annotated[
        Literal["resume", "rewind", "fork"],
        Field(
            description="resume: what follows the point, nothing else may be asked for. rewind: anew from the point. "
            "fork: the same, in a new session."
        ),
    ]
    rollback_token: Annotated[str, Field(description="The point, as an answer named it.")]


class PacelineFields(Strict):
    """What OpenAI's API has no words for."""

    speculation: SpeculationFields | None = None
    continuation: ContinuationFields | None = None
    verification: Annotated[
        Literal["shared_noise", "rejection"] | None, Field(description="How the target judges draft tokens.")
    ] = None
    include_tokens: Annotated[
        bool | None, Field(description="Send the tokens of each chunk: ids, texts, and where they came from.")
    ] = None
