"""What pip calls to build this package: maturin, which leaves the folders of this machine out of the library.

A library holds the path of every source file that may panic. rustc replaces the beginning of a path if it is told
which one, and only the machine that builds knows where its crates lie, so no file of Cargo's can say it.
"""

import os
from pathlib import Path

from maturin import (
    build_editable,
    build_sdist,
    build_wheel,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]


def leave_out_folders(environment, root):
    """Add to the flags of rustc that ``environment`` holds, or to those of Cargo's own files; ``root`` is built.

    ``CARGO_ENCODED_RUSTFLAGS``, if it is set, wins over both. Cargo separates these flags by spaces, so a folder whose
    name has one stays in the library.
    """
    cargo_home = Path(environment.get("CARGO_HOME") or Path.home() / ".cargo").absolute()
    folders = {root: "nll_fast", cargo_home: "cargo"}
    variable = "RUSTFLAGS" if environment.get("RUSTFLAGS") else "CARGO_BUILD_RUSTFLAGS"
    flags = [f"--remap-path-prefix={folder}={name}" for folder, name in folders.items() if " " not in str(folder)]
    environment[variable] = " ".join((*environment.get(variable, "").split(), *flags))


leave_out_folders(os.environ, Path.cwd())
# Without this, maturin says that pip would not use it, as pyproject.toml names this file.
os.environ["MATURIN_NO_MISSING_BUILD_BACKEND_WARNING"] = "1"
