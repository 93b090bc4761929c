"""The hot loops are as wide as the registers, function by function: a lost `inline(always)` is silent otherwise.

The library is stripped, so functions have no names; where they begin and end is in its unwind tables.
"""

import platform
import re
import shutil
import subprocess
from bisect import bisect_right
from collections import Counter

import pytest
from nll_fast import _core

pytestmark = [
    pytest.mark.skipif(platform.machine() != "x86_64", reason="reads x86-64 instructions"),
    pytest.mark.skipif(shutil.which("objdump") is None, reason="objdump is not installed"),
]


def objdump(*options):
    return subprocess.run(["objdump", *options, _core.__file__], capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def code():
    """The instructions of each function, with their addresses."""
    bounds = re.findall(r"FDE.*pc=([0-9a-f]+)\.\.([0-9a-f]+)", objdump("--dwarf=frames"))
    bounds = sorted({(int(start, 16), int(end, 16)) for start, end in bounds})
    found, starts = [[] for _ in bounds], [start for start, _ in bounds]
    for address, instruction in re.findall(r"^ *([0-9a-f]+):\s+(.+)$", objdump("-d", "--no-show-raw-insn"), re.M):
        function = bisect_right(starts, int(address, 16)) - 1
        if function >= 0 and int(address, 16) < bounds[function][1]:
            found[function].append((int(address, 16), instruction))
    assert sum(map(len, found)) > 100_000, "the unwind tables do not cover the code"
    return found


@pytest.fixture(scope="module")
def functions(code):
    """The instructions of each function."""
    return [[instruction for _, instruction in function] for function in code]


def inner_loops(function):
    """The instructions of each loop that contains no other: from where a jump back leads to, up to the jump."""
    places = {address: place for place, (address, _) in enumerate(function)}
    jumps = ((place, re.match(r"j\w+\s+([0-9a-f]+)", text)) for place, (_, text) in enumerate(function))
    loops = ((places.get(int(jump[1], 16)), end) for end, jump in jumps if jump)
    end_before = -1
    for start, end in loops:
        if start is not None and end_before < start <= end:
            end_before = end
            yield [text for _, text in function[start : end + 1]]


def fused(function):
    """How many fused multiply-adds: of packed (p) or single (s) numbers, of type s or d, in x, y or z registers."""
    found = (re.match(r"vfn?m(?:add|sub)\d*([ps])([sd])\s+.*%([xyz])mm\d+", line) for line in function)
    return Counter("".join(match.groups()) for match in found if match)


def test_no_intrinsic_is_a_function_of_its_own(functions):
    """What is not inlined loses the instruction set: its intrinsics become calls of a few wide instructions each."""
    short = [function for function in functions if len(function) < 40 and re.search("%[yz]mm", " ".join(function))]
    assert not short, short[0]


def test_functions_multiply_packed_numbers(functions):
    widths = Counter()
    for counts in filter(None, map(fused, functions)):
        packed = {letter: sum(counts[f"p{letter}{register}"] for register in "xyz") for letter in "sd"}
        # Ends of loops are of one number each. So are the float64 formulas of a row, beside the loops over its classes,
        # and in a function of their own: two exponentials bring the sums of a row to a larger logit (fold/others.rs).
        assert counts["ssx"] <= packed["s"], counts
        assert counts["sdx"] <= 30 + 5 * (packed["s"] + packed["d"]), counts
        widths.update(key for key in ("psy", "psz", "pdy", "pdz") if counts[key])
    print("functions with fused multiply-adds:", dict(widths))
    assert len(widths) == 4 and min(widths.values()) >= 10


def test_no_multiply_add_is_a_call(functions):
    """What is not inlined loses the instruction set, and a multiply-add becomes a call of a function that computes it
    without one. The library has lost that function's name; it is known by how it begins, with three numbers' exponents.
    """
    for function in functions:
        start = function[:60]
        taken = (re.match(r"movq\s+%(xmm[012]),%r", line) for line in start)
        exponents = sum(re.match(r"shr\s+\$0x34,", line) is not None for line in start)
        assert exponents < 3 or len({match[1] for match in taken if match}) < 3, function


def test_large_loops_compute_packed_numbers(code):
    """A formula that LLVM does not vectorise has a loop of single numbers alone; of others there may be one beside the
    packed one, for what is left at its end. With the eleven formulas of ``dpo_loss`` lost, there are 1.7 times as many
    packed loops as single ones where there should be 3.1 (AVX2 alone), and 2.4 with every instruction set.
    """
    loops = Counter()
    for loop in (loop for function in code for loop in inner_loops(function)):
        found = (re.match(r"v?(?:add|sub|mul|div|min|max|fn?m(?:add|sub)\d+)([ps])[sd]\s", text) for text in loop)
        counts = Counter(match[1] for match in found if match)
        if counts.total() >= 100:
            loops["packed" if counts["p"] > counts["s"] else "single"] += 1
    print("loops of at least 100 floating-point operations:", dict(loops))
    assert loops["packed"] >= 1.8 * loops["single"] > 0
