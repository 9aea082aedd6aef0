"""What is loaded into PyTorch has the weights that its directory holds; what cannot be served is refused in a word."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paceline.engine.errors import UnsupportedModelError
from paceline.engine.graph.architecture import Architecture
from paceline.engine.graph.manifest import WEIGHTS_FILE, Manifest
from paceline.engine.graph.weights import FAST_HEAD, Array, open_weights, quantize
from paceline.engine.work import Logits
from paceline.errors import ConfigError
from paceline.models.catalog import SMOLLM2_135M
from paceline.models.prepare import prepare
from tests.paceline.engine.reference import reference_logits, reference_model
from tests.paceline.engine.tiny_models import (
    LLAMA,
    QWEN2,
    dequantized,
    random_weights,
    stored_weights,
    write_prepared,
)

torch = pytest.importorskip("torch", reason="torch is not installed (`make setup` installs it)")
pytest.importorskip("transformers", reason="transformers is not installed (`make setup` installs it)")

from paceline.engine.pytorch import placement, quantisation  # noqa: E402
from paceline.engine.pytorch.attention import ATTENTION_NAME  # noqa: E402
from paceline.engine.pytorch.families import SUPPORTED_FAMILIES  # noqa: E402
from paceline.engine.pytorch.loading import (  # noqa: E402
    LoadedModel,
    LoadOptions,
    load_torch_model,
    require_sliceable,
)
from tests.paceline.engine.pytorch.tiny_hub_models import (  # noqa: E402
    FAMILY_FIELDS,
    reference_hub_model,
    tiny_hub_model,
)

pytestmark = pytest.mark.reference

IDS = np.random.default_rng(5).integers(0, LLAMA.vocabulary_size, 40).tolist()
UNTIED = replace(LLAMA, has_tied_head=False, head_size=32)
CPU = torch.device("cpu")
OPTIONS = LoadOptions(CPU, torch.float32, "f16")
TOLERANCE = 1e-4  # of logits that spread over several units


def state_of(loaded: LoadedModel) -> Mapping[str, Any]:
    return loaded.model.state_dict()


def logits_of(loaded: LoadedModel) -> Logits:
    """Logits by transformers' own attention: ours needs a cache."""
    loaded.model.set_attn_implementation("eager")
    with torch.inference_mode():
        return loaded.model(torch.tensor([IDS])).logits[0].float().numpy()


def change_config(directory: Path, **fields: Any) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def refusal(directory: Path, options: LoadOptions = OPTIONS) -> str:
    with pytest.raises(UnsupportedModelError) as caught:
        load_torch_model(directory, options)
    assert str(directory) in caught.value.message
    assert "\n" not in caught.value.message
    return caught.value.message


class TestPreparedDirectories:
    @pytest.mark.parametrize("weights", ["f32", "f16", "int8", "int4"])
    @pytest.mark.parametrize("shape", [LLAMA, QWEN2, UNTIED], ids=["llama", "qwen2", "untied"])
    def test_weights_are_those_that_the_stored_ones_mean(
        self, tmp_path: Path, shape: Architecture, weights: str
    ) -> None:
        stored = stored_weights(random_weights(shape), weights)
        reference = reference_model(shape, dequantized(stored))
        loaded = load_torch_model(write_prepared(tmp_path, shape, stored, weights), OPTIONS)
        expected = reference.state_dict()
        assert state_of(loaded).keys() == expected.keys()
        assert [name for name, one in state_of(loaded).items() if not torch.equal(one, expected[name])] == []
        np.testing.assert_allclose(
            logits_of(loaded), reference_logits(reference, IDS), rtol=0, atol=TOLERANCE
        )

    def test_what_is_loaded_is_described_and_ready(self, tmp_path: Path) -> None:
        stored = stored_weights(random_weights(QWEN2), "int8")
        loaded = load_torch_model(write_prepared(tmp_path, QWEN2, stored, "int8"), OPTIONS)
        assert (loaded.name, loaded.family, loaded.weights) == ("tiny", "qwen2", "int8")
        assert (
            loaded.shape.num_layers,
            loaded.shape.num_heads,
            loaded.shape.num_kv_heads,
            loaded.shape.head_size,
        ) == (2, 4, 2, 16)
        assert (loaded.shape.vocabulary_size, loaded.shape.max_context_tokens) == (211, 256)
        assert_ready(loaded)

    @pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
    @pytest.mark.parametrize("weights", ["f16", "int8", "int4"])
    def test_other_precisions_are_rounded_once(self, tmp_path: Path, weights: str, dtype: str) -> None:
        stored = stored_weights(random_weights(QWEN2), weights)
        options = replace(OPTIONS, compute_dtype=getattr(torch, dtype))
        loaded = load_torch_model(write_prepared(tmp_path, QWEN2, stored, weights), options)
        exact = reference_model(QWEN2, dequantized(stored)).state_dict()
        expected = {name: one.to(options.compute_dtype) for name, one in exact.items()}
        assert [name for name, one in state_of(loaded).items() if not torch.equal(one, expected[name])] == []

    def test_a_tied_head_is_the_embedding_itself(self, tmp_path: Path) -> None:
        stored = stored_weights(random_weights(LLAMA), "f16")
        model = load_torch_model(write_prepared(tmp_path, LLAMA, stored, "f16"), OPTIONS).model
        assert model.lm_head.weight is model.get_input_embeddings().weight

    def test_weights_that_are_stored_as_they_are_computed_stay_in_the_mapped_file(
        self, tmp_path: Path
    ) -> None:
        directory = write_prepared(tmp_path, LLAMA, random_weights(LLAMA), "f32")
        loaded = load_torch_model(directory, OPTIONS)
        mapped = list(mappings_of(directory / WEIGHTS_FILE))
        addresses = {name: one.data_ptr() for name, one in state_of(loaded).items()}
        assert [name for name, one in addresses.items() if not any(one in part for part in mapped)] == []

    def test_the_fast_head_of_drafts_is_left_alone(self, tmp_path: Path) -> None:
        weights = random_weights(QWEN2)
        stored = stored_weights(weights, "int4")
        without = load_torch_model(write_prepared(tmp_path, QWEN2, stored, "int4"), OPTIONS)
        expected = {name: one.clone() for name, one in state_of(without).items()}
        stored |= quantize(FAST_HEAD, random_weights(QWEN2, seed=1)["token_embd"], "int4")
        loaded = load_torch_model(write_prepared(tmp_path, QWEN2, stored, "int4"), OPTIONS)
        assert state_of(loaded).keys() == expected.keys()
        assert all(torch.equal(one, expected[name]) for name, one in state_of(loaded).items())

    def test_a_real_model_computes_what_transformers_does_with_its_weights(self) -> None:
        directory = prepare(SMOLLM2_135M.name, "int8")
        architecture = Manifest.read(directory).architecture
        weights = dequantized(open_weights(directory / WEIGHTS_FILE))
        expected = reference_logits(reference_model(architecture, weights), IDS)
        loaded = load_torch_model(directory, OPTIONS)
        assert (loaded.name, loaded.weights, loaded.shape.num_layers) == (SMOLLM2_135M.name, "int8", 30)
        np.testing.assert_allclose(logits_of(loaded), expected, rtol=0, atol=1e-3)

    def test_a_graph_that_was_exported_for_openvino_is_refused(self, tmp_path: Path) -> None:
        Manifest("tiny", "f16", "exported", LLAMA, "some/source").write(tmp_path)
        message = refusal(tmp_path)
        assert "--engine openvino" in message
        assert "some/source" in message

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (
                lambda stored: stored.pop("blk.1.ffn_up"),
                "lacks the weights model.layers.1.mlp.up_proj.weight",
            ),
            (lambda stored: stored.pop("token_embd"), "lacks the weights"),
            (lambda stored: stored.pop("blk.0.ffn_gate"), "do not fit its architecture"),
            (lambda stored: stored.update(surplus=stored["output_norm"]), "do not fit its architecture"),
            (
                lambda stored: stored.update({"blk.0.attn_q.bias": stored["output_norm"]}),
                "no place for: model.layers.0.self_attn.q_proj.bias",
            ),
            (
                lambda stored: stored.update(output_norm=stored["output_norm"][:-1]),
                "model.norm.weight is [63], and [64] in the model",
            ),
        ],
    )
    def test_weights_that_are_not_those_of_the_architecture_are_refused(
        self, tmp_path: Path, change: Any, words: str
    ) -> None:
        stored: dict[str, Array] = stored_weights(random_weights(LLAMA), "f16")
        change(stored)
        write_prepared(tmp_path, LLAMA, stored, "f16")
        assert words in refusal(tmp_path)

    def test_a_directory_without_its_weights_is_refused(self, tmp_path: Path) -> None:
        Manifest("tiny", "f16", "built", LLAMA, "tests").write(tmp_path)
        assert WEIGHTS_FILE in refusal(tmp_path)

    def test_fp8_is_not_made_of_a_prepared_directory(self, tmp_path: Path) -> None:
        write_prepared(tmp_path, LLAMA, stored_weights(random_weights(LLAMA), "f16"), "f16")
        with pytest.raises(ConfigError, match="fp8") as caught:
            load_torch_model(tmp_path, replace(OPTIONS, weights="fp8"))
        assert caught.value.facts == {"setting": "weights"}


class TestHubDirectories:
    @pytest.mark.parametrize("family", SUPPORTED_FAMILIES)
    def test_a_sharded_model_is_what_transformers_reads(self, tmp_path: Path, family: str) -> None:
        directory = tiny_hub_model(family, tmp_path, max_shard_size="100KB")
        assert len(list(directory.glob("*.safetensors"))) > 1
        reference = reference_hub_model(directory)
        loaded = load_torch_model(directory, OPTIONS)
        assert (loaded.name, loaded.family, loaded.weights) == (tmp_path.name, family, "f32")
        head_size = FAMILY_FIELDS[family].get("head_dim", 16)
        assert (loaded.shape.num_layers, loaded.shape.num_heads, loaded.shape.num_kv_heads) == (2, 4, 2)
        assert (loaded.shape.head_size, loaded.shape.vocabulary_size, loaded.shape.max_context_tokens) == (
            head_size,
            211,
            256,
        )
        assert_ready(loaded)
        expected = reference_logits(reference, IDS)
        assert expected.std() > 0.5
        np.testing.assert_allclose(logits_of(loaded), expected, rtol=0, atol=TOLERANCE)

    @pytest.mark.parametrize("stored", ["float16", "bfloat16", "float32"])
    @pytest.mark.parametrize(
        ("computed", "name"), [("float32", "f32"), ("bfloat16", "bf16"), ("float16", "f16")]
    )
    def test_weights_are_held_in_the_precision_of_the_computation(
        self, tmp_path: Path, stored: str, computed: str, name: str
    ) -> None:
        directory = tiny_hub_model("llama", tmp_path, dtype=getattr(torch, stored))
        options = replace(OPTIONS, compute_dtype=getattr(torch, computed))
        loaded = load_torch_model(directory, options)
        assert loaded.weights == name
        assert {one.dtype for one in loaded.model.parameters()} == {options.compute_dtype}
        # Angles stay in f32, whatever is computed with them.
        assert {one.dtype for one in loaded.model.buffers()} == {torch.float32}

    def test_a_tied_head_is_the_embedding_itself(self, tmp_path: Path) -> None:
        model = load_torch_model(tiny_hub_model("qwen2", tmp_path), OPTIONS).model
        assert model.lm_head.weight is model.get_input_embeddings().weight

    def test_a_snapshot_of_the_cache_bears_its_hub_id(self, tmp_path: Path) -> None:
        directory = tmp_path / "models--some--model-1B" / "snapshots" / "0123"
        assert load_torch_model(tiny_hub_model("llama", directory), OPTIONS).name == "some/model-1B"

    def test_a_directory_that_holds_no_model_is_refused(self, tmp_path: Path) -> None:
        assert "neither a prepared model" in refusal(tmp_path)
        assert "neither a prepared model" in refusal(tmp_path / "missing")

    @pytest.mark.parametrize("text", ["{", "[]", "\N{DEGREE SIGN}"])
    def test_a_config_that_is_no_json_object_is_refused(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
        assert "config.json" in refusal(tmp_path)

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"hidden_size": "64"}, "hidden_size"),
            ({"num_hidden_layers": 0}, "num_layers is 0"),
            ({"num_key_value_heads": 3}, "4 heads cannot share 3"),
            ({"max_position_embeddings": None}, "max_position_embeddings"),
            ({"rope_parameters": {"rope_type": "spiral", "rope_theta": 1e4}}, "spiral"),
            ({"vocab_size": 212}, "is [211, 64], and [212, 64] in the model"),
            ({"num_hidden_layers": 3}, "lacks the weights"),
            ({"num_hidden_layers": 1}, "no place for: model.layers.1."),
            ({"attention_bias": True}, "lacks the weights model.layers.0.self_attn.k_proj.bias"),
        ],
    )
    def test_a_config_that_is_not_that_of_the_weights_is_refused(
        self, tmp_path: Path, fields: dict[str, Any], words: str
    ) -> None:
        directory = tiny_hub_model("llama", tmp_path)
        change_config(directory, **fields)
        assert words in refusal(directory)

    @pytest.mark.parametrize("family", ["gpt2", "mixtral", "gemma2", "of-nobody", None])
    def test_a_family_whose_attention_is_not_ours_is_refused(
        self, tmp_path: Path, family: str | None
    ) -> None:
        (tmp_path / "config.json").write_text(json.dumps({"model_type": family}))
        message = refusal(tmp_path)
        assert repr(str(family)) in message
        assert "qwen2" in message

    @pytest.mark.parametrize(
        ("family", "fields", "words"),
        [
            ("mistral", {"sliding_window": 64}, "a sliding window of 64 tokens"),
            ("phi3", {"sliding_window": 255}, "a sliding window of 255 tokens"),
            (
                "qwen2",
                {
                    "use_sliding_window": True,
                    "sliding_window": 8,
                    "max_window_layers": 1,
                    "layer_types": None,
                },
                "layers of sliding_attention",
            ),
            ("qwen3", {"layer_types": ["full_attention", "chunked_attention"]}, "chunked_attention"),
            ("mistral", {"layer_types": ["full_attention"] * 2}, "'ministral'"),
        ],
    )
    def test_windows_are_refused(
        self, tmp_path: Path, family: str, fields: dict[str, Any], words: str
    ) -> None:
        directory = tiny_hub_model(family, tmp_path)
        change_config(directory, **fields)
        assert words in refusal(directory)

    @pytest.mark.parametrize(
        ("family", "fields"),
        [
            ("mistral", {"sliding_window": 256}),
            (
                "qwen2",
                {
                    "use_sliding_window": True,
                    "sliding_window": 8,
                    "max_window_layers": 2,
                    "layer_types": None,
                },
            ),
            (
                "qwen2",
                {
                    "use_sliding_window": False,
                    "sliding_window": 8,
                    "max_window_layers": 0,
                    "layer_types": None,
                },
            ),
        ],
    )
    def test_windows_that_hide_nothing_are_none(
        self, tmp_path: Path, family: str, fields: dict[str, Any]
    ) -> None:
        directory = tiny_hub_model(family, tmp_path)
        expected = reference_logits(reference_hub_model(directory), IDS)
        change_config(directory, **fields)
        np.testing.assert_allclose(
            logits_of(load_torch_model(directory, OPTIONS)), expected, rtol=0, atol=TOLERANCE
        )

    def test_a_context_ends_where_longer_ones_would_turn_all_rows_by_other_angles(
        self, tmp_path: Path
    ) -> None:
        rope = {
            "rope_type": "longrope",
            "rope_theta": 1e4,
            "short_factor": [1.0] * 8,
            "long_factor": [2.0] * 8,
        }
        directory = tiny_hub_model(
            "phi3", tmp_path, rope_parameters=rope, original_max_position_embeddings=128
        )
        assert load_torch_model(directory, OPTIONS).shape.max_context_tokens == 128


class TestBrokenFiles:
    def test_a_missing_shard_is_named(self, tmp_path: Path) -> None:
        directory = tiny_hub_model("llama", tmp_path, max_shard_size="100KB")
        shard = sorted(directory.glob("*.safetensors"))[1]
        shard.unlink()
        assert shard.name in refusal(directory)

    @pytest.mark.parametrize("num_bytes_kept", [0, 4, 2000])
    def test_a_shard_that_was_cut_off_is_refused(self, tmp_path: Path, num_bytes_kept: int) -> None:
        directory = tiny_hub_model("llama", tmp_path)
        file = directory / "model.safetensors"
        file.write_bytes(file.read_bytes()[:num_bytes_kept])
        assert "cannot be loaded" in refusal(directory)

    @pytest.mark.parametrize("text", ["", "{}", '{"weight_map": 1}'])
    def test_an_index_that_is_broken_is_refused(self, tmp_path: Path, text: str) -> None:
        directory = tiny_hub_model("llama", tmp_path, max_shard_size="100KB")
        (directory / "model.safetensors.index.json").write_text(text)
        assert "cannot be loaded" in refusal(directory)

    def test_pickles_are_refused(self, tmp_path: Path) -> None:
        directory = tiny_hub_model("llama", tmp_path)
        torch.save(reference_hub_model(directory).state_dict(), directory / "pytorch_model.bin")
        (directory / "model.safetensors").unlink()
        assert "model.safetensors" in refusal(directory)


class TestCodeOfADirectory:
    MODULE = (
        "from pathlib import Path\n"
        "from transformers import LlamaConfig, LlamaForCausalLM\n"
        "Path({trace!r}).touch()\n"
        "class OwnForCausalLM(LlamaForCausalLM):\n"
        "    config_class = LlamaConfig\n"
        "    _supports_attention_backend = {uses_interface}\n"
    )

    @pytest.fixture
    def trace(self, tmp_path: Path) -> Path:
        """A file that the code makes as soon as it runs."""
        return tmp_path / "it-ran"

    @pytest.fixture(autouse=True)
    def modules(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where transformers copies such code to, in place of the user's cache."""
        folder = tmp_path / "modules"
        folder.mkdir()
        monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(folder))
        monkeypatch.syspath_prepend(str(folder))

    def directory(self, tmp_path: Path, trace: Path, name: str, *, uses_interface: bool = True) -> Path:
        directory = tiny_hub_model("llama", tmp_path / name.replace(".", "-"))
        text = self.MODULE.format(trace=str(trace), uses_interface=uses_interface)
        (directory / "modeling_own.py").write_text(text)
        change_config(directory, auto_map={"AutoModelForCausalLM": name})
        return directory

    def test_it_is_refused_and_does_not_run_unless_it_is_trusted(self, tmp_path: Path, trace: Path) -> None:
        directory = self.directory(tmp_path, trace, "modeling_own.OwnForCausalLM")
        message = refusal(directory)
        assert "--trust-remote-code" in message
        assert "modeling_own.OwnForCausalLM" in message
        assert not trace.exists()

    def test_it_runs_where_it_is_trusted(self, tmp_path: Path, trace: Path) -> None:
        directory = self.directory(tmp_path, trace, "modeling_own.OwnForCausalLM")
        expected = reference_logits(reference_hub_model(tiny_hub_model("llama", tmp_path / "plain")), IDS)
        loaded = load_torch_model(directory, replace(OPTIONS, trust_remote_code=True))
        assert trace.exists()
        assert type(loaded.model).__name__ == "OwnForCausalLM"
        assert_ready(loaded)
        np.testing.assert_allclose(logits_of(loaded), expected, rtol=0, atol=TOLERANCE)

    def test_it_is_refused_where_it_computes_attention_itself(self, tmp_path: Path, trace: Path) -> None:
        directory = self.directory(tmp_path, trace, "modeling_own.OwnForCausalLM", uses_interface=False)
        assert "AttentionInterface" in refusal(directory, replace(OPTIONS, trust_remote_code=True))

    @pytest.mark.parametrize("is_trusted", [False, True])
    def test_it_never_runs_where_transformers_has_the_same_model(
        self, tmp_path: Path, trace: Path, is_trusted: bool
    ) -> None:
        directory = self.directory(tmp_path, trace, "modeling_own.LlamaForCausalLM")
        loaded = load_torch_model(directory, replace(OPTIONS, trust_remote_code=is_trusted))
        assert type(loaded.model).__module__.startswith("transformers.")
        assert not trace.exists()


class TestQuantisation:
    @pytest.mark.parametrize("weights", ["int8", "int4", "fp8"])
    def test_it_names_what_is_not_installed(
        self, tmp_path: Path, weights: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(quantisation, "find_spec", lambda _name: None)
        directory = tiny_hub_model("llama", tmp_path)
        with pytest.raises(UnsupportedModelError, match=r"paceline\[accelerator\]") as caught:
            load_torch_model(directory, replace(OPTIONS, weights=weights))
        assert "torchao" in caught.value.message

    @pytest.mark.parametrize(
        ("weights", "num_bits", "most_error"), [("int8", 8, 0.05), ("fp8", 8, 0.15), ("int4", 4, 0.6)]
    )
    def test_linear_layers_are_held_in_fewer_bits(
        self, tmp_path: Path, weights: str, num_bits: int, most_error: float
    ) -> None:
        pytest.importorskip("torchao", reason="torchao is not installed (the extra `accelerator`)")
        directory = tiny_hub_model("qwen2", tmp_path, hidden_size=128, intermediate_size=256)
        options = replace(OPTIONS, compute_dtype=torch.bfloat16)
        exact = logits_of(load_torch_model(directory, options))
        loaded = load_torch_model(directory, replace(options, weights=weights))
        assert loaded.weights == weights
        layer = loaded.model.model.layers[0].mlp.down_proj.weight
        assert num_bytes_of(layer) < 1.5 * layer.numel() * num_bits / 8
        head = loaded.model.lm_head.weight
        assert head is loaded.model.get_input_embeddings().weight
        assert head.dtype == torch.bfloat16
        logits = logits_of(loaded)
        error = np.linalg.norm(logits - exact) / np.linalg.norm(exact)
        assert 0 < error < most_error

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"quant_method": "of-nobody"}, "of-nobody"),
            ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "bitsandbytes"),
            ({"bits": 4}, "quant_method"),
        ],
    )
    def test_a_directory_that_is_quantised_otherwise_is_refused(
        self, tmp_path: Path, fields: dict[str, Any], words: str
    ) -> None:
        directory = tiny_hub_model("llama", tmp_path)
        change_config(directory, quantization_config=fields)
        assert words in refusal(directory)

    def test_layers_that_int4_cannot_hold_are_refused(self, tmp_path: Path) -> None:
        pytest.importorskip("torchao", reason="torchao is not installed (the extra `accelerator`)")
        directory = tiny_hub_model("llama", tmp_path, hidden_size=48)
        assert "--weights int8" in refusal(directory, replace(OPTIONS, weights="int4"))

    def test_a_directory_that_is_quantised_already_stays_so(self, tmp_path: Path) -> None:
        torchao = pytest.importorskip("torchao.quantization", reason="torchao is not installed")
        plain = tiny_hub_model("qwen2", tmp_path / "plain", hidden_size=128, intermediate_size=256)
        options = replace(OPTIONS, compute_dtype=torch.bfloat16)
        quantised = load_torch_model(plain, replace(options, weights="int8")).model
        quantised.save_pretrained(tmp_path / "quantised")
        loaded = load_torch_model(tmp_path / "quantised", replace(options, weights="int4"))
        assert loaded.weights == "torchao"
        assert type(loaded.model.model.layers[0].mlp.down_proj.weight) is torchao.Int8Tensor


class TestSlices:
    def refusal(self, directory: Path, num_slices: int = 2, weights: str = "f16") -> str:
        with pytest.raises(ConfigError) as caught:
            require_sliceable(directory, weights, num_slices, trust_remote_code=False)
        return caught.value.message

    @pytest.mark.parametrize(
        ("num_slices", "what"), [(4, "2 key and value heads"), (2, "211 tokens of the head")]
    )
    @pytest.mark.parametrize("kind", ["hub", "prepared"])
    def test_what_cannot_be_dealt_out_is_refused(
        self, tmp_path: Path, kind: str, num_slices: int, what: str
    ) -> None:
        if kind == "hub":
            tiny_hub_model("llama", tmp_path)
        else:
            shape = replace(LLAMA, has_tied_head=False)
            write_prepared(tmp_path, shape, stored_weights(random_weights(shape), "int8"), "int8")
        assert f"{what} out to {num_slices} processes" in self.refusal(tmp_path, num_slices)

    def test_what_can_is_not(self, tmp_path: Path) -> None:
        pytest.importorskip("accelerate", reason="accelerate is not installed (the extra `accelerator`)")
        directory = tiny_hub_model("llama", tmp_path, vocab_size=212)
        require_sliceable(directory, "f16", 2, trust_remote_code=False)

    def test_a_missing_accelerate_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(placement, "find_spec", lambda _name: None)
        assert "accelerate" in self.refusal(tiny_hub_model("qwen2", tmp_path))

    def test_slices_are_not_quantised(self, tmp_path: Path) -> None:
        assert "--weights f16" in self.refusal(tiny_hub_model("llama", tmp_path), weights="int8")

    def test_what_is_quantised_already_is_not_sliced(self, tmp_path: Path) -> None:
        directory = tiny_hub_model("llama", tmp_path)
        change_config(directory, quantization_config={"quant_method": "fp8"})
        assert "'fp8'" in self.refusal(directory)


@pytest.mark.parametrize(
    ("change", "setting"),
    [({"weights": "int3"}, "weights"), ({"compute_dtype": torch.float64}, "compute_precision")],
)
def test_options_that_there_are_not_are_refused(tmp_path: Path, change: dict[str, Any], setting: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_torch_model(tmp_path, replace(OPTIONS, **change))
    assert caught.value.facts == {"setting": setting}


def assert_ready(loaded: LoadedModel) -> None:
    assert loaded.model.config._attn_implementation == ATTENTION_NAME
    assert not loaded.model.training
    assert {one.requires_grad for one in loaded.model.parameters()} == {False}
    assert {one.device for one in loaded.model.parameters()} == {CPU}
    assert {one.device for one in loaded.model.buffers()} == {CPU}


def mappings_of(path: Path) -> Iterator[range]:
    """The addresses at which this process has a file mapped."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(str(path)):
            first, last = (int(one, 16) for one in line.split()[0].split("-"))
            yield range(first, last)


def num_bytes_of(weight: Any) -> int:
    """What a tensor of torchao holds: its parts."""
    names, _ = weight.__tensor_flatten__()
    parts = [getattr(weight, name) for name in names]
    return sum(part.numel() * part.element_size() for part in parts)
