"""The pools and the sessions as tables, for narrow terminals and wide ones."""

from collections.abc import Sequence
from dataclasses import replace

from rich.text import Text

from paceline.cli.monitor.columns import Column, table
from paceline.cli.monitor.figures import UNKNOWN, milliseconds, number, percent
from paceline.cli.monitor.gauges import bar
from paceline.cli.monitor.view import ReplicaRow, SessionRow
from paceline.client.replica_state import ReplicaState

_KV_IS_FULL, _KV_FILLS = 0.9, 0.7
_GOOD_ACCEPTANCE, _POOR_ACCEPTANCE = 0.7, 0.4
_STATE_STYLES = {
    ReplicaState.READY: "green",
    ReplicaState.RESTING: "yellow",
    ReplicaState.DRAINING: "yellow",
    ReplicaState.REFUSED: "bold red",
    ReplicaState.GONE: "bold red",
    ReplicaState.UNKNOWN: "magenta",
}
_BAR_COLUMNS, _WIDE_BAR_COLUMNS = 5, 8
_PLACES, _WIDE_PLACES = 1, 4  # of a proposal


def pool_table(
    title: str, pass_title: str, rows: Sequence[ReplicaRow], num_lines: int, *, is_wide: bool
) -> list[Text]:
    """Return a pool in at most so many lines."""
    columns = _wide_pool(title, pass_title) if is_wide else _narrow_pool(title, pass_title)
    return table(columns, rows, num_lines, empty="none")


def session_table(
    rows: Sequence[SessionRow], num_sessions: int, num_lines: int, *, is_wide: bool
) -> list[Text]:
    """Return the running sessions in at most so many lines; `num_sessions` counts those without a row too."""
    columns: list[Column[SessionRow]] = [
        Column(f"SESSIONS  {num_sessions} running", 32, lambda row: row.session.session_id),
        Column("status", 8, _session_status),
        Column("tokens", 13, _tokens, is_right=True),
        Column("tok/s", 6, lambda row: number(row.tokens_per_second), is_right=True),
        Column("idle", 7, lambda row: f"{row.session.idle_seconds:.0f} s", is_right=True),
        Column("target", 9, lambda row: row.session.target),
    ]
    if is_wide:
        columns[-1] = replace(columns[-1], width=20)
        columns.append(Column("draft", 20, lambda row: row.session.draft or UNKNOWN))
    return table(columns, rows, num_lines, empty="none")


def _narrow_pool(title: str, pass_title: str) -> list[Column[ReplicaRow]]:
    return [
        Column(title, 18, lambda row: row.name),
        *_load_columns(_BAR_COLUMNS),
        Column(pass_title, 7, lambda row: milliseconds(row.pass_seconds), is_right=True),
        Column("accepted", 8, lambda row: _acceptance(row, _PLACES), is_right=True),
    ]


def _wide_pool(title: str, pass_title: str) -> list[Column[ReplicaRow]]:
    return [
        Column(title, 17, lambda row: row.name),
        Column("address", 18, lambda row: row.address),
        *_load_columns(_WIDE_BAR_COLUMNS),
        Column(pass_title, 7, lambda row: milliseconds(row.pass_seconds), is_right=True),
        Column("hop ms", 6, lambda row: milliseconds(row.hop_seconds), is_right=True),
        Column("accepted", 15, lambda row: _acceptance(row, _WIDE_PLACES), is_right=True),
        Column("ahead", 6, _ahead, is_right=True),
    ]


def _load_columns(bar_columns: int) -> list[Column[ReplicaRow]]:
    return [
        Column("state", 9, _state),
        Column("sess", 4, lambda row: str(row.num_sessions), is_right=True),
        Column("run", 4, _running, is_right=True),
        Column("wait", 4, _waiting, is_right=True),
        Column("KV", bar_columns + 5, lambda row: _kv(row, bar_columns)),
        Column("pass/s", 6, lambda row: number(row.passes_per_second), is_right=True),
    ]


def _state(row: ReplicaRow) -> Text:
    """Return the state; where orchestrators differ, how many of them see it so."""
    differs = row.num_agreeing < row.num_views
    text = f"{row.state} {row.num_agreeing}/{row.num_views}" if differs else row.state
    return Text(text, _STATE_STYLES[row.state])


def _running(row: ReplicaRow) -> str:
    return str(row.engine.num_running) if row.engine is not None else UNKNOWN


def _waiting(row: ReplicaRow) -> Text:
    if row.engine is None:
        return Text(UNKNOWN)
    return Text(str(row.engine.num_waiting), "yellow" if row.engine.num_waiting else "")


def _kv(row: ReplicaRow, bar_columns: int) -> Text:
    engine = row.engine
    if engine is None or not engine.num_blocks:
        return Text(UNKNOWN)
    share = 1.0 - engine.num_available_blocks / engine.num_blocks
    style = "red" if share >= _KV_IS_FULL else "yellow" if share >= _KV_FILLS else "green"
    return Text.assemble((bar(share, bar_columns), style), f"{percent(share):>5}")


def _acceptance(row: ReplicaRow, num_places: int) -> Text:
    if not row.acceptance:
        return Text(UNKNOWN)
    return Text(" ").join(acceptance(one) for one in row.acceptance[:num_places])


def acceptance(share: float | None) -> Text:
    """Return a share of accepted draft tokens in the colour of what it promises."""
    if share is None:
        return Text(UNKNOWN)
    style = "green" if share >= _GOOD_ACCEPTANCE else "yellow" if share >= _POOR_ACCEPTANCE else "red"
    return Text(percent(share), style)


def _ahead(row: ReplicaRow) -> str:
    if not row.num_partners:
        return UNKNOWN
    if row.num_ahead in {0, row.num_partners}:
        return "on" if row.num_ahead else "off"
    return f"on {row.num_ahead}/{row.num_partners}"


def _session_status(row: SessionRow) -> Text:
    return Text(row.session.status) if row.has_owner else Text("no owner", "bold red")


def _tokens(row: SessionRow) -> str:
    session = row.session
    return f"{session.num_prompt_tokens} + {session.position - session.num_prompt_tokens}"
