"""Elementwise losses beside the bytes this machine can move: verified in float64, then timed.

    python benches/bench_elementwise.py

"bound" is what two numpy threads reach reading (or copying, where the losses are written) as many bytes in the
same run. torch, eager, where it is installed. Ratios within one run; absolute times depend on the machine.
"""

from concurrent.futures import ThreadPoolExecutor

import nll_fast
import numpy as np
from bench_api import best
from nll_fast import reference

SIZE = 1 << 25


def torch_peers(x, y, v):
    try:
        import torch
    except ImportError:
        return {}
    torch.set_num_threads(nll_fast.get_num_threads())
    f, (x, y, v) = torch.nn.functional, map(torch.from_numpy, (x, y, v))
    return {
        "BCE mean": lambda: f.binary_cross_entropy_with_logits(x, y),
        "BCE none": lambda: f.binary_cross_entropy_with_logits(x, y, reduction="none"),
        "log-sigmoid": lambda: f.logsigmoid(x),
        "Gaussian mean": lambda: f.gaussian_nll_loss(x, y, v),
        "MSE mean": lambda: f.mse_loss(x, y),
    }


def main():
    threads = nll_fast.get_num_threads()
    rng = np.random.default_rng(0)
    x = rng.standard_normal(SIZE, dtype=np.float32) * 4
    y = (rng.random(SIZE, dtype=np.float32) < 0.5).astype(np.float32)
    v, out = rng.random(SIZE, dtype=np.float32) + np.float32(0.5), np.empty_like(x)
    nf, bce = nll_fast, nll_fast.binary_cross_entropy_with_logits
    # name: (call, oracle on a part, arrays read, arrays written)
    workloads = {
        "BCE mean": (lambda x, y, v, out: bce(x, y), reference.binary_cross_entropy_with_logits, 2, 0),
        "BCE none": (lambda x, y, v, out: bce(x, y, reduction="none", out=out), None, 2, 1),
        "log-sigmoid": (lambda x, y, v, out: nf.log_sigmoid(x, out=out), None, 1, 1),
        "Gaussian mean": (lambda x, y, v, out: nf.gaussian_nll_loss(x, y, v), reference.gaussian_nll_loss, 3, 0),
        "MSE mean": (lambda x, y, v, out: nf.mse_loss(x, y), reference.mse_loss, 2, 0),
    }
    part = [a[:10000] for a in (x, y, v, out)]
    peers = torch_peers(x, y, v)
    with ThreadPoolExecutor(threads) as pool:
        pieces = np.array_split(x.view(np.uint32), 4 * threads)
        targets = np.array_split(out.view(np.uint32), 4 * threads)
        read = x.nbytes / best(lambda: list(pool.map(np.max, pieces))) / 1e9
        copy = 2 * x.nbytes / best(lambda: list(pool.map(np.copyto, targets, pieces))) / 1e9
    print(f"{nf.simd_level()}, {threads} threads, {SIZE} float32; read {read:.1f} GB/s, copy {copy:.1f} GB/s")
    print(f"{'':>14} {'nll_fast':>9} {'of bound':>9} {'torch eager':>12}")
    for name, (call, oracle, reads, writes) in workloads.items():
        if oracle is not None:
            want = oracle(*part[:reads])
            assert abs(call(*part) - want) <= 1e-6 * abs(want), name
        else:
            want = (reference.log_sigmoid(part[0]) if reads == 1 else
                    reference.binary_cross_entropy_with_logits(*part[:2], reduction="none"))  # fmt: skip
            np.testing.assert_allclose(call(*part), want, rtol=5e-7)
        size = (reads + writes) * x.nbytes / 1e9
        ours = size / best(lambda call=call: call(x, y, v, out))
        theirs = f"{size / best(peers[name], 3):12.1f}" if peers else f"{'-':>12}"
        print(f"{name:>14} {ours:9.1f} {ours / (copy if writes else read):9.0%} {theirs}")


if __name__ == "__main__":
    main()
