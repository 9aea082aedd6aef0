"""What the system says of a process."""

from pathlib import Path


def is_there(pid: int) -> bool:
    """Say whether there is such a process, a zombie counted."""
    return Path(f"/proc/{pid}").exists()


def is_running(pid: int) -> bool:
    """Say whether it does anything; who dies after its parent is some other process's zombie for a while."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
