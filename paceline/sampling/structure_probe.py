"""Compiling a structure in a process of its own first, where llguidance may need minutes for a short one.

It decides whether regular expressions can match at the same time by exploring all of their states: thirty patterns in
one `allOf`, or 600 in `patternProperties`, keep it busy for longer than anyone waits, and a thread cannot be stopped.
"""

import json
import resource
import subprocess
import sys
from typing import Any

from llguidance import LLMatcher

from paceline.sampling.parameters import Structure, StructureKind

MAX_SECONDS = 5.0
MAX_MEMORY_BYTES = 2 << 30

# Eight patterns that are all intersected compile in milliseconds; a grammar can intersect in too many ways to tell.
MAX_PATTERNS_UNPROBED = 8


def needs_probe(structure: Structure) -> bool:
    """Say whether a structure may take long to compile."""
    match structure.kind:
        case StructureKind.JSON_SCHEMA:
            return _num_patterns(json.loads(structure.text)) > MAX_PATTERNS_UNPROBED
        case StructureKind.GRAMMAR:
            return True
        case _:
            return False


def compiles_in_time(grammar: str) -> bool:
    """Compile a grammar for `MAX_SECONDS` at most, in a process that takes 0.2 s to start; errors count as compiled."""
    try:
        probe = subprocess.run(
            [sys.executable, "-m", __name__],
            input=grammar.encode(),
            timeout=MAX_SECONDS,
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return False
    return probe.returncode == 0


def _num_patterns(schema: Any) -> int:
    """Count the regular expressions anywhere in a schema."""
    num_patterns, unseen = 0, [schema]
    while unseen:
        value = unseen.pop()
        if isinstance(value, dict):
            patterns = value.get("patternProperties")
            num_patterns += ("pattern" in value) + (len(patterns) if isinstance(patterns, dict) else 0)
            unseen += value.values()
        elif isinstance(value, list):
            unseen += value
    return num_patterns


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    LLMatcher.validate_grammar(sys.stdin.buffer.read().decode())
