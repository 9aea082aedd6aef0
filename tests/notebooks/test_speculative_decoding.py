"""The notebook runs as it stands, and what it shows was made by the code that it has."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from notebooks.code_digest import code_digest
from tests.end_to_end.cluster_process import processes_that_mention

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "speculative_decoding.ipynb"


@pytest.fixture(scope="module")
def notebook() -> dict[str, Any]:
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def pictures_of(code_cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The outputs that are pictures."""
    return [
        output for cell in code_cells for output in cell["outputs"] if "image/png" in output.get("data", {})
    ]


def test_the_outputs_are_those_of_the_code_that_is_there(notebook: dict[str, Any]) -> None:
    made_by = notebook["metadata"]["paceline"]
    assert made_by["code_sha256"] == code_digest(notebook), "run `make notebook` and commit what it wrote"
    assert made_by["pair"] == "tiny"


def test_every_code_cell_was_executed_once_in_order_and_none_complained(
    code_cells: list[dict[str, Any]],
) -> None:
    assert [cell["execution_count"] for cell in code_cells] == list(range(1, len(code_cells) + 1))
    outputs = [(cell["id"], output) for cell in code_cells for output in cell["outputs"]]
    assert [name for name, output in outputs if output["output_type"] == "error"] == []
    assert [name for name, output in outputs if output.get("name") == "stderr"] == []
    assert [cell["id"] for cell in code_cells if not cell["outputs"]] == []


def test_every_picture_has_a_text_for_those_who_do_not_see_it(code_cells: list[dict[str, Any]]) -> None:
    pictures = pictures_of(code_cells)
    assert len(pictures) == 2
    assert all(len(picture["metadata"]["image/png"]["alt"]) > 40 for picture in pictures)


def test_nothing_tells_a_path_or_an_address_of_the_machine_that_executed_it() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    paths = re.findall(r"(?<![\w./-])/(?:home|root|Users|opt|tmp|usr|var)/[\w.-]+", text)
    addresses = set(re.findall(r"\b\d{1,3}(?:\.\d{1,3}){3}\b", text))
    assert (paths, addresses - {"127.0.0.1"}) == ([], set())


def test_cells_have_names_for_ids_so_that_another_execution_changes_outputs_only(
    notebook: dict[str, Any],
) -> None:
    names = [cell["id"] for cell in notebook["cells"]]
    assert [name for name in names if not re.fullmatch(r"[a-z]+(-[a-z]+)*", name)] == []
    assert len(set(names)) == len(names)
    assert [cell["id"] for cell in notebook["cells"] if cell["metadata"]] == []


def test_every_link_to_a_section_or_a_page_leads_somewhere(notebook: dict[str, Any]) -> None:
    text = "\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    sections = {title.replace(" ", "-") for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
    links = re.findall(r"\]\(([^()\s]+)\)", text)
    assert [link for link in links if link[0] == "#" and link[1:] not in sections] == []
    pages = [link for link in links if not re.match(r"#|https:", link)]
    assert [page for page in pages if not (NOTEBOOK.parent / page).is_file()] == []


@pytest.mark.timeout(600)  # a minute on two idle cores
def test_it_runs_in_a_fresh_kernel_with_all_that_it_asserts_and_leaves_nothing(
    notebook: dict[str, Any], tmp_path: Path
) -> None:
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    from notebooks.execute import execute  # noqa: PLC0415 - it imports both

    variables = {
        "PACELINE_NOTEBOOK_PAIR": "tiny",
        "PACELINE_NOTEBOOK_QUICK": "1",
        "PACELINE_RUNTIME_DIR": str(tmp_path),
    }
    executed = execute(NOTEBOOK, variables)
    cells = [cell for cell in executed["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert len(pictures_of(cells)) == 2
    assert code_digest(executed) == code_digest(notebook)
    assert list(tmp_path.iterdir()) == []
    assert processes_that_mention(str(tmp_path)) == []
