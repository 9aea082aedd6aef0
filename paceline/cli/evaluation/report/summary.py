"""An evaluation for the terminal: what has to be known to decide, in about a screen."""

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from paceline.cli.evaluation.findings import Acceptance, Cost, Evaluation, KvMemory, Speed
from paceline.cli.evaluation.report.about_view import title_of
from paceline.cli.evaluation.report.acceptance_view import ALL_KINDS
from paceline.cli.evaluation.report.cost_view import cost_name
from paceline.cli.evaluation.report.language import Language
from paceline.cli.evaluation.report.located import Located
from paceline.cli.evaluation.report.speed_view import SpeedCell, draft_speeds
from paceline.cli.evaluation.report.speeds import (
    ADAPTIVE,
    TARGET_ONLY,
    alone,
    drafts_of,
    is_identical,
    kinds_of,
    of_draft,
    of_kind,
    recommended_number,
    with_number,
)
from paceline.cli.evaluation.report.statement import DO_NOT_USE, USE_FOR_SOME, Statement, statement_of
from paceline.cli.evaluation.report.teller import Teller
from paceline.cli.evaluation.report.units import (
    BYTES,
    COUNT,
    HOURS,
    MONEY,
    ROUGH_MILLISECONDS,
    ROUGH_SHARE,
    TIMES,
)

_STYLES = {DO_NOT_USE: "bold red", USE_FOR_SOME: "bold yellow"}
_GREEDY = "greedy"


def summary(evaluation: Evaluation, language: Language) -> RenderableType:
    """Return the verdict, the speed-ups, the worst case, acceptance, memory and cost."""
    tell = Teller(language)
    located = Located(evaluation)
    statements = [statement_of(one, located, tell) for one in located.verdicts]
    parts: list[RenderableType] = [Text(title_of(located, tell, "terminal.title"), "bold"), Text()]
    for statement in statements:
        parts += [*_said(statement), Text()]
    parts += _tables(located, tell)
    lines = _identity(evaluation, tell)
    lines += _waits(located, tell)
    lines += _acceptances(located, tell)
    lines += _memories(located, tell)
    lines += _costs(located, tell)
    return Group(*parts, *lines)


def _said(statement: Statement) -> list[RenderableType]:
    style = _STYLES.get(statement.verdict.raw.answer, "bold green")
    sentences = [Padding(Text(sentence), (0, 0, 0, 2)) for sentence in statement.sentences]
    return [Text(statement.headline, style), *sentences]


def _tables(located: Located[Evaluation], tell: Teller) -> list[RenderableType]:
    tables: list[RenderableType] = []
    for view in draft_speeds(located, tell):
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        table.add_column(tell.say("terminal.prompts"))
        for variant in view.variants:
            table.add_column(Text(tell.variant(variant)), justify="right", no_wrap=True)
        for row in view.rows:
            table.add_row(Text(tell.kind(row.kind)), *(_cell(cell, tell) for cell in row.cells))
        # Not as its title, which would be wrapped at the width of the table.
        tables += [Text(tell.say("terminal.table", draft=view.draft)), table, Text()]
    return tables


def _cell(cell: SpeedCell, tell: Teller) -> Text:
    """The speed-up and the prediction above the interval: side by side they would not fit 80 columns."""
    speed = cell.speed
    if speed is None or speed.raw.speed_up is None:
        return Text(tell.missing("reasons.not-measured"))
    estimate = speed.speed_up
    value = tell.number(estimate.value, TIMES)
    predicted = ""
    if speed.raw.predicted_speed_up is not None:
        predicted = f" [{tell.number(speed.predicted_speed_up, TIMES)}]"
    low, high = tell.number(estimate.low, TIMES), tell.number(estimate.high, TIMES)
    interval = f"\n{low}-{high}" if estimate.raw.count > 1 else ""
    star, style = ("*", "bold green") if cell.is_best else ("", "")
    return Text.assemble((f"{star}{value}", style), predicted, (interval, "dim"))


def _identity(evaluation: Evaluation, tell: Teller) -> list[Text]:
    verdict = is_identical((*evaluation.speed, *evaluation.load))
    if verdict is None:
        return []
    key, style = ("page.identical", "") if verdict else ("page.not-identical", "bold red")
    return [Text(tell.say(key), style)]


def _waits(located: Located[Evaluation], tell: Teller) -> list[Text]:
    """The longest wait for text with each K that is recommended, beside the target alone's."""
    speeds: list[Located[Speed]] = list(located.speed)
    lines: list[Text] = []
    for draft in drafts_of(located):
        own = of_draft(speeds, draft)
        chosen = with_number(own, recommended_number(located.raw.verdicts, draft))
        if chosen is None:
            continue
        waits: list[str] = []
        for kind in kinds_of(own):
            base = alone(speeds, kind)
            speed = with_number(of_kind(own, kind), chosen.raw.num_draft_tokens)
            if base is not None and speed is not None:
                waits.append(_wait(base, speed, tell))
        if waits:
            variant = tell.variant(chosen)
            said = tell.say("terminal.worst", draft=draft, variant=variant, waits=tell.series(waits))
            lines.append(Text(said))
    return lines


def _wait(base: Located[Speed], speed: Located[Speed], tell: Teller) -> str:
    return tell.say(
        "terminal.wait",
        kind=tell.kind(speed.raw.kind),
        alone=tell.number(base.latency.gap_worst, ROUGH_MILLISECONDS),
        own=tell.number(speed.latency.gap_worst, ROUGH_MILLISECONDS),
    )


def _acceptances(located: Located[Evaluation], tell: Teller) -> list[Text]:
    """Greedy acceptance of each kind, all together last."""
    lines: list[Text] = []
    for draft in drafts_of(located):
        own: list[Located[Acceptance]] = [
            one for one in located.acceptance if one.raw.draft == draft and one.raw.sampling == _GREEDY
        ]
        shares = [
            tell.say(
                "terminal.acceptance-of",
                kind=tell.kind(one.raw.kind),
                share=tell.measure(one.observed.value, ROUGH_SHARE),
            )
            for one in sorted(own, key=lambda one: one.raw.kind == ALL_KINDS)
        ]
        if shares:
            lines.append(Text(tell.say("terminal.acceptance", draft=draft, shares=tell.series(shares))))
    return lines


def _memories(located: Located[Evaluation], tell: Teller) -> list[Text]:
    """The models in the precision that they were served in; in all of them where that was not measured."""
    memories: list[Located[KvMemory]] = list(located.kv_memory)
    served = {(model.name, model.kv_precision) for model in located.raw.models}
    told = [one for one in memories if (one.raw.model, one.raw.precision) in served] or memories
    return [Text(_memory(one, tell)) for one in told]


def _memory(memory: Located[KvMemory], tell: Teller) -> str:
    is_measured = memory.raw.measured_bytes_per_token is not None
    return tell.say(
        "terminal.memory" if is_measured else "terminal.memory-predicted",
        model=memory.raw.model,
        precision=memory.raw.precision,
        size=tell.measure(memory.predicted_bytes_per_token, BYTES),
        measured=tell.measure(memory.measured_bytes_per_token, BYTES),
        sessions=tell.number(memory.sessions_in_budget, COUNT),
        tokens=tell.number(memory.session_tokens, COUNT),
        budget=tell.size(memory.budget_bytes),
    )


def _costs(located: Located[Evaluation], tell: Teller) -> list[Text]:
    """The target alone and the recommended ways, one session at a time or as few as were measured."""
    costs: list[Located[Cost]] = list(located.costs)
    fewest = min((one.raw.num_sessions for one in costs), default=0)
    return [
        Text(_cost(one, located, tell))
        for one in costs
        if one.raw.num_sessions == fewest and one.raw.core_hours_by_pool and _is_told(one.raw, located.raw)
    ]


def _is_told(cost: Cost, evaluation: Evaluation) -> bool:
    """Whether a way is the target alone or what a verdict recommends."""
    number = recommended_number(evaluation.verdicts, cost.draft)
    return cost.variant == TARGET_ONLY or (number is not None and cost.variant in {f"K = {number}", ADAPTIVE})


def _cost(cost: Located[Cost], located: Located[Evaluation], tell: Teller) -> str:
    hours = [
        tell.say("terminal.hours-of", pool=tell.word("pools", pool), hours=tell.figures(one, HOURS))
        for pool, one in cost.core_hours_by_pool.items()
    ]
    return tell.say(
        "terminal.cost" if cost.raw.price is None else "terminal.cost-priced",
        name=cost_name(cost, located, tell),
        hours=tell.say("lists.separator").join(hours),
        price=tell.figures(cost.price, MONEY),
        currency=cost.raw.currency,
    )
