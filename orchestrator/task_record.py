"""What a session's record keeps of its task, so that any orchestrator can go on with it."""

from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from orchestrator.errors import SessionNotFoundError
from orchestrator.generation_task import GenerationTask, SpeculationPlan
from orchestrator.stopping import StopRules
from orchestrator.transcript import StopTexts


@dataclass(frozen=True)
class TaskRecord:
    """How a generation ends and how it is speculated on; the ids and the sampling have their own fields.

    Attributes:
        max_tokens: Most tokens after the prompt.
        stop_ids: Ids that end it.
        stop_texts: Texts that end it.
        speculation: Where draft tokens come from.
        prediction_ids: What much of the output is likely to repeat; older versions neither write nor need it.
    """

    max_tokens: int
    stop_ids: tuple[int, ...]
    stop_texts: StopTexts
    speculation: SpeculationPlan
    prediction_ids: tuple[int, ...] = ()

    @classmethod
    def of(cls, task: GenerationTask) -> "TaskRecord":
        """Return what is kept of a task."""
        rules = task.stop_rules
        return cls(
            rules.max_tokens,
            tuple(sorted(rules.stop_ids)),
            task.stop_texts,
            task.speculation,
            task.prediction_ids,
        )

    @classmethod
    def read(cls, session_id: str, text: str) -> "TaskRecord":
        """Return the record of its text; raises SessionNotFoundError where another version wrote it."""
        try:
            return _ADAPTER.validate_json(text)
        except ValidationError as error:
            raise SessionNotFoundError(session_id) from error

    def write(self) -> str:
        """Return the record as JSON."""
        return _ADAPTER.dump_json(self).decode()

    def stop_rules(self, num_prompt_tokens: int, max_context_tokens: int) -> StopRules:
        """Return when to end behind a prompt of so many tokens."""
        return StopRules(num_prompt_tokens, self.max_tokens, max_context_tokens, frozenset(self.stop_ids))


_ADAPTER = TypeAdapter(TaskRecord)
