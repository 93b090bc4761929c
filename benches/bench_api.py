"""cross_entropy beside this machine's read bandwidth and NumPy's four lines: verified, then timed.

    python benches/bench_api.py

Ratios within one run; absolute times depend on the machine.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import nll_fast
import numpy as np


def best(call, runs=7):
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def numpy_cross_entropy(x, target):
    m = x.max(-1, keepdims=True)
    lse = m[:, 0] + np.log(np.exp(x - m).sum(-1))
    return (lse - x[np.arange(len(x)), target]).mean(dtype=np.float64)


def main():
    threads = nll_fast.get_num_threads()
    print(f"{nll_fast.simd_level()}, {threads} threads; GB/s of logits, best of 7")
    print(f"{'shape':>16} {'dtype':>8} {'max':>6} {'nll_fast':>9} {'numpy':>6} {'of max':>7} {'x numpy':>8}")
    rng = np.random.default_rng(0)
    for rows, classes in ((512, 128256), (2048, 32000), (65536, 1000)):
        full = rng.standard_normal((rows, classes), dtype=np.float32) * 3
        target = rng.integers(0, classes, rows)
        for dtype in ("float32", "float16"):
            x = full.astype(dtype, copy=False)
            got = nll_fast.cross_entropy(x, target)
            want = numpy_cross_entropy(x.astype(np.float32), target)
            assert abs(got - want) < 1e-4 * want, (got, want)
            with ThreadPoolExecutor(threads) as pool:
                pieces = np.array_split(x.view(np.uint32 if dtype == "float32" else np.uint16), 4 * threads)
                reading = best(lambda p=pieces, e=pool: list(e.map(np.max, p)))
            ours = best(lambda x=x, t=target: nll_fast.cross_entropy(x, t))
            theirs = best(lambda x=x, t=target: numpy_cross_entropy(x, t), 2)
            rates = [x.nbytes / t / 1e9 for t in (reading, ours, theirs)]
            print(
                f"{rows:>7} x {classes:<6} {dtype:>8} {rates[0]:6.1f} {rates[1]:9.1f} {rates[2]:6.1f} "
                f"{reading / ours:7.0%} {theirs / ours:7.1f}x"
            )
    small, labels = full[:32, :10].copy(), target[:32] % 10
    start = time.perf_counter()
    for _ in range(10000):
        nll_fast.cross_entropy(small, labels)
    print(f"32 x 10: {(time.perf_counter() - start) * 100:.1f} µs a call")


if __name__ == "__main__":
    main()
