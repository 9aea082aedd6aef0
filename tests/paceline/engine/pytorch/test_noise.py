"""The words on a device are the host's, bit for bit."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.sampling.noise import NUM_WORDS, Noise, Stream, gumbel
from tests.paceline.sampling.philox import word
from tests.paceline.sampling.test_noise import GOLDEN

torch = pytest.importorskip("torch", reason="torch is not installed (`make setup` installs it)")

from paceline.engine.pytorch.noise import DeviceNoise, RowsNoise, as_int64, gumbels  # noqa: E402
from tests.paceline.engine.pytorch.devices import DEVICES, Device  # noqa: E402

seeds = st.integers(0, 2**64 - 1)
positions = st.integers(0, 2**40)


@pytest.fixture(scope="module", params=DEVICES)
def device(request: pytest.FixtureRequest) -> Device:
    return request.param


def rows_noise(
    device: Device, stream: Stream, places: list[tuple[int, int]], vocabulary_size: int
) -> RowsNoise:
    """The noise of rows with these seeds and positions."""
    rows = torch.from_numpy(as_int64(places).reshape(-1, 2)).to(device)
    return DeviceNoise(device, stream).at(rows[:, 0], rows[:, 1], vocabulary_size)


@pytest.mark.parametrize(("seed", "stream", "position", "token_id", "expected"), GOLDEN)
def test_words_never_change(
    device: Device, seed: int, stream: Stream, position: int, token_id: int, expected: int
) -> None:
    one_of_many = rows_noise(device, stream, [(seed, position)], 200_000)
    assert one_of_many.words_of(torch.tensor([[token_id]], device=device)).tolist() == [[expected]]
    last_of_all = rows_noise(device, stream, [(seed, position)], token_id + 1)
    assert last_of_all.words()[0, -1].item() == expected


@settings(deadline=None)
@given(
    stream=st.sampled_from(Stream),
    places=st.lists(st.tuples(seeds, positions), min_size=1, max_size=4),
    vocabulary_size=st.integers(1, 5000),
)
def test_all_words_of_many_rows_are_those_of_the_host(
    device: Device, stream: Stream, places: list[tuple[int, int]], vocabulary_size: int
) -> None:
    found = rows_noise(device, stream, places, vocabulary_size).words().tolist()
    expected = [Noise(seed, stream).at(position, vocabulary_size).words for seed, position in places]
    assert found == [words.tolist() for words in expected]


@settings(deadline=None)
@given(
    stream=st.sampled_from(Stream),
    places=st.lists(st.tuples(seeds, positions), min_size=1, max_size=3),
    num_ids=st.integers(1, 20),
    data=st.data(),
)
def test_some_words_of_many_rows_are_those_of_philox(
    device: Device,
    stream: Stream,
    places: list[tuple[int, int]],
    num_ids: int,
    data: st.DataObject,
) -> None:
    row_ids = st.lists(st.integers(0, 151_935), min_size=num_ids, max_size=num_ids)
    token_ids = [data.draw(row_ids) for _ in places]
    noise = rows_noise(device, stream, places, 151_936)
    found = noise.words_of(torch.tensor(token_ids, device=device))
    assert found.tolist() == [
        [word(seed, stream, position, token_id) for token_id in ids]
        for (seed, position), ids in zip(places, token_ids, strict=True)
    ]


@pytest.mark.parametrize("num_ids", [1, 125, 126, 1001])
def test_words_do_not_depend_on_how_many_are_asked_for(device: Device, num_ids: int) -> None:
    noise = rows_noise(device, Stream.TOKEN, [(3, 11), (2**64 - 1, 0)], 1001)
    ids = np.stack([np.random.default_rng(row).permutation(1001)[:num_ids] for row in range(2)])
    token_ids = torch.from_numpy(ids).to(device)
    assert torch.equal(noise.words_of(token_ids), noise.words().gather(1, token_ids))


def test_noise_is_the_hosts_but_for_rounding(device: Device) -> None:
    drawn = np.random.default_rng(0).integers(0, NUM_WORDS, 10_000).tolist()
    words = [0, 1, NUM_WORDS - 2, NUM_WORDS - 1, int(NUM_WORDS / math.e), *drawn]
    found = gumbels(torch.tensor(words, device=device)).tolist()
    assert np.abs(np.array(found) - [gumbel(one) for one in words]).max() < 1e-13
