"""Which code a notebook's outputs came from: a digest of its code cells."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any


def code_digest(notebook: Mapping[str, Any]) -> str:
    """Return SHA-256 (hex) over the sources of the code cells, in order; texts may change without another execution.

    `notebook` is a notebook's JSON, whose sources may be texts or lists of lines.
    """
    digest = sha256()
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            digest.update("".join(cell["source"]).encode("utf-8") + b"\0")
    return digest.hexdigest()
