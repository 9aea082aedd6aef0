"""The model that a process hosts: found, loaded beside the event loop, described, closed."""

import asyncio
import atexit
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from paceline.engine.config import HeadKind
from paceline.engine.engine import AdmissionRules, Engine, EngineConfig, EngineInfo, WatchPass
from paceline.models.served_directory import find_served_directory
from paceline.models.tokenizer import Tokenizer
from paceline.sampling.structure import StructureCompiler
from paceline.serving.config import MIB, ModelServiceConfig, usable_cores
from paceline.serving.model_engine import ModelEngine
from paceline.serving.server import ServiceServer
from paceline.v1 import model_pb2

_FAILURE_POLL_SECONDS = 0.2

_log = structlog.get_logger()


@dataclass(frozen=True)
class HostedModel:
    """A loaded model, the SHA-256 of the vocabulary that its ids are of, and what compiles structures for it."""

    engine: ModelEngine
    info: EngineInfo
    vocabulary_sha256: str
    structures: StructureCompiler | None = None

    def to_message(self) -> model_pb2.ModelInfo:
        """Return what callers may know of it."""
        info, report = self.info, self.info.self_test
        return model_pb2.ModelInfo(
            name=info.name,
            family=info.family,
            weights=info.weights,
            compute_precision=info.compute_precision,
            kv_precision=info.kv_precision,
            device=info.device,
            vocabulary_size=info.vocabulary_size,
            vocabulary_sha256=self.vocabulary_sha256,
            max_context_tokens=info.max_context_tokens,
            kv_bytes_per_token=info.kv_bytes_per_token,
            kv_capacity_tokens=info.kv_capacity_tokens,
            self_test=model_pb2.SelfTestReport(
                batch_invariant=report.batch_invariant,
                min_rows=report.min_rows,
                num_rows_compared=report.num_rows_compared,
                failed_checks=report.failed_checks,
            ),
            numerics_digest=info.numerics_digest,
        )


@asynccontextmanager
async def hosting(
    config: ModelServiceConfig, watch: WatchPass | None = None, head: HeadKind = "exact"
) -> AsyncIterator[HostedModel]:
    """Load and test the configured model in a thread, and close it when the block ends.

    `watch` hears of each forward pass, on the engine's thread.

    Only a draft may have the fast head: a target's text would change. A forward pass that does not end in time is left
    running, and the process then ends under it.

    Raises PacelineError where the model is not prepared, cannot be built or fails its self-test.
    """
    directory = await asyncio.to_thread(
        find_served_directory, config.model, config.weights, reads_hub=config.engine == "torch"
    )
    # Both at once: compiling lets other threads run.
    (tokenizer, vocabulary_sha256), engine = await asyncio.gather(
        asyncio.to_thread(_read_vocabulary, directory),
        asyncio.to_thread(Engine.load, engine_config(config, directory, head), watch),
    )
    try:
        _log.info("model_loaded", model=engine.info.name, weights=engine.info.weights)
        structures = StructureCompiler(tokenizer, engine.info.vocabulary_size)
        yield HostedModel(engine, engine.info, vocabulary_sha256, structures)
    finally:
        await _close(engine, config.closing_seconds / 2)


def _read_vocabulary(directory: Path) -> tuple[Tokenizer, str]:
    """Return a model's tokenizer and its vocabulary's hash, which the tokenizer computes once."""
    tokenizer = Tokenizer.load(directory)
    return tokenizer, tokenizer.vocabulary_hash


async def serve_while_it_computes(server: ServiceServer, engine: ModelEngine) -> None:
    """Serve until a stop is requested, or until a pass fails: the cache cannot be trusted then, and the process ends.

    What waits is answered first. Raises EngineFailedError.
    """
    watching = asyncio.create_task(_stop_on_failure(server, engine))
    try:
        await server.serve()
    finally:
        watching.cancel()
    if engine.failure is not None:
        raise engine.failure


async def _stop_on_failure(server: ServiceServer, engine: ModelEngine) -> None:
    while True:
        if (failure := engine.failure) is not None:
            _log.error("engine_failed", message=failure.message)
            return server.request_stop()
        await asyncio.sleep(_FAILURE_POLL_SECONDS)


async def _close(engine: Engine, timeout_seconds: float) -> None:
    if not await asyncio.to_thread(engine.close, timeout_seconds):
        _log.warning("pass_left_running")
        atexit.register(_exit_at_once, 0 if engine.failure is None else 1)


def _exit_at_once(code: int) -> None:
    """End the process in place of the interpreter's clean-up, which would free what the pass computes with."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def engine_config(config: ModelServiceConfig, directory: Path, head: HeadKind = "exact") -> EngineConfig:
    """Return what the engine is to be built with."""
    return EngineConfig(
        model_directory=directory,
        engine=config.engine,
        device=config.device,
        tensor_parallel=config.tensor_parallel,
        weights=config.weights,
        trust_remote_code=config.trust_remote_code,
        compute_precision=config.compute_precision,
        kv_precision=config.kv_precision,
        activation_group_size=config.activation_group_size,
        head=head,
        kv_cache_bytes=config.kv_cache_mib * MIB,
        num_threads=config.num_threads or len(usable_cores()),
        max_rows_per_step=config.max_rows_per_step,
        max_decode_stall_seconds=config.max_decode_stall_seconds,
        batch_invariant=config.batch_invariant,
        attention=config.attention,
        cuda_graphs=config.cuda_graphs,
        self_test=config.self_test,
        max_context_tokens=config.max_context_tokens,
        admission=AdmissionRules(
            max_waiting=config.max_waiting_works,
            deadline_seconds=config.admission_deadline_seconds,
            protect_seconds=config.session_protect_seconds,
        ),
        cache_update=config.kv_cache_update,
    )
