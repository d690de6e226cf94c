import os

import pytest

from bench.cpu import cpu_s


def test_the_cpu_of_a_process_is_what_the_kernel_says():
    own = cpu_s(os.getpid())
    assert own is not None
    assert own == pytest.approx(sum(os.times()[:2]), abs=0.1)
    assert cpu_s(2**22 + 1) is None
