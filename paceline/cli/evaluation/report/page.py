"""An evaluation as one HTML file that needs no other."""

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from paceline.cli.evaluation.findings import Evaluation
from paceline.cli.evaluation.report import plots, units
from paceline.cli.evaluation.report.about_view import amount_of, prices_of, started, title_of
from paceline.cli.evaluation.report.acceptance_view import draft_acceptances
from paceline.cli.evaluation.report.cost_view import costs_of
from paceline.cli.evaluation.report.format_view import formats_of
from paceline.cli.evaluation.report.language import Language
from paceline.cli.evaluation.report.latency_view import latencies
from paceline.cli.evaluation.report.load_view import load_of
from paceline.cli.evaluation.report.located import Located
from paceline.cli.evaluation.report.markup import MarkupTeller
from paceline.cli.evaluation.report.memory_view import memory_of
from paceline.cli.evaluation.report.size_view import draft_sizes, numbers_of
from paceline.cli.evaluation.report.speed_view import draft_speeds
from paceline.cli.evaluation.report.speeds import is_identical
from paceline.cli.evaluation.report.statement import statement_of

_SECTIONS = ("speed", "latency", "acceptance", "size", "memory", "formats", "load", "costs", "method")


def page(evaluation: Evaluation, language: Language) -> str:
    """Return the report as HTML, which holds its style, its plots and the JSON that its figures are from."""
    tell = MarkupTeller(language)
    located = Located(evaluation)
    sizes = draft_sizes(located, tell)
    return (
        _environment()
        .get_template("page.html")
        .render(
            tell=tell,
            sections=_SECTIONS,
            evaluation=located,
            title=title_of(located, tell),
            started=started(evaluation),
            statements=tuple(statement_of(one, located, tell) for one in located.verdicts),
            is_identical=is_identical((*evaluation.speed, *evaluation.load)),
            speed=draft_speeds(located, tell),
            latency=latencies(located, tell),
            acceptance=draft_acceptances(located, tell),
            sizes=sizes,
            size_numbers=numbers_of(sizes),
            memory=memory_of(located, tell),
            formats=formats_of(located),
            load=load_of(located, tell),
            costs=costs_of(located, tell),
            prices=prices_of(located, tell),
            amounts=amount_of(located, tell),
        )
    )


@cache
def _environment() -> Environment:
    """Templates beside this module: what they are given is escaped unless it is markup, what they lack is an error."""
    environment = Environment(
        loader=PackageLoader("paceline.cli.evaluation.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    known: dict[str, Any] = environment.globals  # typed as what jinja itself puts there
    known |= {name: value for name, value in vars(units).items() if isinstance(value, units.Unit)}
    known["shapes"] = plots.SHAPES
    return environment
