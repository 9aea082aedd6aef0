"""Why a local cluster cannot start or go on."""

from pathlib import Path

from paceline.errors import PacelineError


class ProcessFailedError(PacelineError):
    """A process of the cluster ended by itself (`name`, `exit_code`, `log_path`, `last_lines`)."""

    reason = "PROCESS_FAILED"

    def __init__(self, name: str, exit_code: int, log_path: Path, last_lines: tuple[str, ...]) -> None:
        self.name = name
        self.exit_code = exit_code
        self.log_path = log_path
        self.last_lines = last_lines
        said = "\n".join(f"  {line}" for line in last_lines) or "  (nothing)"
        message = (
            f"{name} ended with exit code {exit_code}; its last words follow, all of them are in {log_path}\n"
        )
        super().__init__(message + said, name=name, exit_code=exit_code, log_path=log_path)


class NotReadyError(PacelineError):
    """A process lives but did not become ready in time (`name`, `seconds`, `log_path`)."""

    reason = "PROCESS_NOT_READY"

    def __init__(self, name: str, seconds: float, log_path: Path) -> None:
        self.name = name
        self.seconds = seconds
        self.log_path = log_path
        message = f"{name} was not ready after {seconds:.0f} seconds; see {log_path}"
        super().__init__(message, name=name, seconds=seconds, log_path=log_path)


class AddressInUseError(PacelineError):
    """The address that the cluster should listen on belongs to another process (`address`)."""

    reason = "ADDRESS_IN_USE"

    def __init__(self, address: str, flag: str = "--listen") -> None:
        self.address = address
        message = (
            f"{address} is taken, perhaps by another `paceline up`; stop that or choose {flag} HOST:PORT"
        )
        super().__init__(message, address=address)


class NoClusterError(PacelineError):
    """No local cluster is running."""

    reason = "NO_CLUSTER"

    def __init__(self) -> None:
        super().__init__(
            "no cluster is running here: start one with `paceline up`, or name one with --address"
        )
