"""Which draft is kept, and what it may replace."""

from pathlib import Path

import pytest

from paceline.distillation.output import require_free
from paceline.engine.graph.manifest import Manifest
from paceline.errors import ConfigError
from tests.paceline.distillation.small_target import TARGET, write_target

pytest.importorskip("torch", reason="torch is not installed (`make setup` installs it)")

from paceline.distillation.export import Draft, choose

pytestmark = pytest.mark.reference


@pytest.mark.parametrize(
    ("int8", "int4", "kept"),
    [(0.50, 0.495, "int4"), (0.50, 0.60, "int4"), (0.50, 0.48, "int8"), (None, None, "int8")],
)
def test_the_cheaper_format_is_kept_where_it_costs_little(
    int8: float | None, int4: float | None, kept: str
) -> None:
    drafts = [Draft(Path(name), name, 1, agreement) for name, agreement in (("int8", int8), ("int4", int4))]
    assert choose(drafts).weights == kept


def test_only_an_earlier_draft_is_replaced(tmp_path: Path) -> None:
    require_free(tmp_path / "not there yet")
    require_free(tmp_path)
    with pytest.raises(ConfigError, match="something else"):
        require_free(write_target(tmp_path))
    Manifest("x", "int8", "built", TARGET, "distilled from x in 3 tokens").write(tmp_path)
    require_free(tmp_path)
