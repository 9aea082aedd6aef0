"""A view for programs."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from paceline.cli.monitor.activity import Activity
from paceline.cli.monitor.view import View


def report(view: View) -> dict[str, Any]:
    """Return a view as what JSON can hold; null is what is not known.

    `lately` and `minute` are made from the polls of the last 5 and 60 seconds, fewer where there were fewer.
    """
    return {
        "time": datetime.fromtimestamp(view.time, UTC).isoformat(timespec="milliseconds"),
        "orchestrators": [asdict(one) for one in view.answers],
        "totals": asdict(view.totals),
        "lately": _activity(view.lately),
        "minute": _activity(view.minute),
        "targets": [asdict(one) for one in view.targets],
        "drafts": [asdict(one) for one in view.drafts],
        "num_sessions": view.num_sessions,
        "sessions": [
            {**asdict(row.session), "tokens_per_second": row.tokens_per_second} for row in view.sessions
        ],
    }


def _activity(activity: Activity) -> dict[str, Any]:
    return {
        "seconds": activity.seconds,
        "tokens_per_second": activity.tokens_per_second,
        "rounds_per_second": activity.rounds_per_second,
        "tokens_per_round": activity.tokens_per_round,
        "round_seconds": activity.round_seconds,
        "acceptance": activity.acceptance,
        "ahead_hit_rate": activity.ahead_hit_rate,
        "speedup": activity.speedup,
        "drafter_shares": dict(activity.drafter_shares),
        "time_shares": dict(activity.time_shares),
    }
