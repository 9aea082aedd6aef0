"""How the draft and target replicas do: work, forward passes, KV memory."""

from monitoring.grafana import Color, Dashboard, Look, Panel, Query, Row, Threshold, Variable
from monitoring.promql import by_label, mean, quantiles, rate, share

_HERE = 'job=~"$pool", instance=~"$instance"'

_LOAD = Row(
    "Work",
    (
        Panel(
            "Works running",
            "Works that engines compute, by replica.",
            "none",
            (Query(f"paceline_num_requests_running{{{_HERE}}}", "{{job}} {{instance}}"),),
        ),
        Panel(
            "Works waiting",
            "Works that wait for room in the KV cache, for their sequence, or to be looked at. A line that stays is a "
            "pool that is too small.",
            "none",
            (Query(f"paceline_num_requests_waiting{{{_HERE}}}", "{{job}} {{instance}}"),),
            thresholds=(Threshold(4, Color.DOUBTFUL), Threshold(32, Color.BAD)),
        ),
        Panel(
            "Rounds by reason",
            "Rounds that replicas have answered; OK where they went well.",
            "suffix: /s",
            (by_label("paceline_replica_rounds_total", _HERE, "reason"),),
            Look.STACKED,
        ),
        Panel(
            "Queue wait",
            "From the receipt of a round until the first forward pass that served it.",
            "s",
            quantiles("paceline_queue_duration_seconds", _HERE, "job"),
            width=12,
        ),
        Panel(
            "Compute",
            "From the first forward pass that served a round until its answer: one pass of a target, one a token of "
            "a draft, more for prompts.",
            "s",
            quantiles("paceline_compute_duration_seconds", _HERE, "job"),
            width=12,
        ),
    ),
)

_PASSES = Row(
    "Forward passes",
    (
        Panel(
            "Pass duration",
            "Time of a forward pass.",
            "s",
            quantiles("paceline_forward_pass_duration_seconds", _HERE, "job"),
        ),
        Panel(
            "Busy",
            "Share of the time that a replica spends in forward passes. Near 1, further sessions only share it.",
            "percentunit",
            (
                Query(
                    rate("paceline_forward_pass_duration_seconds_sum", _HERE, "job, instance"),
                    "{{job}} {{instance}}",
                ),
            ),
            thresholds=(Threshold(0.9, Color.DOUBTFUL),),
            maximum=1,
        ),
        Panel(
            "Passes a second",
            "Forward passes by pool.",
            "ops",
            (by_label("paceline_forward_pass_duration_seconds_count", _HERE, "job"),),
        ),
        Panel(
            "Rows of a pass",
            "Rows that are computed at once, padding included; prompts fill a pass up to --max-rows-per-step.",
            "suffix: rows",
            (
                Query(mean("paceline_forward_pass_rows", _HERE, "job"), "{{job}} mean"),
                *quantiles("paceline_forward_pass_rows", _HERE, "job"),
            ),
            width=12,
        ),
        Panel(
            "Sessions of a pass",
            "Sequences that have rows in a pass: how well sessions share the work.",
            "suffix: sessions",
            (
                Query(mean("paceline_forward_pass_sessions", _HERE, "job"), "{{job}} mean"),
                *quantiles("paceline_forward_pass_sessions", _HERE, "job"),
            ),
            width=12,
        ),
    ),
)

_KV = Row(
    "KV memory",
    (
        Panel(
            "KV blocks by state",
            "Blocks that sequences hold, that are idle and found by their content, that are free. Cached ones are "
            "given up when others need them.",
            "suffix: blocks",
            (Query(f"sum by (state) (paceline_kv_blocks{{{_HERE}}})", "{{state}}"),),
            Look.STACKED,
        ),
        Panel(
            "KV usage",
            "Share of the blocks that sequences hold, by replica. Full is no error as long as nobody is preempted.",
            "percentunit",
            (Query(f"paceline_kv_cache_usage_perc{{{_HERE}}}", "{{job}} {{instance}}"),),
            thresholds=(Threshold(0.8, Color.DOUBTFUL), Threshold(0.95, Color.BAD)),
            maximum=1,
        ),
        Panel(
            "Evictions and preemptions",
            "Sequences that lost their cache to others: idle ones, or preempted ones that were between two rounds. "
            "Preempted ones compute theirs again.",
            "suffix: /s",
            (by_label("paceline_kv_evicted_sequences_total", _HERE, "kind"),),
        ),
        Panel(
            "Prefix cache hit rate",
            "Share of the tokens at the beginning of caches whose KV was there already.",
            "percentunit",
            (
                Query(
                    share(
                        "paceline_prefix_cache_hits_total",
                        "paceline_prefix_cache_queries_total",
                        _HERE,
                        "job",
                    ),
                    "{{job}}",
                ),
            ),
            maximum=1,
            width=12,
        ),
        Panel(
            "Sessions known",
            "Sessions that replicas know, idle ones included.",
            "none",
            (Query(f"paceline_num_cached_sessions{{{_HERE}}}", "{{job}} {{instance}}"),),
            width=12,
        ),
    ),
)

POOLS = Dashboard(
    "paceline-pools",
    "Paceline: pools",
    "Draft and target replicas: work, forward passes and KV memory.",
    (
        Variable("pool", "Pool", "label_values(paceline_kv_blocks, job)"),
        Variable("instance", "Replica", 'label_values(paceline_kv_blocks{job=~"$pool"}, instance)'),
    ),
    (_LOAD, _PASSES, _KV),
)
