"""The real engine around a timed runner."""

from pathlib import Path
from typing import cast

from benchmarks.simulation.replica_plan import PoolPlan
from benchmarks.simulation.timed_runner import BLOCK_SIZE, TimedRunner
from paceline.engine.engine import AdmissionRules, Engine, EngineConfig, EngineInfo, SelfTestReport
from paceline.engine.model_runner import ModelRunner
from tests.orchestrator.byte_tokenizer import VOCABULARY_SIZE

MODEL_NAME = "simulated"


def timed_engine(plan: PoolPlan) -> Engine:
    """Return a running engine; the caller closes it."""
    num_blocks = 1 + plan.max_sessions * -(-plan.max_context_tokens // BLOCK_SIZE)
    runner = TimedRunner(plan.model, plan.step_time, num_blocks, plan.dilation)
    rules = AdmissionRules()
    config = EngineConfig(
        Path(MODEL_NAME),
        kv_cache_bytes=0,
        num_threads=1,
        max_rows_per_step=plan.max_rows_per_step,
        # These are about passes, whose seconds are longer.
        max_decode_stall_seconds=EngineConfig.max_decode_stall_seconds * plan.dilation,
        admission=AdmissionRules(
            plan.max_sessions, rules.deadline_seconds * plan.dilation, rules.protect_seconds * plan.dilation
        ),
    )
    info = EngineInfo(
        name=MODEL_NAME,
        family="chain",
        weights="f32",
        compute_precision="f32",
        kv_precision="f32",
        device="clock",
        vocabulary_size=VOCABULARY_SIZE,
        max_context_tokens=plan.max_context_tokens,
        kv_bytes_per_token=runner.kv_bytes_per_token,
        kv_capacity_tokens=(num_blocks - 1) * BLOCK_SIZE,
        self_test=SelfTestReport(True, 1, 0, (), MODEL_NAME),
        numerics_digest=MODEL_NAME,
    )
    return Engine(cast("ModelRunner", runner), info, config)
