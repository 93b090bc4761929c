#!/usr/bin/env python3
"""Makes the source distribution and the wheels of the last commit, and checks them: `python .ci/release.py dist`.

docs/releasing.md says what is made, what it needs and what is checked.
"""

import argparse
import hashlib
import os
import platform
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import build_backend

ROOT = Path(__file__).resolve().parent.parent
WHEELS = {
    "x86_64-unknown-linux-gnu": "manylinux_2_17",
    "aarch64-unknown-linux-gnu": "manylinux_2_17",
    "x86_64-unknown-linux-musl": "musllinux_1_2",
    "aarch64-unknown-linux-musl": "musllinux_1_2",
}
NOTICES = "THIRD-PARTY-NOTICES"
LICENCES = {"LICENSE-APACHE", "LICENSE-MIT", NOTICES}
LARGEST_SDIST = 10_000_000  # bytes


def run(*command, **options):
    return subprocess.run(command, check=True, text=True, **options)


def need(condition, sentence):
    if not condition:
        sys.exit(sentence)


def output(*command, **options):
    return run(*command, stdout=subprocess.PIPE, **options).stdout


def environment(work):
    """That of every build: nothing of it may depend on this machine, its user or the time of day."""
    result = {name: value for name, value in os.environ.items() if "RUSTFLAGS" not in name}
    result["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), result["PATH"]))  # maturin finds ziglang
    result["SOURCE_DATE_EPOCH"] = output("git", "log", "-1", "--format=%ct", cwd=ROOT).strip()
    result["CARGO_TARGET_DIR"] = str(work / "target")
    result["CARGO_HOME"] = str(work / "cargo")  # without the crates and the settings of the user
    result["CARGO_NET_OFFLINE"] = "true"
    result["MATURIN_NO_MISSING_BUILD_BACKEND_WARNING"] = "1"
    return result


def source_distribution(work, out, env):
    """What git knows of the last commit, and the sources of the crates, with which it builds offline."""
    clone = work / "clone"
    run("git", "clone", "-q", str(ROOT), str(clone))
    replaced = output("cargo", "vendor", "--locked", "vendor", cwd=clone)
    need("vendor" in replaced, "cargo vendor did not print the settings that make Cargo read the folder.")
    (clone / ".cargo").mkdir()
    (clone / ".cargo/config.toml").write_text(replaced)
    notices = output(sys.executable, ".ci/notices.py", "--print", cwd=clone)
    need(notices == (clone / NOTICES).read_text(), f"{NOTICES} is not up to date: run .ci/notices.py and commit it.")
    run("maturin", "sdist", "-o", str(out), cwd=clone, env=env)
    (sdist,) = out.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        inside = {name.split("/", 1)[1] for name in archive.getnames()}
        archive.extractall(work, filter="data")
    missing = set(output("git", "ls-files", cwd=clone).split("\n")[:-1]) - inside
    need(not missing, f"{sdist.name} lacks {sorted(missing)}.")
    size = sdist.stat().st_size
    need(size < LARGEST_SDIST, f"{sdist.name} has {size} bytes, more than {LARGEST_SDIST}.")
    return work / sdist.name.removesuffix(".tar.gz")


def wheel(source, target, out, env):
    """Built from the unpacked source distribution, so that it is known to build without a network."""
    env = dict(env)
    build_backend.leave_out_folders(env, source)
    before = set(out.glob("*.whl"))
    options = ("--release", "--zig", "--target", target, "--compatibility", WHEELS[target], "-o", str(out))
    run("maturin", "build", *options, cwd=source, env=env)
    (made,) = set(out.glob("*.whl")) - before
    return made


def check(wheel, work, env):
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    folders = [os.fsencode(folder) for folder in (Path.home(), work, ROOT)]
    for name, content in files.items():
        found = [folder for folder in (*folders, b"/.cargo/") if folder in content]
        need(not found, f"{name} in {wheel.name} holds {found}.")
    licences = {name.rsplit("/", 1)[1] for name in files if ".dist-info/licenses/" in name}
    need(licences == LICENCES, f"{wheel.name} has the licences {sorted(licences)}.")
    if "manylinux" in wheel.name:
        shown = output("auditwheel", "show", str(wheel), env=env)
        tag = re.search(r"platform tag:\s+\"(\w+)\"", shown)
        need(tag and tag[1] in wheel.name, f"{wheel.name} is not what its name says: {shown}")
        print(f"auditwheel: {wheel.name} is {tag[1]}")
    run("abi3audit", "--strict", "--summary", str(wheel), env=env)


def score_example(wheel, work, env):
    """With the unpacked wheel, as the README does it."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(work / "unpacked")
    files = [ROOT / "examples" / f"smollm2_{name}.npy" for name in ("logits", "targets")]
    command = (sys.executable, "-m", "nll_fast", "score", str(files[0]), "--targets", str(files[1]))
    run(*command, cwd=work, env=env | {"PYTHONPATH": str(work / "unpacked")})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the folder of the results, which must be empty or not exist")
    parser.add_argument("--target", nargs="*", choices=WHEELS, default=[*WHEELS], help="default: all that Rust has")
    arguments = parser.parse_args()
    out = arguments.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        sys.exit(f"{out} is not empty: name a new folder.")
    did_not_run = [f"{target}: not asked for" for target in WHEELS if target not in arguments.target]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder).resolve()
        env = environment(work)
        source = source_distribution(work, out, env)
        for target in arguments.target:
            if not Path(output("rustc", "--print", "target-libdir", "--target", target).strip()).is_dir():
                did_not_run.append(f"{target}: Rust has no standard library for it (rustup target add {target})")
                continue
            made = wheel(source, target, out, env)
            check(made, work, env)
            if target == f"{platform.machine()}-unknown-linux-gnu":
                score_example(made, work, env)
            else:
                did_not_run.append(f"{made.name}: it was built, but is for another machine")
            if "musl" in target:
                did_not_run.append(f"auditwheel for {target}: it needs a machine whose own C library is musl")
        run("twine", "check", "--strict", *map(str, sorted(out.iterdir())), env=env)
    for made in sorted(out.iterdir()):
        print(hashlib.sha256(made.read_bytes()).hexdigest(), made.stat().st_size, made.name)
    for what in did_not_run:
        print(f"did not run: {what}")


if __name__ == "__main__":
    main()
