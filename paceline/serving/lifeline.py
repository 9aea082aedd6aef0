"""A process that must not outlive the one that started it."""

import ctypes
import os
import signal

from paceline.errors import ConfigError

_PR_SET_PDEATHSIG = 1


def tie_to_parent(parent_pid: int) -> None:
    """Have the kernel send us SIGTERM when the thread that started us ends, however it ends.

    Raises ConfigError where `parent_pid` is not our parent, which is so too if it died before we asked. See
    prctl(2).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise ConfigError(f"--parent-pid: {os.strerror(ctypes.get_errno())}", setting="parent_pid")
    if os.getppid() != parent_pid:
        raise ConfigError(
            f"--parent-pid is {parent_pid}, but that process is not our parent or has died",
            setting="parent_pid",
        )
