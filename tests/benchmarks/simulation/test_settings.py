import pytest

from benchmarks.simulation.settings import Settings
from paceline.client.generation import Speculation, SpeculationMode
from paceline.errors import ConfigError


@pytest.mark.parametrize(
    ("length", "speculation"),
    [
        (3, Speculation(SpeculationMode.FIXED, 3)),
        ("adaptive", Speculation(SpeculationMode.ADAPTIVE, 8)),
        ("off", Speculation(SpeculationMode.OFF)),
    ],
)
def test_a_draft_length_is_what_a_request_says(length, speculation):
    assert Settings(num_draft_tokens=length).speculation == speculation


@pytest.mark.parametrize(
    "values",
    [
        {"targets": 0},
        {"drafts": -1},
        {"sessions": 0},
        {"acceptance": 1.1},
        {"second_chance": -0.1},
        {"num_draft_tokens": 65},
        {"num_draft_tokens": "some"},
        {"rtt_ms": -1.0},
        {"max_tokens": 1},
        {"dilation": 0.0},
        {"orchestrators": 0},
    ],
)
def test_what_cannot_be_simulated_is_refused_with_its_option(values):
    with pytest.raises(ConfigError, match=r"--[a-z-]+ must be"):
        Settings(**values)


def test_prompts_differ_by_up_to_a_quarter():
    assert Settings(prompt_tokens=64).prompt_range == (48, 80)
