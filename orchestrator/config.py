"""The options of the orchestrator."""

import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode, SettingsConfigDict

from orchestrator.redis_address import checked_redis_url
from paceline.serving.config import Address, Addresses, ServiceConfig, TlsClients, split_parts
from paceline.serving.session_point import DEFAULT_AHEAD_GUESSES, MAX_AHEAD_GUESSES, MAX_ROUND_TOKENS

_ORIGIN = re.compile(r"https?://[^/\s?#@]+")


def _check_origin(origin: str) -> str:
    if origin != "*" and not _ORIGIN.fullmatch(origin):
        raise ValueError(f"{origin!r} is no origin, for example https://chat.example.com, nor * for all")
    return origin


def _check_tcp(address: str) -> str:
    if address.startswith("unix:"):
        raise ValueError(f"{address!r} is a file; HTTP is served at HOST:PORT only")
    return address


HttpAddress = Annotated[Address, AfterValidator(_check_tcp)]
Origins = Annotated[
    tuple[Annotated[str, AfterValidator(_check_origin)], ...], NoDecode, BeforeValidator(split_parts)
]


class OrchestratorConfig(ServiceConfig):
    """Runs the speculative rounds between clients and the two pools of replicas."""

    program: ClassVar[str] = "orchestrator"
    model_config = SettingsConfigDict(env_prefix="PACELINE_ORCHESTRATOR_")

    listen: Annotated[Address, Field(description="Address to listen on, HOST:PORT.")]
    http_listen: Annotated[
        HttpAddress | None,
        Field(
            description="Address of the HTTP gateway, OpenAI's API and the playground, HOST:PORT; none if unset. "
            "docs/http-api.md."
        ),
    ] = None
    http_playground: Annotated[
        Literal["on", "off"],
        Field(description="Whether the gateway serves the playground, a page for browsers."),
    ] = "on"
    http_cors_origins: Annotated[
        Origins,
        Field(
            description="Origins of web pages of others that may call the gateway, with commas between them; * is all, "
            "none may if empty."
        ),
    ] = ()
    http_max_connections: Annotated[
        int,
        Field(description="Most connections of HTTP clients; requests of further ones are refused.", ge=1),
    ] = 1024
    http_client_seconds: Annotated[
        float,
        Field(
            description="Seconds that the gateway waits for a client to send its request, and for one that does not "
            "read its answer, before it is cut off.",
            gt=0,
        ),
    ] = 30.0
    http_keep_alive_seconds: Annotated[
        float,
        Field(description="Seconds of silence in an HTTP stream after which a comment is sent.", gt=0),
    ] = 15.0
    target_addresses: Annotated[
        Addresses,
        Field(
            description="Target replicas, HOST:PORT with commas between them; dns:NAME:PORT stands for all that a name "
            "resolves to, as it changes.",
            min_length=1,
        ),
    ]
    draft_addresses: Annotated[
        Addresses, Field(description="Draft replicas, the same; without any the target decodes alone.")
    ] = ()
    tls_clients: Annotated[
        TlsClients,
        Field(description="Whether callers must show a certificate of --tls-ca-file, or are asked for none."),
    ] = "accept"
    target_tls_name: Annotated[
        str,
        Field(
            description="Name that the certificates of targets are for, since they are found by address. With "
            "certificates of our own, both pools are connected to by TLS.",
            min_length=1,
        ),
    ] = "paceline-target"
    draft_tls_name: Annotated[
        str, Field(description="Name that the certificates of drafts are for.", min_length=1)
    ] = "paceline-draft"
    discovery_seconds: Annotated[
        float, Field(description="Seconds between two looks at the names of replicas in DNS.", gt=0)
    ] = 5.0
    redis_url: Annotated[
        str,
        AfterValidator(checked_redis_url),
        Field(
            description="Redis that holds the sessions: redis://, rediss://, unix://, redis+sentinel:// or "
            "redis+cluster://; docs/redis.md has examples. Better in the environment where it has a password.",
            min_length=1,
        ),
    ]
    prefix: Annotated[str, Field(description="What every key in Redis starts with.", min_length=1)] = (
        "paceline"
    )
    model: Annotated[
        str,
        Field(
            description="The target's catalogue name or prepared directory: for its tokenizer.", min_length=1
        ),
    ]
    weights: Annotated[
        Literal["f16", "int8", "int4"], Field(description="Format of the weights that the target serves.")
    ] = "int8"

    speculation: Annotated[
        Literal["fixed", "adaptive", "off"],
        Field(description="Whether and how requests that do not say so are speculated on."),
    ] = "adaptive"
    drafter: Annotated[
        Literal["model", "prompt_lookup"], Field(description="Where draft tokens come from.")
    ] = "model"
    verification: Annotated[
        Literal["shared_noise", "rejection"], Field(description="How the target judges draft tokens.")
    ] = "shared_noise"
    num_draft_tokens: Annotated[
        int,
        Field(
            description="Draft tokens a round where their number is fixed and not in the request.",
            ge=1,
            le=MAX_ROUND_TOKENS,
        ),
    ] = 5
    num_adaptive_draft_tokens: Annotated[
        int,
        Field(
            description="Most draft tokens a round where their number is adaptive and not in the request.",
            ge=1,
            le=MAX_ROUND_TOKENS,
        ),
    ] = 8
    max_draft_tokens: Annotated[
        int,
        Field(description="Most draft tokens a round that a request may ask for.", ge=1, le=MAX_ROUND_TOKENS),
    ] = MAX_ROUND_TOKENS
    max_ahead_tokens: Annotated[
        int,
        Field(description="Tokens that the draft may go on past its proposal.", ge=0, le=MAX_ROUND_TOKENS),
    ] = 6
    max_ahead_guesses: Annotated[
        int,
        Field(
            description="Other outcomes of a round that the draft may go on behind while the target verifies.",
            ge=0,
            le=MAX_AHEAD_GUESSES,
        ),
    ] = DEFAULT_AHEAD_GUESSES
    slow_generation_seconds: Annotated[
        float, Field(description="Seconds after which a generation is traced, whatever the ratio.", gt=0)
    ] = 60.0
    log_texts: Annotated[
        bool, Field(description="Log the prompt and the text of each generation at its end, at level debug.")
    ] = False
    tenants_file: Annotated[
        Path | None,
        Field(
            description="File with the tenants, their API keys and quotas, read again when it changes: "
            "docs/tenants.md. Everybody may call everything if not given."
        ),
    ] = None
    tenants_reload_seconds: Annotated[
        float, Field(description="Seconds between two looks at the tenants file.", gt=0)
    ] = 5.0
    max_sessions: Annotated[int, Field(description="Most generations at once.", ge=1)] = 256
    max_waiting_requests: Annotated[
        int,
        Field(
            description="Most requests that wait where --max-sessions generations run; the others are refused.",
            ge=0,
        ),
    ] = 0
    waiting_seconds: Annotated[
        float, Field(description="Seconds that a request waits before it is refused.", gt=0)
    ] = 30.0
    max_choices: Annotated[int, Field(description="Most choices of one request.", ge=1)] = 16
    max_tokens: Annotated[int, Field(description="Most tokens that one request generates.", ge=1)] = 4096

    max_uncommitted_rounds: Annotated[
        int, Field(description="Rounds of a session that may run ahead of Redis.", ge=1)
    ] = 4
    max_unsent_rounds: Annotated[
        int, Field(description="Rounds of a session that may wait for a slow client.", ge=1)
    ] = 16
    draft_patience_seconds: Annotated[
        float, Field(description="Seconds after which a round goes on without the draft.", gt=0)
    ] = 2.0
    draft_cool_down_seconds: Annotated[
        float,
        Field(description="Seconds that a failing draft is left alone; doubles with each failure.", ge=0),
    ] = 0.5
    max_draft_cool_down_seconds: Annotated[
        float, Field(description="Most seconds that a failing draft is left alone.", ge=0)
    ] = 30.0
    target_deadline_seconds: Annotated[
        float, Field(description="Seconds after which a target that is silent counts as gone.", gt=0)
    ] = 120.0
    failover_wait_seconds: Annotated[
        float, Field(description="Seconds to wait for another target when one is gone.", ge=0)
    ] = 5.0
    max_failovers: Annotated[
        int, Field(description="Most times that one generation moves to another target.", ge=0)
    ] = 3

    session_ttl_seconds: Annotated[
        int, Field(description="Seconds after its last change that Redis keeps a session.", ge=1)
    ] = 3600
    lease_seconds: Annotated[
        float, Field(description="Seconds after its last change that a session is ours.", gt=0)
    ] = 10.0
    redis_patience_seconds: Annotated[
        float, Field(description="Seconds that rounds wait for a Redis that is gone.", ge=0)
    ] = 30.0
    handover_seconds: Annotated[
        float,
        Field(
            description="Seconds that generations may go on after SIGTERM, before their clients are sent elsewhere.",
            ge=0,
        ),
    ] = 5.0
    token_key_file: Annotated[
        Path | None,
        Field(
            description="File with a secret of at least 32 bytes that signs rollback tokens, the same for all "
            "orchestrators; one is drawn and kept in Redis if not given."
        ),
    ] = None
    redis_timeout_seconds: Annotated[
        float, Field(description="Seconds that one attempt at a Redis command may take.", gt=0)
    ] = 1.0
    redis_retries: Annotated[
        int, Field(description="Further attempts after a Redis command failed.", ge=0)
    ] = 3

    replica_silence_seconds: Annotated[
        float,
        Field(
            description="Seconds without any sign of life after which a replica that owes an answer is gone.",
            gt=0,
        ),
    ] = 2.0
    replica_stall_seconds: Annotated[
        float,
        Field(description="Least seconds without a forward pass after which such a replica is gone.", gt=0),
    ] = 3.0
    admission_wait_seconds: Annotated[
        float, Field(description="Seconds that a round waits for room where all targets are full.", ge=0)
    ] = 30.0
