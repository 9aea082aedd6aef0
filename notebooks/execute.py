"""Executes the notebook in a fresh kernel and keeps its outputs, without what changes though nothing has changed.

python -m notebooks.execute                                             # the small pair; the file is written anew
python -m notebooks.execute --pair reference --output reference.ipynb
"""

import argparse
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from notebooks.code_digest import code_digest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "notebooks" / "speculative_decoding.ipynb"
PAIR_VARIABLE = "PACELINE_NOTEBOOK_PAIR"
# The first cell downloads and converts models where they are missing.
CELL_SECONDS = 3600
# What the format calls for, without the versions of who executed it.
_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
}


def main() -> None:
    """Execute the notebook and write it with its outputs."""
    arguments = _arguments()
    executed = execute(NOTEBOOK, {PAIR_VARIABLE: arguments.pair}, _print_cell)
    executed.metadata["paceline"] = {"pair": arguments.pair, "code_sha256": code_digest(executed)}
    nbformat.write(executed, arguments.output)
    print(f"written: {arguments.output.name}")


def execute(
    notebook: Path, variables: Mapping[str, str], on_cell: Callable[[str], None] = lambda cell_id: None
) -> nbformat.NotebookNode:
    """Return a notebook with the outputs of a fresh kernel, which sees `variables` beside our own environment.

    `on_cell` hears the id of each code cell before it runs. Raises nbclient's CellExecutionError where a cell fails;
    the kernel has ended then, and with it all processes that it started.
    """
    executed = nbformat.read(notebook, as_version=4)
    client = NotebookClient(
        executed,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(ROOT)}},
        on_cell_execute=lambda cell, cell_index: on_cell(cell["id"]),
    )
    client.create_kernel_manager().transport = "ipc"  # as safe as files, and no port is needed
    # gRPC tells of each fork in a process that uses it; ours only start programs.
    client.execute(env={"GRPC_VERBOSITY": "ERROR", **os.environ, **variables})
    executed.metadata = nbformat.from_dict(_METADATA)
    for cell in executed.cells:
        cell.metadata = nbformat.NotebookNode()
        if cell.cell_type == "code":
            cell.outputs = _joined(cell.outputs)
    return executed


def _joined(outputs: list[Any]) -> list[Any]:
    """Return outputs with neighbouring parts of one stream as one, since where it was cut is chance."""
    joined: list[Any] = []
    for output in outputs:
        before = joined[-1] if joined else None
        if (
            before is not None
            and output.output_type == before.output_type == "stream"
            and output.name == before.name
        ):
            before.text += output.text
        else:
            joined.append(output)
    return joined


def _print_cell(cell_id: str) -> None:
    print(f"cell: {cell_id}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Execute the notebook and keep its outputs.")
    parser.add_argument("--pair", default="tiny", help="a catalogued pair: tiny or reference")
    parser.add_argument(
        "--output", type=Path, default=NOTEBOOK, help="where to write it; in place if left out"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
