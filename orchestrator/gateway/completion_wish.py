"""A body of `POST /v1/completions` to the requests that the core serves, one a prompt."""

from orchestrator.gateway.completion_body import CompletionBody, Prompt
from orchestrator.gateway.http_errors import invalid
from orchestrator.gateway.wishes import request_of
from paceline.v1 import orchestrator_service_pb2 as messages

# As OpenAI's API has it.
DEFAULT_MAX_TOKENS = 16


def completion_requests(
    body: CompletionBody, limits: messages.GenerationLimits
) -> list[messages.GenerateRequest]:
    """Return the requests of a body; raises InvalidRequestError."""
    prompts = body.prompts
    if body.continuation is not None:
        return [_continued(body, prompts)]
    if not prompts:
        raise invalid("prompt", "prompt is missing; send a text, ids, or a list of either")
    num_answers = len(prompts) * (body.n or 1)
    if len(prompts) > 1 and num_answers > limits.max_choices:
        raise invalid(
            "prompt",
            f"prompt asks for {num_answers} answers at once and may ask for {limits.max_choices}; send fewer prompts",
        )
    return [_begun(body, prompt) for prompt in prompts]


def _begun(body: CompletionBody, prompt: Prompt) -> messages.GenerateRequest:
    request = request_of(body, body.logprobs)
    request.max_tokens = DEFAULT_MAX_TOKENS if body.max_tokens is None else body.max_tokens
    request.echo = bool(body.echo)
    _set_input(request, prompt)
    return request


def _continued(body: CompletionBody, prompts: list[Prompt]) -> messages.GenerateRequest:
    if len(prompts) > 1:
        raise invalid("prompt", f"prompt has {len(prompts)} prompts, and a session goes on with one at most")
    request = request_of(body, body.logprobs)
    if body.max_tokens is not None:
        request.max_tokens = body.max_tokens
    request.echo = bool(body.echo)
    for prompt in prompts:
        _set_input(request, prompt)
    return request


def _set_input(request: messages.GenerateRequest, prompt: Prompt) -> None:
    if isinstance(prompt, str):
        request.prompt = prompt
    else:
        request.token_ids.ids.extend(prompt)
        request.token_ids.SetInParent()
