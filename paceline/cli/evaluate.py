"""`paceline evaluate`: whether a draft pays for a target, with which K, and at which memory and cost."""

import shlex
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from paceline.cli.benchmark.prompt_set import ALL, read_prompts
from paceline.cli.cluster_options import (
    AsJson,
    Cores,
    DraftWeights,
    PairName,
    TargetWeights,
    assign_cores,
)
from paceline.cli.evaluation.amount import DEFAULT, QUICK, THOROUGH, Amount
from paceline.cli.evaluation.evaluation_run import EvaluationRun, part_minutes
from paceline.cli.evaluation.findings import Evaluation, Prices
from paceline.cli.evaluation.journal import Journal
from paceline.cli.evaluation.model_choice import (
    choose_models,
    require_different_names,
    set_up,
    set_up_drafts,
)
from paceline.cli.evaluation.output_directory import OutputDirectory, claimed
from paceline.cli.evaluation.plan import EvaluationPlan, require_prompts
from paceline.cli.evaluation.price_options import with_price_options
from paceline.cli.evaluation.progress_view import ProgressView
from paceline.cli.evaluation.reading.chats import require_shared_vocabulary
from paceline.cli.evaluation.report.language import Language
from paceline.cli.evaluation.report.page import page
from paceline.cli.evaluation.report.summary import summary
from paceline.cli.evaluation.section import Section, parse_sections
from paceline.cli.failure import FAILURE_EXIT_CODE
from paceline.cli.model_setup import DRAFT_WEIGHTS, TARGET_WEIGHTS
from paceline.cli.number_list import parse_num_draft_tokens, parse_temperatures
from paceline.errors import ConfigError, PacelineError
from paceline.models.tokenizer import Tokenizer

_MIB = 1 << 20
_PAGES = {Language.EN: "report.html", Language.JA: "report.ja.html"}
_RESUME = "--resume"

app = typer.Typer(add_completion=False)


@app.command()
@with_price_options
def evaluate(
    *,
    pair: PairName = "reference",
    target: Annotated[
        str | None,
        typer.Option(help="Target model, with --draft: a name, GGUF file, directory or hub id."),
    ] = None,
    draft: Annotated[
        list[str] | None, typer.Option(help="Draft model, with --target; repeat it to compare several.")
    ] = None,
    target_weights: TargetWeights = TARGET_WEIGHTS,
    draft_weights: DraftWeights = DRAFT_WEIGHTS,
    cores: Cores = None,
    is_quick: Annotated[
        bool, typer.Option("--quick", help="About 15 minutes on two cores with the reference pair, not 40.")
    ] = False,
    is_thorough: Annotated[
        bool, typer.Option("--thorough", help="Hours: more prompts, longer answers, more repeats, every K.")
    ] = False,
    prompts: Annotated[
        str,
        typer.Option(help="code, prose, chat, summary, japanese, several with commas, all, or a .toml file."),
    ] = ALL,
    num_draft_tokens: Annotated[
        str | None,
        typer.Option(
            help="Draft tokens a round that are compared, with commas; 2,3,5,8 if not given, "
            "fewer if --quick, more if --thorough."
        ),
    ] = None,
    temperature: Annotated[
        str,
        typer.Option(
            help="Acceptance is looked at besides greedy at these, with commas; 0 for greedy alone. "
            "Speed is measured greedily."
        ),
    ] = "0.7",
    sections: Annotated[
        str | None,
        typer.Option(
            help=f"What is looked into, of {','.join(Section)}; all if not given, but quantisation if --quick."
        ),
    ] = None,
    session_tokens: Annotated[
        int, typer.Option(min=1, help="Length of the sessions that KV memory is reckoned for, in tokens.")
    ] = 2048,
    kv_budget_mib: Annotated[
        int, typer.Option(min=1, help="Memory for the KV cache of each model that is reckoned with, MiB.")
    ] = 512,
    output: Annotated[
        Path, typer.Option(help="Where findings and reports are written.", file_okay=False)
    ] = Path("paceline-evaluation"),
    is_resumed: Annotated[
        bool, typer.Option(_RESUME, help="Go on with what lies in --output, and measure only what it lacks.")
    ] = False,
    is_forced: Annotated[
        bool, typer.Option("--force", help="Replace the evaluation that lies in --output.")
    ] = False,
    language: Annotated[
        Language, typer.Option(help="Of the summary; reports are written in both.")
    ] = Language.EN,
    as_json: AsJson = False,
    prices: Prices,
) -> None:
    """Measure acceptance, speed-up, latency, memory, formats, load and cost of a draft, and say whether it pays.

    Writes evaluation.json with every figure, report.html and report.ja.html. What is finished is kept, and
    an evaluation that was interrupted goes on with --resume.
    """
    amount = _amount(is_quick=is_quick, is_thorough=is_thorough)
    wanted = amount.sections if sections is None else parse_sections(sections)
    given = read_prompts(prompts)
    require_prompts(given)
    numbers = (
        amount.num_draft_tokens if num_draft_tokens is None else parse_num_draft_tokens(num_draft_tokens)
    )
    temperatures, names = parse_temperatures(temperature), choose_models(pair, target, draft or ())
    assignment = assign_cores(cores)
    if is_resumed and is_forced:
        raise ConfigError("give --resume or --force, not both", setting="resume")
    with claimed(output, is_resumed=is_resumed, is_forced=is_forced) as directory:
        target_model = set_up(names.target, target_weights)
        plan = EvaluationPlan(
            target_model,
            set_up_drafts(names.drafts, draft_weights, target_model),
            given,
            wanted,
            amount,
            numbers,
            temperatures,
            assignment,
            prices,
            session_tokens,
            kv_budget_mib * _MIB,
        )
        _check(plan)
        evaluation = _run(plan, directory)
        document = directory.write_evaluation(evaluation)
        pages = [directory.write(name, page(evaluation, one)) for one, name in _PAGES.items()]
    if as_json:
        print(document)
    else:
        console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
        console.print(summary(evaluation, language))
    typer.echo(f"written: {', '.join(map(str, [directory.evaluation, *pages]))}", err=True)
    if not all(speed.is_identical for speed in (*evaluation.speed, *evaluation.load)):
        typer.secho(
            "error: answers differ from the target's own, which must never be; please report it",
            fg=typer.colors.RED,
            err=True,
        )
        raise typer.Exit(FAILURE_EXIT_CODE)


def _amount(*, is_quick: bool, is_thorough: bool) -> Amount:
    if is_quick and is_thorough:
        raise ConfigError("give --quick or --thorough, not both", setting="quick")
    return QUICK if is_quick else THOROUGH if is_thorough else DEFAULT


def _check(plan: EvaluationPlan) -> None:
    """Refuse models that cannot be evaluated together, before anything is measured."""
    require_different_names(plan.drafts)
    tokenizer = Tokenizer.load(plan.target.directory)
    require_shared_vocabulary(plan.reading(plan.amount.acceptance), tokenizer)


def _run(plan: EvaluationPlan, directory: OutputDirectory) -> Evaluation:
    with _hint_how_to_go_on(directory), ProgressView(part_minutes(plan)) as view:
        view.say(f"cores: {plan.cores.describe() or 'not pinned'}; amount: {plan.amount.name}")
        return EvaluationRun(plan, Journal(directory.journal), view).run()


@contextmanager
def _hint_how_to_go_on(directory: OutputDirectory) -> Generator[None]:
    """Say, where the evaluation does not end well, that what is finished is kept."""
    try:
        yield
    except (KeyboardInterrupt, PacelineError):
        if directory.journal.exists():
            command = shlex.join(["paceline", *(one for one in sys.argv[1:] if one != "--force")])
            command = command if _RESUME in sys.argv else f"{command} {_RESUME}"
            typer.echo(f"what is finished is kept in {directory.path}; go on with: {command}", err=True)
        raise
