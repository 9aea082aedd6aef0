"""The probe against timed replicas, which report passes of a known batch and duration."""

from benchmarks.simulation.chain_model import ChainModel
from benchmarks.simulation.replica_plan import PoolPlan, ReplicaPlan
from benchmarks.simulation.replicas import serving_replicas
from benchmarks.simulation.step_probe import draft_step_time, target_step_time
from benchmarks.simulation.step_time import StepTime

POOL = PoolPlan(ChainModel(), StepTime(((1, 3.0),)))


async def test_passes_of_one_row_to_many_are_measured_and_none_is_faster_than_it_was():
    async with serving_replicas(ReplicaPlan(POOL, POOL, num_targets=1, num_drafts=1)) as addresses:
        target = await target_step_time(addresses.targets[0])
        draft = await draft_step_time(addresses.drafts[0])
    rows = [rows for rows, _ in target.points]
    assert {1, 2, 4, 6, 8} <= set(rows)
    assert draft.points[0][0] == 1
    for step_time in (target, draft):
        times = [milliseconds for _, milliseconds in step_time.points]
        assert times == sorted(times)
        assert times[0] >= 3.0
