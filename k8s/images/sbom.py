"""What an image is made of, as a CycloneDX 1.6 document: https://cyclonedx.org/docs/1.6/json/.

Read from the image's own files and not from the locks: Python's packages by their metadata, the base's by dpkg's list.
"""

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any
from urllib.parse import quote

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from k8s.images.archive import ImageConfig

Component = dict[str, Any]

# Debian's own Python packages, in dist-packages below /usr/lib, are in dpkg's list.
_PYTHON_FOLDERS = ("opt/paceline/lib/python*/site-packages", "usr/local/lib/python*/*-packages")
_MAX_LICENSE_NAME = 100  # some packages have the whole text where its name belongs
_LABEL = "org.opencontainers.image."


def bill_of_materials(name: str, image: ImageConfig, root: Path) -> dict[str, Any]:
    """Return the document of an image whose files lie in `root`; the same for the same image."""
    packages = list(python_packages(root))
    components = [
        *map(_python_component, packages),
        *_debian_components(root),
        *_interpreter(image),
        *_operating_system(root),
    ]
    unique = sorted({one["bom-ref"]: one for one in components}.values(), key=lambda one: one["bom-ref"])
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, image.image_id)}",
        "version": 1,
        "metadata": {
            "timestamp": image.labels[f"{_LABEL}created"],
            "lifecycles": [{"phase": "post-build"}],
            "component": _image_component(name, image),
        },
        "components": unique,
        "dependencies": [
            {"ref": name, "dependsOn": [one["bom-ref"] for one in unique]},
            *_dependencies(packages),
        ],
    }


def python_packages(root: Path) -> Iterator[Distribution]:
    """Yield the Python packages that are installed in an image beside its distribution's own."""
    for pattern in _PYTHON_FOLDERS:
        for folder in sorted(root.glob(pattern)):
            yield from distributions(path=[str(folder)])


def _image_component(name: str, image: ImageConfig) -> Component:
    labels = {key: value for key, value in sorted(image.labels.items()) if key.startswith(_LABEL)}
    return {
        "type": "container",
        "bom-ref": name,
        "name": name,
        "version": labels[f"{_LABEL}version"],
        "description": labels[f"{_LABEL}description"],
        "supplier": {"name": labels[f"{_LABEL}vendor"]},
        "licenses": [{"expression": labels[f"{_LABEL}licenses"]}],
        "properties": [{"name": f"oci:label:{key}", "value": value} for key, value in labels.items()],
    }


def _python_component(package: Distribution) -> Component:
    reference = _reference(package)
    return {
        "type": "library",
        "bom-ref": reference,
        "name": package.name,
        "version": package.version,
        "purl": reference,
        **({"licenses": licenses} if (licenses := _licenses(package)) else {}),
    }


def _reference(package: Distribution) -> str:
    return f"pkg:pypi/{canonicalize_name(package.name)}@{_escaped(package.version)}"


def _licenses(package: Distribution) -> list[dict[str, Any]]:
    """Return what the metadata says: an expression (PEP 639), else a name, else classifiers."""
    metadata = package.metadata
    if "License-Expression" in metadata:
        return [{"expression": metadata["License-Expression"]}]
    name = metadata["License"].strip() if "License" in metadata else ""
    if name and "\n" not in name and len(name) <= _MAX_LICENSE_NAME:
        return [{"license": {"name": name}}]
    classifiers: Sequence[str] = metadata.get_all("Classifier") or ()
    names = (one.rpartition(" :: ")[2] for one in classifiers if one.startswith("License :: "))
    return [{"license": {"name": one}} for one in names]


def _dependencies(packages: Iterable[Distribution]) -> Iterator[dict[str, Any]]:
    """Yield what each package requires, as far as it is there; what only an extra requires counts where it is."""
    references = {str(canonicalize_name(one.name)): _reference(one) for one in packages}
    for package in packages:
        names = {str(canonicalize_name(Requirement(line).name)) for line in package.requires or ()}
        required = sorted(references[one] for one in names & references.keys())
        yield {"ref": _reference(package), "dependsOn": required}


def _debian_components(root: Path) -> Iterator[Component]:
    status = root / "var/lib/dpkg/status"
    if not status.is_file():
        return
    distribution = "-".join(_release(root))
    for stanza in status.read_text(encoding="utf-8").split("\n\n"):
        fields = dict(re.findall(r"^(\w[\w-]*): (.*)$", stanza, re.MULTILINE))
        if not fields.get("Status", "").endswith(" installed"):
            continue
        name, version, architecture = (fields[key] for key in ("Package", "Version", "Architecture"))
        qualifiers = f"arch={architecture}&distro={distribution}"
        reference = f"pkg:deb/debian/{quote(name, safe='')}@{_escaped(version)}?{qualifiers}"
        yield {
            "type": "library",
            "bom-ref": reference,
            "name": name,
            "version": version,
            "supplier": {"name": fields["Maintainer"]},
            "purl": reference,
        }


def _interpreter(image: ImageConfig) -> Iterator[Component]:
    """Yield the Python that an official base has built for itself, and says so in its environment."""
    if version := image.environment.get("PYTHON_VERSION"):
        reference = f"pkg:generic/python@{version}"
        yield {
            "type": "platform",
            "bom-ref": reference,
            "name": "python",
            "version": version,
            "purl": reference,
            "licenses": [{"license": {"id": "PSF-2.0"}}],
        }


def _operating_system(root: Path) -> Iterator[Component]:
    name, version = _release(root)
    yield {"type": "operating-system", "bom-ref": f"{name}-{version}", "name": name, "version": version}


def _release(root: Path) -> tuple[str, str]:
    """Return name and version of the distribution: debian, 12."""
    lines = (root / "etc/os-release").read_text(encoding="utf-8").splitlines()
    fields: Mapping[str, str] = dict(line.split("=", 1) for line in lines if "=" in line)
    return fields["ID"].strip('"'), fields["VERSION_ID"].strip('"')


def _escaped(version: str) -> str:
    """Return a version as package URLs have it."""
    return quote(version, safe=":")
