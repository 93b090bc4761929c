//! Sums of terms relative to the largest logit of a row.
//!
//! With x_m the largest logit of a row and e_c = e^{x_c − x_m}, so that e_m = 1 and r = Σ_{c≠m}
//! e_c,
//!
//! ```text
//! log p_m = −log(1 + r)
//! entropy        −Σ p·log p  =  log(1 + r)      + Σ e_c·(x_m − x_c) / (1 + r)
//! cross entropy  −Σ y·log p  =  log(1 + r)·Σ y  + Σ y_c·(x_m − x_c)
//! ```
//!
//! All terms are positive, so nothing cancels. In float32 (and from halves) exponentials and their
//! products are f32 and sums f64; in float64 products and sums are double-doubles.
//!
//! A row is read once: x_m is the largest logit of the blocks so far. Each block is searched for a
//! larger one, in L1, before its terms are added. If there is one, the old largest joins the
//! others, and Σ e_c·(x_m − x_c) grows by the difference times Σ e_c. The scale of the terms is a
//! power of two and stays where it is as long as they fit, so this, too, loses nothing.

use crate::data::rows::{BLOCK, Block};
use crate::data::scratch::Scratch;
use crate::fold::Fold;
use crate::fold::products::{add_products_below, add_rest};
use crate::math::terms::{NONE, SumScale, add_values, lift, max, position, write_terms};
use nll_simd::math::power_of_two;
use nll_simd::{CHUNK_LANES, Extended, Isa, LaneSum, Real};

/// Classes in a piece of a block: their products stay in L1.
pub(super) const PIECE: usize = 512;

/// How many classes of the next block are fetched at a time: few enough for the CPU to have all
/// these requests in flight.
const FETCH: usize = 128;

/// The largest logit so far, and the sum of the others' terms.
#[derive(Clone, Copy, Debug)]
pub struct Others<F: Real> {
    /// The largest logit, −∞ of no classes.
    pub x: F,
    /// The first place where it stands, [`NONE`] of no classes.
    pub at: usize,
    scale: SumScale<F>,
    pub(super) rest: LaneSum,
}

/// How the sums of a row change when its largest logit does.
#[derive(Clone, Copy)]
pub(super) struct Raise<F: Real> {
    /// The place of the logit that was the largest, and its term at the new scale.
    pub(super) at: usize,
    pub(super) term: F::Extended,
    /// What terms at the old scale are multiplied by.
    pub(super) factor: f64,
    /// By how much the new one is larger.
    by: F::Extended,
}

impl<F: Real> Raise<F> {
    /// How much further below the largest logits lie that count `factor` in total. By an infinite
    /// difference, 0 counts as nothing.
    #[inline(always)]
    pub(super) fn further<S: Isa>(&self, isa: S, factor: F::Extended) -> F::Extended {
        if factor.rounded() == 0.0 { factor } else { self.by.mul(isa, factor) }
    }
}

impl<F: Real> Others<F> {
    /// Of no classes.
    #[inline(always)]
    pub fn empty() -> Self {
        let scale = SumScale::new(0.0, 0.0);
        Others { x: F::NEG_INFINITY, at: NONE, scale, rest: LaneSum::ZERO }
    }

    /// Those of a row whose largest logit is known, and Σ e^(x − x_m) of all its classes.
    #[inline(always)]
    pub(super) fn of_sum<S: Isa>(isa: S, x: F, at: usize, sum: f64) -> Self {
        let found = Others { x, at, scale: SumScale::below(x), rest: LaneSum::ZERO };
        let [term, _] = found.sums(isa);
        let rest = LaneSum::ZERO.plus::<F>(term.mul(isa, F::Extended::new(sum - 1.0)));
        Others { rest, ..found }
    }

    /// The place of the largest if it has more than half of the sum of all terms, else [`NONE`].
    #[inline(always)]
    pub fn at_if_likely<S: Isa>(&self, isa: S) -> usize {
        let [term, rest] = self.sums(isa).map(Extended::rounded);
        if term > rest { self.at } else { NONE }
    }

    /// Makes `x`, which is larger than all before, the largest. None if there was none.
    #[inline(always)]
    fn raise<S: Isa>(&mut self, isa: S, x: F, at: usize) -> Option<Raise<F>> {
        let old = *self;
        (self.x, self.at) = (x, at);
        if old.at == NONE {
            // All were −∞ or NaN, and the sum is 0 or NaN at any scale.
            self.scale = SumScale::below(x);
            return None;
        }
        self.scale = old.scale.raised(x);
        let factor = old.scale.factor(isa, self.scale);
        let term = lifted_exp::<S, F>(isa, self.scale.log_term(old.x));
        let by = F::Extended::sum(x.to_f64(), -old.x.to_f64());
        self.rest = self.rest.scaled(factor).plus::<F>(term);
        Some(Raise { at: old.at, term, factor, by })
    }

    /// [`raise`](Self::raise) to the largest class of a block, `x`.
    ///
    /// Called, not inlined, and of values: the usual way has the registers for itself.
    #[cold]
    #[inline(never)]
    fn raised<S: Isa>(
        mut self,
        isa: S,
        first: usize,
        classes: &[F],
        x: F,
    ) -> (Self, Option<Raise<F>>) {
        isa.vectorize(
            #[inline(always)]
            || {
                let at = position(classes, x).map_or(NONE, |at| first + at);
                let raise = self.raise(isa, x, at);
                (self, raise)
            },
        )
    }

    /// Looks for a larger logit in a block.
    #[inline(always)]
    pub(super) fn look<S: Isa>(&mut self, isa: S, first: usize, classes: &[F]) -> Option<Raise<F>> {
        let x = max(classes);
        if x > self.x {
            let (raised, raise) = self.raised(isa, first, classes, x);
            *self = raised;
            return raise;
        }
        None
    }

    /// Writes the terms of the classes of a block, in the first array, that of the largest as 0,
    /// and adds them.
    #[inline(always)]
    pub(super) fn add<S: Isa, const N: usize>(
        &mut self,
        isa: S,
        block: &Block<'_, F, N>,
        terms: &mut [F],
    ) {
        let (first, x, scale) = (block.first, &block.classes()[0], self.scale.lifted());
        for start in (0..x.len()).step_by(FETCH) {
            let end = (start + FETCH).min(x.len());
            block.fetch_behind(start, end - start);
            write_terms::<S, F, true>(isa, scale, &x[start..end], &mut terms[start..end]);
        }
        if let Some(term) = terms.get_mut(self.at.wrapping_sub(first)) {
            *term = F::ZERO;
        }
        add_values::<S, F, _>(isa, &mut self.rest, terms);
    }

    /// Raises the lesser of two states to the largest logit of the other. Returns what happened to
    /// each, and the factor that brings the later sums to this scale.
    #[inline(always)]
    pub(super) fn level<S: Isa>(
        &mut self,
        isa: S,
        later: &mut Self,
    ) -> ([Option<Raise<F>>; 2], f64) {
        let mut raises = [None; 2];
        if later.at == NONE {
            return (raises, 1.0);
        }
        if later.x > self.x {
            raises[0] = self.raise(isa, later.x, later.at);
        } else {
            raises[1] = later.raise(isa, self.x, self.at);
        }
        (raises, later.scale.factor(isa, self.scale))
    }

    /// Adds the sum of later classes, times the factor that [`level`](Self::level) returned.
    #[inline(always)]
    pub(super) fn add_rest(&mut self, later: Self, factor: f64) {
        self.rest = self.rest.merge::<F>(later.rest.scaled(factor));
    }

    /// Writes the terms of the classes `x` from `first` on, that of the largest included, when all
    /// classes are in.
    #[inline(always)]
    pub fn write<S: Isa>(&self, isa: S, first: usize, x: &[F], terms: &mut [F]) {
        write_terms::<S, F, true>(isa, self.scale.lifted(), x, terms);
        if let Some(term) = terms.get_mut(self.at.wrapping_sub(first)) {
            *term = F::from_f64(self.sums(isa)[0].rounded());
        }
    }

    /// The logarithm of the term of the largest, without its [`lift`].
    #[inline(always)]
    pub(crate) fn log_term(&self) -> F::Extended {
        self.scale.log_term(self.x)
    }

    /// The term of the largest, and the sum of the others'.
    #[inline(always)]
    pub fn sums<S: Isa>(&self, isa: S) -> [F::Extended; 2] {
        [lifted_exp::<S, F>(isa, self.log_term()), self.rest.extended::<F>()]
    }

    /// −log p of the largest.
    #[inline(always)]
    pub fn loss<S: Isa>(&self, isa: S) -> F::Extended {
        let [term, rest] = self.sums(isa);
        rest.div(isa, term).log1p(isa)
    }

    /// Adds factor·(x_m − x) of every x to `total`, 0 where the factor is 0: x may be −∞ there. Float64 needs places for
    /// products and what rounding took from them; all others need to know whether to look for −∞.
    #[inline(always)]
    pub(super) fn add_below<S: Isa, V: Real>(
        &self,
        isa: S,
        (factors, x): (&[V], &[F]),
        ([rounded, lost], is_masked): ([&mut [f64]; 2], &mut bool),
        total: &mut LaneSum,
    ) {
        // Any finite number is as far above −∞.
        let x_m = if self.at == NONE { 0.0 } else { self.x.to_f64() };
        if !F::COMPENSATED {
            let mut sum = [0.0; CHUNK_LANES];
            for (factors, x) in factors.chunks(PIECE).zip(x.chunks(PIECE)) {
                let ((factors, last_factors), (x, last)) = (factors.as_chunks(), x.as_chunks());
                add_products_below(isa, x_m, (factors, x), &mut sum, is_masked);
                add_rest(isa, x_m, (last_factors, last), &mut sum);
            }
            *total = total.add_chunk::<F, f64>(&sum);
            return;
        }
        for (factors, x) in factors.chunks(PIECE).zip(x.chunks(PIECE)) {
            let products = rounded.iter_mut().zip(lost.iter_mut());
            for (((rounded, lost), factor), x) in products.zip(factors).zip(x) {
                let d = F::Extended::sum(x_m, -x.to_f64());
                let d = if *factor == V::ZERO { F::Extended::new(0.0) } else { d };
                let words = F::Extended::new(factor.to_f64()).mul(isa, d).words();
                [*rounded, *lost] = words;
            }
            add_products::<S, F>(isa, [&rounded[..x.len()], &lost[..x.len()]], total);
        }
    }
}

/// A term, of its logarithm without its [`lift`].
#[inline(always)]
pub(super) fn lifted_exp<S: Isa, F: Real>(isa: S, log: F::Extended) -> F::Extended {
    log.mul_exp(isa, power_of_two(lift::<F>()))
}

impl<F: Real> Fold<F> for Others<F> {
    type Row = Self;

    #[inline(always)]
    fn push<S: Isa>(&mut self, isa: S, block: &Block<'_, F>, scratch: &mut Scratch<F>) {
        let terms = scratch.terms.first(BLOCK, F::ZERO);
        let (first, [x]) = (block.first, block.classes());
        self.look(isa, first, x);
        self.add(isa, block, &mut terms[..x.len()]);
    }

    #[inline(always)]
    fn merge<S: Isa>(&mut self, isa: S, mut later: Self) {
        let (_, factor) = self.level(isa, &mut later);
        self.add_rest(later, factor);
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, _isa: S) -> Self {
        *self
    }
}

/// Adds products, and what rounding took from them where f64 is not wider than the logits.
#[inline(always)]
pub(crate) fn add_products<S: Isa, F: Real>(
    isa: S,
    [rounded, lost]: [&[f64]; 2],
    total: &mut LaneSum,
) {
    add_values::<S, F, _>(isa, total, rounded);
    if F::COMPENSATED {
        add_values::<S, F, _>(isa, total, lost);
    }
}
