"""Whether FlexAttention can be compiled on this machine.

Imports torch: test files import it behind `pytest.importorskip`.
"""

import pytest
from torch._inductor.cpp_builder import get_cpp_compiler
from torch._inductor.kernel.flex.flex_cpu import check_cpu_supported


def require_flex() -> None:
    """Skip the test, by name, where it cannot."""
    try:
        get_cpp_compiler()
    except Exception:
        pytest.skip("this machine has no C++ compiler that torch would use")
    if not check_cpu_supported():
        pytest.skip("torch compiles FlexAttention for CPUs with AVX2 alone")
