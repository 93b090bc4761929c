#!/usr/bin/env bash
# The tests of the instruction sets on processors that QEMU emulates, golden bits included: x86-64 without fused
# multiply-add, x86-64 with AVX2, and aarch64. Then the bits of every row of tests/cases.py from Python, compared with
# those of this machine's own CPU. A quarter of an hour on two idle cores.
#
#   bash tests/emulated.sh [x86_64] [aarch64] [aarch64_python]
#
# It needs cargo, a C compiler and QEMU's user mode (the package qemu-user, or qemu-user-static). What else a part needs
# is said at the end if it is missing: `rustup target add aarch64-unknown-linux-musl`, and a Python ($PYTHON, or python3)
# that imports nll_fast and the tests' tools. $AARCH64_PYTHON, if set, is a command that runs a Python for aarch64 which
# has the tests' tools and is given a library built here; docs/promises.md shows one.
#
# The last lines say which levels ran, and what did not run and why. The exit status is 1 if something that ran failed.
set -uo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ran="$work/ran" missing="$work/missing" failed="$work/failed"
touch "$ran" "$missing" "$failed"
python=${PYTHON:-python3}

did_not_run() { echo "did not run: $1: $2" | tee -a "$missing"; }

fail() { echo "FAILED: $1" | tee -a "$failed"; }

emulator() { command -v "qemu-$1" || command -v "qemu-$1-static"; }

has_target() { [ -d "$(rustc --print target-libdir --target "$1")" ]; }

# Runs a command, shows what it prints without QEMU's remarks on features, and keeps that in $work/output.
step() {
  local title=$1
  shift
  echo "== $title"
  "$@" 2>&1 | grep -v "TCG doesn't support" | tee "$work/output"
  [ "${PIPESTATUS[0]}" = 0 ] || { fail "$title"; return 1; }
}

# The Rust tests built for a target, or those that more arguments name, run by an emulator whose processor must have
# exactly these levels.
rust_tests() {
  local title=$1 levels=$2 target=$3 runner=$4
  local name=${target//-/_}
  shift 4
  step "$title: Rust" env "CARGO_TARGET_${name^^}_RUNNER=$runner" \
    cargo test --release --locked --target "$target" -p nll-simd -p nll-kernels -p nll-calls "$@" || return
  if [ "$(grep '^levels run: ' "$work/output" | sort -u)" != "levels run: $levels" ]; then
    fail "$title: other levels than $levels"
    return
  fi
  echo "$title: $(awk '/^test result: ok/ {n += $4} END {print n}' "$work/output") Rust tests at $levels" >>"$ran"
}

# The bits that a Python computes at each of these levels, against those noted by the first Python with such a level.
python_bits() {
  local title=$1 levels=$2
  shift 2
  for level in ${levels//,/}; do
    step "$title: Python at $level" env "NLL_FAST_SIMD=$level" "$@" -m tests.bits_elsewhere "$work/bits" || continue
    echo "$title: $(tail -n 1 "$work/output")" >>"$ran"
  done
}

# QEMU reads what a masked load leaves out, where the processor reads nothing: a null pointer with an empty mask is then
# a fault. With this library, the lowest addresses of the emulated program can be read.
low_addresses() {
  cat >"$work/low.c" <<'C'
#include <sys/mman.h>
__attribute__((constructor)) static void map(void) {
  mmap(0, 1 << 16, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}
C
  cc -shared -fPIC -o "$work/low.so" "$work/low.c"
}

# Notes the bits of this machine's own CPU, at all its levels.
this_cpu() {
  if ! "$python" -c "import nll_fast, ml_dtypes, mpmath, pytest"; then
    did_not_run "bits from Python" "$python lacks nll_fast or a tool of its tests"
    return
  fi
  mkdir "$work/bits"
  python_bits "this CPU" "$("$python" -c 'from nll_fast import _core; print(*reversed(_core.simd_levels()))')" "$python"
}

x86_64() {
  local qemu target=x86_64-unknown-linux-gnu processor levels
  qemu=$(emulator x86_64) || { did_not_run "older x86-64" "qemu-x86_64 is not installed"; return; }
  [ "$(rustc -vV | sed -n 's/^host: //p')" = $target ] || { did_not_run "older x86-64" "needs $target here"; return; }
  low_addresses || { did_not_run "older x86-64" "cc does not compile"; return; }
  # With a base, the lowest addresses of the program are not those of QEMU. OpenBLAS must be told that it is on a Nehalem.
  qemu="$qemu -B 0x400000000000 -E LD_PRELOAD=$work/low.so -E OPENBLAS_CORETYPE=Nehalem -cpu"
  # Haswell is Intel's first processor with fused multiply-add, Nehalem an older one.
  for processor in "Nehalem:baseline" "Haswell:baseline, avx2"; do
    levels=${processor#*:} processor=${processor%:*}
    rust_tests "$processor" "$levels" $target "$qemu $processor"
    # Not what starts Python, which may be a script: the emulator runs programs.
    # shellcheck disable=SC2086  # a command of several words
    [ ! -d "$work/bits" ] ||
      python_bits "$processor" "$levels" $qemu "$processor" "$("$python" -c "import sys; print(sys.executable)")"
  done
  # Without one of the features of a level, the processor does not have the level.
  for processor in Haswell,-fma Haswell,-f16c Haswell,-bmi2; do
    rust_tests "$processor" baseline $target "$qemu $processor" --test levels limits
  done
  did_not_run avx512 "QEMU does not emulate it; \`cargo test\` runs it on a CPU that has it"
}

aarch64() {
  local qemu target=aarch64-unknown-linux-musl
  qemu=$(emulator aarch64) || { did_not_run aarch64 "qemu-aarch64 is not installed"; return; }
  has_target $target || { did_not_run aarch64 "rustup target add $target"; return; }
  export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld
  export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_RUSTFLAGS="-C link-self-contained=yes"
  rust_tests aarch64 "baseline, neon" $target "$qemu"
}

aarch64_python() {
  local what="Python on aarch64" target=aarch64-unknown-linux-gnu linker=aarch64-linux-gnu-gcc
  [ "${AARCH64_PYTHON:-}" ] || { did_not_run "$what" "\$AARCH64_PYTHON is not set"; return; }
  [ -d "$work/bits" ] || { did_not_run "$what" "there are no bits of this CPU to compare with"; return; }
  has_target $target || { did_not_run "$what" "rustup target add $target"; return; }
  command -v $linker >"$work/linker" || { did_not_run "$what" "$linker is not installed"; return; }
  step "$what: build" env PYO3_NO_PYTHON=1 PYO3_BUILD_EXTENSION_MODULE=1 \
    "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=$linker" \
    cargo build --release --locked --target $target -p nll-fast-py || return
  cp -r python/nll_fast "$work/nll_fast"
  cp "${CARGO_TARGET_DIR:-target}/$target/release/lib_core.so" "$work/nll_fast/_core.abi3.so"
  # shellcheck disable=SC2086  # a command of several words
  python_bits aarch64 "baseline, neon" env "PYTHONPATH=$work" $AARCH64_PYTHON
}

[ $# -gt 0 ] || set -- x86_64 aarch64 aarch64_python
this_cpu
for part; do "$part"; done

echo
echo "== Ran"
cat "$ran"
cat "$missing" "$failed"
[ ! -s "$failed" ]
