"""Rotations of positions that do not depend on the other rows of a pass."""

from torch import nn


def keep_rotations(model: nn.Module) -> None:
    """Keep the angles that a model's positions are rotated by as they were loaded.

    "dynamic" and "longrope" of transformers look at the last position of each pass, which would have to be fetched from
    the device, and take other angles for all rows once it is behind a length that no sequence here reaches
    (`paceline.engine.pytorch.shape.ModelShape.max_context_tokens`).
    """
    for module in model.modules():
        if isinstance(getattr(module, "rope_type", None), str):
            vars(module)["rope_type"] = "default"
