"""The measurements as a table and as a picture."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
from pathlib import Path

import nll_fast
from nll_fast.cli.bench.measure import Result
from nll_fast.cli.bench.peers import PEERS


def machine() -> dict[str, str | int]:
    """The machine and the versions of the libraries that were measured."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line for line in info.read_text("utf-8", "replace").splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    found: dict[str, str | int] = {
        "cpu": model,
        "simd": nll_fast.simd_level(),
        "threads": nll_fast.get_num_threads(),
        "nll_fast": importlib.metadata.version("nll-fast"),
    }
    for package, _ in PEERS.values():
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def header(peers: list[str]) -> str:
    """The lines above the table, and the names of its columns."""
    m = machine()
    versions = ", ".join(f"{key} {m[key]}" for key in m if key not in ("cpu", "simd", "threads"))
    columns = "".join(f"{name:>10}" for name in peers)
    return (
        f"{m['cpu']}, {m['simd']}, {m['threads']} threads; {versions}\n"
        "GB/s: read and written by nll_fast; of bound: its share of what this machine reads, or copies, in the same\n"
        "run ('in cache': the data are too small for that); then how many times as long the others take. Every answer\n"
        "was checked against float64 first.\n\n"
        f"{'workload':<30}{'shape':>14}{'dtype':>10}{'time':>10}{'GB/s':>7}{'of bound':>10}{columns}"
    )


def line(result: Result) -> str:
    """The line of one workload."""
    w, ms = result.workload, result.seconds * 1e3
    duration = f"{ms:.2f} ms" if ms >= 0.1 else f"{ms * 1e3:.2f} µs"
    of_bound = f"{result.bound / result.seconds:.0%}" if result.bound else "in cache"
    peers = "".join(
        f"{'-':>10}" if seconds is None else f"{seconds / result.seconds:>10.1f}" for seconds in result.peers.values()
    )
    shape = " x ".join(map(str, w.shape))
    rate = result.bytes / result.seconds / 1e9
    return f"{w.name:<30}{shape:>14}{w.dtype:>10}{duration:>10}{rate:>7.1f}{of_bound:>10}{peers}"


def check_plot(path: str) -> None:
    """Raise, before measuring for minutes, if the picture could not be written."""
    if not importlib.util.find_spec("matplotlib"):
        raise ValueError('--plot needs matplotlib: python -m pip install "nll-fast[bench]"')
    if Path(path).suffix.lower() not in (".svg", ".png", ".pdf"):
        raise ValueError(f"--plot {path} must end in .svg, .png or .pdf")
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise ValueError(f"--plot {path}: no file of this system can have such a name") from None
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise ValueError(f"--plot {path}: there is no folder {folder}")
    there = os.path.exists(path)
    if (there and not os.path.isfile(path)) or not os.access(path if there else folder, os.W_OK):
        raise ValueError(f"--plot {path} cannot be written; name another file")


def plot(results: list[Result], path: str) -> None:
    """Draw a bar in GB/s for each library and workload, and a mark at the machine's bandwidth.

    Workloads that fit in the cache have no such mark.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    libraries = ["nll_fast", *results[0].peers]
    figure, axes = pyplot.subplots(figsize=(9, 0.18 * len(libraries) * len(results) + 1.5))
    height = 0.8 / len(libraries)
    for i, library in enumerate(libraries):
        seconds = [r.seconds if library == "nll_fast" else r.peers[library] for r in results]
        rates = [0 if s is None else r.bytes / s / 1e9 for r, s in zip(results, seconds, strict=True)]
        places = [row + i * height for row in range(len(results))]
        axes.barh(places, rates, height, label=library, align="edge")
    marks = [(r.bytes / r.bound / 1e9, row) for row, r in enumerate(results) if r.bound is not None]
    for rate, row in marks:
        axes.vlines(rate, row, row + 0.8, colors="black", label="the machine" if row == marks[0][1] else "_")
    axes.set_yticks([row + 0.4 for row in range(len(results))], [r.workload.name for r in results])
    axes.set_ylim(len(results), -0.2)
    axes.set_xlabel("GB/s read and written" + ("" if len(marks) == len(results) else "; without a mark: in the cache"))
    m = machine()
    axes.set_title(f"{m['cpu']}, {m['simd']}, {m['threads']} threads")
    axes.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(path)


def plot_sizes(results: list[Result], path: str) -> None:
    """Draw what a row costs, in nanoseconds, over how many rows there are: a panel for each workload."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(dict.fromkeys(r.workload.name for r in results))
    figure, panels = pyplot.subplots(1, len(names), figsize=(5 * len(names), 4), squeeze=False)
    for axes, name in zip(panels[0], names, strict=True):
        of_name = [r for r in results if r.workload.name == name]
        rows = [r.workload.shape[0] for r in of_name]
        for library in ["nll_fast", *of_name[0].peers]:
            seconds = [r.seconds if library == "nll_fast" else r.peers[library] for r in of_name]
            known = [(n, s / n * 1e9) for n, s in zip(rows, seconds, strict=True) if s is not None]
            axes.loglog(*zip(*known, strict=True), marker="o", label=library)
        read = [(r.workload.shape[0], r.bound / r.workload.shape[0] * 1e9) for r in of_name if r.bound is not None]
        if read:
            axes.loglog(*zip(*read, strict=True), marker="_", color="black", label="the machine reads")
        axes.set_title(name)
        axes.set_xlabel("rows")
        axes.set_ylabel("ns a row")
        axes.grid(visible=True, which="major", alpha=0.3)
    m = machine()
    figure.suptitle(f"{m['cpu']}, {m['simd']}, {m['threads']} threads")
    panels[0][0].legend()
    figure.tight_layout()
    figure.savefig(path)
