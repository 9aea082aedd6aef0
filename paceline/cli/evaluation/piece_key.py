"""By what a finished piece is known again: a digest of everything that it depends on."""

from collections.abc import Mapping

from paceline.cli.benchmark.machine import Machine
from paceline.cli.benchmark.trial import PlannedTrial
from paceline.cli.evaluation.digest import digest_of, model_digest
from paceline.cli.evaluation.plan import EvaluationPlan
from paceline.cli.evaluation.reading.plan import ModelSource, ReadingPlan


class PieceKeys:
    """The keys of one evaluation: another machine, other cores, versions or models have other ones."""

    def __init__(self, plan: EvaluationPlan, machine: Machine, versions: Mapping[str, str]) -> None:
        self._surroundings = {
            "machine": machine,
            "versions": dict(versions),
            "cores": plan.cores.describe(),
            "target": _facts(plan.target),
        }
        self._drafts = {draft.name: _facts(draft) for draft in plan.drafts}

    def reading(self, what: str, plan: ReadingPlan, **more: object) -> str:
        """Return the key of what is read in this process; `more` is what it depends on besides the plan."""
        return self._key(
            what,
            drafts=[self._drafts[draft.name] for draft in plan.drafts],
            prompts=plan.prompts,
            max_tokens=plan.max_tokens,
            temperatures=plan.temperatures,
            seed=plan.seed,
            num_draft_tokens=plan.num_draft_tokens,
            **more,
        )

    def trial(self, what: str, draft: str, planned: PlannedTrial, max_tokens: int) -> str:
        """Return the key of a trial through the services."""
        return self._key(what, draft=self._drafts[draft], planned=planned, max_tokens=max_tokens)

    def _key(self, what: str, **facts: object) -> str:
        return digest_of({**self._surroundings, "what": what, **facts})


def _facts(model: ModelSource) -> list[str]:
    return [model.name, model.weights, model_digest(model.directory)]
