#!/usr/bin/env bash
# Memory safety: the Rust tests and the Python suite under AddressSanitizer, with overflow checks. Half an hour on two
# idle cores.
#
#   bash tests/sanitized.sh [what pytest takes, instead of the whole suite]
#
# It needs cargo, a C compiler, objcopy, and a Python ($PYTHON, or python3) with NumPy and the tests' tools. The compiler
# may be the stable one. Reads past an array, uses after a free and the like end a test with a report.
#
# Left out: tests that read the built library's instructions or measure memory and how fast a call ends, as both are
# those of the sanitizer here.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=${PYTHON:-python3}
target=x86_64-unknown-linux-gnu
if [ "$(rustc -vV | sed -n 's/^host: //p')" != $target ]; then
  echo "did not run: AddressSanitizer: needs $target here"
  exit 0
fi

export RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address PYO3_BUILD_EXTENSION_MODULE=1
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/sanitized
export CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS=true CARGO_PROFILE_RELEASE_LTO=thin

echo "== Rust"
cargo test --release --locked --target $target -p nll-simd -p nll-kernels
cargo build --release --locked --target $target -p nll-fast-py

echo "== Python"
cp -r python/nll_fast "$work/nll_fast"
cp "$CARGO_TARGET_DIR/$target/release/lib_core.so" "$work/nll_fast/_core.abi3.so"
# Python is not built with the sanitizer, so its run-time library is loaded first. The compiler has it as an archive for
# programs, whose early initialisers a shared library may not have.
archive="$(rustc --print target-libdir --target $target)/librustc-stable_rt.asan.a"
objcopy -R .preinit_array "$archive" "$work/asan.a"
cc -shared -o "$work/asan.so" -Wl,--whole-archive "$work/asan.a" -Wl,--no-whole-archive -lpthread -ldl -lm -lrt
[ $# -gt 0 ] || set -- --ignore=tests/test_codegen.py --ignore=tests/test_memory.py --ignore=tests/test_bench.py
LD_PRELOAD="$work/asan.so" ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc PYTHONPATH="$work" \
  "$python" -m pytest -p no:cacheprovider "$@"
