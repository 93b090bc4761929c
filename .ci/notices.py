#!/usr/bin/env python3
"""Writes THIRD-PARTY-NOTICES: the licences of the crates that are compiled into the library.

Their licences ask that whoever passes the library on passes on these texts. They are read from the sources of the
crates, as Cargo.lock names them. `--print` leaves the file as it is and prints what it should hold.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BINDING = "nll-fast-py"  # the crate that becomes the library

HEAD = """\
The library in this package, nll_fast/_core, contains code of the crates below, under their licences. Some of them are
part of it on some platforms only. Where a crate offers a choice of licences, the text is that of the MIT licence.

It also contains parts of the Rust standard library: Copyright (c) The Rust Project Developers, Apache-2.0 OR MIT,
here under the Apache licence, whose text is in LICENSE-APACHE. Its own notices come with every Rust toolchain, in
share/doc/rust/COPYRIGHT-library.html.
"""


def metadata():
    """What Cargo knows of all packages that Cargo.lock names, on every platform."""
    command = ("cargo", "metadata", "--locked", "--offline", "--format-version=1")
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)


def compiled_in(known):
    """The packages whose code ends in the library. Build scripts and macros run on the machine that builds."""
    packages = {package["id"]: package for package in known["packages"]}
    edges = {node["id"]: node["deps"] for node in known["resolve"]["nodes"]}
    reached, waiting = {}, [id for id, package in packages.items() if package["name"] == BINDING]
    while waiting:
        id = waiting.pop()
        is_macro = any("proc-macro" in target["kind"] for target in packages[id]["targets"])
        if id in reached or is_macro:
            continue
        reached[id] = packages[id]
        waiting += [dep["pkg"] for dep in edges[id] if any(kind["kind"] is None for kind in dep["dep_kinds"])]
    return [package for package in reached.values() if package["source"]]


def licence_text(package):
    folder = Path(package["manifest_path"]).parent
    for name in ("LICENSE-MIT", "LICENSE"):
        if (folder / name).is_file():
            lines = (folder / name).read_text(encoding="utf-8").split("\n")
            return "\n".join(line.rstrip() for line in lines).strip("\n")
    sys.exit(f"{folder} has neither LICENSE-MIT nor LICENSE: say in .ci/notices.py which file holds its licence.")


def notices():
    """Crates of one text, such as those of one project, share it."""
    crates = {}
    for package in compiled_in(metadata()):
        name = f"{package['name']} {package['version']} ({package['license'].replace('/', ' OR ')})"
        crates.setdefault(licence_text(package), []).append(name)
    sections = sorted((sorted(names), text) for text, names in crates.items())
    rule = "\n" + "-" * 80 + "\n"
    return HEAD + "".join(rule + "\n".join((*names, "", text, "")) for names, text in sections)


if __name__ == "__main__":
    if sys.argv[1:] == ["--print"]:
        sys.stdout.write(notices())
    else:
        (ROOT / "THIRD-PARTY-NOTICES").write_text(notices(), encoding="utf-8")
