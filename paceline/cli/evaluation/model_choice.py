"""The models that are evaluated, prepared, each with the name by which findings know it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from paceline.cli.evaluation.reading.plan import ModelSource
from paceline.cli.model_setup import set_up_model
from paceline.engine.graph.manifest import Manifest
from paceline.errors import ConfigError
from paceline.models.catalog import find_pair


@dataclass(frozen=True)
class ModelNames:
    """Sources of the models, as `paceline.models.prepare.prepare` takes them."""

    target: str
    drafts: tuple[str, ...]


def choose_models(pair: str, target: str | None, drafts: Sequence[str]) -> ModelNames:
    """Return the models that are named, else those of a catalogued pair; raises ConfigError and UnknownModelError."""
    if (target is None) != (not drafts):
        raise ConfigError("give both --target and --draft, or neither and a --pair", setting="target")
    if target is None:
        found = find_pair(pair)
        return ModelNames(found.target.name, (found.draft.name,))
    return ModelNames(target, tuple(drafts))


def set_up(source: str, weights: str) -> ModelSource:
    """Return a model, pulled and prepared with progress where it is missing; raises as `prepare` does."""
    choice = set_up_model(source, weights)
    # A prepared directory has its own format, whatever is wanted.
    return ModelSource(choice.name, source, Manifest.read(choice.directory).weights, choice.directory)


def set_up_drafts(sources: Sequence[str], weights: str, target: ModelSource) -> tuple[ModelSource, ...]:
    """Return the drafts as `set_up` does; one that is the target's own model, in other weights, is named as a draft."""
    drafts = [set_up(source, weights) for source in sources]
    return tuple(
        replace(draft, name=f"{draft.name} (draft)") if draft.name == target.name else draft
        for draft in drafts
    )


def require_different_names(drafts: Sequence[ModelSource]) -> None:
    """Refuse two drafts of one name, which no report could tell apart: raises ConfigError."""
    names = [draft.name for draft in drafts]
    if len(set(names)) < len(names):
        raise ConfigError(
            f"--draft {', --draft '.join(names)}: two have the same name; give each another one, as by a link to it",
            setting="draft",
        )
