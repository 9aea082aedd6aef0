"""`python -m benchmarks.simulation.client_process PARENT_PID`: a process full of clients."""

from benchmarks.simulation.load import running_load
from benchmarks.simulation.load_plan import LoadPlan, Window
from benchmarks.simulation.process_entry import answer, next_wish, run_process


async def serve() -> None:
    """Run each load plan on stdin, tell when it has begun, and what came of it in the window that follows on stdin."""
    while (plan := await next_wish(LoadPlan)) is not None:
        async with running_load(plan) as load:
            answer(await load.begun())
            window = await next_wish(Window)
            if window is None:
                return
            result = await load.counted(window)
        answer(result)


if __name__ == "__main__":
    run_process("clients", serve)
