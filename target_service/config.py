"""The options of the target service."""

from typing import ClassVar

from pydantic_settings import SettingsConfigDict

from paceline.serving.config import ModelServiceConfig


class TargetConfig(ModelServiceConfig):
    """Hosts the target model, verifies draft tokens, and decodes alone where there is no draft."""

    program: ClassVar[str] = "target_service"
    model_config = SettingsConfigDict(env_prefix="PACELINE_TARGET_")
