"""The hot loops are as wide as the registers: a lost `inline(always)` is silent otherwise."""

import platform
import re
import shutil
import subprocess

import pytest
from nll_fast import _core


@pytest.mark.skipif(platform.machine() != "x86_64", reason="reads x86-64 instructions")
@pytest.mark.skipif(shutil.which("objdump") is None, reason="objdump is not installed")
def test_multiplications_are_wide_and_fused():
    command = ["objdump", "-d", "--no-show-raw-insn", _core.__file__]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    fused = re.findall(r"vfn?m(?:add|sub)\d*([ps])([sd])\s+.*%([xyz])mm\d+$", text, re.MULTILINE)
    for letter, least in (("s", 3000), ("d", 1500)):
        wide = {register: fused.count(("p", letter, register)) for register in "zy"}
        narrow = sum(count == ("s", letter, "x") for count in fused)
        print(f"fused multiply-adds of {letter}: {wide}, {narrow} of one number")
        # About 5000 and 3000 of each width; formulas of single rows, and ends of loops, are narrow.
        assert all(count > least for count in wide.values())
    assert sum(kind == ("s", "s", "x") for kind in fused) * 4 < sum(k[:2] == ("p", "s") for k in fused)
    assert not re.search(r"call.*<fmaf?[@>]", text)
