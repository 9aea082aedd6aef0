"""What transformers, safetensors and torch raise while they load a model, as sentences for the one who chose it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers.utils import logging

from paceline.engine.errors import UnsupportedModelError
from paceline.errors import ConfigError, PacelineError

# Some libraries answer with an essay.
_MAX_REASON_CHARACTERS = 300


@contextmanager
def explained(directory: Path) -> Iterator[None]:
    """Turn every failure within the block into UnsupportedModelError, or ConfigError where memory is short."""
    try:
        yield
    except PacelineError:
        raise
    except (MemoryError, torch.OutOfMemoryError) as error:
        message = (
            f"{directory} does not fit into the memory that is free ({reason_of(error)}). Choose a larger device, or "
            "weights of fewer bits."
        )
        raise ConfigError(message, setting="weights") from error
    except ImportError as error:
        message = f"{directory} needs a package that is not installed: {reason_of(error)}"
        raise UnsupportedModelError(message, path=str(directory)) from error
    except Exception as error:  # whatever transformers and what it builds on raise
        message = (
            f"{directory} cannot be loaded into PyTorch ({reason_of(error)}). Check its files, or fetch them "
            "again."
        )
        raise UnsupportedModelError(message, path=str(directory)) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from drawing bars and tables: what is wrong with a model, our errors say."""
    verbosity, has_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if has_bars:
            logging.enable_progress_bar()


def reason_of(error: BaseException) -> str:
    """Return the error on one line."""
    words = " ".join(str(error).split()) or "no reason given"
    if len(words) > _MAX_REASON_CHARACTERS:
        words = f"{words[:_MAX_REASON_CHARACTERS]} ..."
    return f"{type(error).__name__}: {words}"
