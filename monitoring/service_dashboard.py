"""How the service does: what clients feel, and what it depends on."""

from monitoring.grafana import Color, Dashboard, Look, Panel, Query, Row, Threshold, Variable, number
from monitoring.promql import by_label, mean, or_none, quantile, quantiles, rate, rate_or_zero, troubles

# Reasons that are no fault of ours: what the client asked for, that it left, that a process which shuts down sends it
# elsewhere. The empty one is a request that went well. monitoring/rules/recording.yaml has the same.
NOT_OURS = (
    "|API_KEY_.*|CANCELLED|CHAT_TEMPLATE_FAILED|CONTEXT_TOO_LONG|DRAINING|EMPTY_PROMPT|INVALID_.*|MESSAGE_TOO_LARGE"
    "|PEER_NOT_ALLOWED|PROMPT_TOO_LONG|QUOTA_EXCEEDED|ROLE_NOT_ALLOWED|SESSION_CANCELLED|SESSION_NOT_FOUND"
    "|STALE_EPOCH|STALE_ROLLBACK_TOKEN|SUPERSEDED"
    "|TOKEN_OUT_OF_VOCABULARY|UNKNOWN_MODEL"
)

_HERE = 'instance=~"$orchestrator"'
_REDIS = "paceline_redis_duration_seconds"
_RPC = "rpc_server_call_duration_seconds"
_REQUEST = "gen_ai_server_request_duration_seconds"
_num_failed = rate_or_zero(f"{_REQUEST}_count", f'{_HERE}, error_type!~"{NOT_OURS}"')


def _usable(pool: str) -> str:
    """Return how many replicas the orchestrator that sees fewest can use."""
    return f'min(paceline_replicas{{{_HERE}, pool="{pool}", state="usable"}})'


_NOW = Row(
    "Now",
    (
        number("Requests", "Requests that have ended, a second.", "reqps", rate(f"{_REQUEST}_count", _HERE)),
        number(
            "Tokens",
            "Tokens that have been added to texts, a second.",
            "suffix: tok/s",
            rate("paceline_generation_tokens_total", _HERE),
        ),
        number(
            "Error share",
            "Share of the requests that failed for a reason of ours; what clients have caused is not counted.",
            "percentunit",
            f"{_num_failed} / {rate(f'{_REQUEST}_count', _HERE)}",
            Color.GOOD,
            (Threshold(0.01, Color.DOUBTFUL), Threshold(0.05, Color.BAD)),
        ),
        number(
            "Running generations",
            "Generations that run now.",
            "none",
            f"sum(paceline_num_sessions{{{_HERE}}})",
        ),
        number(
            "Targets usable",
            "Target replicas that can be used, at the orchestrator that sees fewest.",
            "none",
            _usable("target"),
            Color.BAD,
            (Threshold(1, Color.GOOD),),
        ),
        number(
            "Drafts usable",
            "Draft replicas that can be used, at the orchestrator that sees fewest. Without any, the target decodes "
            "alone.",
            "none",
            _usable("draft"),
            Color.DOUBTFUL,
            (Threshold(1, Color.GOOD),),
        ),
    ),
)

_CLIENTS = Row(
    "What clients feel",
    (
        Panel(
            "Time to first token",
            "From the receipt of a request until its first token was sent: the prompt's computation and all waiting "
            "before it.",
            "s",
            quantiles("gen_ai_server_time_to_first_token_seconds", _HERE),
            thresholds=(Threshold(5, Color.BAD),),
        ),
        Panel(
            "Time per token",
            "Seconds a token after the first one, each value the mean of one generation.",
            "s",
            quantiles("gen_ai_server_time_per_output_token_seconds", _HERE),
        ),
        Panel(
            "Request duration",
            "From the receipt of a request until its end, failed ones included.",
            "s",
            quantiles(_REQUEST, _HERE),
        ),
        Panel(
            "Errors by reason",
            "Requests that failed. docs/errors.md says what each reason means; CANCELLED is a client that went away.",
            "suffix: /s",
            (troubles(f"{_REQUEST}_count", f'{_HERE}, error_type!=""', "error_type"),),
            Look.STACKED,
        ),
        Panel(
            "Finished generations by reason",
            "Why generations ended: a finish reason in small letters, or the reason of an error.",
            "suffix: /s",
            (by_label("paceline_finished_generations_total", _HERE, "reason"),),
            Look.STACKED,
        ),
        Panel(
            "Prompts",
            "Tokens of prompts, and those of them whose KV the target had already.",
            "suffix: tok/s",
            (
                Query(rate("paceline_prompt_tokens_total", _HERE), "prompt"),
                Query(rate("paceline_cached_prompt_tokens_total", _HERE), "cached"),
            ),
        ),
    ),
)

_SESSIONS = Row(
    "Sessions and replicas",
    (
        Panel(
            "Sessions by state",
            "Sessions at the orchestrators: running, or closing while their caches are given up.",
            "none",
            (Query(f"sum by (state) (paceline_num_sessions{{{_HERE}}})", "{{state}}"),),
            Look.STACKED,
        ),
        Panel(
            "Replicas",
            "Replicas that each orchestrator can use, by pool, and those that it is configured with and cannot use.",
            "none",
            (
                Query(
                    f"sum by (instance, pool, state) (paceline_replicas{{{_HERE}}})",
                    "{{pool}} {{state}} at {{instance}}",
                ),
            ),
        ),
        Panel(
            "Versions",
            "Processes by program and version; during an update there are two of each.",
            "none",
            (Query("count by (program, version) (paceline_build_info)", "{{program}} {{version}}"),),
        ),
        Panel(
            "Failovers by reason",
            "Moves of sessions to another target process. DRAINING is a replica that shuts down in order.",
            "suffix: /s",
            (troubles("paceline_failovers_total", _HERE, "reason"),),
            Look.STACKED,
        ),
        Panel(
            "What failovers cost",
            "Mean seconds that a generation lost: until its target's end was noticed, until another one had the "
            "session, until that had its cache.",
            "s",
            (
                Query(
                    # 0 / 0 where there was no failover lately; nothing is more than that.
                    or_none(f"{mean('paceline_failover_part_duration_seconds', _HERE, 'part')} >= 0", "part"),
                    "{{part}}",
                ),
            ),
            Look.STACKED,
        ),
        Panel(
            "Lost leases and restored sessions",
            "Running sessions that another owner has taken, and sessions that Redis had lost and their owner put "
            "back. Both are rare.",
            "suffix: /s",
            (
                Query(rate("paceline_lost_leases_total", _HERE), "lost leases"),
                Query(rate("paceline_restored_sessions_total", _HERE), "restored sessions"),
            ),
        ),
    ),
)

_NETWORK = Row(
    "Redis and RPCs",
    (
        Panel(
            "Redis latency",
            "Time of a call with its retries, by command. Rounds wait for commit only where too many are on their way.",
            "s",
            (
                Query(quantile(_REDIS, _HERE, 0.5, "command"), "{{command}} p50"),
                Query(quantile(_REDIS, _HERE, 0.99, "command"), "{{command}} p99"),
            ),
            thresholds=(Threshold(0.05, Color.BAD),),
        ),
        Panel(
            "Redis errors by command",
            "Calls that failed after all retries.",
            "suffix: /s",
            (troubles("paceline_redis_errors_total", _HERE, "command"),),
            Look.STACKED,
        ),
        Panel(
            "Redis calls by command",
            "Calls that were answered; those that go together count as one, of the first one's command.",
            "ops",
            (by_label(f"{_REDIS}_count", _HERE, "command"),),
            Look.STACKED,
        ),
        Panel(
            "RPC duration by method",
            "Of all programs. Streams of rounds last as long as their connections, Generate as long as its answer.",
            "s",
            (
                Query(quantile(_RPC, "", 0.5, "rpc_method"), "{{rpc_method}} p50"),
                Query(quantile(_RPC, "", 0.95, "rpc_method"), "{{rpc_method}} p95"),
            ),
            width=12,
        ),
        Panel(
            "RPCs by status",
            "Ended calls of all programs by gRPC status.",
            "suffix: /s",
            (by_label(f"{_RPC}_count", "", "rpc_response_status_code"),),
            Look.STACKED,
            width=12,
        ),
    ),
)

SERVICE = Dashboard(
    "paceline-service",
    "Paceline: service",
    "What clients feel, and what the service depends on.",
    (
        Variable(
            "orchestrator",
            "Orchestrator",
            'label_values(paceline_build_info{program="orchestrator"}, instance)',
        ),
    ),
    (_NOW, _CLIENTS, _SESSIONS, _NETWORK),
)
