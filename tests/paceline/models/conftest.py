"""Real model files: the small one is pulled for the tests, the large ones for slow tests."""

from pathlib import Path

import pytest

from paceline.models.cache import default_cache_dir
from paceline.models.catalog import QWEN25_CODER_05B, QWEN25_CODER_15B, SMOLLM2_135M
from paceline.models.pull import pull
from paceline.models.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def smollm2_path() -> Path:
    return pull(SMOLLM2_135M, default_cache_dir())


@pytest.fixture(scope="session")
def smollm2(smollm2_path: Path) -> Tokenizer:
    return Tokenizer.load(smollm2_path)


@pytest.fixture(scope="session")
def small_qwen_path() -> Path:
    return pull(QWEN25_CODER_05B, default_cache_dir())


@pytest.fixture(scope="session")
def small_qwen(small_qwen_path: Path) -> Tokenizer:
    return Tokenizer.load(small_qwen_path)


@pytest.fixture(scope="session")
def large_qwen() -> Tokenizer:
    return Tokenizer.load(pull(QWEN25_CODER_15B, default_cache_dir()))
