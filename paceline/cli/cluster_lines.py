"""One status line for each process of a local cluster, on the error stream."""

from rich.console import Console

from paceline.local.cluster import ProcessEnd, ProcessStatus


class ClusterLines:
    """Prints what becomes ready and what ends, and keeps both."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self.ready: list[ProcessStatus] = []
        self.ended: list[ProcessEnd] = []

    def show_ready(self, status: ProcessStatus) -> None:
        """Print the line of a process that serves."""
        self.ready.append(status)
        address = "unix socket" if status.address.startswith("unix:") else status.address
        self._console.print(
            f"[green]✓[/green] {status.name:<13} pid {status.pid:<8} {address:<17} {status.about}, "
            f"ready in {status.seconds:.1f} s"
        )

    def show_end(self, end: ProcessEnd) -> None:
        """Print the line of a process that has ended."""
        self.ended.append(end)
        mark = "[green]✓[/green]" if end.exit_code == 0 else "[red]✗[/red]"
        self._console.print(f"{mark} {end.name:<13} pid {end.pid:<8} ended with code {end.exit_code}")

    def say(self, line: str) -> None:
        """Print a line."""
        self._console.print(line, markup=False)

    @property
    def all_ended_well(self) -> bool:
        """Whether every process that has ended did so with code 0."""
        return all(end.exit_code == 0 for end in self.ended)
