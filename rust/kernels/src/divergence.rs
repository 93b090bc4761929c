//! The divergence Σ p·(log p − log q) of two rows of logits, p and q being their softmax.
//!
//! With *any* multiple q̃ of q, d = log q̃ − log p and u = Σ (q̃ − p),
//!
//! ```text
//! divergence  =  Σ (q̃ − p − p·d)  −  (u − log(1 + u))
//! ```
//!
//! of positive terms, and a correction of second order: how well q̃ adds up to 1 does not matter, only how well d
//! belongs to it. With x_m and y_m the largest logits of each row and ℓ the loss −log p of the largest,
//!
//! ```text
//! d  =  (y − y_m) − (x − x_m) + (ℓ_p − ℓ_q)
//! ```
//!
//! in the precision above the logits' own ([`Real::Extended`]), so that the d of a nearly certain class keeps its digits.
//! Everything is in units of the sum of the terms of x: p is its term, and q̃ that of y times k, whose logarithm is
//! what d is at y_m and x_m, less that of the one term and more that of the other.
//!
//! Both rows are read three times, the last from L2.

use crate::distribution::{MaxTerm, PIECE, Parts, add, blocks};
use crate::formula::divergence_parts;
use crate::input::{Input, Room};
use nll_simd::math::x_minus_log1p;
use nll_simd::{Extended, Isa, LaneSum, Real};
use std::ops::Range;

/// Logits of both distributions, with room for a block and for the terms of a row.
type Side<'s, 'a, F> = (&'s Input<'a>, &'s mut Room<F>, &'s mut [F]);

#[inline(always)]
pub(crate) fn divergence<S: Isa, F: Real>(
    isa: S,
    (p_logits, p_room, p_terms): Side<'_, '_, F>,
    (q_logits, q_room, q_terms): Side<'_, '_, F>,
    row: &Range<usize>,
    (bends, rises): (&mut Parts, &mut [f64]),
) -> f64 {
    let (p, p_rest) = MaxTerm::with_terms(isa, p_logits, row, (p_room, p_terms));
    let (q, q_rest) = MaxTerm::with_terms(isa, q_logits, row, (q_room, q_terms));
    let p_sum = p.sum(p_rest);
    let losses = p.loss(isa, p_rest).add(q.loss(isa, q_rest).neg());
    let log_k = p.log_term.add(q.log_term.neg()).add(losses);
    let k = log_k.renormalize().mul_exp(isa, 1.0);
    let (x_m, y_m) = (p.x.to_f64(), q.x.to_f64());
    let (mut bend, mut rise) = (LaneSum::ZERO, LaneSum::ZERO);
    for block in blocks(row, PIECE) {
        let x = p_logits.read(isa, block.clone(), p_room);
        let y = &q_logits.read(isa, block.clone(), q_room)[..x.len()];
        let [p, q] = [&p_terms, &q_terms].map(|t| &t[block.start - row.start..][..x.len()]);
        let (rounded, lost) = (&mut bends.rounded[..x.len()], &mut bends.lost[..x.len()]);
        let rises = &mut rises[..x.len()];
        for i in 0..x.len() {
            let (x, y) = (x[i].to_f64(), y[i].to_f64());
            let d =
                F::Extended::sum(y, -y_m).add(F::Extended::sum(x_m, -x)).add(losses).renormalize();
            let q = F::Extended::new(q[i].to_f64()).mul(isa, k);
            let (bend, rise) = divergence_parts::<S, F>(isa, p[i].to_f64(), q, d);
            [rounded[i], rises[i]] = [bend.words()[0], rise];
            if F::COMPENSATED {
                lost[i] = bend.words()[1];
            }
        }
        bends.add::<S, F>(isa, &mut bend, x.len());
        add::<S, F, _>(isa, &mut rise, rises);
    }
    let u = rise.extended::<F>().div(isa, p_sum).rounded();
    let value = bend.extended::<F>().div(isa, p_sum).rounded() - x_minus_log1p(isa, u);
    if value < 0.0 { 0.0 } else { value }
}
