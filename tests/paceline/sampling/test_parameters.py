"""What may be wished for, and how the rest is refused."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.errors import InvalidRequestError
from paceline.sampling.parameters import (
    MAX_NUM_LOGIT_BIASES,
    SamplingParameters,
    Structure,
    StructureKind,
    check_parameters,
)

VOCABULARY_SIZE = 1000
ids = st.integers(0, VOCABULARY_SIZE - 1)

valid_parameters = st.builds(
    SamplingParameters,
    temperature=st.floats(0, 100),
    seed=st.integers(0, 2**64 - 1),
    top_k=st.none() | st.integers(1, 10**6),
    top_p=st.floats(0, 1, exclude_min=True),
    min_p=st.floats(0, 1),
    repetition_penalty=st.floats(0.01, 100),
    presence_penalty=st.floats(-2, 2),
    frequency_penalty=st.floats(-2, 2),
    logit_bias=st.dictionaries(ids, st.floats(-100, 100), max_size=5).map(lambda one: tuple(one.items())),
    min_tokens=st.integers(0, 10**6),
    end_ids=st.lists(ids, max_size=3).map(tuple),
    num_prompt_tokens=st.integers(0, 10**6),
    num_logprobs=st.none() | st.integers(0, 20),
)


@given(valid_parameters)
def test_what_is_in_range_is_allowed(parameters: SamplingParameters) -> None:
    check_parameters(parameters, VOCABULARY_SIZE)


LIMITS = {
    "temperature": (0.0, 100.0),
    "seed": (0, 2**64 - 1),
    "top_k": (1, None),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "repetition_penalty": (0.01, 100.0),
    "presence_penalty": (-2.0, 2.0),
    "frequency_penalty": (-2.0, 2.0),
    "min_tokens": (0, None),
    "num_prompt_tokens": (0, None),
    "num_logprobs": (0, 20),
}
INTEGERS = {"seed", "top_k", "min_tokens", "num_prompt_tokens", "num_logprobs"}


@given(st.sampled_from(sorted(LIMITS)), st.data())
def test_what_is_out_of_range_is_refused_by_name(name: str, data: st.DataObject) -> None:
    minimum, maximum = LIMITS[name]
    below = (
        st.integers(max_value=int(minimum) - 1)
        if name in INTEGERS
        else st.floats(max_value=minimum, exclude_max=True) | st.just(math.nan)
    )
    above = (
        st.nothing()
        if maximum is None
        else st.integers(int(maximum) + 1)
        if name in INTEGERS
        else st.floats(maximum, exclude_min=True)
    )
    value = data.draw(below | above)
    with pytest.raises(InvalidRequestError) as refused:
        check_parameters(replace(SamplingParameters(), **{name: value}), VOCABULARY_SIZE)
    facts = refused.value.facts
    assert facts["field"] == f"sampling.{name}"
    assert facts["value"] == value or math.isnan(value)
    assert facts["minimum"] == minimum
    assert facts.get("maximum") == maximum
    assert f"sampling.{name}" in str(refused.value)


def test_top_p_of_zero_would_keep_nothing() -> None:
    with pytest.raises(InvalidRequestError, match="must be above 0 and at most 1"):
        check_parameters(SamplingParameters(top_p=0.0), VOCABULARY_SIZE)


@pytest.mark.parametrize(
    ("parameters", "field", "text"),
    [
        (
            SamplingParameters(logit_bias=((3, 1.0), (3, 2.0))),
            "sampling.logit_bias",
            "names token id 3 twice",
        ),
        (SamplingParameters(logit_bias=((1000, 1.0),)), "sampling.logit_bias", "vocabulary of 1000"),
        (SamplingParameters(logit_bias=((-1, 1.0),)), "sampling.logit_bias", "vocabulary of 1000"),
        (SamplingParameters(logit_bias=((3, math.inf),)), "sampling.logit_bias", "at most 100"),
        (SamplingParameters(logit_bias=((3, -100.5),)), "sampling.logit_bias", "at least -100"),
        (
            SamplingParameters(logit_bias=tuple((one, 1.0) for one in range(MAX_NUM_LOGIT_BIASES + 1))),
            "sampling.logit_bias",
            "1025 entries",
        ),
        (SamplingParameters(end_ids=(2, 1000)), "sampling.end_ids", "vocabulary of 1000"),
        (
            SamplingParameters(structure=Structure(StructureKind.REGEX, "")),
            "sampling.structure",
            "empty regex",
        ),
    ],
)
def test_a_refusal_says_what_is_wrong(parameters: SamplingParameters, field: str, text: str) -> None:
    with pytest.raises(InvalidRequestError, match=text) as refused:
        check_parameters(parameters, 2000 if "1025" in text else VOCABULARY_SIZE)
    assert refused.value.facts["field"] == field
