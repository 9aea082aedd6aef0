"""An engine whose model lies in slices in several processes: what it computes, and how each of them ends."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

from paceline.engine.batch import Rows, split_batch
from paceline.engine.engine import Engine, EngineConfig
from paceline.engine.errors import EngineFailedError
from paceline.engine.work import Work
from paceline.errors import ConfigError
from paceline.sampling.parameters import SamplingParameters
from paceline.sampling.selector import RowSelector
from tests.paceline.engine.capture import Capture, logits_of, run, submit_together, work_of
from tests.paceline.engine.hash_runner import HashRunner
from tests.paceline.engine.tiny_models import LLAMA, random_weights, stored_weights, write_prepared
from tests.process_state import is_running, is_there

torch = pytest.importorskip("torch", reason="torch is not installed (`make setup` installs it)")
pytest.importorskip("transformers", reason="transformers is not installed (`make setup` installs it)")
pytest.importorskip("accelerate", reason="accelerate is not installed (the extra `accelerator`)")

from paceline.engine.pytorch import follower_process, rank, sliced_runner  # noqa: E402
from paceline.engine.pytorch import followers as followers_module  # noqa: E402
from paceline.engine.pytorch.enlistment import Enlistment  # noqa: E402
from paceline.engine.pytorch.follower_process import FollowerProcess  # noqa: E402
from paceline.engine.pytorch.followers import Followers  # noqa: E402
from paceline.engine.pytorch.orders import carry_out, copy_block_order, forward_order  # noqa: E402
from paceline.engine.pytorch.rank import Rank  # noqa: E402
from paceline.engine.pytorch.sliced_runner import SlicedRunner  # noqa: E402

pytestmark = pytest.mark.reference

ROOT = Path(__file__).resolve().parents[4]
IDS = np.random.default_rng(7).integers(0, LLAMA.vocabulary_size, 80).tolist()
WRONG_IDS = [(token_id + 1) % LLAMA.vocabulary_size for token_id in IDS]
TOLERANCE = 1e-4  # sums of two halves are other sums
CPU = torch.device("cpu")
PATIENCE_SECONDS = 60
OBEDIENT = """
    import sys
    from multiprocessing.connection import Connection

    leader = Connection(int(sys.argv[1]))
    leader.recv_bytes()
    leader.send_bytes(b"7")
    while (order := leader.recv_bytes()) != b"e":
        print(order.decode())
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    stored = stored_weights(random_weights(LLAMA), "f16")
    return write_prepared(tmp_path_factory.mktemp("tiny"), LLAMA, stored, "f16")


def config_of(directory: Path, **options: Any) -> EngineConfig:
    options = {"tensor_parallel": 2, "compute_precision": "f32", "device": "cpu", **options}
    return EngineConfig(directory, 4 << 20, num_threads=2, engine="torch", self_test="always", **options)


def pids_of(engine: Engine) -> list[int]:
    assert isinstance(engine._runner, SlicedRunner)
    return engine._runner.pids


@pytest.fixture(scope="class")
def whole(tiny: Path) -> Iterator[Engine]:
    with Engine.load(config_of(tiny, tensor_parallel=1)) as engine:
        yield engine


@pytest.fixture(scope="class")
def sliced(tiny: Path) -> Iterator[Engine]:
    """An engine of two processes, of which nothing is left behind."""
    with Engine.load(config_of(tiny)) as engine:
        yield engine
        assert engine.close()
        assert [pid for pid in pids_of(engine) if is_there(pid)] == []


class TestComputing:
    def test_it_is_described_as_one_that_is_exact(self, whole: Engine, sliced: Engine) -> None:
        assert sliced.info.device == "cpu x 2"
        assert sliced.info.self_test.batch_invariant
        assert sliced.info.kv_bytes_per_token == whole.info.kv_bytes_per_token
        # Each of the two has a cache of the size that was asked for.
        assert sliced.usage().num_blocks == 2 * (whole.usage().num_blocks + 1) - 1

    def test_the_logits_are_those_of_one_process(self, whole: Engine, sliced: Engine) -> None:
        expected = logits_of(whole, whole.open_sequence(), 0, IDS)
        logits = logits_of(sliced, sliced.open_sequence(), 0, IDS)
        np.testing.assert_allclose(logits, expected, rtol=0, atol=TOLERANCE)

    @pytest.mark.parametrize("sampling", [SamplingParameters(), SamplingParameters(temperature=1.0, seed=3)])
    def test_the_ids_are_those_of_one_process(
        self, whole: Engine, sliced: Engine, sampling: SamplingParameters
    ) -> None:
        drawn = [
            run(
                one,
                one.open_sequence(),
                0,
                IDS[:20],
                num_selected=20,
                num_drawn=30,
                selector=RowSelector(sampling),
            )
            for one in (whole, sliced)
        ]
        assert drawn[0].selected_ids.tolist() == drawn[1].selected_ids.tolist()
        assert drawn[0].drawn_ids.tolist() == drawn[1].drawn_ids.tolist()

    def test_verified_beside_others_after_a_rollback_and_in_a_fork_the_bits_are_those_of_decoding(
        self, sliced: Engine
    ) -> None:
        alone = sliced.open_sequence()
        expected = [logits_of(sliced, alone, position, [one]) for position, one in enumerate(IDS)]

        sequence, captures = sliced.open_sequence(), [Capture() for _ in range(3)]
        run(sliced, sequence, 0, IDS[:40])
        run(sliced, sequence, 40, WRONG_IDS[40:48])  # drafts that are refused
        fork = sliced.fork_sequence(sequence)
        works = [
            work_of(sequence, 40, IDS[40:45], 5, captures[0]),
            work_of(fork, 38, IDS[38:46], 8, captures[1]),  # writes into a block that it shares
            work_of(sliced.open_sequence(), 0, WRONG_IDS[:70], 70, captures[2]),
        ]
        for handle in submit_together(sliced, works):
            handle.future.result()
        assert captures[0].logits.tobytes() == np.concatenate(expected[40:45]).tobytes()
        assert captures[1].logits.tobytes() == np.concatenate(expected[38:46]).tobytes()

    def test_ctrl_c_in_a_terminal_does_not_reach_the_followers(self, sliced: Engine) -> None:
        assert [os.getsid(pid) for pid in pids_of(sliced)] == pids_of(sliced)

    def test_a_process_has_one_model_in_slices_at_a_time(self, tiny: Path, sliced: Engine) -> None:
        with pytest.raises(ConfigError, match="close it first"):
            Engine.load(config_of(tiny))
        assert run(sliced, sliced.open_sequence(), 0, IDS[:5], num_selected=1).selected_ids.size == 1

    def test_a_follower_that_is_killed_in_a_pass_ends_the_engine_with_its_name(self, sliced: Engine) -> None:
        """The last one of this class: the engine serves no more."""
        (follower,) = pids_of(sliced)
        os.kill(follower, signal.SIGSTOP)  # the pass waits for it now
        handle = sliced.submit(Work(sliced.open_sequence(), 0, np.array(IDS), 1, num_drawn=9))
        with pytest.raises(TimeoutError):
            handle.future.result(0.5)
        os.kill(follower, signal.SIGKILL)
        error = handle.future.exception(PATIENCE_SECONDS)
        assert isinstance(error, EngineFailedError)
        name = f"Follower 1, which held a slice of the model (process {follower})"
        assert f"{name}, was ended by SIGKILL, as the system does where memory runs out" in str(error)
        assert sliced.failure is error
        assert not is_there(follower)


def test_a_follower_that_is_killed_while_nobody_asks_anything_ends_the_engine(tiny: Path) -> None:
    with Engine.load(config_of(tiny)) as engine:
        assert engine.failure is None
        (follower,) = pids_of(engine)
        os.kill(follower, signal.SIGKILL)
        end = time.monotonic() + PATIENCE_SECONDS
        while engine.failure is None and time.monotonic() < end:
            time.sleep(0.01)
        assert isinstance(engine.failure, EngineFailedError)
        assert f"(process {follower}), was ended by SIGKILL" in str(engine.failure)
        handle = engine.submit(Work(engine.open_sequence(), 0, np.array(IDS), 1))
        assert handle.future.exception(PATIENCE_SECONDS) is engine.failure


def test_followers_do_not_outlive_a_leader_that_is_killed(tiny: Path) -> None:
    command = [sys.executable, "-m", "tests.paceline.engine.pytorch.leader_process", str(tiny)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as leader:
        assert leader.stdout is not None
        said = next((line for line in leader.stdout if line.startswith("[")), None)
        assert said is not None, "it did not load"
        followers: list[int] = json.loads(said)
        assert [pid for pid in followers if is_running(pid)] == followers
        leader.kill()
    end = time.monotonic() + PATIENCE_SECONDS
    while any(is_running(pid) for pid in followers) and time.monotonic() < end:
        time.sleep(0.05)
    assert [pid for pid in followers if is_running(pid)] == []


class TestFollowers:
    """How followers end, with programs in their place that compute nothing."""

    @pytest.fixture
    def replaced_by(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
        def replace_by(code: str) -> None:
            (tmp_path / "other.py").write_text(textwrap.dedent(code))
            monkeypatch.setenv("PYTHONPATH", str(tmp_path))
            monkeypatch.setattr(follower_process, "_MODULE", "other")

        return replace_by

    def test_closing_ends_them_after_what_they_were_told(
        self, tmp_path: Path, replaced_by: Callable[[str], None], capfd: pytest.CaptureFixture[str]
    ) -> None:
        replaced_by(OBEDIENT)
        followers = Followers(config_of(tmp_path, tensor_parallel=3), CPU)
        assert followers.num_blocks() == [7, 7]
        assert followers.beside(lambda: 5) == 5
        followers.send(b"an order")
        assert followers.close()
        assert followers.close(), "it has happened"
        assert [pid for pid in followers.pids if is_there(pid)] == []
        assert capfd.readouterr().out.count("an order") == 2

    def test_what_we_refuse_ourselves_is_not_taken_for_their_failure(
        self, tmp_path: Path, replaced_by: Callable[[str], None]
    ) -> None:
        replaced_by("raise SystemExit('the same')")

        def refuse() -> None:
            raise ConfigError("no", setting="weights")

        followers = Followers(config_of(tmp_path), CPU)
        with pytest.raises(ConfigError, match=r"^no$"):
            followers.beside(refuse)
        assert followers.close()

    def test_a_part_that_waits_for_one_that_is_gone_is_left_to_wait(
        self, tmp_path: Path, replaced_by: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As NCCL does."""
        replaced_by(OBEDIENT)
        monkeypatch.setattr(followers_module, "_MOMENT_SECONDS", 0.1)
        followers, is_over = Followers(config_of(tmp_path), CPU), Event()
        followers.num_blocks()
        os.kill(followers.pids[0], signal.SIGSEGV)
        with pytest.raises(EngineFailedError, match="was ended by SIGSEGV"):
            followers.beside(is_over.wait)
        assert not followers.close(), "something of it still runs"
        is_over.set()

    def test_one_that_fails_is_quoted(self, tmp_path: Path, replaced_by: Callable[[str], None]) -> None:
        replaced_by("import sys; print('one', 'two', 'three', sep='\\n'); sys.exit('RuntimeError: no luck')")
        follower = FollowerProcess(Enlistment(Rank(1, 2), 1, config_of(tmp_path)))
        with pytest.raises(EngineFailedError) as caught:
            follower.num_blocks()
        assert "ended with exit code 1; it said last: two / three / RuntimeError: no luck" in str(
            caught.value
        )
        with pytest.raises(EngineFailedError, match="no luck"):
            follower.send(copy_block_order(1, 2))
        follower.wait()


def test_what_the_model_does_not_allow_is_refused_before_any_process_starts(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sliced_runner, "Followers", None)
    with pytest.raises(ConfigError, match="cannot deal 2 key and value heads out to 3 processes") as caught:
        Engine.load(config_of(tiny, tensor_parallel=3))
    assert caught.value.facts == {"setting": "tensor_parallel"}


class TestOrders:
    def test_a_follower_runs_the_batch_that_was_sent(self) -> None:
        batch = split_batch([Rows([5, 6], 0, [1], 1), Rows([7], 3, [2], 0)], min_rows=2, block_size=4)
        seen, runner = [], HashRunner(num_blocks=8)
        runner.before_pass = seen.append
        carry_out(forward_order(batch), runner)
        (arrived,) = seen
        assert (arrived.num_rows, arrived.num_logits) == (batch.num_rows, batch.num_logits)
        assert arrived.inputs.keys() == batch.inputs.keys()
        for name, array in batch.inputs.items():
            assert arrived.inputs[name].dtype == array.dtype
            assert np.array_equal(arrived.inputs[name], array)

    def test_a_follower_copies_the_block_that_was_named(self) -> None:
        runner = HashRunner(num_blocks=8)
        carry_out(copy_block_order(3, 5), runner)
        assert np.array_equal(runner._kv[5], runner._kv[3])
        assert not np.array_equal(runner._kv[4], runner._kv[3])


class TestDevices:
    CUDA = torch.device("cuda", 0)

    def test_each_rank_has_a_device_of_its_own(self) -> None:
        assert [Rank(number, 3).device(self.CUDA).index for number in range(3)] == [0, 1, 2]
        assert Rank(1, 2).device(CPU) == CPU

    def test_more_slices_than_devices_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        rank.require_devices(self.CUDA, 2)
        with pytest.raises(ConfigError, match="--tensor-parallel 3 needs as many CUDA devices") as caught:
            rank.require_devices(self.CUDA, 3)
        assert caught.value.facts == {"setting": "tensor_parallel"}

    def test_slices_begin_at_the_first_device(self) -> None:
        with pytest.raises(ConfigError, match="CUDA_VISIBLE_DEVICES") as caught:
            rank.require_devices(torch.device("cuda", 1), 2)
        assert caught.value.facts == {"setting": "device"}
