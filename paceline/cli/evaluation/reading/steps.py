"""What a step of each model costs, alone on its cores, and the acceptance at which drafting just pays."""

from dataclasses import dataclass
from functools import partial

from paceline.cli.evaluation.findings import ModelFacts, SizeRatio
from paceline.cli.evaluation.reading.break_even import break_even_acceptance
from paceline.cli.evaluation.reading.child import run_in_child
from paceline.cli.evaluation.reading.plan import ModelSource, Progress, ReadingPlan
from paceline.cli.evaluation.reading.served import draft_engine, target_engine
from paceline.cli.evaluation.reading.timed_model import TimedModel, time_model
from paceline.local.core_assignment import Cores

ROW_COUNTS = (1, 2, 4, 5, 8)
NUM_REPEATS = 9


@dataclass(frozen=True)
class StepReading:
    """The target's facts and each draft's, and how these compare."""

    models: tuple[ModelFacts, ...]
    size_ratios: tuple[SizeRatio, ...]


def read_steps(plan: ReadingPlan, progress: Progress) -> StepReading:
    """Load each model as its service does, and time passes with 256 tokens of context.

    Raises StoppedError after a stop signal, and what loading a model raises.
    """
    row_counts = tuple(sorted({*ROW_COUNTS, *(number + 1 for number in plan.num_draft_tokens)}))
    target_config = target_engine(plan.target.directory, plan.cores.target)
    target = run_in_child(
        partial(time_model, target_config, plan.target.title, row_counts, NUM_REPEATS),
        plan.cores.target,
        progress,
    )
    models = [model_facts("target", plan.target.name, target)]
    ratios: list[SizeRatio] = []
    for source in plan.drafts:
        draft = _time_draft(source, plan.cores.draft, progress)
        models.append(model_facts("draft", source.name, draft))
        beside = draft
        if _num_cores(plan.cores.draft) != _num_cores(plan.cores.target):
            beside = _time_draft(source, plan.cores.target, progress)
        ratios.append(_size_ratio(plan, source.name, target, draft, beside))
    return StepReading(tuple(models), tuple(ratios))


def model_facts(role: str, name: str, model: TimedModel) -> ModelFacts:
    """Return what a report says of a model; `role` is "target" or "draft".

    A draft lays its prompts out in chunks and promises no batch invariance, so that it has none.
    """
    info, shape = model.info, model.architecture
    return ModelFacts(
        role=role,
        name=name,
        weights=info.weights,
        compute_precision=info.compute_precision,
        kv_precision=info.kv_precision,
        device=info.device,
        is_batch_invariant=info.self_test.batch_invariant,
        num_parameters=model.num_parameters,
        weight_bytes=model.weight_bytes,
        num_layers=shape.num_layers,
        num_kv_heads=shape.num_kv_heads,
        head_size=shape.head_size,
        kv_bytes_per_token=info.kv_bytes_per_token,
    )


def round_seconds(target: TimedModel, draft: TimedModel, num_draft_tokens: int) -> float:
    """Return what a round of K draft tokens takes where the draft goes on while the target verifies.

    Both begin together, and the longer one counts: a pass of K + 1 rows, or K draft steps.
    """
    verify = target.times.median_of_rows(num_draft_tokens + 1)
    return max(verify, num_draft_tokens * draft.times.median_step)


def _time_draft(source: ModelSource, cores: Cores | None, progress: Progress) -> TimedModel:
    config = draft_engine(source.directory, cores)
    return run_in_child(partial(time_model, config, source.title, (1,), NUM_REPEATS), cores, progress)


def _size_ratio(
    plan: ReadingPlan, name: str, target: TimedModel, draft: TimedModel, beside: TimedModel
) -> SizeRatio:
    """Compare the models; `beside` is the draft on as many cores as the target has."""
    step = target.times.median_step
    return SizeRatio(
        draft=name,
        parameters=target.num_parameters / draft.num_parameters,
        weight_bytes=target.weight_bytes / draft.weight_bytes,
        step_seconds=step / beside.times.median_step,
        break_even_acceptance={
            str(number): break_even_acceptance(round_seconds(target, draft, number), step, number)
            for number in plan.num_draft_tokens
        },
    )


def _num_cores(cores: Cores | None) -> int | None:
    return None if cores is None else len(cores)
