import os
from pathlib import Path

import numpy as np
import pytest
from nll_fast import _core

ROOT = Path(__file__).parent.parent


def pytest_report_header():
    return (
        f"nll_fast: SIMD level {_core.simd_level()} of {', '.join(_core.simd_levels())}; "
        f"{_core.get_num_threads()} threads, {os.cpu_count()} cores"
    )


@pytest.fixture(scope="session")
def real_logits():
    return np.load(ROOT / "examples/smollm2_logits.npy"), np.load(ROOT / "examples/smollm2_targets.npy")
