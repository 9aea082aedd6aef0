"""SECURITY.md tells what is so: what it names exists, its numbers are the code's, and that runs nothing it is given."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from draft_service.config import DraftConfig
from orchestrator.config import OrchestratorConfig
from paceline.serving.config import ServiceConfig
from target_service.config import TargetConfig

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
QUOTED = re.findall(r"`([^`\n]+)`", PAGE)
PROGRAMS: dict[str, type[ServiceConfig]] = {
    "orchestrator": OrchestratorConfig,
    "target": TargetConfig,
    "draft": DraftConfig,
}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
SERVED = ("paceline", "orchestrator", "draft_service", "target_service")
# Modules that make objects of bytes, and so may run what others wrote.
UNPICKLING = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
# Calls that run a text, or a file.
RUNNING = {
    "eval",
    "exec",
    "os.system",
    "os.popen",
    "torch.load",
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
}
TRUSTING = {("trust_remote_code", True), ("allow_pickle", True), ("shell", True), ("weights_only", False)}


def defined_names(path: Path) -> Iterator[str]:
    """The tests of a file and their classes, as pytest names them."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            yield node.name
            yield from (f"{node.name}::{one.name}" for one in node.body if isinstance(one, FUNCTIONS))
        elif isinstance(node, FUNCTIONS):
            yield node.name


class TestPage:
    def test_every_test_that_it_names_is_there(self) -> None:
        named = [one.partition("::") for one in QUOTED if ".py::" in one]
        assert len(named) > 30
        missing = [
            f"{path}::{test}" for path, _, test in named if test not in defined_names(ROOT / "tests" / path)
        ]
        assert missing == []

    def test_every_file_that_it_names_is_there(self) -> None:
        named = [one for one in QUOTED if re.fullmatch(r"[\w.-]+/[\w./-]*", one)]
        assert len(named) > 15
        assert [one for one in named if not (ROOT / one).exists()] == []

    def test_every_flag_that_it_names_is_one(self) -> None:
        flags = {
            "--" + name.replace("_", "-") for config in PROGRAMS.values() for name in config.model_fields
        }
        named = {one for one in QUOTED if one.startswith("--")}
        assert named - flags == set()

    def test_its_defaults_are_those_of_the_programs(self) -> None:
        rows = re.findall(r"^\| `--([\w-]+)` \| ([\w, ]+) \| ([\d.]+) \|", PAGE, re.MULTILINE)
        assert len(rows) > 12
        for flag, programs, default in rows:
            for program in PROGRAMS if programs == "all" else programs.split(", "):
                field = PROGRAMS[program].model_fields[flag.replace("-", "_")]
                assert str(field.default) == default, f"--{flag} of {program}"
        mentioned = re.findall(r"`--([\w-]+)` \(([\d.]+)\)", PAGE)
        assert mentioned
        for flag, default in mentioned:
            defaults = {
                str(config.model_fields[flag.replace("-", "_")].default)
                for config in PROGRAMS.values()
                if flag.replace("-", "_") in config.model_fields
            }
            assert default in defaults, flag

    def test_its_constants_are_those_of_the_code(self) -> None:
        rows = re.findall(r"^\| `([\w.]+)\.([A-Z_]+)` \| ([\d.]+) \|", PAGE, re.MULTILINE)
        assert len(rows) > 8
        for module, name, value in rows:
            assert str(getattr(import_module(module), name)) == value, name


class TestCode:
    """What the images have runs no code of a model, a message or a record, and starts no shell."""

    @pytest.mark.parametrize("package", SERVED)
    def test_nothing_is_unpickled_or_run(self, package: str) -> None:
        found = [
            f"{path.relative_to(ROOT)}:{fault}"
            for path in sorted((ROOT / package).rglob("*.py"))
            for fault in faults(ast.parse(path.read_text(encoding="utf-8")))
        ]
        assert found == []

    @pytest.mark.parametrize(
        "text",
        [
            "import pickle",
            "from marshal import loads",
            "eval(text)",
            "yaml.load(text)",
            "np.load(path, allow_pickle=True)",
            "AutoModel.from_pretrained(name, trust_remote_code=True)",
            "subprocess.run(command, shell=True)",
        ],
    )
    def test_what_would_is_found(self, text: str) -> None:
        assert len(list(faults(ast.parse(text)))) == 1


def faults(tree: ast.AST) -> Iterator[str]:
    """Line and name of what imports or calls something that runs what it is given."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (
                    f"{node.lineno}: {one.name}" for one in names if one.name.split(".")[0] in UNPICKLING
                )
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in UNPICKLING:
                yield f"{node.lineno}: {module}"
            case ast.Call(func=func, keywords=keywords):
                if ast.unparse(func) in RUNNING:
                    yield f"{node.lineno}: {ast.unparse(func)}"
                for one in keywords:
                    if isinstance(one.value, ast.Constant) and (one.arg, one.value.value) in TRUSTING:
                        yield f"{node.lineno}: {ast.unparse(one)}"
            case _:
                pass
