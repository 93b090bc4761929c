"""Whoever passes the library on passes on the licences of what is compiled into it."""

import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch

import pytest

from .conftest import ROOT

NOTICES = ROOT / "THIRD-PARTY-NOTICES"
# These, and what they alone depend on, run on the machine that builds: build scripts and macros.
BUILD_TIME = {"autocfg", "pyo3-build-config", "pyo3-macros"}


def compiled_in():
    """The crates of Cargo.lock whose code ends in the library, as "name version"."""
    packages = {package["name"]: package for package in tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]}
    assert packages.keys() >= BUILD_TIME
    reached, waiting = set(), ["nll-fast-py"]
    while waiting:
        name = waiting.pop()
        if name not in reached | BUILD_TIME:
            reached.add(name)
            waiting += packages[name].get("dependencies", ())
    return {f"{name} {packages[name]['version']}" for name in reached if "source" in packages[name]}


def test_every_crate_in_the_library_has_its_notice():
    """`python .ci/notices.py` writes them."""
    named = re.findall(r"^(\S+ \d+\.\d+\.\d+\S*) \(.*\)$", NOTICES.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(named) > 10 and set(named) == compiled_in()


def test_the_licence_of_a_wheel_is_all_of_them():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["license-files"]
    for name in ("LICENSE-APACHE", "LICENSE-MIT", NOTICES.name):
        assert (ROOT / name).is_file() and any(fnmatch(name, pattern) for pattern in patterns), name


@pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo is not installed")
def test_the_notices_are_those_of_the_crates():
    metadata = ("cargo", "metadata", "--locked", "--offline", "--format-version=1")
    if subprocess.run(metadata, cwd=ROOT, capture_output=True).returncode:
        pytest.skip("the sources of the crates are not here: `cargo fetch --locked` gets them")
    printed = subprocess.check_output((sys.executable, ".ci/notices.py", "--print"), cwd=ROOT)
    assert printed == NOTICES.read_bytes()
