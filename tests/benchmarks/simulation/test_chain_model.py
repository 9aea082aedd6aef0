import numpy as np
import pytest

from benchmarks.simulation.chain_model import FIRST_ID, NUM_IDS, ChainModel, prompt_ids

IDS = np.tile(np.arange(FIRST_ID, FIRST_ID + NUM_IDS), 200)
POSITIONS = np.repeat(np.arange(200), NUM_IDS)


def test_every_id_is_a_printable_character():
    ids = ChainModel(acceptance=0.5, second_chance=0.5)
    for chosen in (ids.next_ids(IDS, POSITIONS), ids.second_ids(IDS, POSITIONS)):
        assert chosen.min() == FIRST_ID
        assert chosen.max() == FIRST_ID + NUM_IDS - 1


def test_texts_that_differ_once_differ_for_good():
    following = ChainModel().next_ids(IDS, POSITIONS).reshape(-1, NUM_IDS)
    assert all(len(set(row)) == NUM_IDS for row in following.tolist())


def test_a_row_does_not_depend_on_the_others_of_its_batch():
    draft = ChainModel(acceptance=0.6)
    together = draft.next_ids(IDS, POSITIONS)
    alone = [
        draft.next_ids(IDS[row : row + 1], POSITIONS[row : row + 1])[0] for row in range(0, len(IDS), 97)
    ]
    assert together[::97].tolist() == alone


def test_seeds_have_texts_of_their_own():
    assert (ChainModel(seed=1).next_ids(IDS, POSITIONS) != ChainModel(seed=2).next_ids(IDS, POSITIONS)).any()


@pytest.mark.parametrize("acceptance", [0.0, 0.3, 0.8, 1.0])
def test_the_draft_agrees_as_often_as_it_is_told_to(acceptance):
    right, guessed = (ChainModel(acceptance=one).next_ids(IDS, POSITIONS) for one in (1.0, acceptance))
    assert (right == guessed).mean() == pytest.approx(acceptance, abs=0.01)


def test_the_second_choice_is_right_as_often_as_it_is_told_to_where_the_first_is_wrong():
    draft, right = ChainModel(acceptance=0.6, second_chance=0.4), ChainModel().next_ids(IDS, POSITIONS)
    first, second = draft.next_ids(IDS, POSITIONS), draft.second_ids(IDS, POSITIONS)
    assert (second[first != right] == right[first != right]).mean() == pytest.approx(0.4, abs=0.02)
    assert (first != second).all()


def test_no_two_sessions_have_the_same_prompt():
    prompts = {prompt_ids(session, turn, 16) for session in range(50) for turn in range(50)}
    assert len(prompts) == 2500
