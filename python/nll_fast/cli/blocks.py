"""Rows of files, read in blocks by several threads, and how far that is, on a terminal."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable

import nll_fast
from nll_fast.cli.inputs import Logits, side_by_side

_READERS = 8
"""The threads that read and score blocks, at most: each has the memory of a block."""


class Progress:
    """How many of the rows are done, shown on a terminal, for threads that all do some of them."""

    def __init__(self, rows: int) -> None:
        self._rows, self._done, self._turn = rows, 0, threading.Lock()
        self._start = self._shown = time.perf_counter()

    def add(self, rows: int) -> None:
        """Count ``rows`` more."""
        with self._turn:
            now, self._done = time.perf_counter(), self._done + rows
            if now - self._shown > 0.1 or self._done == self._rows:
                self._shown = now
                _show(self._done, self._rows, now - self._start)


def _show(done: int, rows: int, seconds: float) -> None:
    if seconds < 0.5 or not sys.stderr.isatty():
        return
    bar = "#" * (done * 40 // rows)
    left = seconds / done * (rows - done)
    end = "\n" if done == rows else ""
    print(f"\r[{bar:<40}] {done}/{rows} rows, {left:.0f} s left ", end=end, file=sys.stderr, flush=True)


def in_blocks(files: list[Logits], work: Callable[..., object], progress: Progress) -> None:
    """Call ``work`` with every piece of the rows, and the logits of that piece in each of the files.

    Several threads do, each with blocks of its own, which its next call reuses.
    """
    rows, most = files[0].rows, min(nll_fast.get_num_threads(), _READERS)
    steps = [file.step(most) for file in files]
    step = min(step for step, _ in steps)
    readers = min(min(readers for _, readers in steps), -(-rows // step))
    starts = deque(range(0, rows, step))

    def some_blocks() -> None:
        try:
            for piece, blocks in side_by_side(files, starts, step):
                work(piece, *blocks)
                progress.add(piece.stop - piece.start)
        except BaseException:
            starts.clear()  # so that no thread begins another block
            raise

    if readers <= 1:
        some_blocks()
        return
    from concurrent.futures import ThreadPoolExecutor  # which small files need not wait for

    with ThreadPoolExecutor(readers) as pool:
        try:
            for part in [pool.submit(some_blocks) for _ in range(readers)]:
                part.result()
        except BaseException:
            starts.clear()
            raise
