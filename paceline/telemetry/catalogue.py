"""Every metric of Paceline: its name, unit, meaning and labels. docs/metrics.md is checked against this page.

Names follow OpenTelemetry's conventions for generative AI and RPC, and vLLM's where it has one; what neither has begins
with `paceline.`. Prometheus sees dots as underscores, the unit as a suffix and `_total` behind what only grows.
"""

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """How values of a metric are put together."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class MetricInfo(NamedTuple):
    """What a metric is.

    Attributes:
        name: With dots, as OTLP has it.
        kind: How its values are put together.
        unit: In UCUM: "s", "By", "1" for a ratio, "{token}" for things that are counted. Empty for gauges without one:
            Prometheus would append `_ratio` to what comes by OTLP with "1", and not to what it scrapes.
        description: One sentence.
        labels: Names of its labels, with dots too.
        bounds: Of a histogram, the upper bounds of all buckets but the last, ascending.
        known: Values of the one label whose series are there from the start: a first event shows as an increase.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    known: tuple[str, ...] = ()

    @property
    def prometheus_name(self) -> str:
        """Return the name of the family in the text format, without `_total`, `_bucket`, `_sum` and `_count`.

        Example: `gen_ai.server.time_to_first_token` in seconds is `gen_ai_server_time_to_first_token_seconds`.
        """
        return self.name.replace(".", "_") + _SUFFIXES.get(self.unit, "")


_SUFFIXES = {"s": "_seconds", "By": "_bytes"}

# From what one hop over loopback takes to what a long prompt on one core takes.
ROUND_SECONDS = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 10.0, 30.0),
)
# As OpenTelemetry's conventions for generative AI have them.
_REQUEST_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_FIRST_TOKEN_SECONDS = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
_TOKEN_SECONDS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_CALL_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_WAIT_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_REDIS_SECONDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_LENGTHS = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 12.0, 16.0, 32.0)
_ROWS = (1.0, 2.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0, 96.0, 128.0, 256.0)
_SPEEDUPS = (0.5, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0)

_COUNTER, _GAUGE, _HISTOGRAM = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM


# Of every program.

BUILD_INFO = MetricInfo(
    "paceline.build_info", _GAUGE, "", "Always 1; the labels say what runs.", ("version", "program")
)
RPC_DURATION = MetricInfo(
    "rpc.server.call.duration",
    _HISTOGRAM,
    "s",
    "Time from the receipt of a call until its end; streams of rounds last as long as their connections.",
    ("rpc.method", "rpc.response.status_code"),
    _CALL_SECONDS,
)

# Of the orchestrator: requests.

REQUEST_DURATION = MetricInfo(
    "gen_ai.server.request.duration",
    _HISTOGRAM,
    "s",
    "Time from the receipt of a request until the end of its generation.",
    ("gen_ai.request.model", "error.type"),
    _REQUEST_SECONDS,
)
TIME_TO_FIRST_TOKEN = MetricInfo(
    "gen_ai.server.time_to_first_token",
    _HISTOGRAM,
    "s",
    "Time from the receipt of a request until its first token was sent.",
    ("gen_ai.request.model",),
    _FIRST_TOKEN_SECONDS,
)
TIME_PER_OUTPUT_TOKEN = MetricInfo(
    "gen_ai.server.time_per_output_token",
    _HISTOGRAM,
    "s",
    "Time a token after the first one, on average over a generation.",
    ("gen_ai.request.model",),
    _TOKEN_SECONDS,
)
PROMPT_TOKENS = MetricInfo("paceline.prompt_tokens", _COUNTER, "{token}", "Tokens of prompts.")
CACHED_PROMPT_TOKENS = MetricInfo(
    "paceline.cached_prompt_tokens",
    _COUNTER,
    "{token}",
    "Tokens of prompts whose KV the target had already.",
)
GENERATION_TOKENS = MetricInfo(
    "paceline.generation_tokens",
    _COUNTER,
    "{token}",
    "Tokens that rounds have added to texts, by where they came from: accepted, recovered, bonus or target.",
    ("origin",),
    known=("accepted", "recovered", "bonus", "target"),
)
FINISHED_GENERATIONS = MetricInfo(
    "paceline.finished_generations",
    _COUNTER,
    "{generation}",
    "Generations that have ended, by why: a finish reason, or the reason of an error.",
    ("reason",),
    known=("stop", "length", "context", "CANCELLED", "INTERNAL"),
)
NUM_SESSIONS = MetricInfo(
    "paceline.num_sessions",
    _GAUGE,
    "{session}",
    "Generations at this orchestrator: until their first round is over (prefill), and after that (decoding).",
    ("state",),
)

REFUSED_CALLS = MetricInfo(
    "paceline.refused_calls",
    _COUNTER,
    "{call}",
    "Calls that were refused because of who sent them, or because too much was asked.",
    ("tenant", "reason"),
)
TENANT_TOKENS = MetricInfo(
    "paceline.tenant_tokens",
    _COUNTER,
    "{token}",
    "Tokens that count towards the quota of a tenant: of prompts, and generated ones.",
    ("tenant", "kind"),
)
WAITING_REQUESTS = MetricInfo(
    "paceline.waiting_requests",
    _GAUGE,
    "{request}",
    "Requests that wait for a place at this orchestrator.",
    ("tenant",),
)
PLACE_WAIT_DURATION = MetricInfo(
    "paceline.place_wait.duration",
    _HISTOGRAM,
    "s",
    "Time that a request waited for a place, of those that had to wait, whether they got one or not.",
    ("tenant",),
    _WAIT_SECONDS,
)

# Of the orchestrator: its HTTP gateway.

HTTP_DURATION = MetricInfo(
    "http.server.request.duration",
    _HISTOGRAM,
    "s",
    "Time from the head of an HTTP request until the end of its answer; 499 is the status of clients that have gone.",
    ("http.request.method", "http.route", "http.response.status_code"),
    _REQUEST_SECONDS,
)
HTTP_ACTIVE_REQUESTS = MetricInfo(
    "http.server.active_requests", _GAUGE, "{request}", "HTTP requests that are being answered."
)
HTTP_CONNECTIONS = MetricInfo(
    "paceline.http.connections", _GAUGE, "{connection}", "Open connections of HTTP clients."
)
HTTP_DROPPED_CONNECTIONS = MetricInfo(
    "paceline.http.dropped_connections",
    _COUNTER,
    "{connection}",
    "Connections of HTTP clients that were cut: they sent their request (SLOW_SENDER) or read its answer "
    "(SLOW_READER) too slowly, or there were too many (TOO_MANY).",
    ("reason",),
    known=("SLOW_READER", "SLOW_SENDER", "TOO_MANY"),
)

# Of the orchestrator: rounds.

ROUND_DURATION = MetricInfo(
    "paceline.round.duration",
    _HISTOGRAM,
    "s",
    "Time of a round from its start until its tokens were handed to the client's stream.",
    ("drafter",),
    ROUND_SECONDS,
)
ROUND_PART_DURATION = MetricInfo(
    "paceline.round.part.duration",
    _HISTOGRAM,
    "s",
    "The parts of a round; together they are its duration. Queue, compute and network are waited for, so that what a "
    "draft did ahead does not count; orchestrator is the rest.",
    ("part",),
    ROUND_SECONDS,
)
NUM_DRAFTS = MetricInfo(
    "paceline.spec_decode_num_drafts", _COUNTER, "{round}", "Rounds in which the target judged draft tokens."
)
NUM_DRAFT_TOKENS = MetricInfo(
    "paceline.spec_decode_num_draft_tokens", _COUNTER, "{token}", "Draft tokens that the target judged."
)
NUM_ACCEPTED_TOKENS = MetricInfo(
    "paceline.spec_decode_num_accepted_tokens",
    _COUNTER,
    "{token}",
    "Draft tokens that the target accepted; the others were wasted.",
)
NUM_DRAFT_TOKENS_PER_POS = MetricInfo(
    "paceline.spec_decode_num_draft_tokens_per_pos",
    _COUNTER,
    "{token}",
    "Draft tokens that the target judged, by their place in the proposal, from 0.",
    ("position",),
)
NUM_ACCEPTED_TOKENS_PER_POS = MetricInfo(
    "paceline.spec_decode_num_accepted_tokens_per_pos",
    _COUNTER,
    "{token}",
    "Draft tokens that the target accepted, by their place in the proposal, from 0.",
    ("position",),
)
DRAFT_LENGTH = MetricInfo(
    "paceline.draft_length",
    _HISTOGRAM,
    "{token}",
    "Draft tokens that a round asked for.",
    (),
    _LENGTHS,
)
PROPOSALS = MetricInfo(
    "paceline.proposals",
    _COUNTER,
    "{proposal}",
    "Proposals of a draft, by what had become of drafting ahead: continued or guessed (a hit), missed, none.",
    ("ahead_outcome",),
    known=("none", "continued", "guessed", "missed"),
)
AHEAD_TOKENS = MetricInfo(
    "paceline.ahead_tokens", _COUNTER, "{token}", "Draft tokens that were there before they were asked for."
)
DROPPED_AHEAD_TOKENS = MetricInfo(
    "paceline.dropped_ahead_tokens",
    _COUNTER,
    "{token}",
    "Tokens that a draft had drafted ahead in vain, because the target went on otherwise.",
)
DEGRADED_ROUNDS = MetricInfo(
    "paceline.degraded_rounds",
    _COUNTER,
    "{round}",
    "Rounds that wanted draft tokens of the draft model and got none, by why.",
    ("reason",),
    known=("DRAFT_LATE", "NO_DRAFT_REPLICA", "CONNECTION_LOST", "EMPTY_PROPOSAL"),
)
SPECULATION_SPEEDUP = MetricInfo(
    "paceline.speculation_speedup",
    _HISTOGRAM,
    "1",
    "Tokens a second with drafts over those of the target alone, as estimated at the end of an adaptive generation.",
    ("reason",),
    _SPEEDUPS,
)

# Of the orchestrator: what it depends on.

FAILOVERS = MetricInfo(
    "paceline.failovers",
    _COUNTER,
    "{failover}",
    "Moves of sessions to another target process, by why.",
    ("reason",),
    known=("CONNECTION_LOST", "SILENT", "DRAINING", "ENGINE_FAILED", "KV_BLOCKS_EXHAUSTED"),
)
FAILOVER_PART_DURATION = MetricInfo(
    "paceline.failover.part.duration",
    _HISTOGRAM,
    "s",
    "What a generation lost to failovers: until they were noticed (detection), until another target had the session "
    "(takeover), until that had its cache (rebuild).",
    ("part",),
    ROUND_SECONDS,
)
REPLICAS = MetricInfo(
    "paceline.replicas",
    _GAUGE,
    "{replica}",
    "Replicas of a pool that this orchestrator is configured with: usable, or not.",
    ("pool", "state"),
)
REDIS_DURATION = MetricInfo(
    "paceline.redis.duration",
    _HISTOGRAM,
    "s",
    "Time of a call to Redis, retries and failures included.",
    ("command",),
    _REDIS_SECONDS,
)
REDIS_ERRORS = MetricInfo(
    "paceline.redis.errors",
    _COUNTER,
    "{error}",
    "Calls to Redis that failed after all retries.",
    ("command",),
)
LOST_LEASES = MetricInfo(
    "paceline.lost_leases",
    _COUNTER,
    "{lease}",
    "Running sessions that another owner, or an operator, took from this orchestrator.",
)
RESTORED_SESSIONS = MetricInfo(
    "paceline.restored_sessions",
    _COUNTER,
    "{session}",
    "Sessions that Redis had lost and that their owner put back.",
)

# Of the draft and the target.

NUM_REQUESTS_RUNNING = MetricInfo(
    "paceline.num_requests_running", _GAUGE, "{work}", "Works that the engine computes."
)
NUM_REQUESTS_WAITING = MetricInfo(
    "paceline.num_requests_waiting",
    _GAUGE,
    "{work}",
    "Works that wait for room in the KV cache, for their sequence, or to be looked at.",
)
NUM_CACHED_SESSIONS = MetricInfo(
    "paceline.num_cached_sessions",
    _GAUGE,
    "{session}",
    "Sessions that the replica knows, idle ones included.",
)
REPLICA_ROUNDS = MetricInfo(
    "paceline.replica.rounds",
    _COUNTER,
    "{round}",
    "Rounds that the replica has answered, by the reason of an error, OK where there is none.",
    ("reason",),
    known=("OK", "KV_BLOCKS_EXHAUSTED", "POSITION_MISMATCH", "STALE_EPOCH", "SUPERSEDED"),
)
QUEUE_DURATION = MetricInfo(
    "paceline.queue.duration",
    _HISTOGRAM,
    "s",
    "Time from the receipt of a round until the first forward pass that served it.",
    (),
    ROUND_SECONDS,
)
COMPUTE_DURATION = MetricInfo(
    "paceline.compute.duration",
    _HISTOGRAM,
    "s",
    "Time from the first forward pass that served a round until its answer.",
    (),
    ROUND_SECONDS,
)
PASS_DURATION = MetricInfo(
    "paceline.forward_pass.duration", _HISTOGRAM, "s", "Time of a forward pass.", (), ROUND_SECONDS
)
PASS_ROWS = MetricInfo(
    "paceline.forward_pass.rows", _HISTOGRAM, "{row}", "Rows of a forward pass, padding included.", (), _ROWS
)
PASS_SESSIONS = MetricInfo(
    "paceline.forward_pass.sessions",
    _HISTOGRAM,
    "{session}",
    "Sequences that had rows in a forward pass.",
    (),
    _ROWS,
)
CACHED_TOKENS = MetricInfo(
    "paceline.prefix_cache_hits",
    _COUNTER,
    "{token}",
    "Tokens sent with rounds whose KV was there already.",
)
QUERIED_TOKENS = MetricInfo(
    "paceline.prefix_cache_queries", _COUNTER, "{token}", "Tokens sent with rounds that begin a cache."
)
KV_USAGE = MetricInfo(
    "paceline.kv_cache_usage_perc",
    _GAUGE,
    "",
    "Share of the KV blocks that sequences hold, 0 to 1; vLLM's name, which says per cent and means a share.",
)
KV_BLOCKS = MetricInfo(
    "paceline.kv_blocks",
    _GAUGE,
    "{block}",
    "KV blocks that sequences hold (used), that are idle and found by their content (cached), that are free.",
    ("state",),
)
KV_EVICTED_SEQUENCES = MetricInfo(
    "paceline.kv_evicted_sequences",
    _COUNTER,
    "{sequence}",
    "Sequences that lost their cache to others: idle ones (idle), or sessions between two rounds (preempted).",
    ("kind",),
)

CATALOGUE: tuple[MetricInfo, ...] = tuple(
    value for value in globals().copy().values() if isinstance(value, MetricInfo)
)
