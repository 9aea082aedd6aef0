"""Files of a model that somebody else made: no code of theirs is run."""

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from paceline.engine.errors import UnsupportedModelError
from paceline.models.chat_message import ChatMessage
from paceline.models.chat_template import ChatTemplate
from paceline.models.errors import ChatTemplateError
from paceline.models.optimum_export import export
from paceline.models.special_tokens import control_pattern

TURNS = [ChatMessage("user", "Name three rivers.")]


class TestChatTemplate:
    @pytest.mark.parametrize(
        "source",
        [
            "{{ ''.__class__.__mro__ }}",
            "{{ messages.append({}) }}",
            "{{ raise_exception.__globals__['os'] }}",
            "{% include '/etc/passwd' %}",
            "{% import 'os' as os %}",
            "{{ cycler.__init__.__globals__.os.system('true') }}",
        ],
    )
    def test_a_template_that_reaches_out_of_its_sandbox_is_refused(self, source: str) -> None:
        with pytest.raises(ChatTemplateError):
            ChatTemplate(source, control_pattern([]), {}).render(TURNS)


class Spy:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self._trace),)


@pytest.mark.reference
@pytest.mark.slow
class TestExport:
    """Nobody is at a terminal here, whom transformers could ask."""

    @pytest.fixture
    def model(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        pytest.importorskip("optimum.intel")
        pytest.importorskip("transformers")
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setattr("sys.stdin", None)
        directory = tmp_path / "model"
        directory.mkdir()
        return directory

    @pytest.mark.parametrize("what", ["AutoConfig", "AutoTokenizer"])
    def test_code_beside_a_model_is_not_run(self, model: Path, tmp_path: Path, what: str) -> None:
        from transformers import LlamaConfig, LlamaForCausalLM  # noqa: PLC0415

        if what == "AutoTokenizer":
            LlamaForCausalLM(small(LlamaConfig)).save_pretrained(model)
            settings, name = {"auto_map": {what: ["spy.Spy", None]}}, "tokenizer_config.json"
        else:
            settings, name = {"model_type": "spy", "auto_map": {what: "spy.Spy"}}, "config.json"
        (model / name).write_text(json.dumps(settings))
        (model / "spy.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'trace')!r})\nclass Spy: pass\n")
        with pytest.raises(UnsupportedModelError):
            export(str(model), "f16", tmp_path)
        assert not (tmp_path / "trace").exists()

    def test_a_pickle_beside_a_model_makes_no_object(self, model: Path, tmp_path: Path) -> None:
        from transformers import LlamaConfig  # noqa: PLC0415

        small(LlamaConfig).save_pretrained(model)
        weights = pickle.dumps({"a": Spy(tmp_path / "trace")}, protocol=2)  # what torch reads
        (model / "pytorch_model.bin").write_bytes(weights)
        with pytest.raises(UnsupportedModelError):
            export(str(model), "f16", tmp_path)
        assert not (tmp_path / "trace").exists()
        pickle.loads(weights)
        assert (tmp_path / "trace").exists(), "it would have shown"


def small(config: Any) -> Any:
    return config(
        vocab_size=64, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
