"""`python -m benchmarks.simulation.replica_process PARENT_PID`: a process full of timed replicas."""

from benchmarks.simulation.process_entry import answer, next_wish, pin, run_process
from benchmarks.simulation.replica_plan import ReplicaPlan
from benchmarks.simulation.replicas import serving_replicas


async def serve() -> None:
    """Serve the plan on stdin, tell the addresses, and end when stdin does."""
    plan = await next_wish(ReplicaPlan)
    assert plan is not None
    pin(plan.cores)
    async with serving_replicas(plan) as addresses:
        answer(addresses)
        await next_wish(ReplicaPlan)


if __name__ == "__main__":
    run_process("replicas", serve)
