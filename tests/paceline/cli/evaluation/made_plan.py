"""A plan of models that are files only, for what does not load them."""

from pathlib import Path

from paceline.cli.benchmark.machine import Machine
from paceline.cli.benchmark.prompt_set import BenchPrompt
from paceline.cli.evaluation.amount import QUICK
from paceline.cli.evaluation.findings import Prices
from paceline.cli.evaluation.plan import EvaluationPlan
from paceline.cli.evaluation.reading.plan import ModelSource
from paceline.cli.evaluation.section import Section
from paceline.local.core_assignment import CoreAssignment, Cores

MACHINE = Machine("cpu", 2, 2, 8.0, "6")
VERSIONS = {"paceline": "1"}


def make_plan(directory: Path) -> EvaluationPlan:
    """A quick evaluation of two drafts on two prompts."""
    return EvaluationPlan(
        _model(directory, "big"),
        (_model(directory, "small"), _model(directory, "smaller")),
        (BenchPrompt("code", "a", "Write a."), BenchPrompt("prose", "b", "Tell b.")),
        tuple(Section),
        QUICK,
        (2, 4),
        (0.7,),
        CoreAssignment(Cores([0]), Cores([1])),
        Prices(),
        2048,
        1 << 29,
    )


def _model(directory: Path, name: str) -> ModelSource:
    path = directory / name
    path.mkdir(exist_ok=True)
    (path / "paceline.json").write_text(name)
    (path / "model.safetensors").write_bytes(b"weights")
    return ModelSource(name, name, "int8", path)
