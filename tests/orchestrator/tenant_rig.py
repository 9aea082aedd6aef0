"""Tenants files, and clients that show the keys in them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paceline.api_key import api_key_digest
from paceline.client.connection import ConnectionSettings
from paceline.telemetry.metrics import Point
from tests.orchestrator.rig import Rig

Entry = Mapping[str, Any]


def key_entry(key: str, **fields) -> Entry:
    return {"sha256": api_key_digest(key).hex(), **fields}


def entry(
    name: str, *, keys: tuple[Entry, ...] = (), quotas: Mapping[str, int] | None = None, **fields
) -> Entry:
    """A tenant as the file has it; its key is `key-of-NAME` if no other is given."""
    api_keys = keys or (key_entry(f"key-of-{name}"),)
    return {"name": name, "api_keys": api_keys, "quotas": quotas or {}, **fields}


def write_tenants(directory: Path, *entries: Entry) -> Path:
    """Write a file whose content is switched as a whole, as a mounted Secret's is."""
    path, fresh = directory / "tenants.yaml", directory / "fresh"
    fresh.write_text(json.dumps({"tenants": entries}))
    return fresh.rename(path)


def showing(key: str | None) -> ConnectionSettings:
    return ConnectionSettings(api_key=key)


def key_of(name: str) -> ConnectionSettings:
    return showing(f"key-of-{name}")


def counted(rig: Rig, metric: str) -> dict[tuple[str, ...], float]:
    """The series of a counter or gauge of an orchestrator."""
    readings = rig.surroundings.watch.metrics._metrics.read()
    points = [point for one in readings if one.info.name == metric for point in one.points]
    return {point.labels: point.value for point in points if isinstance(point, Point)}
