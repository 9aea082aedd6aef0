"""`python -m k8s.prometheus_rules` writes monitoring/rules as a PrometheusRule.

kustomize reads no file above its folder, so that it cannot do so itself.
"""

from pathlib import Path

import yaml

PATH = Path(__file__).parent / "components" / "monitoring" / "prometheus-rules.yaml"
_SOURCES = Path(__file__).parent.parent / "monitoring" / "rules"
_HEAD = "# Written by `make manifests` from monitoring/rules.\n"


class _Dumper(yaml.SafeDumper):
    """Writes a text of several lines as one, so that expressions stay readable."""


def _scalar(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _scalar)


def text() -> str:
    """Return what belongs into the file."""
    groups = [
        {**group, "name": f"{group['name']}-{path.stem}"}
        for path in sorted(
            _SOURCES.glob("*.yaml"), reverse=True
        )  # recording rules before the alerts made of them
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    ]
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "paceline"},
        "spec": {"groups": groups},
    }
    return _HEAD + yaml.dump(rule, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
