"""The options of the draft service."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from paceline.serving.config import ACTIVATION_GROUP_DESCRIPTION, ModelServiceConfig, WeightsFormat
from paceline.serving.session_point import DEFAULT_AHEAD_GUESSES


class DraftConfig(ModelServiceConfig):
    """Hosts the draft model and proposes tokens."""

    program: ClassVar[str] = "draft_service"
    model_config = SettingsConfigDict(env_prefix="PACELINE_DRAFT_")

    # The target checks every proposal, so that nothing depends on the draft's last bit.
    batch_invariant: Annotated[
        Literal["require", "prefer", "off"],
        Field(description="Whether logits must not depend on what else is in the batch."),
    ] = "off"
    weights: Annotated[WeightsFormat, Field(description="Format of the weights to serve.")] = "int4"
    max_guesses: Annotated[
        int,
        Field(
            description="Other outcomes of rounds that all sessions together may be drafting behind at once, less the "
            "proposals that are waited for; each is a row more in a pass.",
            ge=0,
        ),
    ] = DEFAULT_AHEAD_GUESSES
    head: Annotated[
        Literal["fast", "exact"],
        Field(description="Logits in int4, where weights are int4, or in int8."),
    ] = "fast"
    activation_group_size: Annotated[int | None, Field(description=ACTIVATION_GROUP_DESCRIPTION, ge=0)] = 128
