from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.models.tokenizer import Tokenizer


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_pieces_join_to_the_whole_text_however_ids_are_split(smollm2: Tokenizer, data: st.DataObject):
    token_ids = data.draw(st.lists(st.integers(0, smollm2.num_tokens + 5), max_size=40))
    detokenizer = smollm2.detokenizer()
    pieces, start = [], 0
    while start < len(token_ids):
        end = data.draw(st.integers(start + 1, len(token_ids)))
        pieces.append(detokenizer.push(token_ids[start:end]))
        start = end
    assert "".join([*pieces, detokenizer.flush()]) == smollm2.decode(token_ids)


@given(text=st.text(st.sampled_from("aé日🫨👩\u200d\r\n\x00\U000e0067")))
@settings(max_examples=200, deadline=None)
def test_every_piece_of_valid_text_is_valid_text(smollm2: Tokenizer, text: str):
    detokenizer = smollm2.detokenizer()
    pieces = [detokenizer.push([token_id]) for token_id in smollm2.encode(text, parse_special=False)]
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)
    assert detokenizer.flush() == ""


def test_a_character_is_held_back_until_it_is_whole(smollm2: Tokenizer):
    token_ids = smollm2.encode("🫨", parse_special=False)
    assert len(token_ids) > 1
    detokenizer = smollm2.detokenizer()
    assert [detokenizer.push([one]) for one in token_ids] == [""] * (len(token_ids) - 1) + ["🫨"]


def test_what_never_became_whole_is_flushed_as_a_replacement_and_the_next_stream_starts_afresh(
    smollm2: Tokenizer,
):
    detokenizer = smollm2.detokenizer()
    assert detokenizer.push(smollm2.encode("🫨", parse_special=False)[:1]) == ""
    assert detokenizer.flush() == "\ufffd"
    assert detokenizer.push(smollm2.encode("ok", parse_special=False)) + detokenizer.flush() == "ok"


def test_control_tokens_are_silent_unless_kept(smollm2: Tokenizer):
    assert smollm2.detokenizer().push([1, 905, 2]) == " world"
    assert smollm2.detokenizer(keep_special=True).push([1, 905, 2]) == "<|im_start|> world<|im_end|>"
