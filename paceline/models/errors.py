"""What can go wrong with a model's files, vocabulary or chat template."""

from collections.abc import Iterable
from pathlib import Path

from paceline.errors import InvalidRequestError, PacelineError


class UnknownModelError(PacelineError):
    """A name is neither a catalogued model nor a catalogued pair (`name`, `known_names`)."""

    reason = "UNKNOWN_MODEL"

    def __init__(self, name: str, known_names: Iterable[str]) -> None:
        self.name = name
        self.known_names = tuple(known_names)
        message = f"there is no model or pair {name!r} in the catalogue; it has {', '.join(self.known_names)}"
        super().__init__(message, name=name, known_names=self.known_names)


class WrongBytesError(PacelineError):
    """A file is not the catalogued one (`path`, `expected_sha256`, `actual_sha256`); it has been removed."""

    reason = "WRONG_BYTES"

    def __init__(self, path: Path, *, expected_sha256: str, actual_sha256: str) -> None:
        self.path = path
        self.expected_sha256 = expected_sha256
        self.actual_sha256 = actual_sha256
        message = (
            f"{path.name} is not the catalogued file and was removed: expected SHA-256 {expected_sha256}, "
            f"got {actual_sha256}; pull it again, and if that repeats, use the other --source"
        )
        super().__init__(message, path=path, expected_sha256=expected_sha256, actual_sha256=actual_sha256)


class SourceUnavailableError(PacelineError):
    """A place that a model can be had from did not deliver it (`source`, `detail`)."""

    reason = "SOURCE_UNAVAILABLE"

    def __init__(self, source: str, detail: str) -> None:
        self.source = source
        self.detail = detail
        super().__init__(f"{source}: {detail}", source=source, detail=detail)


class NoDiskSpaceError(PacelineError):
    """A file does not fit on the disk of the cache (`path`, `num_bytes_needed`, `num_bytes_free`)."""

    reason = "NO_DISK_SPACE"

    def __init__(self, path: Path, *, num_bytes_needed: int, num_bytes_free: int) -> None:
        self.path = path
        self.num_bytes_needed = num_bytes_needed
        self.num_bytes_free = num_bytes_free
        message = (
            f"{path} has {num_bytes_free / 1e6:.0f} MB free and {num_bytes_needed / 1e6:.0f} MB are needed; "
            "free some space or point PACELINE_CACHE_DIR at a larger disk"
        )
        super().__init__(message, path=path, num_bytes_needed=num_bytes_needed, num_bytes_free=num_bytes_free)


class CacheUnusableError(PacelineError):
    """The cache directory cannot be created, read or written (`path`, `detail`)."""

    reason = "CACHE_UNUSABLE"

    def __init__(self, path: Path, detail: str) -> None:
        self.path = path
        self.detail = detail
        message = (
            f"models cannot be kept in {path}: {detail}; point PACELINE_CACHE_DIR at a writable directory"
        )
        super().__init__(message, path=path, detail=detail)


class InvalidModelFileError(PacelineError):
    """A file or directory cannot be read as what it claims to be (`path`, `detail`)."""

    reason = "INVALID_MODEL_FILE"

    def __init__(self, path: Path, detail: str) -> None:
        self.path = path
        self.detail = detail
        super().__init__(f"{path}: {detail}", path=path, detail=detail)


class UnsupportedTokenizerError(PacelineError):
    """A vocabulary is of a kind that this version cannot tokenize exactly (`kind`, `supported_kinds`)."""

    reason = "UNSUPPORTED_TOKENIZER"

    def __init__(self, kind: str, supported_kinds: Iterable[str]) -> None:
        self.kind = kind
        self.supported_kinds = tuple(supported_kinds)
        message = f"{kind} is not supported; supported are {', '.join(self.supported_kinds)}"
        super().__init__(message, kind=kind, supported_kinds=self.supported_kinds)


class ChatTemplateError(PacelineError):
    """A model has no chat template, or its template refused the messages (`detail`)."""

    reason = "CHAT_TEMPLATE_FAILED"

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(f"the chat template cannot be used: {detail}", detail=detail)


class InvalidTextError(InvalidRequestError):
    """A text holds a code point that UTF-8 cannot carry (`position` of the first lone surrogate)."""

    reason = "INVALID_UTF8"

    def __init__(self, position: int) -> None:
        self.position = position
        super().__init__(
            f"the text has a lone surrogate at character {position}; send valid Unicode", position=position
        )
