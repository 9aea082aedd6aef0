"""The lines above the tables: who answers, how fast it goes, where the time goes and what is lost."""

from collections.abc import Mapping, Sequence

from rich.text import Text

from paceline.cli.monitor.activity import Activity
from paceline.cli.monitor.figures import counted, duration, milliseconds, number, percent
from paceline.cli.monitor.gauges import sparkline, split
from paceline.cli.monitor.poll import OrchestratorAnswer
from paceline.cli.monitor.tables import acceptance
from paceline.cli.monitor.view import ReplicaRow, View
from paceline.client.status import HostedModel

_LABEL_COLUMNS = 10
_MAX_ORCHESTRATORS = 4
_LONGEST_SPARKLINE, _LONGEST_BAR = 60, 40
# Parts of a round that stand beside each other differ without colours too.
_PART_STYLES = {
    "target": ("█", "blue"),
    "draft": ("▓", "green"),
    "queues": ("▒", "yellow"),
    "network": ("░", "magenta"),
    "Redis": ("█", "cyan"),
    "client": ("▓", "bright_blue"),
    "own": ("▒", "white"),
    "in vain": ("░", "red"),
    "failover": ("█", "bright_red"),
    "other": ("▓", "white"),
}


def title_line(view: View) -> Text:
    """Return which models are served."""
    is_answered = any(one.status is not None for one in view.answers)
    nothing = "no target is connected" if is_answered else "no orchestrator answers"
    drafts = _models(view.drafts)
    title = Text.assemble(("paceline", "bold"), "  ", (_models(view.targets) or nothing, "bold"))
    return title.append(f"  drafts by {drafts}") if drafts else title


def orchestrator_lines(answers: Sequence[OrchestratorAnswer]) -> list[Text]:
    """Return a line for each orchestrator; of many, for the first ones."""
    shown, others = answers[:_MAX_ORCHESTRATORS], answers[_MAX_ORCHESTRATORS:]
    lines = [_orchestrator(answer) for answer in shown]
    if others:
        num_silent = sum(answer.status is None for answer in others)
        silent = f", {num_silent} of which do not answer" if num_silent else ""
        lines.append(Text(f"and {counted(len(others), 'more orchestrator')}{silent}", "dim"))
    return lines


def speed_lines(view: View, width: int) -> list[Text]:
    """Return how fast it goes and why.

    Rates are of the last seconds, the others of the last minute or, where no round ran in it, since the start.
    """
    minute = view.minute if view.minute.num_rounds else Activity(0.0, view.totals)
    is_old = not view.minute.num_rounds and minute.num_rounds > 0
    return [
        _rates(view, minute, width),
        _drafting(minute, is_old=is_old),
        _round(minute, width),
        _requests(view),
    ]


def trouble_lines(view: View) -> list[Text]:
    """Return what was lost, by why; a number in brackets is of the last minute. Nothing where nothing was lost."""
    totals, minute = view.totals, view.minute.totals
    counts = {
        "degraded": (totals.num_degraded_rounds, minute.num_degraded_rounds),
        "failovers": (totals.num_failovers, minute.num_failovers),
        "failed": (totals.num_failed_generations, minute.num_failed_generations),
    }
    lines = [_reasons(label, *numbers) for label, numbers in counts.items() if numbers[0]]
    absent = [f"{row.name} {row.state} {row.reason}" for row in (*view.targets, *view.drafts) if row.reason]
    if absent:
        lines.append(_label("replicas").append(", ".join(absent), "red"))
    return lines


def _orchestrator(answer: OrchestratorAnswer) -> Text:
    status = answer.status
    if status is None:
        return Text.assemble(answer.address, "  ", (answer.problem, "bold red"))
    is_there = status.redis_seconds is not None
    line = Text.assemble(
        f"{answer.address}  {counted(status.num_running_sessions, 'session')}  Redis ",
        f"{milliseconds(status.redis_seconds)} ms" if is_there else ("does not answer", "bold red"),
        f"  up {duration(status.uptime_seconds)}  {status.orchestrator}  {status.version}",
    )
    return line.append("  draining", "yellow") if status.is_draining else line


def _models(rows: Sequence[ReplicaRow]) -> str:
    return ", ".join(dict.fromkeys(_model(row.model) for row in rows if row.model is not None))


def _model(model: HostedModel) -> str:
    device = f"on {model.device}" if model.device else ""
    return " ".join(filter(None, (model.name, model.weights, device)))


def _rates(view: View, minute: Activity, width: int) -> Text:
    lately = view.lately
    # Estimates come at the ends of generations, which may be minutes apart.
    speedup = minute.speedup if minute.speedup is not None else Activity(0.0, view.totals).speedup
    columns = min(_LONGEST_SPARKLINE, max(8, width - 74))
    return _label("tokens/s").append_text(
        Text.assemble(
            (f"{number(lately.tokens_per_second):>7}  ", "bold"),
            (sparkline(view.tokens_per_second, columns), "cyan"),
            f"  {number(lately.rounds_per_second)} rounds/s",
            f"  {number(minute.tokens_per_round, 2)} tokens a round",
            f"  speed-up {number(speedup, 2)}",
        )
    )


def _drafting(minute: Activity, *, is_old: bool) -> Text:
    line = _label("accepted").append_text(acceptance(minute.acceptance))
    line.append(" of draft tokens").append(" since the start" if is_old else "", "dim")
    line.append(f"  ahead hits {percent(minute.ahead_hit_rate)}")
    shares = [f"{name.replace('_', ' ')} {percent(share)}" for name, share in minute.drafter_shares.items()]
    return line.append("  rounds by " + ", ".join(shares)) if shares else line


def _round(minute: Activity, width: int) -> Text:
    line = _label("a round").append(f"{milliseconds(minute.round_seconds):>7} ms  ")
    shares = minute.time_shares
    columns = split(_bar_columns(width), list(shares.values()))
    for name, num in zip(shares, columns, strict=True):
        block, style = _PART_STYLES[name]
        line.append(num * block, style)
    for name, share in sorted(shares.items(), key=lambda one: -one[1]):
        block, style = _PART_STYLES[name]
        line.append("  ").append(block, style).append(f" {name} {percent(share)}")
    return line


def _bar_columns(width: int) -> int:
    return min(_LONGEST_BAR, max(10, width - 70))


def _requests(view: View) -> Text:
    totals = view.totals
    num_finished = sum(totals.num_finished_generations.values())
    num_failed = sum(totals.num_failed_generations.values())
    num_tokens = sum(totals.num_tokens_by_origin.values())
    line = _label("requests").append(f"{totals.num_generations - num_finished - num_failed} running")
    line.append(f"  {num_finished} finished  ").append(f"{num_failed} failed", "yellow" if num_failed else "")
    return line.append(f"  {totals.num_prompt_tokens} tokens in  {num_tokens} tokens out")


def _reasons(label: str, since_start: Mapping[str, int], minute: Mapping[str, int]) -> Text:
    """Say how often each reason was met; those of the last minute come first."""
    line = _label(label)
    for reason, num in sorted(since_start.items(), key=lambda one: (-minute.get(one[0], 0), -one[1])):
        line.append(f"{reason} {num}")
        if num_new := minute.get(reason, 0):
            line.append(f" (+{num_new})", "bold yellow")
        line.append("  ")
    return line


def _label(text: str) -> Text:
    return Text.assemble((f"{text:<{_LABEL_COLUMNS}}", "dim"))  # only the label, not what is appended
