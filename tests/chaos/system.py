"""What every cluster of processes has that clients can disturb and a test can look at afterwards."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from tests.chaos.node import Node


class Members(Protocol):
    """The names of a cluster's services, those that there are now."""

    @property
    def targets(self) -> Sequence[str]: ...

    @property
    def drafts(self) -> Sequence[str]: ...

    @property
    def orchestrators(self) -> Sequence[str]: ...


class Names(NamedTuple):
    """The names of services as a list of them says."""

    targets: tuple[str, ...]
    drafts: tuple[str, ...]
    orchestrators: tuple[str, ...]


class System(Protocol):
    """A running cluster; `nodes` are those that there are now, by name."""

    @property
    def directory(self) -> Path: ...

    @property
    def topology(self) -> Members: ...

    @property
    def nodes(self) -> Mapping[str, Node]: ...

    @property
    def orchestrator_addresses(self) -> list[str]: ...

    def redis(self) -> Any: ...

    def service_address(self, name: str) -> str: ...
