"""Whether speculation pays, and if not, why."""

from monitoring.grafana import Color, Dashboard, Look, Panel, Query, Row, Threshold, Variable, number
from monitoring.promql import RECENT, SHOWN, by_label, mean, quantile, rate, rate_or_zero, share, troubles

_HERE = 'instance=~"$orchestrator"'
_SPEEDUP = "paceline_speculation_speedup"
_ROUND = "paceline_round_duration_seconds"
# What the estimate of a generation says: others were too short, or had drafts of another kind.
_JUDGED = f'{_HERE}, reason!~"not_measured|not_enough_tokens|fixed|off"'
_PAYS = f'{_HERE}, reason="pays"'

_num_judged = rate(f"{_SPEEDUP}_count", _JUDGED, over=SHOWN)
_num_paying = rate_or_zero(f"{_SPEEDUP}_count", _PAYS, SHOWN)
_sum_paying = rate_or_zero(f"{_SPEEDUP}_sum", _PAYS, SHOWN)
_num_rounds = rate(f"{_ROUND}_count", _HERE, over=SHOWN)
_refused = (
    f"{rate('paceline_spec_decode_num_draft_tokens_total', _HERE)}"
    f" - {rate('paceline_spec_decode_num_accepted_tokens_total', _HERE)}"
)
_num_degraded = rate_or_zero("paceline_degraded_rounds_total", _HERE, SHOWN)
_num_hits = rate_or_zero("paceline_proposals_total", f'{_HERE}, ahead_outcome=~"continued|guessed"', SHOWN)

_ANSWER = Row(
    "Does it pay?",
    (
        number(
            "Speed-up",
            "Tokens a second over those of the target alone, estimated, mean over adaptive generations. One that "
            "ends without drafting counts as 1.",
            "suffix: x",
            f"({_sum_paying} + {_num_judged} - {_num_paying}) / {_num_judged}",
            Color.BAD,
            (Threshold(0.98, Color.DOUBTFUL), Threshold(1.1, Color.GOOD)),
        ),
        number(
            "Generations that it pays for",
            "Share of adaptive generations whose estimate at their end was that draft tokens pay.",
            "percentunit",
            f"{_num_paying} / {_num_judged}",
            Color.BAD,
            (Threshold(0.25, Color.DOUBTFUL), Threshold(0.6, Color.GOOD)),
        ),
        number(
            "Accepted",
            "Share of the draft tokens that the target judged and accepted.",
            "percentunit",
            share(
                "paceline_spec_decode_num_accepted_tokens_total",
                "paceline_spec_decode_num_draft_tokens_total",
                _HERE,
                over=SHOWN,
            ),
            Color.BAD,
            (Threshold(0.3, Color.DOUBTFUL), Threshold(0.5, Color.GOOD)),
        ),
        number(
            "Tokens a round",
            "Tokens that a round adds to a text, mean. The target alone adds 1.",
            "none",
            f"{rate('paceline_generation_tokens_total', _HERE, over=SHOWN)} / {_num_rounds}",
            Color.BAD,
            (Threshold(1.0, Color.DOUBTFUL), Threshold(1.5, Color.GOOD)),
        ),
        number(
            "Ahead hit rate",
            "Share of the proposals that the draft had begun before it was asked for them.",
            "percentunit",
            f"{_num_hits} / {rate('paceline_proposals_total', _HERE, over=SHOWN)}",
            Color.DOUBTFUL,
            (Threshold(0.4, Color.GOOD),),
        ),
        number(
            "Degraded rounds",
            "Share of all rounds that wanted draft tokens of the draft model and got none.",
            "percentunit",
            f"{_num_degraded} / {_num_rounds}",
            Color.GOOD,
            (Threshold(0.02, Color.DOUBTFUL), Threshold(0.2, Color.BAD)),
        ),
    ),
)

_WHY = Row(
    "Why, and for whom",
    (
        Panel(
            "Estimated speed-up by reason",
            "Mean of the estimates. Beside a reason other than pays, it is that of the best length there was, which "
            "was not used.",
            "suffix: x",
            (Query(mean(_SPEEDUP, _HERE, "reason"), "{{reason}}"),),
            first_color=Color.BAD,
            thresholds=(Threshold(1.0, Color.GOOD),),
        ),
        Panel(
            "Adaptive generations by reason",
            "Why generations ended with the draft length that they had: pays, or what would have to be better for "
            "draft tokens to pay.",
            "suffix: /s",
            (by_label(f"{_SPEEDUP}_count", _HERE, "reason"),),
            Look.STACKED,
        ),
        Panel(
            "Estimated speed-up, spread",
            "Half of the adaptive generations lie below the median, a tenth below p10.",
            "suffix: x",
            tuple(
                Query(quantile(_SPEEDUP, _HERE, of_all), name)
                for of_all, name in ((0.1, "p10"), (0.5, "median"), (0.9, "p90"))
            ),
            first_color=Color.BAD,
            thresholds=(Threshold(1.0, Color.GOOD),),
        ),
    ),
)

_TOKENS = Row(
    "Draft tokens",
    (
        Panel(
            "Acceptance",
            "Share of the judged draft tokens that the target accepted, by orchestrator.",
            "percentunit",
            (
                Query(
                    share(
                        "paceline_spec_decode_num_accepted_tokens_total",
                        "paceline_spec_decode_num_draft_tokens_total",
                        _HERE,
                        "instance",
                    ),
                    "{{instance}}",
                ),
            ),
            first_color=Color.BAD,
            thresholds=(Threshold(0.3, Color.DOUBTFUL), Threshold(0.5, Color.GOOD)),
            maximum=1,
        ),
        Panel(
            "Acceptance by position",
            "Share accepted of the draft tokens at each place of a proposal, from 0. It falls with the place, since "
            "a token counts only where all before it were accepted.",
            "percentunit",
            (
                Query(
                    share(
                        "paceline_spec_decode_num_accepted_tokens_per_pos_total",
                        "paceline_spec_decode_num_draft_tokens_per_pos_total",
                        _HERE,
                        "position",
                    ),
                    "{{position}}",
                ),
            ),
            maximum=1,
        ),
        Panel(
            "Draft length",
            "Rounds by how many draft tokens they asked for; 0 is a round of the target alone.",
            "suffix: tokens",
            (Query(f"sum by (le) (increase(paceline_draft_length_bucket{{{_HERE}}}[{RECENT}]))", "{{le}}"),),
            Look.HEATMAP,
        ),
        Panel(
            "Tokens a second by origin",
            "Accepted ones come from drafts. Recovered ones replace a refused draft token, bonus ones follow an "
            "accepted proposal, target ones come from rounds without drafts.",
            "suffix: tok/s",
            (by_label("paceline_generation_tokens_total", _HERE, "origin"),),
            Look.STACKED,
        ),
        Panel(
            "Wasted tokens",
            "Draft tokens that the target judged and refused, and tokens drafted ahead behind an outcome that did "
            "not come.",
            "suffix: tok/s",
            (
                Query(_refused, "refused"),
                Query(rate("paceline_dropped_ahead_tokens_total", _HERE), "ahead in vain"),
            ),
            Look.STACKED,
        ),
        Panel(
            "Drafting ahead",
            "Proposals by what had become of drafting ahead. Continued and guessed are hits, missed begins anew, "
            "none had nothing ahead.",
            "suffix: /s",
            (by_label("paceline_proposals_total", _HERE, "ahead_outcome"),),
            Look.STACKED,
        ),
    ),
)

_ROUNDS = Row(
    "Rounds",
    (
        Panel(
            "Round time by part",
            "Mean seconds that a round spends in each part; together they are its duration. What a draft does ahead "
            "is not waited for and not in it.",
            "s",
            (
                Query(
                    f"{rate('paceline_round_part_duration_seconds_sum', _HERE, 'part')}"
                    f" / ignoring (part) group_left () {rate(f'{_ROUND}_count', _HERE)}",
                    "{{part}}",
                ),
            ),
            Look.STACKED,
            width=12,
        ),
        Panel(
            "Round time by drafter",
            "How long rounds take with draft tokens of the model, of prompt lookup, and with none.",
            "s",
            (
                Query(quantile(_ROUND, _HERE, 0.5, "drafter"), "{{drafter}} p50"),
                Query(quantile(_ROUND, _HERE, 0.95, "drafter"), "{{drafter}} p95"),
            ),
            width=12,
        ),
        Panel(
            "Rounds by drafter",
            "Where the draft tokens of rounds came from.",
            "suffix: /s",
            (by_label(f"{_ROUND}_count", _HERE, "drafter"),),
            Look.STACKED,
            width=12,
        ),
        Panel(
            "Degraded rounds by reason",
            "Rounds that wanted draft tokens of the draft model and got none. Their text is the same, only slower.",
            "suffix: /s",
            (troubles("paceline_degraded_rounds_total", _HERE, "reason"),),
            Look.STACKED,
            width=12,
        ),
    ),
)

SPECULATION = Dashboard(
    "paceline-speculation",
    "Paceline: is speculation paying?",
    "Whether draft tokens make generations faster, and if not, what is in the way.",
    (
        Variable(
            "orchestrator",
            "Orchestrator",
            'label_values(paceline_build_info{program="orchestrator"}, instance)',
        ),
    ),
    (_ANSWER, _WHY, _TOKENS, _ROUNDS),
)
