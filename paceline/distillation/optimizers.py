"""What moves the weights: Muon for the layers' matrices, AdamW for the embedding and the norms.

Muon (Jordan et al. 2024; scaled as in Liu et al., arXiv 2502.16982, so that both take the same rate) makes steps whose
directions all count alike. Of the embedding each row is a token's own, which is not what it is for.
"""

from collections.abc import Mapping

import torch
from torch import nn
from torch.optim import AdamW, Muon

from paceline.distillation.student import Student

LEARNING_RATE = 3e-3
_LARGEST_GRADIENT = 1.0


class Optimizers:
    """Both, as one."""

    def __init__(self, student: Student) -> None:
        matrices = [one for one in student.blocks.parameters() if one.ndim == 2]
        norms = [one for one in student.parameters() if one.ndim == 1]
        self._parameters: list[nn.Parameter] = [*matrices, *norms, student.embedding]
        self._both: tuple[torch.optim.Optimizer, ...] = (
            Muon(matrices, lr=LEARNING_RATE, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"),
            AdamW(
                [*norms, student.embedding], lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.0, fused=True
            ),
        )

    def step(self, rate_share: float) -> None:
        """Move the weights by what their gradients say, and forget the gradients."""
        torch.nn.utils.clip_grad_norm_(self._parameters, _LARGEST_GRADIENT)
        for one in self._both:
            for group in one.param_groups:
                group["lr"] = LEARNING_RATE * rate_share
            one.step()
            one.zero_grad()

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return what `load_tensors` takes: what has gathered, by the numbers of the optimizer and of its parameter."""
        return {
            f"{number}.{index}.{name}": torch.as_tensor(value)
            for number, one in enumerate(self._both)
            for index, state in one.state_dict()["state"].items()
            for name, value in state.items()
        }

    def load_tensors(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Go on where another one was."""
        states: list[dict[int, dict[str, torch.Tensor]]] = [{} for _ in self._both]
        for key, tensor in tensors.items():
            number, index, name = key.split(".")
            states[int(number)].setdefault(int(index), {})[name] = tensor
        for one, state in zip(self._both, states, strict=True):
            one.load_state_dict({**one.state_dict(), "state": state})
