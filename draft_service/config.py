"""The options of the draft service."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from paceline.serving.config import ModelServiceConfig


class DraftConfig(ModelServiceConfig):
    """Hosts the draft model and proposes tokens."""

    program: ClassVar[str] = "draft_service"
    model_config = SettingsConfigDict(env_prefix="PACELINE_DRAFT_")

    # The target checks every proposal, so that nothing depends on the draft's last bit.
    batch_invariant: Annotated[
        Literal["require", "prefer", "off"],
        Field(description="Whether logits must not depend on what else is in the batch."),
    ] = "off"
    weights: Annotated[
        Literal["f16", "int8", "int4"], Field(description="Format of the weights to serve.")
    ] = "int4"
