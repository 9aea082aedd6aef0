"""Hugging Face directories: a user's own, or the snapshot of a hub id in the Hugging Face cache."""

import json
import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from paceline.engine.graph.manifest import MANIFEST_FILE
from paceline.models.errors import InvalidModelFileError, SourceUnavailableError

CONFIG_FILE: Final = "config.json"
_TOKENIZER_FILE: Final = "tokenizer.json"
_WEIGHTS_FILE: Final = "model.safetensors"
_INDEX_FILE: Final = "model.safetensors.index.json"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
# What a model is loaded from. Code is fetched with it, and runs only where the user trusts it.
_WANTED: Final = ("*.json", "*.safetensors", "*.jinja", "*.py")
# The same weights in other formats.
_UNWANTED: Final = ("*/*", "consolidated*")
_MAX_REASON_CHARACTERS: Final = 300


def find_hub_directory(model: str, allow_download: bool) -> Path | None:
    """Return the Hugging Face directory that `model` names, or None where it names none.

    A hub id, `org/name`, is looked for in the cache of huggingface_hub, and fetched if `allow_download`; HF_HOME,
    HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE mean what they mean there. A snapshot that is whole is taken as it is, so
    that replicas start without the hub.

    Raises SourceUnavailableError where a hub id's files cannot be had, InvalidModelFileError where its index is broken.
    """
    directory = Path(model).expanduser()
    if directory.exists():
        is_prepared = (directory / MANIFEST_FILE).is_file()
        return directory if (directory / CONFIG_FILE).is_file() and not is_prepared else None
    return _snapshot(model, allow_download) if _HUB_ID.fullmatch(model) else None


def _snapshot(hub_id: str, allow_download: bool) -> Path:
    if find_spec("huggingface_hub") is None:
        detail = 'a hub id needs huggingface_hub: pip install "paceline[accelerator]", or give a directory'
        raise SourceUnavailableError(hub_id, detail)
    snapshot = _cached(hub_id)
    if snapshot is not None and not _missing_files(snapshot):
        return snapshot
    if not allow_download:
        detail = (
            "there is neither such a directory nor a whole snapshot in the Hugging Face cache; "
            f"run: hf download {hub_id}"
        )
        raise SourceUnavailableError(hub_id, detail)
    return _fetched(hub_id)


def _cached(hub_id: str) -> Path | None:
    try:
        return Path(_hub().snapshot_download(hub_id, local_files_only=True))
    except (OSError, ValueError):  # it is not there, or is no id that the hub could have
        return None


def _fetched(hub_id: str) -> Path:
    try:
        found = _hub().snapshot_download(
            hub_id, allow_patterns=list(_WANTED), ignore_patterns=list(_UNWANTED)
        )
    except Exception as error:  # whatever the hub's client, its network and the disk raise
        raise SourceUnavailableError(hub_id, _detail(error)) from error
    snapshot = Path(found)
    if missing := _missing_files(snapshot):
        # Another program cached a part, and the hub cannot be asked for the rest; or the model is in other formats.
        detail = (
            f"{', '.join(missing)} can be had neither from the hub nor from the Hugging Face cache; check the network, "
            "and that the model is published as safetensors with a tokenizer.json"
        )
        raise SourceUnavailableError(hub_id, detail)
    return snapshot


def _hub() -> Any:
    """The hub's client, which comes with transformers; most programs of ours are installed without."""
    return import_module("huggingface_hub")


def _missing_files(directory: Path) -> list[str]:
    """The files that a model lacks to be loaded: a snapshot may hold but those that somebody asked for."""
    wanted = (CONFIG_FILE, _TOKENIZER_FILE, *_weight_files(directory))
    return [name for name in wanted if not (directory / name).is_file()]


def _weight_files(directory: Path) -> list[str]:
    index = directory / _INDEX_FILE
    if not index.is_file():
        return [_WEIGHTS_FILE]
    try:
        shards: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        return sorted(set(shards.values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidModelFileError(index, f"cannot be read as an index of weights: {error}") from error


def _detail(error: Exception) -> str:
    """Say what to do about an error of the hub's client."""
    errors = import_module("huggingface_hub.errors")
    if isinstance(error, errors.GatedRepoError):
        return (
            "its access is gated: accept the conditions on its page, then run `hf auth login` or set HF_TOKEN"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            "the hub has no such model, or a private one: check the name, run `hf auth login` or set HF_TOKEN"
        )
    if import_module("huggingface_hub.constants").HF_HUB_OFFLINE:
        return "it is not in the Hugging Face cache; unset HF_HUB_OFFLINE to fetch it, or give a directory"
    reason = " ".join(str(error).split())[:_MAX_REASON_CHARACTERS]
    if isinstance(error, errors.LocalEntryNotFoundError):
        return (
            "it is not in the Hugging Face cache, and the hub does not answer; check the network, or give a directory "
            f"({reason})"
        )
    return f"it cannot be fetched; try again, or give a directory ({type(error).__name__}: {reason})"
