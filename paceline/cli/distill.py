"""`paceline distill`: a small draft for a target that has none."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from paceline.cli.benchmark.machine import this_command
from paceline.cli.failure import INTERRUPTED_EXIT_CODE
from paceline.cli.model_setup import TARGET_WEIGHTS, find_or_prepare
from paceline.distillation.interruption import Interruption
from paceline.distillation.output import require_free
from paceline.distillation.pace import Budget
from paceline.distillation.prompt_file import read_prompt_file
from paceline.distillation.run_directory import RunDirectory, RunSettings
from paceline.distillation.shape import (
    DEFAULT_NUM_LAYERS,
    default_width,
    num_parameters_of,
    student_shape,
)
from paceline.distillation.writing import WritingOptions, write_text
from paceline.engine.graph.manifest import Manifest
from paceline.errors import ConfigError
from paceline.models.cache import default_cache_dir
from paceline.models.prepared import WEIGHT_FORMATS

if TYPE_CHECKING:
    from paceline.distillation.checkpoint import TrainingPoint
    from paceline.distillation.curve import CurvePoint
    from paceline.distillation.export import Draft
    from paceline.distillation.run import Run

DEFAULT_MINUTES = 60.0
# Of the minutes of a run that does everything; text that is there already leaves more to training.
TEXT_SHARE = 0.4
DEFAULT_TEXT_TOKENS = 5_000_000
DEFAULT_NUM_LABELS = 16
DEFAULT_ROW_SIZE = 512
DEFAULT_TEMPERATURES = "0,1"
AUTO = "auto"

app = typer.Typer(add_completion=False)


class Part(StrEnum):
    """What a call does."""

    ALL = "all"
    TEXT = "text"
    TRAIN = "train"
    EXPORT = "export"

    def includes(self, part: "Part") -> bool:
        """Whether a part is done."""
        return self in {Part.ALL, part}


@app.command()
def distill(
    target: Annotated[
        str, typer.Argument(help="A catalogued model, a GGUF file, a prepared directory, or a hub id.")
    ],
    directory: Annotated[
        Path | None,
        typer.Option(
            help="Where the run is kept.  [default: distill/TARGET in the cache]",
            file_okay=False,
            show_default=False,
        ),
    ] = None,
    only: Annotated[
        Part, typer.Option(help="Do one part: text and train may run beside each other.")
    ] = Part.ALL,
    minutes: Annotated[
        float | None, typer.Option(min=0.0, help="Time for this call.  [default: 60]", show_default=False)
    ] = None,
    tokens: Annotated[
        int | None,
        typer.Option(min=1, help="Training tokens of this call, instead of minutes.", show_default=False),
    ] = None,
    text_tokens: Annotated[
        int, typer.Option(min=1, help="Tokens of text, after which none is written any more.")
    ] = DEFAULT_TEXT_TOKENS,
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="Your own prompts: .toml as for bench, .jsonl, or .txt.", dir_okay=False, show_default=False
        ),
    ] = None,
    only_prompts: Annotated[
        bool, typer.Option("--only-prompts", help="Let the target ask itself nothing.")
    ] = False,
    temperatures: Annotated[
        str, typer.Option(help="At which each question is answered; 0 is greedy.")
    ] = DEFAULT_TEMPERATURES,
    max_tokens: Annotated[int, typer.Option(min=2, help="Most tokens of an answer.")] = 256,
    sessions: Annotated[int, typer.Option(min=1, max=1024, help="Texts at once.")] = 64,
    target_weights: Annotated[
        str, typer.Option(help="Format in which the target writes: f16, int8 or int4.")
    ] = TARGET_WEIGHTS,
    width: Annotated[
        int | None,
        typer.Option(
            min=32, help="Width of the student.  [default: a tenth of the target]", show_default=False
        ),
    ] = None,
    layers: Annotated[int, typer.Option(min=1, help="Layers of the student.")] = DEFAULT_NUM_LAYERS,
    context: Annotated[
        int, typer.Option(min=32, help="Longest text that the student learns from.")
    ] = DEFAULT_ROW_SIZE,
    labels: Annotated[
        int, typer.Option(min=2, max=64, help="Probabilities of the target that are kept of each token.")
    ] = DEFAULT_NUM_LABELS,
    weights: Annotated[
        str, typer.Option(help="Format of the draft: int8, int4, f16, or auto, the better one.")
    ] = AUTO,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Where the draft goes.  [default: draft/ in the run]", file_okay=False, show_default=False
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="The draft's name.  [default: the target's and -draft]", show_default=False),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads.  [default: all cores]", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is drawn.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that has begun.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Make a draft for a target: the target writes text, a small student learns from it, and is exported.

    Needs the extra `distill`. Ctrl-C saves and ends; --resume goes on.
    """
    _require_torch()
    if weights != AUTO and weights not in WEIGHT_FORMATS:
        raise ConfigError(f"--weights {weights}: write auto, {', '.join(WEIGHT_FORMATS)}", setting="weights")
    own_prompts = read_prompt_file(prompts) if prompts is not None else ()
    if only_prompts and not own_prompts:
        raise ConfigError("--only-prompts needs --prompts FILE", setting="only_prompts")
    chosen_temperatures = _temperatures(temperatures)
    run_directory = RunDirectory(directory or default_cache_dir() / "distill" / _short_name(target))
    _require_resume(run_directory, only, is_resumed=resume)
    destination = output or run_directory.draft
    require_free(destination)
    prepared = find_or_prepare(target, target_weights)
    num_threads = threads or len(os.sched_getaffinity(0))
    settings = _settings_of(
        run_directory, _StudentWish(target, target_weights, width, layers, labels, context, seed), prepared
    )
    writing = WritingOptions(
        prompts=own_prompts,
        writes_questions=not only_prompts,
        temperatures=chosen_temperatures,
        num_sessions=sessions,
        max_answer_tokens=max_tokens,
        num_labels=settings.num_labels,
        num_threads=num_threads,
        seed=seed,
    )
    # Here, because torch takes seconds to import and is not everywhere.
    from paceline.distillation.run import Run  # noqa: PLC0415

    job = _Job(
        Run(run_directory, settings, prepared, num_threads),
        writing,
        _seconds(minutes, tokens),
        tokens,
        text_tokens,
        is_quiet=as_json,
    )
    with job.interruption.listening():
        if only.includes(Part.TEXT):
            job.write_text(TEXT_SHARE if only == Part.ALL else 1.0)
        if only.includes(Part.TRAIN) and not job.interruption.is_wanted:
            job.train()
        if job.interruption.is_wanted:
            job.say_how_to_go_on()
            raise typer.Exit(INTERRUPTED_EXIT_CODE)
        if only.includes(Part.EXPORT):
            draft_name = name or f"{Manifest.read(prepared).name}-draft"
            job.export(weights, destination, draft_name)


@dataclass(frozen=True)
class _StudentWish:
    """What the command line says of the settings."""

    target: str
    target_weights: str
    width: int | None
    num_layers: int
    num_labels: int
    row_size: int
    seed: int

    def settings(self, prepared: Path) -> RunSettings:
        """Return the settings of a new run."""
        architecture = Manifest.read(prepared).architecture
        width = self.width or default_width(architecture, num_parameters_of(prepared), self.num_layers)
        return RunSettings(
            target=self.target,
            target_weights=self.target_weights,
            shape=student_shape(architecture, width, self.num_layers),
            num_labels=min(self.num_labels, architecture.vocabulary_size - 1),
            row_size=self.row_size,
            seed=self.seed,
        )


class _Job:
    """What one call does, told to people as it goes on."""

    def __init__(
        self,
        run: "Run",
        writing: WritingOptions,
        seconds: float | None,
        num_tokens: int | None,
        num_text_tokens: int,
        *,
        is_quiet: bool,
    ) -> None:
        self.interruption = Interruption()
        self._run = run
        self._writing = writing
        self._started = monotonic()
        self._seconds = seconds
        self._num_tokens = num_tokens
        self._num_text_tokens = num_text_tokens
        self._is_quiet = is_quiet
        self._console = Console(stderr=True, highlight=False)

    def write_text(self, share: float) -> None:
        """Let the target write, for a share of the time at most."""
        corpus, goal = self._run.corpus(), self._num_text_tokens
        num_before = num_written = corpus.num_written_tokens
        deadline = None if self._seconds is None else self._started + share * self._seconds

        def is_enough() -> bool:
            is_late = deadline is not None and monotonic() >= deadline
            return self.interruption.is_wanted or is_late or num_written >= goal

        with self._bar("the target writes") as show:

            def note_written(num_tokens: int) -> None:
                nonlocal num_written
                num_written += num_tokens
                elapsed = monotonic() - self._started
                by_time = 0.0 if deadline is None else elapsed / (deadline - self._started)
                speed = (num_written - num_before) / elapsed
                show(max(by_time, num_written / goal), f"{num_written:,} tokens, {speed:,.0f} a second")

            if not is_enough():
                write_text(self._run.target, corpus, self._writing, is_enough, note_written)
        self._say(f"text: {corpus.num_written_tokens:,} tokens in {self._run.directory.text}")

    def train(self) -> None:
        """Train for the rest of the time."""
        rest = None if self._seconds is None else max(0.0, self._seconds - (monotonic() - self._started))
        budget = Budget(rest, self._num_tokens)
        self._say(f"student: {self._about_student()}")
        latest = ""
        with self._bar("the student learns") as show:

            def note_step(point: "TrainingPoint", loss: float, progress: float) -> None:
                show(progress, f"{point.num_tokens:,} tokens, loss {loss:.3f}{latest}")

            def note_point(point: "CurvePoint") -> None:
                nonlocal latest
                found = point.acceptance
                latest = f", accepted {_share(found.greedy)} greedy, {_share(found.shared)} at T = 1"
                self._say(f"{point.num_tokens:>12,} tokens{latest}")

            self._run.train(budget, lambda: self.interruption.is_wanted, note_step, note_point)

    def export(self, weights: str, directory: Path, name: str) -> None:
        """Write the draft, and say how to try it."""
        draft = self._run.export(weights, directory, name)
        if self._is_quiet:
            print(json.dumps(self._to_json(draft, name), indent=2))
            return
        print(f"draft:      {draft.directory}")
        print(f"            {self._about_student()}, {draft.weights}, {draft.num_bytes / 1e6:.1f} MB")
        print(
            f"acceptance: {_share(draft.agreement)} of held-out greedy positions, as the draft service computes"
        )
        print(f"try it:     paceline bench --target {self._run.settings.target} --draft {draft.directory}")

    def say_how_to_go_on(self) -> None:
        """Tell the command that goes on where this one has stopped."""
        command = this_command()
        self._say(f"stopped; go on with: {command}{'' if '--resume' in command.split() else ' --resume'}")

    def _about_student(self) -> str:
        num_parameters = self._run.settings.shape.num_parameters
        ratio = num_parameters_of(self._run.target) / num_parameters
        return f"{num_parameters / 1e6:.1f} M parameters, {ratio:.1f} x fewer than the target"

    def _to_json(self, draft: "Draft", name: str) -> dict[str, object]:
        return {
            "name": name,
            "directory": str(draft.directory),
            "weights": draft.weights,
            "num_bytes": draft.num_bytes,
            "num_parameters": self._run.settings.shape.num_parameters,
            "num_target_parameters": num_parameters_of(self._run.target),
            "held_out_agreement": draft.agreement,
            "curve": str(self._run.directory.curve),
        }

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)

    @contextmanager
    def _bar(self, what: str) -> Iterator[Callable[[float, str], None]]:
        """Show a bar on the error stream where that is a terminal; yield what moves it and what tells how it goes."""
        columns = (TextColumn(what), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(
            *columns, console=self._console, transient=True, disable=not self._console.is_terminal
        ) as bars:
            task = bars.add_task("", total=1.0)
            yield lambda share, text: bars.update(task, completed=share, description=text)


def _require_torch() -> None:
    if find_spec("torch") is None:
        message = 'training needs torch: pip install "paceline[distill]" (docs/distill.md)'
        raise ConfigError(message, setting="extra")


def _require_resume(directory: RunDirectory, only: Part, *, is_resumed: bool) -> None:
    """A run is only gone on with where that is meant; text and training of one run may be two calls."""
    has_text = directory.text.is_dir() and any(directory.text.iterdir())
    has_begun = {
        Part.ALL: has_text or directory.checkpoint.is_file(),
        Part.TEXT: has_text,
        Part.TRAIN: directory.checkpoint.is_file(),
        Part.EXPORT: False,
    }[only]
    if has_begun and not is_resumed:
        message = f"{directory.path} holds a run: go on with --resume, or name another --directory"
        raise ConfigError(message, setting="resume")


def _settings_of(directory: RunDirectory, wish: _StudentWish, prepared: Path) -> RunSettings:
    """Return the settings of the run, written down where it is new; raises ConfigError where the user wants others."""
    known, wished = directory.read_settings(), wish.settings(prepared)
    if known is None:
        directory.write_settings(wished)
    elif wished != known:
        message = (
            f"{directory.path} was begun with target {known.target} {known.target_weights}, width "
            f"{known.shape.architecture.hidden_size}, {known.shape.architecture.num_layers} layers, "
            f"{known.num_labels} labels and a context of {known.row_size}: say the same, or name another --directory"
        )
        raise ConfigError(message, setting="directory")
    return wished


def _seconds(minutes: float | None, num_tokens: int | None) -> float | None:
    if minutes is None:
        return None if num_tokens is not None else 60 * DEFAULT_MINUTES
    return 60 * minutes


def _temperatures(text: str) -> tuple[float, ...]:
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = (-1.0,)
    if not all(0.0 <= one <= 2.0 for one in found):
        message = f"--temperatures {text}: write numbers from 0 to 2 with commas, as in 0,0.7,1"
        raise ConfigError(message, setting="temperatures")
    return found


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def _short_name(target: str) -> str:
    return Path(target.rstrip("/")).name.removesuffix(".gguf")
