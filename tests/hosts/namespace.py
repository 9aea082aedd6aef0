"""Working in a network namespace that is not our own."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.network.namespaces import CLONE_NEWNET, open_own_namespace


@contextmanager
def inside(namespace: int) -> Iterator[None]:
    """Have this thread be in the namespace of a descriptor; a socket stays in the one in which it was made."""
    own = open_own_namespace()
    try:
        _enter(namespace)
        yield
    finally:
        _enter(own)
        os.close(own)


def _enter(namespace: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "the network namespace cannot be entered")
