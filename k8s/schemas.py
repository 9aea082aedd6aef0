"""Schemas of Kubernetes' objects in three versions, and of custom resources that we use. Unknown fields are errors."""

import json
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from k8s.manifests import Manifest, name_of

# Those that Kubernetes maintains. Nothing that we use is behind a feature gate in the oldest.
VERSIONS = ("1.35", "1.36", "1.37")
_CRDS = Path(__file__).parent / "crd-schemas"
_PACKAGE = "kubernetes_validate"
_DEFINITIONS = "_definitions.json"


class SchemasMissingError(Exception):
    """The package that carries Kubernetes' schemas is not installed."""


def errors_of(manifest: Manifest, version: str) -> Iterator[str]:
    """Yield what a version of Kubernetes would refuse of an object. Raises SchemasMissingError."""
    validator = _validator(manifest["apiVersion"], manifest["kind"], version)
    if validator is None:
        yield f"{name_of(manifest)}: there is no schema for {manifest['apiVersion']} {manifest['kind']}"
        return
    for error in validator.iter_errors(manifest):
        place = ".".join(map(str, error.absolute_path)) or "the object"
        yield f"{name_of(manifest)}: {place}: {error.message[:300]}"


@cache
def _validator(api_version: str, kind: str, version: str) -> Validator | None:
    group, _, group_version = api_version.rpartition("/")
    custom = _CRDS / f"{kind.lower()}-{group}-{group_version}.json"
    if custom.is_file():
        return Draft202012Validator(_json(custom))
    short_group = group.partition(".")[0]
    stem = "-".join(part for part in (kind.lower(), short_group, group_version) if part)
    path = _folder(version) / f"{stem}.json"
    return Draft202012Validator(_json(path), registry=_registry(version)) if path.is_file() else None


@cache
def _registry(version: str) -> Registry:
    definitions = Resource.from_contents(
        _json(_folder(version) / _DEFINITIONS), default_specification=DRAFT202012
    )
    return Registry().with_resource(_DEFINITIONS, definitions)


@cache
def _folder(version: str) -> Path:
    # Found and not imported: of that package only its files are needed.
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise SchemasMissingError(f"{_PACKAGE} is not installed: make manifests-check brings it")
    return Path(spec.origin).parent / "kubernetes-json-schema" / f"v{version}.0-local-strict"


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
