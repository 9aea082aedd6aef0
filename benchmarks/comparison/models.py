"""The models of a run, in the form that each peer reads; what is missing is made, once."""

from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.comparison.cell import Cell
from benchmarks.comparison.load_plan import Prompt
from benchmarks.comparison.system import FIXED, System
from benchmarks.peers.exported_models import DEQUANTISED, exported_path, find_or_export
from benchmarks.peers.setup import Model, PeerSetup
from paceline.cli.benchmark.prompt_set import read_prompts
from paceline.cli.model_setup import find_or_prepare
from paceline.models.catalog import find_pair
from paceline.models.chat_message import ChatMessage
from paceline.models.tokenizer import Tokenizer


@dataclass(frozen=True)
class ModelPlan:
    """Which models, in which formats.

    Attributes:
        pair: Of the catalogue.
        target_weights: Format for us and for GenAI.
        draft_weights: Our draft's.
        peer_draft_weights: GenAI's draft's.
        transformers_weights: Of both models there: f32, bf16 or int8.
        genai_precision: INFERENCE_PRECISION_HINT for GenAI; None is its default.
        target_engine: What computes our target, as the service has it; None is its default.
        target_device: Where it does; None is its default.
    """

    pair: str
    target_weights: str
    draft_weights: str
    peer_draft_weights: str
    transformers_weights: str
    genai_precision: str | None
    target_engine: str | None = None
    target_device: str | None = None

    def setup_of(self, system: System, cell: Cell) -> PeerSetup:
        """Return the process that a system needs in a cell; equal ones are the same process."""
        target, draft = self.models_of(system)
        has_draft = system.peer != "genai" or system.manner_kind == FIXED
        return PeerSetup(
            system.peer,
            target,
            draft if has_draft else None,
            cell.cores,
            is_batched=system.peer == "genai" and cell.num_sessions > 1,
            has_network=cell.round_trips is not None,
            # GenAI 2026.4.1 fails an assertion of its own where sampling, speculation and kept prompts meet.
            keeps_prompts=system.peer == "ours" or not (has_draft and cell.temperature),
            precision=self.genai_precision if system.peer == "genai" else None,
        )

    def models_of(self, system: System) -> tuple[Model, Model]:
        """Return target and draft as a system reads them."""
        pair = find_pair(self.pair)
        names = (pair.target.name, pair.draft.name)
        match system.peer:
            case "ours":
                formats = (self.target_weights, self.draft_weights)
                paths = [find_or_prepare(name, one) for name, one in zip(names, formats, strict=True)]
            case "genai":
                formats = (self.target_weights, self.peer_draft_weights)
                paths = [exported_path(name, one) for name, one in zip(names, formats, strict=True)]
            case "transformers":
                formats = (self.transformers_weights, self.transformers_weights)
                paths = [exported_path(name, DEQUANTISED) for name in names]
        target, draft = (
            Model(name, one, path) for name, one, path in zip(names, formats, paths, strict=True)
        )
        if system.peer == "ours":
            target = replace(target, engine=self.target_engine, device=self.target_device)
        return target, draft

    def missing(self, systems: set[System]) -> list[tuple[str, str]]:
        """Return (model, format) of every export that is still to be made."""
        pair = find_pair(self.pair)
        wanted: dict[tuple[str, str], None] = {}
        for peer in sorted({system.peer for system in systems}):
            if peer == "genai":
                wanted[pair.target.name, self.target_weights] = None
                wanted[pair.draft.name, self.peer_draft_weights] = None
            elif peer == "transformers":
                wanted |= dict.fromkeys(((pair.target.name, DEQUANTISED), (pair.draft.name, DEQUANTISED)))
        return [one for one in wanted if not exported_path(*one).is_dir()]


def export(model: str, weights: str) -> Path:
    """Make one export; raises ExportFailedError."""
    return find_or_export(model, weights)


class PromptIds:
    """Prompts by kind as the target's ids: the same for all systems."""

    def __init__(self, target_directory: Path) -> None:
        self._tokenizer = Tokenizer.load(target_directory)

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """Every id that ends an answer."""
        return self._tokenizer.eos_ids

    def of(self, kind: str) -> tuple[Prompt, ...]:
        """Return the prompts of a kind, each a chat of one turn."""
        return tuple(
            Prompt(
                f"{prompt.kind}/{prompt.name}",
                tuple(self._tokenizer.encode_chat([ChatMessage("user", prompt.text)])),
            )
            for prompt in read_prompts(kind)
        )
