"""fork, Ctrl-C, environment variables: each in a process of its own with a hard timeout."""

import importlib.util
import os
import subprocess
import sys

import pytest

BIG = "import os, sys, time, numpy as np, nll_fast; x = np.ones((64, 20000), 'f4'); t = np.arange(64)\n"


def run(script, timeout=60, first="", **environment):
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", first + BIG + script],
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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_may_use_the_arrays_of_calls_that_it_does_not_have():
    """The child has no thread that would end them."""
    script = """
import threading
x = np.lib.stride_tricks.as_strided(np.ones(20000, "f4"), (200_000, 20000), (0, 4)); t = np.zeros(200_000, int)
out = np.zeros(200_000, "f4")
threading.Thread(target=nll_fast.token_log_probs, args=(x, t), kwargs={"out": out}, daemon=True).start()
time.sleep(0.2)
if os.fork() == 0:
    used = nll_fast.token_log_probs(x[:8], t[:8], out=out[:8])
    right = np.all(np.abs(used + np.log(20000)) < 1e-5) and np.all(out[:8] == used)
    right &= nll_fast.logsumexp(out[None]).shape == (1,)
    os._exit(0 if right else 3)
sys.stdout.flush()
os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    done = run(script)
    assert done.returncode == 0, done.stderr


def test_targets_that_another_thread_changes_are_an_ordinary_error():
    script = """
import threading
x, t, ends = np.zeros((1 << 16, 4), "f4"), np.ones(1 << 16, int), time.monotonic() + 3
def change():
    while time.monotonic() < ends:
        for v in [99, 1] * 1000: t[-1] = v
threading.Thread(target=change, daemon=True).start()
calls = nll_fast.nll_loss, nll_fast.cross_entropy, nll_fast.cross_entropy_grad, nll_fast.token_log_probs
refused = 0
while time.monotonic() < ends:
    for call in calls:
        try: call(x, t)
        except (IndexError, RuntimeError, ValueError) as error: refused += 1
sys.exit(0 if refused else "nothing was refused")
"""
    done = run(script)
    assert done.returncode == 0 and not done.stderr, done.stderr


@pytest.mark.parametrize("classes", [4, 200])
def test_a_class_that_another_thread_changes_is_the_same_wherever_a_call_uses_it(classes):
    """It was read again for its weight: a row had the logit of one class and the weight of another."""
    script = f"""
import threading
rows = (1 << 16) // {classes}
x, t = np.tile(np.arange({classes}) % 4, (rows, 1)).astype("f8"), np.zeros(rows, int)
options = dict(weight=10.0 ** (np.arange({classes}) % 4))
calls = [lambda t: nll_fast.cross_entropy(x, t, reduction="none", **options)[:, None],
         lambda t: nll_fast.cross_entropy(x, t, reduction="none", label_smoothing=0.1, **options)[:, None],
         lambda t: nll_fast.nll_loss(x, t, reduction="none", **options)[:, None],
         lambda t: nll_fast.cross_entropy_grad(x, t, reduction="sum", **options),
         lambda t: np.column_stack(nll_fast.cross_entropy(x, t, reduction="none", grad=True, **options))]
either = [[call(np.full(rows, v))[0] for v in (0, 3)] for call in calls]
ends = time.monotonic() + 4
def change():
    while time.monotonic() < ends:
        for v in [0, 3] * 100: t[:] = v
threading.Thread(target=change, daemon=True).start()
mixed = [0] * len(calls)
while time.monotonic() < ends:
    for i, call in enumerate(calls):
        got = call(t)
        mixed[i] += np.sum(~np.any([np.all(got == row, 1) for row in either[i]], 0))
sys.exit(f"rows of neither class: {{mixed}}" if any(mixed) else 0)
"""
    done = run(script)
    assert done.returncode == 0 and not done.stderr, done.stderr


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
    script = "print([m for m in ('torch', 'jax', 'scipy', 'ml_dtypes', 'threadpoolctl') if m in sys.modules])"
    assert run(script).stdout == "[]\n"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity of processes to cores")
def test_a_process_that_may_use_one_core_starts_no_threads():
    script = """
nll_fast.cross_entropy(x, t)
names = [open(f"/proc/self/task/{i}/comm").read() for i in os.listdir("/proc/self/task")]
print(nll_fast.get_num_threads(), names.count("nll_fast-0\\n"))
"""
    variables = {"NLL_FAST_NUM_THREADS": "", "OMP_NUM_THREADS": "", "RAYON_NUM_THREADS": ""}
    one = "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"
    assert run(one + script, **variables).stdout == "1 0\n"
    assert run("nll_fast.set_num_threads(2)" + script).stdout == "2 1\n"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity of processes to cores")
def test_the_number_of_threads_is_that_of_the_cores_at_the_moment():
    script = "nll_fast.cross_entropy(x, t); os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"
    variables = {"NLL_FAST_NUM_THREADS": "", "OMP_NUM_THREADS": "", "RAYON_NUM_THREADS": ""}
    assert run(script + "; print(nll_fast.get_num_threads())", **variables).stdout == "1\n"


@pytest.mark.skipif(sys.platform != "linux", reason="this system does not refuse memory for the stacks of threads")
def test_a_process_that_is_refused_threads_works_alone_and_says_so_once():
    script = """
import resource, warnings
want = nll_fast.cross_entropy(x, t)
limits = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, limits[1]))
nll_fast.set_num_threads(1024)
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    for _ in range(3): assert nll_fast.cross_entropy(x, t) == want
assert [each.category for each in said] == [RuntimeWarning] and "cannot start 1023 threads: " in str(said[0].message)
while len(os.listdir("/proc/self/task")) > 8: time.sleep(0.01)  # those that had started end
warnings.simplefilter("error")
nll_fast.set_num_threads(2)
assert nll_fast.cross_entropy(x, t) == want
nll_fast.set_num_threads(1024)
try: nll_fast.cross_entropy(x, t)
except RuntimeWarning: pass
else: raise AssertionError("it does not ask again")
"""
    done = run(script)
    assert done.returncode == 0, done.stderr


THREADPOOLCTL = """
import ctypes, shutil, tempfile, threadpoolctl
{register}
limits, number = threadpoolctl.threadpool_limits, nll_fast.get_num_threads
def listed():
    libraries = threadpoolctl.threadpool_info()
    return [(each["num_threads"], each["version"]) for each in libraries if each["user_api"] == "nll_fast"]
nll_fast.set_num_threads(3)
assert listed() == [(3, nll_fast.__version__)], listed()
with limits(1): assert number() == 1 and listed() == [(1, nll_fast.__version__)]
assert number() == 3
with limits(1, "blas"): assert number() == 3
with limits(1, "nll_fast"): assert number() == 1
with limits({{"nll_fast": 2}}): assert number() == 2
with limits(10**6): assert number() == 1024
with limits(-1): pass
assert number() == 3
with tempfile.TemporaryDirectory() as folder:  # a library of the same name is another
    ctypes.CDLL(shutil.copy(nll_fast._core.__file__, folder))
    assert len(listed()) == 1
"""


@pytest.mark.skipif(importlib.util.find_spec("threadpoolctl") is None, reason="threadpoolctl is not installed")
@pytest.mark.parametrize("first", [False, True])
def test_threadpoolctl_lists_and_limits_the_threads(first):
    """By itself if it was imported first, and if the program says so else; twice is once."""
    script = THREADPOOLCTL.format(
        register="" if first else "for _ in range(2): nll_fast.threads.register_with_threadpoolctl()"
    )
    done = run(script, first="import threadpoolctl\n" if first else "")
    assert done.returncode == 0, done.stderr
