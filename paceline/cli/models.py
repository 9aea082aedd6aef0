"""`paceline models`: what can be had, and getting it onto this machine."""

import json
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from paceline.cli.model_setup import DRAFT_WEIGHTS, TARGET_WEIGHTS, find_or_prepare
from paceline.errors import PacelineError
from paceline.models import progress as download_progress
from paceline.models.cache import CACHE_DIR_VARIABLE, default_cache_dir, is_pulled, model_path
from paceline.models.catalog import MODELS, PAIRS, SHIPPED_DRAFTS, Model, ShippedDraft, find_models
from paceline.models.errors import UnknownModelError
from paceline.models.hub_source import DEFAULT_HUB
from paceline.models.pull import Source, pull, verify

FAILURE_EXIT_CODE = 1
USAGE_EXIT_CODE = 2
INTERRUPTED_EXIT_CODE = 130

app = typer.Typer(no_args_is_help=True, help="Models: what can be had, and getting it onto this machine.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]
CacheDir = Annotated[
    Path | None,
    typer.Option(
        "--cache-dir",
        envvar=CACHE_DIR_VARIABLE,
        help="Where models are kept.  [default: the user's cache directory]",
        file_okay=False,
    ),
]
Names = Annotated[
    list[str],
    typer.Argument(metavar="NAME...", help="Models or pairs, as `paceline models list` names them."),
]
FromSource = Annotated[Source, typer.Option(help="Where to take files from; auto tries the hub first.")]
Hub = Annotated[str, typer.Option(envvar="HF_ENDPOINT", help="Address of the hub or of a mirror.")]
Verify = Annotated[
    bool, typer.Option("--verify", help="Also read files that are there already, byte by byte.")
]


@app.command("list")
def list_models(*, as_json: AsJson = False, cache_dir: CacheDir = None) -> None:
    """List the catalogued models and pairs, and which of them are on this machine."""
    directory = cache_dir or default_cache_dir()
    if as_json:
        print(json.dumps(_describe_catalog(directory), indent=2))
        return
    console = Console(highlight=False)
    console.print(_model_table(directory), _pair_table(), sep="\n")
    console.print(f"Files are kept in {directory}", soft_wrap=True, style="dim")


@app.command("pull")
def pull_models(
    names: Names,
    *,
    source: FromSource = Source.AUTO,
    hub: Hub = DEFAULT_HUB,
    verify_bytes: Verify = False,
    as_json: AsJson = False,
    cache_dir: CacheDir = None,
) -> None:
    """Download models and check every byte; an interrupted pull goes on where it stopped."""
    directory = cache_dir or default_cache_dir()
    with _failures_explained(as_json=as_json):
        models = _without_repeats(model for name in names for model in find_models(name))
        for draft in (SHIPPED_DRAFTS[name] for name in names if name in SHIPPED_DRAFTS and not as_json):
            typer.echo(f"{draft.name} is part of the package: {draft.directory}")
        for model in models:
            with _progress_bar(model) as progress:
                path = pull(model, directory, progress, source=source, hub=hub, notice=_notice)
            if verify_bytes:
                verify(model, directory)
            if not as_json:
                typer.echo(f"{model.name}: {path}")
        if as_json:
            print(json.dumps({"models": [_describe(model, directory) for model in models]}, indent=2))


@app.command("prepare")
def prepare_models(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Catalogued models or pairs, GGUF files, exported or Hugging Face directories, hub ids.",
        ),
    ],
    *,
    weights: Annotated[
        str | None,
        typer.Option(
            help="f32, f16, int8 or int4.  [default: int8; int4 for the draft of a pair]", show_default=False
        ),
    ] = None,
    as_json: AsJson = False,
    cache_dir: CacheDir = None,
) -> None:
    """Make models ready to be served, once; a catalogued one is pulled first where it is missing.

    GGUF files need nothing more; the export of hub ids and Hugging Face directories needs the extra `prepare`.
    """
    directory = cache_dir or default_cache_dir()
    prepared: list[dict[str, str]] = []
    with _failures_explained(as_json=as_json):
        for source, format_ in _wishes(sources, weights):
            path = find_or_prepare(source, format_, directory)
            prepared.append({"source": source, "weights": format_, "path": str(path)})
            if not as_json:
                typer.echo(f"{source} {format_}: {path}")
    if as_json:
        print(json.dumps({"models": prepared}, indent=2))


def _wishes(sources: Iterable[str], weights: str | None) -> list[tuple[str, str]]:
    """Each model to prepare with its format, none twice."""
    wishes: list[tuple[str, str]] = []
    for source in sources:
        if source in PAIRS:
            pair = PAIRS[source]
            wishes.append((pair.target.name, weights or TARGET_WEIGHTS))
            wishes.append((pair.draft.name, weights or DRAFT_WEIGHTS))
        else:
            wishes.append((source, weights or TARGET_WEIGHTS))
    return list(dict.fromkeys(wishes))


def _notice(line: str) -> None:
    _messages().print(line, style="yellow", markup=False, soft_wrap=True)


def _messages() -> Console:
    # What people read beside --json goes to the error stream, so that a program sees nothing but JSON.
    return Console(stderr=True, highlight=False)


@contextmanager
def _failures_explained(*, as_json: bool) -> Generator[None]:
    """End the program with an exit code and one clear message instead of a traceback."""
    try:
        yield
    except PacelineError as error:
        if as_json:
            print(json.dumps({"error": {"reason": error.reason, "message": str(error)}}))
        else:
            _messages().print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        is_usage = isinstance(error, UnknownModelError)
        raise typer.Exit(USAGE_EXIT_CODE if is_usage else FAILURE_EXIT_CODE) from error
    except KeyboardInterrupt as interrupt:
        _notice("interrupted; what has arrived is kept, so the same command goes on from there")
        raise typer.Exit(INTERRUPTED_EXIT_CODE) from interrupt


@contextmanager
def _progress_bar(model: Model) -> Generator[download_progress.Progress]:
    """Show a bar on the error stream where that is a terminal; yield what moves it."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    console = _messages()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task(model.name, total=model.num_bytes)

        def move(num_bytes_done: int, num_bytes_total: int) -> None:
            bars.update(bar, completed=num_bytes_done, total=num_bytes_total)

        yield move


def _without_repeats(models: Iterable[Model]) -> list[Model]:
    return list({model.name: model for model in models}.values())


def _describe_catalog(directory: Path) -> dict[str, object]:
    return {
        "cache_dir": str(directory),
        "models": [_describe(model, directory) for model in MODELS.values()],
        "shipped_drafts": [_describe_shipped(draft) for draft in SHIPPED_DRAFTS.values()],
        "pairs": [
            {"name": pair.name, "target": pair.target.name, "draft": pair.draft.name}
            for pair in PAIRS.values()
        ],
    }


def _describe(model: Model, directory: Path) -> dict[str, object]:
    is_here = is_pulled(model, directory)
    return {
        "name": model.name,
        "upstream": model.upstream,
        "licence": model.licence,
        "num_parameters": model.num_parameters,
        "weights": model.weights,
        "num_bytes": model.num_bytes,
        "sha256": model.sha256,
        "is_pulled": is_here,
        "path": str(model_path(model, directory)) if is_here else None,
    }


def _describe_shipped(draft: ShippedDraft) -> dict[str, object]:
    return {
        "name": draft.name,
        "target": draft.target,
        "licence": draft.licence,
        "num_parameters": draft.num_parameters,
        "num_bytes": draft.num_bytes,
        "path": str(draft.directory),
    }


def _model_table(directory: Path) -> Table:
    name = Column("model", no_wrap=True, min_width=max(map(len, [*MODELS, *SHIPPED_DRAFTS])))
    table = Table(name, "parameters", "weights", "size", "licence", "pulled", box=None, pad_edge=False)
    for model in MODELS.values():
        table.add_row(
            model.name,
            f"{model.num_parameters / 1e6:,.0f} M",
            model.weights,
            f"{model.num_bytes / 1e6:,.0f} MB",
            model.licence,
            "yes" if is_pulled(model, directory) else "no",
        )
    for draft in SHIPPED_DRAFTS.values():
        size = f"{draft.num_bytes / 1e6:,.0f} MB"
        table.add_row(
            draft.name, f"{draft.num_parameters / 1e6:,.0f} M", draft.weights, size, draft.licence, "shipped"
        )
    return table


def _pair_table() -> Table:
    table = Table("pair", "target", "draft", box=None, pad_edge=False)
    for pair in PAIRS.values():
        table.add_row(pair.name, pair.target.name, pair.draft.name)
    return table
