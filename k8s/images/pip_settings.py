"""This machine's own pip settings, for the build of an image alone: a mirror, a proxy, certificates to check it with.

They go in as secrets, which the instruction that installs packages sees and no layer keeps. The Dockerfile names them.
"""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

# Where to find packages; what else pip may be told here, such as folders of this machine, means nothing in a build.
_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries", "cert")
_CERTIFICATES = "/run/secrets/ca.pem"


def build_secrets(folder: Path) -> list[str]:
    """Write files for a build into a folder, and return the engine's words for them: `id=pip.conf,src=FILE`."""
    settings = settings_for_builds(_pip_config(), os.environ)
    secrets: list[str] = []
    if certificates := settings.get("cert"):
        secrets.append(f"id=ca.pem,src={certificates}")
        settings["cert"] = _CERTIFICATES
    path = folder / "pip.conf"
    path.write_text("\n".join(("[global]", *(f"{name} = {value}" for name, value in settings.items()), "")))
    return [*secrets, f"id=pip.conf,src={path}"]


def settings_for_builds(listing: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that a build needs out of what `pip config list` prints.

    Example: "global.index-url='https://mirror.example/simple'" gives {"index-url": "https://mirror.example/simple"}.
    """
    settings = dict(_listed(listing))
    if "cert" not in settings and (bundle := environment.get("REQUESTS_CA_BUNDLE")):
        settings["cert"] = bundle
    return settings


def _listed(listing: str) -> Iterator[tuple[str, str]]:
    # pip takes the environment's word before that of any file, so that it comes last here.
    lines = sorted(listing.splitlines(), key=lambda line: line.startswith(":env:"))
    for line in lines:
        found = re.fullmatch(r"[:\w]+\.([\w-]+)=(.+)", line.strip())
        if found is None or found[1] not in _SETTINGS:
            continue
        value = ast.literal_eval(found[2])
        if found[1].endswith("index-url"):
            value = " ".join(url for url in value.split() if not url.startswith("file:"))
        if value:
            yield found[1], value


def _pip_config() -> str:
    command = [sys.executable, "-m", "pip", "config", "list"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout
