"""Tokens come back as they went out; whatever else comes is refused."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import InvalidRollbackTokenError
from orchestrator.rollback_token import RollbackToken, TokenSigner

SIGNER = TokenSigner(b"k" * 32)
TOKENS = st.builds(
    RollbackToken,
    st.uuids().map(lambda one: one.hex),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**32 - 1),
    st.binary(min_size=16, max_size=16),
)


@given(TOKENS)
def test_a_token_comes_back_as_it_went_out(token):
    text = SIGNER.write(token)
    assert SIGNER.read(text) == token
    assert len(text) == 84
    assert text.replace("-", "").replace("_", "").isalnum()


@given(TOKENS, st.data())
def test_a_token_of_which_any_character_is_changed_is_refused(token, data):
    text = SIGNER.write(token)
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda one: one != text[place]))
    with pytest.raises(InvalidRollbackTokenError):
        SIGNER.read(text[:place] + other + text[place + 1 :])


@given(st.text(max_size=200))
def test_any_other_text_is_refused(text):
    with pytest.raises(InvalidRollbackTokenError) as caught:
        SIGNER.read(text)
    assert caught.value.facts["field"] == "continuation.rollback_token"


def test_tokens_of_a_key_before_are_still_read():
    signer = TokenSigner(b"k" * 32)
    token = RollbackToken(uuid.uuid4().hex, 1, 2, b"d" * 16)
    before = signer.write(token)
    signer.use(b"n" * 32)
    assert signer.write(token) != before
    assert signer.read(before) == signer.read(signer.write(token)) == token


def test_another_key_refuses_it():
    text = SIGNER.write(RollbackToken(uuid.uuid4().hex, 1, 2, b"d" * 16))
    with pytest.raises(InvalidRollbackTokenError, match="not issued"):
        TokenSigner(b"o" * 32).read(text)
