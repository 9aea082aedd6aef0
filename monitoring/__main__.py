"""`python -m monitoring` writes the dashboards into monitoring/dashboards again."""

import json
from collections.abc import Iterator
from pathlib import Path

from monitoring.grafana import Dashboard, json_of
from monitoring.pools_dashboard import POOLS
from monitoring.service_dashboard import SERVICE
from monitoring.speculation_dashboard import SPECULATION

DASHBOARDS: tuple[Dashboard, ...] = (SPECULATION, SERVICE, POOLS)
DIRECTORY = Path(__file__).with_name("dashboards")


def files() -> Iterator[tuple[Path, str]]:
    """Yield each file and what belongs into it."""
    for dashboard in DASHBOARDS:
        yield DIRECTORY / f"{dashboard.uid}.json", json.dumps(json_of(dashboard), indent=2) + "\n"


if __name__ == "__main__":
    for path, text in files():
        path.write_text(text, encoding="utf-8")
