//! The same bits on every CPU with fused multiply-add, as one golden number for each function.
//!
//! The numbers are those of AVX2 and of AVX-512. A change of one is a change of results and belongs in
//! the release notes. Each is a hash of results whose inputs depend on the
//! function's name and on nothing else, so a new function is a new line and leaves the other numbers as
//! they are.

#[path = "golden/elements.rs"]
mod elements;
#[path = "golden/inputs.rs"]
mod inputs;
#[path = "golden/rows.rs"]
mod rows;
#[path = "../../kernels/tests/support/mod.rs"]
mod support;

use elements::ELEMENTS;
use inputs::Inputs;
use nll_kernels::data::drive::{Exec, Par};
use nll_kernels::{Error, Level};
use rows::ROWS;
use support::{Hash, fused_levels};

/// All results of a function, as f64.
type Results = Result<Vec<f64>, Error>;

/// A function's name, a call of it, and the golden numbers of float32 and of float64.
type Line = (&'static str, fn(&Inputs) -> Results, [u64; 2]);

const ROW_COUNT: usize = 18;
const WIDTHS: [usize; 5] = [2, 31, 33, 300, 2100];

/// The hash of the results for every shape.
fn hash(line: &Line, level: Level, double: bool, shapes: &[Vec<usize>]) -> u64 {
    let (name, function, _) = *line;
    let mut hash = Hash::new();
    for shape in shapes {
        let exec = Exec { level, par: Par::Here };
        let inputs = Inputs { exec, name, double, shape: shape.clone() };
        for result in function(&inputs).expect("inputs without errors") {
            assert!(!result.is_nan(), "{name}: the bits of NaN are not promised");
            // Byte by byte: added whole, a number's high bits would reach few bits of the hash.
            result.to_bits().to_le_bytes().into_iter().for_each(|byte| hash.add(byte.into()));
        }
    }
    hash.0
}

/// Compares every function at every fused level with its golden numbers. All that differ are shown
/// at once, with the numbers as they would stand in the table.
fn check(test: &str, lines: &[Line], shapes: &[Vec<usize>]) {
    let mut differing = String::new();
    for level in fused_levels(test) {
        for line in lines {
            let found = [false, true].map(|double| hash(line, level, double, shapes));
            if found != line.2 {
                let [single, double] = found.map(|hash| {
                    let digits = format!("{hash:016x}");
                    [0, 4, 8, 12].map(|at| &digits[at..at + 4]).join("_")
                });
                let (name, level) = (line.0, level.name());
                differing += &format!("{level}: {name:?}: [0x{single}, 0x{double}]\n");
            }
        }
    }
    assert!(differing.is_empty(), "other bits than the golden numbers say:\n{differing}");
}

#[test]
fn golden_bits_of_elements() {
    check("golden bits of elements", ELEMENTS, &[vec![1000]]);
}

#[test]
fn golden_bits_of_rows() {
    check("golden bits of rows", ROWS, &WIDTHS.map(|classes| vec![ROW_COUNT, classes]));
}
