"""The file that names all tenants; docs/tenants.md is for those who write it."""

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated

import structlog
import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from orchestrator.tenant import Quotas, Role, Tenant
from orchestrator.tenant_directory import KnownKey, TenantDirectory
from paceline.errors import ConfigError

_DIGEST_BYTES = 32
_EXPLANATIONS = {
    "extra_forbidden": "is not known here; check its spelling",
    "missing": "is missing; add it",
    "model_type": "must have fields, as docs/tenants.md shows them",
}
# A field whose name is none of ours may be a key in the wrong place.
_HARMLESS_NAME = re.compile("[a-z_]{1,24}")

_log = structlog.get_logger()


def _hex_digest(text: str) -> str:
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if len(digest) != _DIGEST_BYTES or len(text) != 2 * _DIGEST_BYTES:
        raise ValueError(
            "must be the SHA-256 of a key, 64 hexadecimal digits, and never a key itself; "
            "`paceline keys new` prints both"
        )
    return text.lower()


_Count = Annotated[int, Field(ge=1)]


class _Entry(BaseModel):
    """A part of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _KeyEntry(_Entry):
    """A key: its digest, and from when on it is no longer good."""

    sha256: Annotated[str, AfterValidator(_hex_digest)]
    expires: datetime | date | None = None

    @property
    def expires_at(self) -> float | None:
        """Seconds since 1970; a time without a zone is in UTC, a date its first moment."""
        if self.expires is None:
            return None
        moment = (
            self.expires if isinstance(self.expires, datetime) else datetime.combine(self.expires, time.min)
        )
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


class _QuotasEntry(_Entry):
    """The fields of `Quotas`."""

    max_sessions: _Count | None = None
    requests_per_minute: _Count | None = None
    tokens_per_minute: _Count | None = None
    max_tokens: _Count | None = None


class _TenantEntry(_Entry):
    """A tenant."""

    # It is a label of metrics and a part of Redis' keys.
    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$", max_length=63)]
    api_keys: Annotated[tuple[_KeyEntry, ...], Field(min_length=1)]
    role: Role = Role.USER
    weight: Annotated[float, Field(ge=0.01, le=1000)] = 1.0
    quotas: _QuotasEntry = _QuotasEntry()

    def known_keys(self) -> Iterator[KnownKey]:
        """Yield its keys."""
        tenant = Tenant(self.name, self.role, self.weight, Quotas(**self.quotas.model_dump()))
        for key in self.api_keys:
            yield KnownKey(bytes.fromhex(key.sha256), tenant, key.expires_at)


class _FileEntry(_Entry):
    """The whole file."""

    tenants: Annotated[tuple[_TenantEntry, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _check_that_nothing_is_there_twice(self) -> "_FileEntry":
        places: dict[str, str] = {}
        for number, tenant in enumerate(self.tenants):
            place = f"tenants[{number}]"
            other = places.setdefault(tenant.name, f"{place}.name")
            if other != f"{place}.name":
                raise ValueError(f"{place}.name is {other} too; give each tenant a name of its own")
            for at, key in enumerate(tenant.api_keys):
                key_place = f"{place}.api_keys[{at}]"
                other = places.setdefault(key.sha256, key_place)
                if other != key_place:
                    raise ValueError(f"{key_place} is {other} too; a key belongs to one tenant, once")
        return self


def read_tenants(content: bytes) -> TenantDirectory:
    """Return the tenants of a file's content, YAML or JSON.

    Raises ConfigError, which says where the fault is and quotes nothing: it might be a key.
    """
    try:
        loaded = yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise ConfigError(f"{_yaml_fault(error)}; correct the file", setting="tenants_file") from None
    try:
        entry = _FileEntry.model_validate(loaded)
    except ValidationError as error:
        raise ConfigError(_fault(error.errors()[0]), setting="tenants_file") from None
    return TenantDirectory(key for tenant in entry.tenants for key in tenant.known_keys())


class TenantsFile:
    """A tenants file, read again when its content changes; made by `load`.

    Attributes:
        directory: What was last read without a fault.
    """

    def __init__(self, path: Path, content: bytes, directory: TenantDirectory) -> None:
        self._path = path
        self._content = content  # of the last try
        self._fault = ""
        self.directory = directory

    @classmethod
    def load(cls, path: Path) -> "TenantsFile":
        """Read a file for the first time; raises ConfigError."""
        try:
            content = path.read_bytes()
            directory = read_tenants(content)
        except (OSError, ConfigError) as error:
            raise ConfigError(f"--tenants-file {path}: {_sentence(error)}", setting="tenants_file") from error
        _log_loaded(path, directory)
        return cls(path, content, directory)

    async def run(self, interval_seconds: float) -> None:
        """Look at the file again and again until cancelled; one that is broken changes nothing and is logged."""
        while True:
            await asyncio.sleep(interval_seconds)
            await asyncio.to_thread(self._look)

    def _look(self) -> None:
        # What a mounted Secret shows is switched as a whole, with whatever times: the content tells.
        try:
            content = self._path.read_bytes()
            if content == self._content:
                return
            self._content = content
            self.directory = read_tenants(content)
        except (OSError, ConfigError) as error:
            self._note_fault(_sentence(error))
        else:
            self._fault = ""
            _log_loaded(self._path, self.directory)

    def _note_fault(self, fault: str) -> None:
        if fault != self._fault:
            self._fault = fault
            _log.error("tenants_not_loaded", path=str(self._path), message=fault, kept="those before")


def _log_loaded(path: Path, directory: TenantDirectory) -> None:
    _log.info(
        "tenants_loaded",
        path=str(path),
        num_tenants=len(directory.tenants),
        num_keys=len(directory.keys),
    )


def _sentence(error: OSError | ConfigError) -> str:
    if isinstance(error, OSError):
        return f"it cannot be read: {error.strerror or type(error).__name__}"
    return error.message


def _yaml_fault(error: yaml.YAMLError) -> str:
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    place = f"line {mark.line + 1}, column {mark.column + 1}" if mark is not None else "it"
    return f"{place} is neither YAML nor JSON"


def _fault(detail: ErrorDetails) -> str:
    place = "".join(map(_part, detail["loc"])).lstrip(".") or "the file"
    explanation = _EXPLANATIONS.get(detail["type"])
    if explanation is not None:
        return f"{place} {explanation}"
    message = detail["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if detail["loc"] else message


def _part(part: int | str) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    return f".{part}" if _HARMLESS_NAME.fullmatch(part) else ".(a field)"
