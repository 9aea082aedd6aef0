"""First words of questions: they widen what a target asks itself, which alone soon turns round a few subjects."""

from pathlib import Path


def read_openings() -> tuple[str, ...]:
    """Return the lines of openings.txt."""
    text = Path(__file__).with_name("openings.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line)
