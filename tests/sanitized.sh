#!/usr/bin/env bash
# Memory safety: the Rust tests and the Python suite under AddressSanitizer, with overflow checks. Half an hour on two
# idle cores.
#
#   bash tests/sanitized.sh [what pytest takes, instead of the whole suite]
#
# It needs cargo, a C compiler, objcopy, and a Python ($PYTHON, or python3) with NumPy and the tests' tools. The compiler
# may be the stable one. Reads past an array, uses after a free and the like end a test with a report.
#
# Left out, as they would find the sanitizer's and not the library's: tests that read the built library's instructions,
# that measure memory or limit it, that time a call, and that start cargo, which hangs beside the sanitizer.
# Examples in Rust's documentation are left out too: rustdoc links them without the sanitizer. Python's small objects
# come from Python's own allocator, with which mpmath takes a third of the time; arrays and the library's memory are
# watched. No call may allocate more than 6 GiB at once, which the fuzzer else has by a limit of address space.
# tests/test_threads.py interrupts its own process, so run it where SIGINT is not ignored.
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
export CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS=true CARGO_PROFILE_RELEASE_LTO=off  # one build of the kernels for all tests

echo "== Rust"
cargo test --lib --tests --release --locked --target $target -p nll-simd -p nll-kernels -p nll-calls
cargo build --release --locked --target $target -p nll-fast-py

echo "== Python"
cp -r python/nll_fast python/nll_fast_command "$work"
cp "$CARGO_TARGET_DIR/$target/release/lib_core.so" "$work/nll_fast/_core.abi3.so"
# Python is not built with the sanitizer, so its run-time library is loaded first. The compiler has it as an archive for
# programs, whose early initialisers a shared library may not have.
archive="$(rustc --print target-libdir --target $target)/librustc-stable_rt.asan.a"
objcopy -R .preinit_array "$archive" "$work/asan.a"
cc -shared -o "$work/asan.so" -Wl,--whole-archive "$work/asan.a" -Wl,--no-whole-archive -lpthread -ldl -lm -lrt
if [ $# -eq 0 ]; then
  set -- tests
  for left_out in test_codegen.py test_memory.py test_bench.py test_notices.py \
    test_threads.py::test_a_process_that_is_refused_threads_works_alone_and_says_so_once \
    test_threads.py::test_a_call_does_not_wait_for_one_that_began_before_or_after_it; do
    echo "did not run: tests/$left_out: see the head of this script"
    set -- "$@" "--deselect=tests/$left_out"
  done
fi
LD_PRELOAD="$work/asan.so" PYTHONPATH="$work" \
  ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=6144 \
  "$python" -m pytest -p no:cacheprovider "$@"
