//! The k largest classes of rows side by side, and what two such rows have in common among them.
//!
//! Each of k passes over the classes finds the next class of every row in descending order. No list is kept,
//! only the class where each row stands, and its logit. The cost is k times the number of classes, so if k is
//! large or the rows are few, sorting each row by [`TopK`](crate::fold::TopK) costs less.

use crate::data::lines::{LANES, Lines};
use crate::fold::Candidate;
use nll_simd::Real;

/// Whether `k` passes over the classes of all lanes cost less than sorting those of `rows` of them, as measured.
pub fn costs_less<F: Real>(k: usize, rows: usize) -> bool {
    k * size_of::<F>() <= rows * size_of::<f32>()
}

/// The `k` largest classes of each row, of equal logits those of the first, one after the other. Of a row with a
/// NaN they are anything.
#[inline(always)]
pub fn largest<F: Real>(lines: Lines<'_, F>, k: usize) -> Vec<Places<F>> {
    let mut found = Vec::with_capacity(k);
    let mut places = Places::BEFORE_ALL;
    // No iterator that is collected: the code of Vec is not compiled for the instruction set of this loop.
    for _ in 0..k.min(lines.classes()) {
        places = places.next(lines);
        found.push(places);
    }
    found
}

/// What the k largest classes of both rows of each pair have in common. Of a pair with a NaN it is anything.
pub struct CommonTops {
    /// How many of them.
    pub count: [u32; LANES],
    /// Whether all are the same, in the same order.
    pub are_equal: [bool; LANES],
}

impl CommonTops {
    /// Of the `k` largest classes, of equal logits those of the first.
    #[inline(always)]
    pub fn new<F: Real>(lines: [Lines<'_, F>; 2], k: usize) -> Self {
        let classes = lines[0].classes();
        let ([mut p, mut q], [p_lines, q_lines]) = ([Places::BEFORE_ALL; 2], lines);
        let (mut differ, mut count) = ([0; LANES], [0; LANES]);
        for _ in 0..k.min(classes) {
            (p, q) = (p.next(p_lines), q.next(q_lines));
            for i in 0..LANES {
                differ[i] |= u32::from(p.class[i] != q.class[i]);
            }
        }
        for class in 0..classes {
            let (x, y) = (p_lines.line(class), q_lines.line(class));
            let class = F::from_f64(class as f64);
            for i in 0..LANES {
                let are_among = !p.is_before(i, (x[i], class)) & !q.is_before(i, (y[i], class));
                count[i] += u32::from(are_among);
            }
        }
        CommonTops { count, are_equal: differ.map(|differ| differ == 0) }
    }
}

/// How far each row has come: a class, and its logit.
#[derive(Clone, Copy)]
pub struct Places<F> {
    x: [F; LANES],
    class: [F; LANES],
}

impl<F: Real> Places<F> {
    const BEFORE_ALL: Self = Places { x: [F::INFINITY; LANES], class: [F::NEG_INFINITY; LANES] };

    /// The class of row i.
    #[inline(always)]
    pub fn of(&self, i: usize) -> Candidate<F> {
        Candidate { x: self.x[i], class: self.class[i].to_f64() as usize }
    }

    /// Whether row i stands before this class.
    #[inline(always)]
    fn is_before(&self, i: usize, (x, class): (F, F)) -> bool {
        (x < self.x[i]) | ((x == self.x[i]) & (class > self.class[i]))
    }

    /// The next class of each row.
    #[inline(always)]
    fn next(&self, lines: Lines<'_, F>) -> Self {
        // NaN says that none is found yet: no logit is at most NaN, so the first class behind is taken.
        let mut next = Places { x: [F::NAN; LANES], class: [F::NAN; LANES] };
        for class in 0..lines.classes() {
            let (line, class) = (lines.line(class), F::from_f64(class as f64));
            // Written to another array, because LLVM would write to the same one with masked stores, which are
            // slow on AMD's CPUs without AVX-512.
            let mut larger = next;
            for i in 0..LANES {
                let is_behind = self.is_before(i, (line[i], class));
                let is_no_larger = line[i] <= next.x[i];
                let is_next = is_behind & !is_no_larger;
                larger.x[i] = if is_next { line[i] } else { next.x[i] };
                larger.class[i] = if is_next { class } else { next.class[i] };
            }
            next = larger;
        }
        next
    }
}
