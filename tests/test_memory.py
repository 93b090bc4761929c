"""A call whose result is smaller than its inputs allocates nothing of their size, in NumPy nor in Rust."""

import json
import subprocess
import sys
import tracemalloc
from functools import partial
from pathlib import Path

import nll_fast
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
    "cross_entropy, axis=0": lambda f, x, t: f.cross_entropy(x, np.zeros(x.shape[1], int), axis=0),
    "entropy, padded rows": lambda f, x, t: f.entropy(x[:, :-1]),
    "cross_entropy, float16": lambda f, x, t: f.cross_entropy(x.view(np.float16), t),
}


def measure():
    """The bytes each call takes over those of its logits: NumPy's, and the growth of the process."""
    x, target = np.full(SHAPE, 0.5, np.float32), np.arange(SHAPE[0])
    # A first call of few rows reads the code of the function from its file, which would count as memory of the call.
    few, calls = calls_of(x[:4], target[:4]), calls_of(x, target)
    nll_fast.set_num_threads(2)
    found = {}
    for name, call in calls.items():
        few[name]()
        Path("/proc/self/clear_refs").write_text("5")  # The most memory so far is what there is now.
        before = most_memory()
        tracemalloc.start()
        call()
        numpy = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        found[name] = numpy / x.nbytes, (most_memory() - before) / x.nbytes
    return found


def most_memory():
    """The most bytes of memory that this process has had."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def calls_of(x, target):
    """Each call with logits and targets."""
    calls = {name: partial(call, nll_fast, x, target) for name, call in MORE.items()}
    for name, case in CASES.items():
        if case.wide or not (case.rows or case.reduces):
            continue
        arguments = dict.fromkeys(case.draws, x)
        of_rows = {"target": target, "mask": target % 3 > 0, "sample_weight": target % 3}
        for key in case.others:
            of_elements = np.ones(x.shape, bool if key == "mask" else np.uint8)
            arguments[key] = of_rows.get(key, x[0]) if case.rows else of_elements
        calls[name] = partial(case.call, arguments, **({"reduction": "mean"} if case.reduces else {}))
    return calls


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="this system has no /proc/self/clear_refs")
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
