"""How well drafts meet the target on its own texts.

The target writes its text to every prompt, greedily and with the seed at each temperature. Each draft then reads these
texts and says at every position what it would choose there, as its service does: with the target's noise. Accepted
draft tokens are the target's own text, so that what rounds of any length accept follows exactly.

A draft service draws its tokens one by one, and here it reads them many at a time; where two ids are all but equally
likely it may then prefer the other one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory

from paceline.cli.benchmark.prompt_set import BenchPrompt
from paceline.cli.evaluation.findings import Acceptance
from paceline.cli.evaluation.reading.chain import acceptance_by_place, tokens_per_round
from paceline.cli.evaluation.reading.chats import encoded_prompts, require_shared_vocabulary
from paceline.cli.evaluation.reading.child import run_in_child
from paceline.cli.evaluation.reading.expected import mean_of
from paceline.cli.evaluation.reading.foreseen import ForeseenText
from paceline.cli.evaluation.reading.kept_logits import KeptLogits, KeptPlaces
from paceline.cli.evaluation.reading.plan import ModelSource, Progress, ReadingPlan
from paceline.cli.evaluation.reading.served import draft_engine, target_engine
from paceline.cli.evaluation.reading.share import share_of
from paceline.cli.evaluation.reading.text_reading import TextReading, read_as_draft, write_as_target
from paceline.cli.evaluation.reading.texts import Ids, TextTask, WrittenText
from paceline.models.tokenizer import Tokenizer
from paceline.sampling.outlook import Outlook
from paceline.sampling.parameters import SamplingParameters

# Positions of all sampled texts together at which acceptance is computed exactly: 600 KB and 0.05 s each for a
# vocabulary of 150,000.
MAX_KEPT_PLACES = 320
ALL_KINDS = "all"
GREEDY = "greedy"


@dataclass(frozen=True)
class ReadText:
    """The target's greedy text to a prompt, and what a draft foresaw of it at each position."""

    draft: str
    kind: str
    prompt: str
    ids: Ids
    outlooks: tuple[Outlook, ...]

    @property
    def foreseen(self) -> ForeseenText:
        """The text without where it comes from."""
        return ForeseenText(self.ids, self.outlooks)


@dataclass(frozen=True)
class AcceptanceReading:
    """Acceptance for each draft, kind (and "all") and sampling, and the greedy texts that it comes from."""

    acceptance: tuple[Acceptance, ...]
    texts: tuple[ReadText, ...]


def read_acceptance(plan: ReadingPlan, progress: Progress) -> AcceptanceReading:
    """Let the target write and the drafts read, one model at a time.

    Raises ConfigError where a draft's vocabulary is not the target's, StoppedError after a stop signal, and whatever
    loading a model and encoding the prompts raise.
    """
    tokenizer = Tokenizer.load(plan.target.directory)
    require_shared_vocabulary(plan, tokenizer)
    tasks = _tasks(plan, encoded_prompts(plan.prompts, tokenizer))
    with TemporaryDirectory(prefix="paceline-") as folder:
        logits = _kept_logits(plan, Path(folder) / "logits")
        write = partial(
            write_as_target,
            target_engine(plan.target.directory, plan.cores.target),
            plan.target.title,
            tasks,
            plan.max_tokens,
            frozenset(tokenizer.eos_ids),
            logits,
        )
        texts = run_in_child(write, plan.cores.target, progress)
        readings = [_read(plan, draft, texts, logits, progress) for draft in plan.drafts]
    drafts = [
        _DraftReading(draft.name, plan, texts, read)
        for draft, read in zip(plan.drafts, readings, strict=True)
    ]
    return AcceptanceReading(
        tuple(one for draft in drafts for one in draft.acceptance()),
        tuple(one for draft in drafts for one in draft.texts()),
    )


def sampling_name(temperature: float) -> str:
    """Return the name of a way of sampling in findings."""
    return f"T = {temperature:g}" if temperature else GREEDY


def _read(
    plan: ReadingPlan,
    draft: ModelSource,
    texts: tuple[WrittenText, ...],
    logits: KeptLogits | None,
    progress: Progress,
) -> tuple[TextReading, ...]:
    config = draft_engine(draft.directory, plan.cores.draft)
    return run_in_child(
        partial(read_as_draft, config, draft.title, texts, logits), plan.cores.draft, progress
    )


def _tasks(plan: ReadingPlan, prompts: Sequence[Ids]) -> tuple[TextTask, ...]:
    """All texts, those of one temperature after the other; greedy ones are first, and none of their logits are kept."""
    greedy = [TextTask(ids, SamplingParameters(num_prompt_tokens=len(ids))) for ids in prompts]
    sampled = [
        replace(task, sampling=replace(task.sampling, temperature=temperature, seed=plan.seed))
        for temperature in plan.temperatures
        for task in greedy
    ]
    return (*greedy, *(replace(task, kept_text=number) for number, task in enumerate(sampled)))


def _kept_logits(plan: ReadingPlan, path: Path) -> KeptLogits | None:
    num_texts = len(plan.temperatures) * len(plan.prompts)
    return KeptLogits(path, KeptPlaces(num_texts, plan.max_tokens, MAX_KEPT_PLACES)) if num_texts else None


@dataclass(frozen=True)
class _TextPair:
    """A text and what a draft made of it."""

    prompt: BenchPrompt
    text: WrittenText
    reading: TextReading

    @cached_property
    def agrees(self) -> tuple[bool, ...]:
        """Whether the draft chooses the target's token at each position."""
        return tuple(own == its for own, its in zip(self.reading.chosen_ids, self.text.ids, strict=True))


class _DraftReading:
    """What one draft made of all texts."""

    def __init__(
        self, draft: str, plan: ReadingPlan, texts: Sequence[WrittenText], readings: Sequence[TextReading]
    ) -> None:
        self._draft = draft
        self._plan = plan
        self._samplings: dict[str, list[_TextPair]] = {}
        temperatures = [0.0, *plan.temperatures]
        prompts = [(temperature, prompt) for temperature in temperatures for prompt in plan.prompts]
        for (temperature, prompt), text, reading in zip(prompts, texts, readings, strict=True):
            pair = _TextPair(prompt, text, reading)
            self._samplings.setdefault(sampling_name(temperature), []).append(pair)

    def acceptance(self) -> list[Acceptance]:
        """Of each kind and of all together, each way of sampling."""
        kinds = [*dict.fromkeys(prompt.kind for prompt in self._plan.prompts), ALL_KINDS]
        return [
            self._of(kind, sampling, [pair for pair in pairs if kind in {pair.prompt.kind, ALL_KINDS}])
            for sampling, pairs in self._samplings.items()
            for kind in kinds
        ]

    def texts(self) -> list[ReadText]:
        """Return the greedy ones."""
        return [
            ReadText(self._draft, pair.prompt.kind, pair.prompt.name, pair.text.ids, pair.reading.outlooks)
            for pair in self._samplings[GREEDY]
        ]

    def _of(self, kind: str, sampling: str, pairs: Sequence[_TextPair]) -> Acceptance:
        chains = [pair.agrees for pair in pairs]
        numbers = self._plan.num_draft_tokens
        expected = mean_of([one for pair in pairs for one in pair.reading.expected])
        return Acceptance(
            draft=self._draft,
            kind=kind,
            sampling=sampling,
            num_positions=sum(map(len, chains)),
            observed=share_of(chains, self._plan.seed),
            per_position=acceptance_by_place(chains, max(numbers)),
            expected_shared=expected.shared if expected else None,
            expected_rejection=expected.rejection if expected else None,
            optimum=expected.optimum if expected else None,
            tokens_per_round={str(number): tokens_per_round(chains, number) for number in numbers},
        )
