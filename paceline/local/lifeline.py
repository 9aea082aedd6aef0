"""Becomes the program that it is given, bound to the life of its supervisor and to its cores.

Run by path, in isolated mode, so that it costs milliseconds:
    python -I -S lifeline.py SUPERVISOR_PID CORES PROGRAM [ARGUMENT...]
CORES are numbers with commas, or `any`. The kernel kills the program when the supervisor ends, even by
SIGKILL: the wish survives `exec`. A preexec function would do the same, but not safely beside threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(arguments: list[str]) -> None:
    """Tie this process to its supervisor and cores, then become the program."""
    supervisor_pid, cores, *command = arguments
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if cores != "any":
            os.sched_setaffinity(0, [int(core) for core in cores.split(",")])
    # The supervisor may have ended before the wish was made known.
    if os.getppid() != int(supervisor_pid):
        sys.exit("the supervisor has ended")
    os.execvp(command[0], command)  # noqa: S606 - there is no shell, and none is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
