"""Calls of every public function, valid against the oracle, and hostile.

python -m tests.fuzz.calls --seed 1 --cases 1000            valid ones, each known by (seed, number)
python -m tests.fuzz.calls --seed 1 --case 17               one of them alone, with its arguments
python -m tests.fuzz.calls --seed 1 --cases 1000 --hostile  wrong kinds of every argument; with --restless 0.1 a tenth
                                                            of them change during the call
"""

import argparse
import collections
import functools
import multiprocessing
import time
import traceback

import nll_fast
import numpy as np

from ..cases import CASES
from . import elements, hostile, rows
from .checks import check

VALID = {}
for a_case in CASES.values():
    if not a_case.of:  # Tables have properties of their own, in test_scores.py and test_comparison.py.
        VALID.setdefault(a_case.function, []).append(a_case)
VALID |= dict.fromkeys(rows.TOKENS, VALID["token_log_probs"])


def generator(seed, number):
    return np.random.default_rng([seed, number])


def call(seed, number, only=None):
    """(a valid call, the generator that goes on for its checks); None if ``only`` names another function."""
    r = generator(seed, number)
    function = str(r.choice(list(VALID)))
    case = VALID[function][r.integers(len(VALID[function]))]
    if only not in (None, function):
        return None
    return (rows.draw(r, case, function) if case.rows else elements.draw(r, case)), r


def valid(seed, number, only=None, show=False):
    """Check one call: its function, or None if ``only`` names another."""
    drawn = call(seed, number, only)
    if drawn is None:
        return None
    if show:
        print(drawn[0])
    check(*drawn)
    return drawn[0].function


def _runner(options):
    return functools.partial(hostile.hostile, restless=options.restless) if options.hostile else valid


def work(options, first, at, results):
    """Run cases from ``first`` on, and say in ``at`` which; a fault is a line in ``results``."""
    outcomes, run = collections.Counter(), _runner(options)
    for number in range(first, options.first + options.cases):
        at.value = number
        start = time.perf_counter()
        try:
            outcome = run(options.seed, number, options.only)
        except Exception as error:
            outcome = "fault"
            results.put((number, f"{type(error).__name__}: {error}", traceback.format_exc()))
        if outcome is not None:
            outcomes[outcome] += 1
        if time.perf_counter() - start > 60:
            results.put((number, "took more than a minute", ""))
    results.put((None, outcomes, None))


def run(options):
    """All cases, in a process of their own each time one of them has killed the last: their faults and outcomes."""
    context = multiprocessing.get_context("spawn")
    first, faults, outcomes = options.first, [], collections.Counter()
    while first < options.first + options.cases:
        at, results = context.Value("q", first), context.SimpleQueue()
        child = context.Process(target=work, args=(options, first, at, results))
        child.start()
        done = False
        while child.is_alive() or not results.empty():
            if results.empty():
                child.join(0.05)
                continue
            number, what, trace = results.get()
            if number is None:
                outcomes.update(what)
                done = True
            else:
                faults.append(number)
                print(f"case {number}: {what}\n{trace if options.verbose else ''}", flush=True)
        if done:
            break
        faults.append(at.value)
        print(f"case {at.value}: the process died, exit code {child.exitcode}", flush=True)
        first = at.value + 1
    return faults, outcomes


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.calls", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=1000, help="how many numbers are tried")
    parser.add_argument("--first", type=int, default=0, help="the first number")
    parser.add_argument("--case", type=int, help="this case alone, in this process, with its arguments")
    parser.add_argument("--hostile", action="store_true")
    share = "of hostile calls, this share has arrays that another thread changes: what these find may not come again"
    parser.add_argument("--restless", type=float, default=0.0, metavar="SHARE", help=share)
    parser.add_argument("--only", metavar="FUNCTION", help="skip the numbers of other functions")
    parser.add_argument("--verbose", action="store_true", help="print where each fault was found")
    options = parser.parse_args(arguments)
    nll_fast.set_num_threads(1)
    if options.case is not None:
        outcome = _runner(options)(options.seed, options.case, options.only, show=True)
        print(f"case {options.case}: {outcome}")
        return 0
    start = time.perf_counter()
    faults, outcomes = run(options)
    rate = sum(outcomes.values()) / (time.perf_counter() - start)
    kind = "hostile" if options.hostile else "valid"
    print(f"{kind}, {nll_fast.simd_level()}, seed {options.seed}: {sum(outcomes.values())} cases, {rate:.0f}/s")
    print("; ".join(f"{name} {count}" for name, count in sorted(outcomes.items())))
    print(f"faults: {len(faults)} {faults[:20]}")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
