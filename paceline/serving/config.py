"""What every program is configured with: one frozen object from flags and environment, validated at start."""

import os
import socket
import sys
from collections.abc import Iterator
from collections.abc import Sequence as Arguments
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from paceline.errors import ConfigError, PacelineError
from paceline.security.certificates import CertificateFiles, OwnFiles
from paceline.security.peer_names import checked_pattern
from paceline.telemetry.setup import TelemetrySettings

MIB = 1 << 20
ACTIVATION_GROUP_DESCRIPTION = (
    "Neighbouring activations that share a scale beside int8 and int4 weights: the more, the faster and the coarser; "
    "0 quantises none, the device chooses if unset."
)


def split_parts(value: Any) -> Any:
    """Return the parts of a text with commas between them; anything else as it is."""
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _check_address(address: str) -> str:
    host, separator, port = address.rpartition(":")
    if address.startswith("unix:") and len(address) > len("unix:"):
        return address
    if not (host and separator and port.isdecimal() and int(port) < 1 << 16):
        raise ValueError(f"{address!r} is not HOST:PORT, for example 127.0.0.1:7001")
    return address


# HOST:PORT, or unix:PATH; port 0 lets the system choose.
Address = Annotated[str, AfterValidator(_check_address)]
# On the command line and in the environment: parts with commas between them.
Addresses = Annotated[tuple[Address, ...], NoDecode, BeforeValidator(split_parts)]
Cores = Annotated[tuple[Annotated[int, Field(ge=0)], ...], NoDecode, BeforeValidator(split_parts)]
PeerNames = Annotated[
    tuple[Annotated[str, AfterValidator(checked_pattern)], ...], NoDecode, BeforeValidator(split_parts)
]
TlsClients = Literal["require", "accept"]
# fp8 is made of Hugging Face models by the engine torch.
WeightsFormat = Literal["f16", "int8", "int4", "fp8"]


class ServiceConfig(BaseSettings):
    """Options of every program that serves gRPC. A subclass sets `program` and an `env_prefix`."""

    program: ClassVar[str] = "paceline"
    model_config = SettingsConfigDict(
        frozen=True,
        cli_avoid_json=True,
        cli_exit_on_error=False,
        cli_hide_none_type=True,
        cli_kebab_case=True,
    )

    listen: Annotated[Address, Field(description="Address to listen on, HOST:PORT.")]
    replica_id: Annotated[
        str,
        Field(
            description="Stable name of this process, for example the pod name.", min_length=1, max_length=253
        ),
    ] = Field(default_factory=socket.gethostname)
    cores: Annotated[
        Cores, Field(description="Processor cores to run on, for example 0,1; all if unset.")
    ] = ()
    grace_seconds: Annotated[
        float, Field(description="Seconds that running work has to end after SIGTERM.", ge=0, le=3600)
    ] = 20.0
    max_message_bytes: Annotated[
        int, Field(description="Most bytes of one request message.", ge=1024, le=256 * MIB)
    ] = 4 * MIB
    max_concurrent_streams: Annotated[
        int, Field(description="Most calls at once on one connection.", ge=1)
    ] = 1024
    parent_pid: Annotated[
        int | None, Field(description="End when this process, the one that started us, dies.", ge=1)
    ] = None
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="Least severity that is logged.")
    ] = "info"
    metrics_listen: Annotated[
        Address | None, Field(description="Address to serve Prometheus metrics on, HOST:PORT; none if unset.")
    ] = None
    otlp_endpoint: Annotated[
        str | None,
        Field(
            description="Where traces and metrics go by OTLP over gRPC, for example http://collector:4317; "
            "OTEL_EXPORTER_OTLP_ENDPOINT if unset, and nowhere without that."
        ),
    ] = None
    metrics_interval_seconds: Annotated[
        float, Field(description="Seconds between two exports of metrics by OTLP.", gt=0)
    ] = 15.0
    trace_ratio: Annotated[
        float,
        Field(
            description="Share of generations that are traced, unless their callers have decided it.",
            ge=0,
            le=1,
        ),
    ] = 0.05

    tls_certificate_file: Annotated[
        Path | None,
        Field(
            description="Certificate of this service, PEM, behind it those that lead to its authority. With it go "
            "--tls-key-file and --tls-ca-file; without them all is plain text. Files that are replaced are read again."
        ),
    ] = None
    tls_key_file: Annotated[Path | None, Field(description="Key of that certificate, PEM.")] = None
    tls_ca_file: Annotated[
        Path | None,
        Field(description="Certificates of the authorities whose certificates the other side may show, PEM."),
    ] = None
    tls_clients: Annotated[
        TlsClients,
        Field(description="Whether callers must show a certificate of --tls-ca-file, or are asked for none."),
    ] = "require"
    tls_peer_names: Annotated[
        PeerNames,
        Field(
            description="DNS or URI names, with commas between them, one of which a caller's certificate must be for; "
            "*. stands for one label. All of the authority's if empty."
        ),
    ] = ()
    health_listen: Annotated[
        Address | None,
        Field(
            description="Address for gRPC's health service alone, in plain text, HOST:PORT: for probes, which speak no "
            "TLS. None if unset."
        ),
    ] = None

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        files = {
            "--tls-certificate-file": self.tls_certificate_file,
            "--tls-key-file": self.tls_key_file,
            "--tls-ca-file": self.tls_ca_file,
        }
        missing = [flag for flag, path in files.items() if path is None]
        if missing and len(missing) < len(files):
            raise ValueError(
                f"{', '.join(files)} go together: give {' and '.join(missing)} too, or none of them"
            )
        if self.tls_peer_names and (missing or self.tls_clients != "require"):
            raise ValueError(
                "--tls-peer-names are names in callers' certificates: give certificates and --tls-clients require"
            )
        return self

    @property
    def certificate_files(self) -> CertificateFiles | None:
        """Where the certificates of this service lie; None where it speaks plain text."""
        if self.tls_ca_file is None or self.tls_certificate_file is None or self.tls_key_file is None:
            return None
        return CertificateFiles(self.tls_ca_file, OwnFiles(self.tls_certificate_file, self.tls_key_file))

    @property
    def telemetry(self) -> TelemetrySettings:
        """What the process tells of itself, and whom."""
        return TelemetrySettings(
            self.program,
            self.replica_id,
            self.metrics_listen,
            self.otlp_endpoint,
            self.metrics_interval_seconds,
            self.trace_ratio,
        )

    @property
    def closing_seconds(self) -> float:
        """The end of the grace period, kept for closing what has not ended by then."""
        return min(1.0, self.grace_seconds / 4)


class ModelServiceConfig(ServiceConfig):
    """Options of the programs that host a model."""

    model: Annotated[
        str,
        Field(
            description="Catalogue name, or directory of a prepared model; with the engine torch also a Hugging Face "
            "directory or hub id.",
            min_length=1,
        ),
    ]
    weights: Annotated[
        WeightsFormat,
        Field(
            description="Format of the weights to serve; fp8 is for Hugging Face models and the engine torch."
        ),
    ] = "int8"
    engine: Annotated[
        Literal["openvino", "torch"],
        Field(description="What computes: openvino, or torch for CUDA devices (the extra accelerator)."),
    ] = "openvino"
    device: Annotated[
        str,
        Field(
            description="OpenVINO's CPU, GPU or NPU; torch's cpu, cuda or cuda:1. With auto, openvino takes the CPU, "
            "and torch the first CUDA device, where there is one.",
            min_length=1,
        ),
    ] = "auto"
    tensor_parallel: Annotated[
        int,
        Field(
            description="So many CUDA devices of this node, from the first on, hold a slice of the model each, in a "
            "process each; the engine torch alone.",
            ge=1,
        ),
    ] = 1
    trust_remote_code: Annotated[
        bool,
        Field(
            description="Whether a Hugging Face model may bring Python code of its own, which then runs in this "
            "process."
        ),
    ] = False
    compute_precision: Annotated[
        Literal["auto", "f32", "bf16"], Field(description="Precision of the computation.")
    ] = "auto"
    kv_precision: Annotated[
        Literal["auto", "f32", "f16", "bf16", "u8", "u4"],
        Field(
            description="Precision of the KV cache. With u8 and u4 logits depend on the batch: they need "
            "--batch-invariant prefer or off."
        ),
    ] = "auto"
    kv_cache_update: Annotated[
        Literal["keep", "partial", "rebuild"],
        Field(
            description="What a round uses of the KV that is there: keep all up to where the ids agree, partial full "
            "blocks alone, rebuild nothing, and none is held between rounds. Tokens are the same under each where "
            "logits do not depend on the batch; keep is the fastest."
        ),
    ] = "keep"
    activation_group_size: Annotated[int | None, Field(description=ACTIVATION_GROUP_DESCRIPTION, ge=0)] = None
    batch_invariant: Annotated[
        Literal["require", "prefer", "off"],
        Field(description="Whether logits must not depend on what else is in the batch."),
    ] = "require"
    attention: Annotated[
        Literal["auto", "flex", "strides"],
        Field(
            description="What reads the KV cache where logits must not depend on the batch, with the engine torch: "
            "flex is PyTorch's compiled FlexAttention, strides copies each row's KV first, auto is flex on CUDA "
            "devices that run it, else strides."
        ),
    ] = "auto"
    cuda_graphs: Annotated[
        Literal["auto", "off"],
        Field(
            description="Whether passes of the engine torch whose logits do not depend on the batch are captured as "
            "CUDA graphs at loading, where that is possible."
        ),
    ] = "auto"
    self_test: Annotated[
        Literal["remembered", "always"],
        Field(
            description="Whether a start that finds the circumstances of an earlier one repeats the whole test of that."
        ),
    ] = "remembered"
    kv_cache_mib: Annotated[int, Field(description="MiB of KV cache on each device.", ge=1)] = 512
    num_threads: Annotated[
        int | None, Field(description="Threads that compute; one a core if unset.", ge=1)
    ] = None
    max_rows_per_step: Annotated[int, Field(description="Most rows of one forward pass.", ge=1)] = 64
    max_decode_stall_seconds: Annotated[
        float,
        Field(
            description="Longest that prompts of other sessions hold up a round, in seconds; the shorter, the slower "
            "prompts are read beside running sessions.",
            gt=0,
        ),
    ] = 0.6
    max_context_tokens: Annotated[
        int | None, Field(description="Most tokens of one session; the model's own limit if unset.", ge=2)
    ] = None
    max_sessions: Annotated[int, Field(description="Most sessions with a cache here at once.", ge=1)] = 1024
    session_idle_seconds: Annotated[
        float, Field(description="Seconds without a round after which a session's cache is freed.", gt=0)
    ] = 300.0
    session_protect_seconds: Annotated[
        float,
        Field(
            description="Seconds after a round in which a session keeps its place and its cache before newcomers.",
            ge=0,
        ),
    ] = 1.0
    max_waiting_works: Annotated[
        int, Field(description="Most rounds that may wait for room in the KV cache.", ge=0)
    ] = 256
    admission_deadline_seconds: Annotated[
        float, Field(description="Longest that a round waits for room in the KV cache, in seconds.", ge=0)
    ] = 10.0
    orphan_seconds: Annotated[
        float,
        Field(description="Seconds that a round is computed on after its caller's stream has broken.", ge=0),
    ] = 1.0
    progress_seconds: Annotated[
        float, Field(description="Seconds between two signs of life to a caller that waits.", gt=0, le=1)
    ] = 0.5


C = TypeVar("C", bound=ServiceConfig)


def read_config(config_class: type[C], arguments: Arguments[str]) -> C:
    """Return the configuration from command-line arguments and, for what they leave out, the environment.

    `--help` prints all options and exits. Raises ConfigError, whose message names the option.
    """
    program = f"python -m {config_class.program}"
    try:
        return config_class(_cli_parse_args=list(arguments), _cli_prog_name=program)  # pyright: ignore[reportCallIssue]
    except ValidationError as error:
        raise _config_error(config_class, error.errors()[0]) from error
    except SettingsError as error:
        reason = str(error).removeprefix("error parsing CLI: ")
        raise ConfigError(f"{reason}; see {program} --help", setting=reason) from error


@contextmanager
def exiting_with_a_sentence(program: str) -> Iterator[None]:
    """End the process on a PacelineError with its sentence on stderr: code 2 for a setting, else 1."""
    try:
        yield
    except PacelineError as error:
        sys.stderr.write(f"{program}: {error.message}\n")
        raise SystemExit(2 if isinstance(error, ConfigError) else 1) from None


def pin_to_cores(cores: Arguments[int]) -> None:
    """Pin the process to cores; an empty list changes nothing.

    Call it before anything loads OpenVINO, which sizes its thread pool by what it finds. Raises ConfigError.
    """
    usable = usable_cores()
    if missing := sorted(set(cores) - usable):
        raise ConfigError(
            f"--cores names {_listed(missing)}, but this process may only run on {_listed(sorted(usable))}",
            setting="cores",
        )
    if cores:
        os.sched_setaffinity(0, cores)


def usable_cores() -> frozenset[int]:
    """Return the cores that this process may run on."""
    return frozenset(os.sched_getaffinity(0))


def _listed(numbers: Arguments[int]) -> str:
    return ", ".join(map(str, numbers)) or "none"


def _config_error(config_class: type[ServiceConfig], detail: ErrorDetails) -> ConfigError:
    field = str(detail["loc"][0]) if detail["loc"] else ""
    flag = "--" + field.replace("_", "-")
    variable = f"{config_class.model_config.get('env_prefix', '')}{field}".upper()
    if detail["type"] == "missing":
        return ConfigError(f"{flag} is required (or set {variable})", setting=field)
    message = detail["msg"].removeprefix("Value error, ")
    if not field:  # several settings contradict each other; the message names them
        return ConfigError(message, setting="")
    return ConfigError(f"{flag} (or {variable}) is {detail['input']!r}: {message}", setting=field)
