"""The client library: text from an orchestrator, for asyncio or without, typed; docs/client.md begins with examples."""

from paceline.client.answer_record import Point
from paceline.client.async_answer import AsyncAnswer, AsyncAnswerStream
from paceline.client.async_client import AsyncClient
from paceline.client.destination import Destination
from paceline.client.errors import (
    CallFailedError,
    ClientClosedError,
    DeadlineExceededError,
    HandshakeFailedError,
    NotAllowedError,
    NotStartedError,
    OverloadedError,
    RequestRefusedError,
    SessionLostError,
    SessionTakenError,
    StreamGapError,
    UnavailableError,
)
from paceline.client.generation import (
    Drafter,
    FinishReason,
    GeneratedToken,
    GenerationSummary,
    Speculation,
    SpeculationMode,
    TokenAlternative,
    TokenChunk,
    TokenOrigin,
    Usage,
)
from paceline.client.options import Options
from paceline.client.retry import RetrySettings
from paceline.client.retry_budget import RetryBudget
from paceline.client.served_model import ServedModel, ServedModels
from paceline.client.sync_answer import Answer, AnswerStream
from paceline.client.sync_client import Client
from paceline.errors import ConfigError, InvalidRequestError, PacelineError
from paceline.models.chat_message import ChatMessage
from paceline.sampling.parameters import Verification

__all__ = [
    "Answer",
    "AnswerStream",
    "AsyncAnswer",
    "AsyncAnswerStream",
    "AsyncClient",
    "CallFailedError",
    "ChatMessage",
    "Client",
    "ClientClosedError",
    "ConfigError",
    "DeadlineExceededError",
    "Destination",
    "Drafter",
    "FinishReason",
    "GeneratedToken",
    "GenerationSummary",
    "HandshakeFailedError",
    "InvalidRequestError",
    "NotAllowedError",
    "NotStartedError",
    "Options",
    "OverloadedError",
    "PacelineError",
    "Point",
    "RequestRefusedError",
    "RetryBudget",
    "RetrySettings",
    "ServedModel",
    "ServedModels",
    "SessionLostError",
    "SessionTakenError",
    "Speculation",
    "SpeculationMode",
    "StreamGapError",
    "TokenAlternative",
    "TokenChunk",
    "TokenOrigin",
    "UnavailableError",
    "Usage",
    "Verification",
]
