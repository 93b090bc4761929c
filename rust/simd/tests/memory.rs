//! Non-temporal stores write what plain stores would: at any address, of any length, nothing else.

use nll_simd::{Real, with_non_temporal};
use std::io::Write;

/// Says which stores run, past the capture of the test harness.
fn report_stores() {
    let stores = if cfg!(target_arch = "x86_64") {
        "non-temporal stores run"
    } else {
        "no non-temporal stores on this architecture: only plain stores could be checked"
    };
    writeln!(std::io::stderr(), "{stores}").expect("stderr is open");
}

/// Copies 0 to `most` numbers, in two parts, to every offset within two cache lines; the numbers
/// before and behind the destination must not change.
fn everywhere<F: Real + std::fmt::Debug>(most: usize) {
    let from: Vec<F> = (0..most).map(|i| F::from_f64(i as f64 + 1.0)).collect();
    for start in 0..32 {
        for length in 0..=most {
            let mut to = vec![F::ZERO; start + most + 32];
            let (first, last) = from[..length].split_at(length / 3);
            let (to_first, to_last) = to[start..start + length].split_at_mut(first.len());
            with_non_temporal(|stores| {
                stores.copy(to_first, first);
                stores.copy(to_last, last);
            });
            let (before, rest) = to.split_at(start);
            let (written, after) = rest.split_at(length);
            assert_eq!(written, &from[..length]);
            assert!(before.iter().chain(after).all(|&x| x == F::ZERO), "{start} {length}");
        }
    }
}

#[test]
fn copies_what_it_is_given_and_nothing_else() {
    report_stores();
    everywhere::<f32>(100);
    everywhere::<f64>(60);
}

#[test]
fn what_was_stored_can_be_read_by_others_after_a_panic_too() {
    let mut to = vec![0.0f32; 1000];
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        with_non_temporal(|stores| {
            stores.copy(&mut to, &[1.0; 1000]);
            panic!("after the stores");
        })
    }));
    assert!(caught.is_err());
    let seen = std::thread::scope(|s| s.spawn(|| to.iter().sum::<f32>()).join());
    assert_eq!(seen.expect("no panic"), 1000.0);
}
