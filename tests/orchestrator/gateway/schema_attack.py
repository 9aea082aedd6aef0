"""Asks a gateway whatever its description allows, and some that it does not; ends with code 1 over a defect.

A program of its own: what it is built on reads source code, which is not safe beside an event loop in another thread.

    python -m tests.orchestrator.gateway.schema_attack URL NUM_ALLOWED NUM_OTHERS
"""

import sys

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error

OPERATIONS = (
    ("/v1/chat/completions", "POST"),
    ("/v1/completions", "POST"),
    ("/v1/models/{model}", "GET"),
    ("/v1/models", "GET"),
    ("/health", "GET"),
    ("/metrics", "GET"),
    ("/paceline/v1/status", "GET"),
)


def main(url: str, num_allowed: int, num_others: int) -> None:
    """Ask so many times, each of the operations that generate."""
    described = schemathesis.openapi.from_dict(httpx.get(f"{url}/openapi.json").json())
    for path, method in OPERATIONS:
        operation = described[path][method]
        examples = {GenerationMode.POSITIVE: 1}
        if method == "POST":
            examples = {GenerationMode.POSITIVE: num_allowed, GenerationMode.NEGATIVE: num_others}
        for mode, num_examples in examples.items():
            bounded = settings(
                max_examples=num_examples,
                deadline=None,
                database=None,
                phases=(Phase.generate,),
                suppress_health_check=[*HealthCheck],  # pyright: ignore[reportArgumentType], it is an enum
            )

            @bounded
            @given(operation.as_strategy(mode))
            def ask(case: Case) -> None:
                response = case.call(base_url=url, timeout=30)
                case.validate_response(response, checks=[not_a_server_error])

            ask()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
