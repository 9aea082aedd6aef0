"""A stand-in for CUDA graphs on CPUs: the same operations on the same memory again, without any Python between them.

Imports torch: test files import it behind `pytest.importorskip`.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

# What a graph cannot hold: reading data on the host, and sizes that follow from data.
_UNCAPTURABLE = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}


class Recording(TorchDispatchMode):
    """What was computed while it was entered."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[tuple[Any, Sequence[Any], dict[str, Any], Any]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operation and note it; one that depends on data fails, as it fails while a graph is captured."""
        if _depends_on_data(func, args):
            raise RuntimeError(f"{func} depends on data")
        made = func(*args, **(kwargs or {}))
        self._calls.append((func, args, kwargs or {}, made))
        return made

    def replay(self) -> None:
        """Do it again: each operation reads and writes where it did before."""
        for func, args, kwargs, made in self._calls:
            again = func(*args, **kwargs)
            for old, new in zip(_tensors(made), _tensors(again), strict=True):
                if old.untyped_storage().data_ptr() != new.untyped_storage().data_ptr():
                    old.copy_(new)


def record(compute: Callable[[], None]) -> Callable[[], None]:
    """Capture a forward; see `paceline.engine.pytorch.graphs.Capture`."""
    with Recording() as recording:
        compute()
    return recording.replay


def _depends_on_data(func: Any, args: Sequence[Any]) -> bool:
    if (
        func is torch.ops.aten.index.Tensor
    ):  # by numbers it takes as many as there are; by truths, as many as are true
        return any(one is not None and one.dtype in {torch.bool, torch.uint8} for one in args[1])
    return bool(_UNCAPTURABLE & set(func.tags))


def _tensors(made: Any) -> Iterator[Tensor]:
    if isinstance(made, Tensor):
        yield made
    elif isinstance(made, (list, tuple)):
        for one in made:
            yield from _tensors(one)
