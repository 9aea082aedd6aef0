"""A target that is loaded to write: as many texts at once as its cache has room for."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from paceline.distillation.corpus import Corpus
from paceline.distillation.framing import framing_of
from paceline.distillation.openings import read_openings
from paceline.distillation.wish import Subjects, Wishes
from paceline.distillation.writer import TextWriter, WritingPlan
from paceline.engine.engine import AdmissionRules, Engine, EngineConfig
from paceline.engine.graph.architecture import Architecture
from paceline.engine.graph.manifest import Manifest
from paceline.models.tokenizer import Tokenizer

MAX_QUESTION_TOKENS = 128
# Room for a chat template and for what a tokenizer makes of a question that it did not write.
_SPARE_TOKENS = 128
_PREFILL_ROWS = 64
# Nobody waits for an answer, so that prompts need not be cut into small pieces, and everybody can wait for room.
_PATIENT_SECONDS = 3600.0
_BYTES_OF_F32 = 4


@dataclass(frozen=True)
class WritingOptions:
    """What the user may choose.

    Attributes:
        prompts: The user's own.
        writes_questions: Whether the target asks itself too.
        temperatures: Each question is answered once at each.
        num_sessions: Texts at once.
        max_answer_tokens: Where answers are cut.
        num_labels: Soft labels a token.
        num_threads: Threads of a forward pass.
        seed: Of all that is drawn.
    """

    prompts: tuple[str, ...]
    writes_questions: bool
    temperatures: tuple[float, ...]
    num_sessions: int
    max_answer_tokens: int
    num_labels: int
    num_threads: int
    seed: int


def write_text(
    target: Path,
    corpus: Corpus,
    options: WritingOptions,
    is_enough: Callable[[], bool],
    note_written: Callable[[int], None],
) -> None:
    """Load a prepared target and let it write until it is enough; raises what loading and computing fail with."""
    tokenizer = Tokenizer.load(target)
    framing = framing_of(tokenizer)
    openings = read_openings() if options.writes_questions else ()
    subjects = Subjects(options.prompts, openings, options.writes_questions, options.temperatures)
    wishes = Wishes(subjects, framing, (options.seed, corpus.num_shards))
    longest_prompt = max(
        (len(framing.answer_prompt(prompt)) for prompt in options.prompts), default=MAX_QUESTION_TOKENS
    )
    plan = WritingPlan(
        options.num_sessions,
        MAX_QUESTION_TOKENS,
        options.max_answer_tokens,
        options.num_labels,
        frozenset(tokenizer.eos_ids),
    )
    num_tokens = max(longest_prompt, MAX_QUESTION_TOKENS) + options.max_answer_tokens + _SPARE_TOKENS
    with Engine.load(_engine_config(target, options, num_tokens)) as engine:
        TextWriter(engine, framing, wishes, corpus, plan).write(is_enough, note_written)


def _engine_config(target: Path, options: WritingOptions, num_tokens: int) -> EngineConfig:
    """Return a configuration with room for all sessions, of so many tokens each, at once."""
    num_sessions = options.num_sessions
    shape = Manifest.read(target).architecture
    return EngineConfig(
        target,
        kv_cache_bytes=num_sessions * num_tokens * _most_kv_bytes(shape),
        num_threads=options.num_threads,
        max_rows_per_step=num_sessions + _PREFILL_ROWS,
        max_decode_stall_seconds=_PATIENT_SECONDS,
        batch_invariant="off",
        admission=AdmissionRules(max_waiting=2 * num_sessions, deadline_seconds=_PATIENT_SECONDS),
    )


def _most_kv_bytes(shape: Architecture) -> int:
    """Bytes of a token's KV in the widest precision."""
    return 2 * shape.num_layers * shape.num_kv_heads * shape.head_size * _BYTES_OF_F32
