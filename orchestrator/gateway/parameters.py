"""Every parameter that OpenAI's and vLLM's APIs know, and what becomes of it here.

docs/http-api.md contains `table()`, and a test sees to it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Endpoint(StrEnum):
    """What generates."""

    CHAT = "chat"
    COMPLETIONS = "completions"


class Treatment(StrEnum):
    """What becomes of a parameter that is there and not null."""

    SUPPORTED = "supported"
    IGNORED = "ignored"  # the answer has a warning
    REFUSED = "refused"  # 400, with the reason


_BOTH = frozenset(Endpoint)
_CHAT = frozenset({Endpoint.CHAT})
_COMPLETIONS = frozenset({Endpoint.COMPLETIONS})


@dataclass(frozen=True)
class Parameter:
    """One parameter.

    Attributes:
        name: As the request has it.
        treatment: What becomes of it.
        about: What is worth knowing: for IGNORED and REFUSED the reason, as callers are told it.
        endpoints: Where it is known.
        neutral: Of REFUSED and IGNORED, values that ask for what is done anyway: they are accepted in silence.
    """

    name: str
    treatment: Treatment
    about: str
    endpoints: frozenset[Endpoint] = _BOTH
    neutral: tuple[object, ...] = ()

    def is_neutral(self, value: object) -> bool:
        """Return whether a value asks for nothing."""
        return value is None or any(type(value) is type(one) and value == one for one in self.neutral)


def _supported(name: str, about: str = "", endpoints: frozenset[Endpoint] = _BOTH) -> Parameter:
    return Parameter(name, Treatment.SUPPORTED, about, endpoints)


def _ignored(
    name: str, about: str, endpoints: frozenset[Endpoint] = _BOTH, neutral: tuple[object, ...] = ()
) -> Parameter:
    return Parameter(name, Treatment.IGNORED, about, endpoints, neutral)


def _refused(
    name: str, about: str, endpoints: frozenset[Endpoint] = _BOTH, neutral: tuple[object, ...] = ()
) -> Parameter:
    return Parameter(name, Treatment.REFUSED, about, endpoints, neutral)


_NOT_STORED = "nothing is stored here but the session"
_TEXT_ONLY = "the served model reads and writes text only"

PARAMETERS: tuple[Parameter, ...] = (
    # OpenAI's.
    _supported(
        "messages", "texts only; `developer` is `system`; may be left out with `paceline.continuation`", _CHAT
    ),
    _supported(
        "prompt",
        "a text, ids, or a list of either; prompts times `n` are at most `--max-choices`",
        _COMPLETIONS,
    ),
    _supported("model", "may be left out: what is served"),
    _supported("stream", "server-sent events"),
    _supported("stream_options", "`include_usage`; `include_obfuscation` is accepted and nothing is padded"),
    _supported("n", "each choice is a session; choice i has the seed plus i"),
    _supported("max_tokens", "in chat the name before `max_completion_tokens`; default of completions: 16"),
    _supported(
        "max_completion_tokens", "default: the most that is served; not together with `max_tokens`", _CHAT
    ),
    _supported("temperature", "default 1; 0 is greedy"),
    _supported("top_p", "above 0, at most 1"),
    _supported("presence_penalty"),
    _supported("frequency_penalty"),
    _supported("logit_bias"),
    _supported(
        "seed", "0 or above; the same seed gives the same text while `system_fingerprint` is the same"
    ),
    _supported("stop", "a text or up to 16, 256 bytes each"),
    _supported(
        "logprobs", "chat: true or false; completions: 0 to 20. The model's own, before any processing"
    ),
    _supported("top_logprobs", "0 to 20, with `logprobs`", _CHAT),
    _supported("response_format", "`text`, `json_object`, `json_schema`; schemas are always strict"),
    _supported("tools", "functions, rendered by the model's own chat template", _CHAT),
    _supported(
        "tool_choice", "`none`, `auto`, `required` or a function; the last two hold the text to a call", _CHAT
    ),
    _supported("parallel_tool_calls", "false: the first call only", _CHAT),
    _supported("prediction", "drafts for free where the text follows it; never changes the text"),
    _supported("echo", "", _COMPLETIONS),
    _ignored("metadata", _NOT_STORED),
    _ignored("store", _NOT_STORED, neutral=(False,)),
    _ignored("user", "the API key says who calls"),
    _ignored("safety_identifier", "the API key says who calls"),
    _ignored("service_tier", "there is one tier"),
    _ignored("prompt_cache_key", "equal beginnings of prompts are found by their content"),
    _ignored("prompt_cache_retention", "caches are kept while there is room"),
    _ignored("reasoning_effort", "the served model has no such setting", _CHAT),
    _ignored("verbosity", "the served model has no such setting", _CHAT),
    _refused("suffix", "the served model completes and does not fill in; leave it out", _COMPLETIONS, ("",)),
    _refused("best_of", "choices are not compared here; ask for `n` and compare them", _COMPLETIONS, (1,)),
    _refused("functions", "it is deprecated; send `tools`", _CHAT, ([],)),
    _refused("function_call", "it is deprecated; send `tool_choice`", _CHAT, ("none",)),
    _refused("modalities", _TEXT_ONLY, _CHAT, (["text"],)),
    _refused("audio", _TEXT_ONLY, _CHAT),
    _refused("web_search_options", "nothing is searched here; send a tool", _CHAT),
    # vLLM's.
    _supported("top_k", "0 and -1 keep all"),
    _supported("min_p"),
    _supported("repetition_penalty"),
    _supported("min_tokens"),
    _supported("ignore_eos"),
    _supported("stop_token_ids", "up to 64; the id counts as a token of the answer and has no text"),
    _supported("include_stop_str_in_output"),
    _supported("structured_outputs", "one of `json`, `json_object`, `regex`, `choice`, `grammar`"),
    _supported("guided_json", "the name before `structured_outputs`"),
    _supported("guided_regex", "the same"),
    _supported("guided_choice", "the same"),
    _supported("guided_grammar", "the same"),
    _ignored("guided_decoding_backend", "there is one"),
    _ignored("guided_whitespace_pattern", "whitespace is what docs/structured-output.md says"),
    _ignored("priority", "tenants share fairly", neutral=(0,)),
    _ignored("request_id", "the header X-Request-Id names a request"),
    _ignored("cache_salt", "caches are shared by content"),
    _refused("add_generation_prompt", "an answer always begins a turn", _CHAT, (True,)),
    _refused(
        "continue_final_message", "an answer always begins a turn; fork the session instead", _CHAT, (False,)
    ),
    _refused(
        "add_special_tokens", "special tokens are added as the model was trained with them", neutral=(True,)
    ),
    _refused("skip_special_tokens", "special tokens are never text here", neutral=(True,)),
    _refused("spaces_between_special_tokens", "special tokens are never text here", neutral=(True, False)),
    _refused("chat_template", "the model's own is used, which is safe to run", _CHAT),
    _refused("chat_template_kwargs", "the model's own chat template is used as it is", _CHAT, ({},)),
    _refused("documents", "put them into a message", _CHAT, ([],)),
    _refused("truncate_prompt_tokens", "what does not fit is refused and never cut"),
    _refused("prompt_logprobs", "ask for `echo` with `logprobs` at /v1/completions"),
    _refused("prompt_embeds", "prompts are texts or ids", _COMPLETIONS),
    _refused("return_token_ids", "ask for `paceline.include_tokens`", neutral=(False,)),
    _refused("return_tokens_as_token_ids", "ask for `paceline.include_tokens`", neutral=(False,)),
    _refused("use_beam_search", "sampling and greedy decoding are what there is", neutral=(False,)),
    _refused("length_penalty", "it belongs to beam search", neutral=(1.0, 1)),
    _refused("early_stopping", "it belongs to beam search", neutral=(False,)),
    _refused("allowed_token_ids", "use `structured_outputs` or `logit_bias`"),
    _refused("bad_words", "use `logit_bias`", neutral=([],)),
    _refused("logits_processors", "no code of callers is run"),
    _refused("mm_processor_kwargs", _TEXT_ONLY, _CHAT),
    _refused("kv_transfer_params", "caches are moved by nobody but us"),
    _refused("vllm_xargs", "this is not vLLM"),
    # Ours.
    _supported("paceline", "speculation, continuation, verification, details of tokens: below"),
)


def known(endpoint: Endpoint) -> Mapping[str, Parameter]:
    """Return the parameters of an endpoint by name."""
    return {one.name: one for one in PARAMETERS if endpoint in one.endpoints}


def table(parameters: Iterable[Parameter] = PARAMETERS) -> str:
    """Return the table of the page, as Markdown."""
    rows = ["| parameter | where | | |", "|---|---|---|---|"]
    for one in parameters:
        where = ", ".join(endpoint.value for endpoint in Endpoint if endpoint in one.endpoints)
        rows.append(f"| `{one.name}` | {where} | {one.treatment.value} | {one.about} |")
    return "\n".join(rows)
