import re

import pytest

from paceline.models.cache import default_cache_dir
from paceline.models.catalog import MODELS, PAIRS, Model, find_model, find_models, find_pair
from paceline.models.errors import UnknownModelError
from paceline.models.hub_source import hub_url


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_every_model_is_pinned_to_the_byte_in_both_sources(model: Model):
    assert re.fullmatch(r"[0-9a-f]{64}", model.sha256)
    assert re.fullmatch(r"[0-9a-f]{40}", model.hub.revision)
    assert model.num_bytes > 10**7
    assert all(re.fullmatch(r"[\w-]+==[\d.]+", one) for one in model.wheels.requirements)


def test_a_name_stands_for_a_model_or_for_a_pair_target_first():
    assert [one.name for one in find_models("reference")] == [
        "qwen2.5-coder-1.5b-instruct",
        "qwen2.5-coder-0.5b-instruct",
    ]
    assert (
        find_models("tiny") == find_models("smollm2-135m-instruct") == (find_model("smollm2-135m-instruct"),)
    )
    assert not MODELS.keys() & PAIRS.keys()


@pytest.mark.parametrize("find", [find_model, find_models, find_pair])
def test_an_unknown_name_is_answered_with_the_known_ones(find):
    with pytest.raises(UnknownModelError) as refused:
        find("gpt-5")
    assert refused.value.known_names
    assert all(name in str(refused.value) for name in refused.value.known_names)


def test_a_mirror_takes_the_place_of_the_hub():
    file = find_model("smollm2-135m-instruct").hub
    assert hub_url(file, "https://mirror.example/hf/").startswith("https://mirror.example/hf/QuantFactory/")


def test_the_cache_directory_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path):
    monkeypatch.setenv("PACELINE_CACHE_DIR", str(tmp_path))
    assert default_cache_dir() == tmp_path
    monkeypatch.delenv("PACELINE_CACHE_DIR")
    assert default_cache_dir().name == "paceline"
