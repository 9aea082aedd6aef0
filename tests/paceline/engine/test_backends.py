"""Only the engine that is chosen has to be installed."""

import subprocess
import sys
from pathlib import Path

import pytest

from paceline.engine.engine import Engine, EngineConfig
from paceline.errors import ConfigError


def test_an_engine_whose_packages_are_missing_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [one for one in sys.modules if one.startswith("paceline.engine.pytorch")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ConfigError) as caught:
        Engine.load(EngineConfig(tmp_path, 1 << 20, num_threads=1, engine="torch"))
    assert "torch" in caught.value.message
    assert 'pip install "paceline[accelerator]"' in caught.value.message
    assert caught.value.facts == {"setting": "engine"}


def test_slices_are_for_torch(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Give --engine torch") as caught:
        Engine.load(EngineConfig(tmp_path, 1 << 20, num_threads=1, tensor_parallel=2))
    assert caught.value.facts == {"setting": "tensor_parallel"}


def test_openvino_is_served_without_torch() -> None:
    """A fresh process, because others here may have imported it."""
    code = (
        "import sys; import target_service.program, draft_service.program, paceline.engine.openvino_backend; "
        "print([name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
