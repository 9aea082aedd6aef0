"""Where the model lies that a program is to serve."""

from pathlib import Path

from paceline.models.hub_directory import find_hub_directory
from paceline.models.prepared import find_prepared, is_prepared


def find_served_directory(model: str, weights: str, *, reads_hub: bool) -> Path:
    """Return the directory that a program's --model names: a prepared one, or a catalogued model's.

    With `reads_hub` a Hugging Face directory or a hub id will do as well; what is missing of the latter is downloaded.

    Raises NotPreparedError, UnsupportedModelError, and what `find_hub_directory` raises.
    """
    directory = Path(model).expanduser()
    if is_prepared(directory):
        return directory
    hub_directory = find_hub_directory(model, allow_download=True) if reads_hub else None
    return hub_directory or find_prepared(model, weights)
