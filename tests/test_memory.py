"""A call whose result is smaller than its inputs allocates nothing of their size, in NumPy nor in Rust."""

import json
import subprocess
import sys
import tracemalloc
from functools import partial

import numpy as np
import pytest

from .cases import CASES
from .conftest import ROOT

SHAPE = 256, 65536
# Of every row of the table with a smaller result; and calls that could be tempted to copy.
MORE = {
    "perplexity": lambda f, x, t: f.perplexity(x, t),
    "cross_entropy, shift": lambda f, x, t: f.cross_entropy(x, t, shift=1),
    "cross_entropy, mask": lambda f, x, t: f.cross_entropy(x, t, mask=t % 2 == 0),
    "cross_entropy, reversed": lambda f, x, t: f.cross_entropy(x[:, ::-1], t),
    "cross_entropy, padded rows": lambda f, x, t: f.cross_entropy(x[:, :-1], t),
    "cross_entropy, axis=0": lambda f, x, t: f.cross_entropy(x, np.zeros(SHAPE[1], int), axis=0),
    "entropy, padded rows": lambda f, x, t: f.entropy(x[:, :-1]),
    "cross_entropy, float16": lambda f, x, t: f.cross_entropy(x.view(np.float16), t),
}


def measure():
    """The bytes each call takes over those of its logits: NumPy's, and the growth of the process."""
    import resource

    import nll_fast

    x, target = np.full(SHAPE, 0.5, np.float32), np.arange(SHAPE[0])
    calls = {name: partial(call, nll_fast, x, target) for name, call in MORE.items()}
    for name, case in CASES.items():
        if case.wide or not (case.rows or case.reduces):
            continue
        arguments = dict.fromkeys(case.draws, x)
        of_rows = {"target": target, "mask": target % 3 > 0, "sample_weight": target % 3}
        for key in case.others:
            of_elements = np.ones(SHAPE, bool if key == "mask" else np.uint8)
            arguments[key] = of_rows.get(key, x[0]) if case.rows else of_elements
        calls[name] = partial(case.call, arguments, **({"reduction": "mean"} if case.reduces else {}))
    nll_fast.set_num_threads(2)
    next(iter(calls.values()))()
    found = {}
    for name, call in calls.items():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        tracemalloc.start()
        call()
        numpy = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        found[name] = numpy / x.nbytes, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / x.nbytes
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units elsewhere")
def test_nothing_the_size_of_the_inputs_is_allocated():
    script = "import json; from tests.test_memory import measure; print(json.dumps(measure()))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) > 40
    assert not {name: shares for name, shares in found.items() if max(shares) >= 0.02}


REFUSED = """
import resource
import numpy as np
import nll_fast
rows = 1 << 26
row, target = np.zeros((1, (1 << 18) + 1), np.float32), np.zeros(rows, np.int64)
logits = np.broadcast_to(row, (rows, row.shape[1]))
nll_fast.set_num_threads(1)
nll_fast.cross_entropy(row, [0])
with open("/proc/self/statm") as pages:
    taken = int(pages.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + (256 << 20),) * 2)
try:
    nll_fast.cross_entropy(logits, target)
except MemoryError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_copy_of_the_targets_that_does_not_fit_is_an_error():
    done = subprocess.run([sys.executable, "-c", REFUSED], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "there is no memory of 536870912 bytes for a copy of the targets\n"), (
        done
    )
