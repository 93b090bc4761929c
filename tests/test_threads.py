"""fork, Ctrl-C, environment variables: each in a process of its own with a hard timeout."""

import os
import subprocess
import sys

import pytest

BIG = "import os, sys, time, numpy as np, nll_fast; x = np.ones((64, 20000), 'f4'); t = np.arange(64)\n"


def run(script, timeout=60, **environment):
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BIG + script],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


FORK = """
{before}
pid = os.fork()
if pid == 0:
    os._exit(0 if abs(nll_fast.cross_entropy(x, t) - np.log(20000)) < 1e-6 else 3)
_, status = os.waitpid(pid, 0)
nll_fast.cross_entropy(x, t)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("before", ["", "nll_fast.cross_entropy(x, t)"], ids=["fresh", "used"])
def test_fork(before):
    assert run(FORK.format(before=before)).returncode == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_multiprocessing_fork():
    script = """
import multiprocessing as mp
nll_fast.cross_entropy(x, t)
def work(i): return nll_fast.cross_entropy(x, t)
with mp.get_context("fork").Pool(2) as pool: assert len(set(pool.map(work, range(6)))) == 1
"""
    done = run(script)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("threads", [1, 2])
def test_interrupt(threads):
    """SIGINT in the middle of a call that would take many seconds."""
    script = f"""
import signal, threading
nll_fast.set_num_threads({threads})
base = np.ones(20000, "f4")
x = np.lib.stride_tricks.as_strided(base, (4_000_000, 20000), (0, 4)); t = np.zeros(4_000_000, int)
sent = []
def send(): time.sleep(0.5); sent.append(time.perf_counter()); os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=send).start()
try: nll_fast.cross_entropy(x, t)
except KeyboardInterrupt: print(time.perf_counter() - sent[0])
"""
    done = run(script)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0.2


LONG = """
import threading
nll_fast.set_num_threads(2)
nll_fast.cross_entropy(x, t)
def rows(n): return np.lib.stride_tricks.as_strided(x[0], (n, 20000), (0, 4)), np.zeros(n, int)
"""


def test_a_call_does_not_wait_for_one_that_began_before_or_after_it():
    script = """
order = []
def call(name, n): nll_fast.cross_entropy(*rows(n)); order.append(name)
calls = [threading.Thread(target=call, args=a) for a in (("longer", 500_000), ("long", 150_000), ("longest", 800_000))]
for thread in calls: thread.start(); time.sleep(0.1)
call("short", 64)
for thread in calls: thread.join()
print(*order)
"""
    assert run(LONG + script).stdout == "short long longer longest\n"


def test_an_interrupt_does_not_wait_for_the_calls_of_other_threads():
    script = """
import signal
sent = []
def send(): time.sleep(0.5); sent.append(time.perf_counter()); os.kill(os.getpid(), signal.SIGINT)
def other(): time.sleep(0.1); nll_fast.cross_entropy(*rows(500_000))
for work in (send, other): threading.Thread(target=work).start()
try: nll_fast.cross_entropy(*rows(400_000))
except KeyboardInterrupt: print(time.perf_counter() - sent[0])
"""
    done = run(LONG + script)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0.2


def test_hundreds_of_callers_at_once():
    """Each finds its own stack: a helper that left one call for another while waiting would pile them up."""
    script = """
many = np.lib.stride_tricks.as_strided(x[0], (1000, 4096), (0, 4))
want, got = nll_fast.entropy(many, reduction="sum"), []
threads = [threading.Thread(target=lambda: got.append(nll_fast.entropy(many, reduction="sum"))) for _ in range(600)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(got == [want] * 600)
"""
    done = run(LONG + script)
    assert done.stdout == "True\n", done.stderr or done.returncode


def test_daemon_threads_in_the_middle_of_a_call_when_python_ends():
    script = """
many = rows(2_000_000)
for _ in range(4): threading.Thread(target=nll_fast.cross_entropy, args=many, daemon=True).start()
time.sleep(0.1)
"""
    for _ in range(5):
        done = run(LONG + script)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("environment", "threads"),
    [
        ({"OMP_NUM_THREADS": "3,2"}, 3),
        ({"OMP_NUM_THREADS": "3", "RAYON_NUM_THREADS": "4"}, 4),
        ({"OMP_NUM_THREADS": "3", "RAYON_NUM_THREADS": "4", "NLL_FAST_NUM_THREADS": "5"}, 5),
    ],
)
def test_environment(environment, threads):
    clean = {"OMP_NUM_THREADS": "", "RAYON_NUM_THREADS": ""}
    assert run("print(nll_fast.get_num_threads())", **{**clean, **environment}).stdout == f"{threads}\n"


def test_wrong_environment_is_named():
    assert 'NLL_FAST_NUM_THREADS is "many"' in run("nll_fast.get_num_threads()", NLL_FAST_NUM_THREADS="many").stderr


def test_imports_nothing_but_numpy():
    script = "print([m for m in ('torch', 'jax', 'scipy', 'ml_dtypes') if m in sys.modules])"
    assert run(script).stdout == "[]\n"
