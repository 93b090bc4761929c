"""``nll-fast bench``: every family of functions beside the machine's bandwidth and the installed peers."""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import nll_fast
from nll_fast.cli.bench import report
from nll_fast.cli.bench.measure import Result, Workload, load, measure
from nll_fast.cli.bench.peers import PEERS, installed


def bench(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the chosen workloads and print each line of the table once it is known."""
    screen = sys.stderr if options.json else sys.stdout
    workloads = _wanted(options)
    if options.plot is not None:
        report.check_plot(options.plot)
        if all(map(_left_out, workloads)):
            raise ValueError("--plot has nothing to draw: bfloat16 needs ml_dtypes; python -m pip install ml_dtypes")
    names = _names(options.peers)
    peers = installed(names, nll_fast.get_num_threads())
    print(report.header(list(peers)), file=screen, flush=True)
    results = []
    for number, workload in enumerate(workloads, 1):
        if sys.stderr.isatty():
            print(f"[{number}/{len(workloads)}] {workload.name} ", end="\r", file=sys.stderr, flush=True)
        if _left_out(workload):
            print(f"{workload.name:<30}left out: NumPy has no bfloat16 without ml_dtypes", file=screen)
            continue
        rounds = 2 if options.quick else 5
        result = _apart(workload, names, rounds) if options.apart else measure(workload, peers, rounds)
        results.append(result)
        print(report.line(result), file=screen, flush=True)
    if options.plot is not None:
        (report.plot if options.sizes is None else report.plot_sizes)(results, options.plot)
    return {"machine": report.machine(), "workloads": [result.to_dict() for result in results]}


def _left_out(workload: Workload) -> bool:
    return workload.dtype == "bfloat16" and not importlib.util.find_spec("ml_dtypes")


def _apart(workload: Workload, names: list[str] | None, rounds: int) -> Result:
    """The measurements of a workload in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_measure_here, workload, names, rounds).result()


def _measure_here(workload: Workload, names: list[str] | None, rounds: int) -> Result:
    return measure(workload, installed(names, nll_fast.get_num_threads()), rounds)


def _wanted(options: argparse.Namespace) -> list[Workload]:
    every = load(Path(options.workloads) if options.workloads else None)
    words = [word.lower() for word in options.words]
    chosen = [w for w in every if not words or any(word in w.name.lower() for word in words)]
    if not chosen:
        names = "".join(f"\n  {w.name}" for w in every)
        raise ValueError(f"no workload has {' or '.join(options.words)} in its name; there are{names}")
    if options.quick:
        chosen = [replace(w, shape=[max(1, w.shape[0] // 8), *w.shape[1:]]) for w in chosen]
    if options.sizes is not None:
        chosen = [sized for w in chosen for sized in w.sizes(options.sizes * 1_000_000)]
    return chosen


def _names(text: str | None) -> list[str] | None:
    if text is None:
        return None
    names = [name for name in text.lower().split(",") if name != "none"]
    packages = {name.lower(): package for name, (package, _) in PEERS.items()}
    for name in names:
        if name not in packages:
            raise ValueError(f"--peers knows no {name}; there are {', '.join(packages)}")
        if not importlib.util.find_spec(packages[name]):
            raise ValueError(f"--peers {name}: {packages[name]} is not installed; pip install {packages[name]}")
    return names
