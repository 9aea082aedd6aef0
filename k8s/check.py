"""`python -m k8s.check` builds every overlay and holds it to Kubernetes' schemas and to our policy.

It exits with 1 on any finding, and talks to no cluster. `--write FOLDER` keeps what was built.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from k8s import policy, prometheus_rules
from k8s.manifests import (
    COMPONENTS,
    OVERLAYS,
    KustomizeError,
    Manifest,
    build_overlay,
    build_with_component,
    components_of_overlays,
)
from k8s.schemas import VERSIONS, SchemasMissingError, errors_of


def main() -> None:
    """Print what is wrong, and a line about each overlay."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", type=Path, help="folder for what was built, a file an overlay")
    options = parser.parse_args()
    try:
        built = build_all()
        problems = [*schema_problems(built), *policy_problems(built), *stale_files()]
    except (KustomizeError, SchemasMissingError) as error:
        sys.exit(f"error: {error}")
    if options.write is not None:
        write(built, options.write)
    for overlay, manifests in built.items():
        _say(f"{overlay}: {len(manifests)} objects, Kubernetes {', '.join(VERSIONS)}")
    for excuse in policy.exceptions():
        _say(f"exception: {excuse.subject} {_where(excuse)}: {excuse.rule}: {excuse.reason}")
    for problem in problems:
        _say(f"error: {problem}")
    sys.exit(1 if problems else 0)


def build_all() -> dict[str, list[Manifest]]:
    """Return the objects of every overlay, and of the base with each component that no overlay has.

    Raises KustomizeError.
    """
    spare = sorted(set(COMPONENTS) - components_of_overlays())
    return {
        **{f"overlays/{name}": build_overlay(name) for name in OVERLAYS},
        **{f"base with components/{name}": build_with_component(name) for name in spare},
    }


def schema_problems(built: Mapping[str, Sequence[Manifest]]) -> Iterator[str]:
    """Yield what a version of Kubernetes would refuse, where it first comes. Raises SchemasMissingError."""
    seen: set[str] = set()
    for overlay, manifests in built.items():
        for manifest in manifests:
            # Most objects of an overlay are those of another one.
            text = json.dumps(manifest, sort_keys=True)
            if text in seen:
                continue
            seen.add(text)
            for version in VERSIONS:
                yield from (f"{overlay}: Kubernetes {version}: {one}" for one in errors_of(manifest, version))


def policy_problems(built: Mapping[str, Sequence[Manifest]]) -> Iterator[str]:
    """Yield findings that no exception is written for, and exceptions that nothing needs."""
    excuses = policy.exceptions()
    found = {overlay: policy.findings(manifests) for overlay, manifests in built.items()}
    for overlay, findings in found.items():
        yield from (f"{overlay}: {one}" for one in policy.unexcused(findings, excuses, overlay))
    for excuse in policy.unused(found, excuses):
        subject = f"{excuse.subject} from {excuse.rule} {_where(excuse)}"
        yield f"exceptions.yaml: nothing needs the exception of {subject}"


def stale_files() -> Iterator[str]:
    """Yield the name of each written file that is not what it would be now."""
    if prometheus_rules.PATH.read_text(encoding="utf-8") != prometheus_rules.text():
        yield f"{prometheus_rules.PATH.name} is not that of monitoring/rules: run make manifests"


def write(built: Mapping[str, Sequence[Manifest]], folder: Path) -> None:
    """Write each overlay's objects into a file of its name."""
    folder.mkdir(parents=True, exist_ok=True)
    for overlay, manifests in built.items():
        path = folder / f"{overlay.rpartition('/')[2]}.yaml"
        path.write_text(yaml.safe_dump_all(manifests, sort_keys=False), encoding="utf-8")


def _where(excuse: policy.PolicyException) -> str:
    return f"in {', '.join(filter(None, excuse.places)) or 'all'}"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
