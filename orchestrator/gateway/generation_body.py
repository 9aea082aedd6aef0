"""What the bodies of both generating requests have in common."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.gateway.extension import MAX_UINT32, ContinuationFields, Items, PacelineFields, Uint32
from paceline.sampling.parameters import MAX_SEED

# What may be said of a session that is resumed; it has everything else. How calls are told apart is not of the session.
FIELDS_OF_A_RESUME = frozenset(
    {"model", "stream", "stream_options", "paceline", "tools", "tool_choice", "parallel_tool_calls"}
)

JsonSchema: TypeAlias = dict[str, Any] | bool
_TokenIdText = Annotated[str, Field(pattern=r"^[0-9]{1,10}$")]


class Lenient(BaseModel):
    """A part of a request that may have fields which mean nothing here."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="ignore", allow_inf_nan=False, protected_namespaces=()
    )


class TextPart(Lenient):
    """A text among the parts of a message or of a prediction."""

    type: Literal["text"]
    text: str


Text: TypeAlias = str | Items[TextPart]


def text_of(text: Text) -> str:
    """Return the whole of a text, its parts on lines of their own."""
    return text if isinstance(text, str) else "\n".join(part.text for part in text)


class StreamOptions(Lenient):
    """What a stream has besides the text."""

    include_usage: Annotated[
        bool | None, Field(description="One more chunk, without choices, with the usage of all.")
    ] = None


class NamedSchema(Lenient):
    """A schema of `response_format`; `strict` makes no difference, because every schema is held to."""

    name: str | None = None
    description: str | None = None
    json_schema: Annotated[JsonSchema, Field(alias="schema")] = True
    strict: bool | None = None


class ResponseFormat(Lenient):
    """What the text has to be."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | None = None


class StructuredOutputs(Lenient):
    """vLLM's way to say what the text has to be: exactly one of the fields."""

    json_: Annotated[JsonSchema | str | None, Field(alias="json")] = None
    json_object: bool | None = None
    regex: str | None = None
    choice: Items[str] | None = None
    grammar: str | None = None


class Prediction(Lenient):
    """What the text will probably be."""

    type: Literal["content"]
    content: Text


class GenerationBody(BaseModel):
    """The fields of both endpoints; null is the same as leaving a field out."""

    # What is not a field is looked up in the table of parameters.
    model_config = ConfigDict(
        strict=True, frozen=True, extra="allow", allow_inf_nan=False, protected_namespaces=()
    )

    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Uint32 | None = None
    max_tokens: Uint32 | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: Annotated[int, Field(ge=-1, le=MAX_UINT32)] | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None
    logit_bias: Annotated[dict[_TokenIdText, float], Field(fail_fast=True)] | None = None
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] | None = None
    stop: str | Items[str] | None = None
    stop_token_ids: Items[Uint32] | None = None
    include_stop_str_in_output: bool | None = None
    ignore_eos: bool | None = None
    min_tokens: Uint32 | None = None
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    guided_json: JsonSchema | str | None = None
    guided_regex: str | None = None
    guided_choice: Items[str] | None = None
    guided_grammar: str | None = None
    prediction: Prediction | None = None
    paceline: PacelineFields | None = None

    @property
    def given(self) -> frozenset[str]:
        """The names of the fields that are there and not null."""
        return frozenset(name for name in self.model_fields_set if getattr(self, name) is not None)

    @property
    def continuation(self) -> ContinuationFields | None:
        """The session to go on with."""
        return self.paceline.continuation if self.paceline is not None else None

    @property
    def includes_usage(self) -> bool:
        """Whether a stream ends with the usage."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    @property
    def includes_tokens(self) -> bool:
        """Whether the tokens of each chunk are wanted."""
        return self.paceline is not None and bool(self.paceline.include_tokens)
