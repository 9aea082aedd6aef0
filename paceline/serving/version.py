"""Which version a process is of, and with which others it works: docs/decisions/071-version-skew.md."""

from dataclasses import dataclass
from functools import cache
from importlib.metadata import version

from paceline.v1 import model_pb2

# Grows by one with a change of behaviour that services of other releases have to know of. A field that may be left out,
# or that others may ignore, is none.
CONTRACT = 1
# The oldest contract of other services that this code works with; 0 is what came before contracts were told.
OLDEST_CONTRACT = 0


@dataclass(frozen=True)
class ServiceVersion:
    """The version of a process.

    Attributes:
        release: For people, for example 0.1.0; empty where it does not tell.
        contract: Its contract.
        oldest_contract: The oldest contract of others that it works with.
    """

    release: str = ""
    contract: int = 0
    oldest_contract: int = 0

    @classmethod
    @cache
    def here(cls) -> "ServiceVersion":
        """Return that of this process."""
        return cls(version("paceline"), CONTRACT, OLDEST_CONTRACT)

    @classmethod
    def from_message(cls, message: model_pb2.ReplicaInfo) -> "ServiceVersion":
        """Return what a replica says of itself; contract 0 where it says nothing."""
        told = message.version
        return cls(told.release, told.contract, told.oldest_contract)

    def to_message(self) -> model_pb2.ServiceVersion:
        """Return it as the message."""
        return model_pb2.ServiceVersion(
            release=self.release, contract=self.contract, oldest_contract=self.oldest_contract
        )

    def is_too_old_for(self, other: "ServiceVersion") -> bool:
        """Whether the other one works with newer contracts only."""
        return self.contract < other.oldest_contract

    def works_with(self, other: "ServiceVersion") -> bool:
        """Whether neither is too old for the other: so a newer one decides if it still understands an older one."""
        return not self.is_too_old_for(other) and not other.is_too_old_for(self)

    def __str__(self) -> str:
        return f"{self.release or 'an unnamed release'} with contract {self.contract}"
