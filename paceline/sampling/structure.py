"""Structured output: what a text must match, as masks over the ids that may come next."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, lru_cache
from threading import Lock, stack_size

from llguidance import LLMatcher, LLParserLimits, LLTokenizer

from paceline.models.tokenizer import Tokenizer
from paceline.sampling.parameters import Structure
from paceline.sampling.structure_grammar import grammar_of, refusal, sentence_of
from paceline.sampling.structure_probe import compiles_in_time, needs_probe
from paceline.sampling.structure_rows import RowShape, StructureRows
from paceline.sampling.structure_vocabulary import structure_tokenizer

MAX_COMPILED_STRUCTURES = 64

# A state of the lexer takes 1 to 2 kB, and each session has its own; llguidance would take five times as many. Messages
# that are not verbose do not repeat what a client has sent.
LIMITS = LLParserLimits(max_lexer_states=50_000, verbose_errors=False)

# llguidance follows references recursively, and the process dies where the stack ends: at 8 MiB a schema of 57 kB does
# that. Pages that are not touched cost nothing.
COMPILE_STACK_BYTES = 256 << 20
_stack_size_lock = Lock()


class CompiledStructure:
    """A structure, ready for any number of sessions."""

    def __init__(self, matcher: LLMatcher, shape: RowShape) -> None:
        self._matcher = matcher
        self._shape = shape

    def rows(self, num_prompt_tokens: int) -> StructureRows:
        """Start the masks of one session, whose text begins behind `num_prompt_tokens` ids; takes microseconds."""
        return StructureRows(self._matcher, self._shape, num_prompt_tokens)


class StructureCompiler:
    """Compiles structures for one vocabulary and keeps the last `MAX_COMPILED_STRUCTURES`; threads may share it.

    `vocabulary_size` is the number of columns of the model's logits, of which padding is never allowed.
    """

    def __init__(self, tokenizer: Tokenizer, vocabulary_size: int) -> None:
        self._tokenizer = tokenizer
        self._vocabulary_size = vocabulary_size
        self._compile = lru_cache(MAX_COMPILED_STRUCTURES)(self._compile_anew)

    def compile(self, structure: Structure) -> CompiledStructure:
        """Return a structure's masks; call it in a worker thread, for it may take seconds.

        Raises InvalidRequestError (field "sampling.structure") for what is not valid, not supported or too large.
        """
        return self._compile(structure)

    @cached_property
    def _vocabulary(self) -> LLTokenizer:
        return structure_tokenizer(self._tokenizer, self._vocabulary_size)

    @cached_property
    def _shape(self) -> RowShape:
        num_tokens = min(self._tokenizer.num_tokens, self._vocabulary_size)
        return RowShape(num_tokens, self._vocabulary_size, frozenset(self._tokenizer.eos_ids))

    def _compile_anew(self, structure: Structure) -> CompiledStructure:
        if not self._tokenizer.eos_ids:
            raise refusal(structure, "the model's tokenizer has no end token to end it with")
        grammar = grammar_of(structure)
        if needs_probe(structure) and not compiles_in_time(grammar):
            raise refusal(structure, "it takes too long to compile, mostly for patterns that must all match")
        vocabulary = self._vocabulary
        matcher = _on_deep_stack(lambda: _started_matcher(vocabulary, grammar))
        if matcher.is_error():
            raise refusal(structure, sentence_of(structure.kind, matcher.get_error()))
        return CompiledStructure(matcher, self._shape)


def _started_matcher(vocabulary: LLTokenizer, grammar: str) -> LLMatcher:
    """Return a matcher that has computed its first mask, so that its copies need not, or one that is in error."""
    matcher = LLMatcher(vocabulary, grammar, log_level=0, limits=LIMITS)
    matcher.compute_bitmask()
    return matcher


def _on_deep_stack(compile_grammar: Callable[[], LLMatcher]) -> LLMatcher:
    """Run in a thread of its own with `COMPILE_STACK_BYTES` of stack."""
    with ThreadPoolExecutor(1, "compile-structure") as executor:
        with _stack_size_lock:
            previous = stack_size(COMPILE_STACK_BYTES)
            try:
                compiling = executor.submit(compile_grammar)  # starts the thread
            finally:
                stack_size(previous)
        return compiling.result()
