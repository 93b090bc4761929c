"""What `pip install .` calls leaves the folders of the machine out of the library, and the user's flags in."""

import importlib.util
import os
import sys
import tomllib
from unittest.mock import MagicMock

import pytest

from .conftest import ROOT


@pytest.fixture
def leave_out_folders(monkeypatch):
    """That of the backend which pyproject.toml names; maturin, which it calls, need not be installed."""
    system = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]
    (folder,) = system["backend-path"]
    spec = importlib.util.spec_from_file_location("backend", ROOT / folder / f"{system['build-backend']}.py")
    monkeypatch.setitem(sys.modules, "maturin", MagicMock())
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    backend = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(backend)
    return backend.leave_out_folders


@pytest.mark.parametrize(
    ("variable", "flags"), [("RUSTFLAGS", "-C target-cpu=native"), ("CARGO_BUILD_RUSTFLAGS", "-C debuginfo=1")]
)
def test_folders_are_added_to_the_flags_of_the_user(leave_out_folders, variable, flags):
    environment = {variable: flags, "CARGO_HOME": "/home/a/.cargo"}
    leave_out_folders(environment, "/home/a/nll_fast")
    added = "--remap-path-prefix=/home/a/nll_fast=nll_fast --remap-path-prefix=/home/a/.cargo=cargo"
    assert environment == {variable: f"{flags} {added}", "CARGO_HOME": "/home/a/.cargo"}


def test_a_folder_with_a_space_in_its_name_breaks_no_build(leave_out_folders):
    environment = {"CARGO_HOME": "/home/a b/.cargo"}
    leave_out_folders(environment, "/src")
    assert environment["CARGO_BUILD_RUSTFLAGS"] == "--remap-path-prefix=/src=nll_fast"
