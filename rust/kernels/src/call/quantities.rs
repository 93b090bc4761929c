//! Quantities of whole distributions: entropy, divergence, and cross entropy with a distribution as
//! target. A row is read once, and for the divergence once more, from cache.

use crate::Error;
use crate::call::{
    check_equal_shapes, check_range_of_weights, check_row_weight, check_smoothing, check_weight,
};
use crate::data::array::Array;
use crate::data::drive::{self, Exec, Work, ranges};
use crate::data::lines::{LANES, scratch_lines};
use crate::data::out::Out;
use crate::data::rows::{BLOCK, GROUP, Rows};
use crate::data::scratch::Scratch;
use crate::data::targets::Counted;
use crate::data::totals::{Totaled, Totals};
use crate::fold::lane_terms;
use crate::fold::{Divergence, Entropy, Fold, Pair, SoftTarget, Terms, Weighting, sweep};
use nll_simd::{Buffer, Extended, Isa, Real};
use std::marker::PhantomData;
use std::ops::Range;

/// A quantity of each row of logits x, with p = softmax(x).
pub enum Quantity<'a> {
    /// −Σ p·log p
    Entropy {
        /// x
        logits: &'a Array<'a>,
    },
    /// −Σ_c w_c·((1 − ε)·y_c + ε/C)·log p_c
    SoftTarget {
        /// x
        logits: &'a Array<'a>,
        /// y
        target: &'a Array<'a>,
        /// w; None for a weight of 1 each.
        weight: Option<&'a [f64]>,
        /// ε
        label_smoothing: f64,
    },
    /// Σ p·(log p − log q), with q the softmax of other logits.
    Divergence {
        /// x
        p_logits: &'a Array<'a>,
        /// The logits of q.
        q_logits: &'a Array<'a>,
    },
}

impl Quantity<'_> {
    /// Whether it is computed in float64: if any of its arrays is.
    pub fn is_double(&self) -> bool {
        let [first, second] = self.arrays();
        [first, second].iter().any(|(_, array)| array.is_double() == Some(true))
    }

    /// The logits, of a divergence those of p.
    pub fn logits(&self) -> &Array<'_> {
        self.arrays()[0].1
    }

    pub(crate) fn arrays(&self) -> [(&'static str, &Array<'_>); 2] {
        match self {
            Quantity::Entropy { logits } => [("logits", logits); 2],
            Quantity::SoftTarget { logits, target, .. } => [("logits", logits), ("target", target)],
            Quantity::Divergence { p_logits, q_logits } => {
                [("p_logits", p_logits), ("q_logits", q_logits)]
            }
        }
    }

    /// An error if shapes or options do not fit.
    pub fn check(&self) -> Result<(), Error> {
        check_equal_shapes(&self.arrays())?;
        if let Quantity::SoftTarget { logits, weight, label_smoothing, .. } = self {
            check_smoothing(*label_smoothing)?;
            check_weight(*weight, Rows::new([logits]).classes())?;
            check_range_of_weights("weight", *weight, self.is_double())?;
        }
        Ok(())
    }

    /// An error if shapes, options, or what says which rows count do not fit.
    pub(crate) fn check_rows(&self, rows: Counted<'_>) -> Result<(), Error> {
        self.check()?;
        let count = Rows::new([self.arrays()[0].1]).count();
        check_row_weight(rows.row_weight, count)?;
        check_range_of_weights("sample_weight", rows.row_weight, self.is_double())?;
        if let Some(mask) = rows.mask.filter(|mask| mask.len() != count) {
            let sentence = format!("mask has {} values, but there are {count} rows", mask.len());
            return Err(Error::Shapes(sentence));
        }
        Ok(())
    }

    /// The quantity of every row times its weight into `out`, 0 for rows that do not count, and the
    /// totals.
    pub fn run(
        &self,
        exec: Exec<'_>,
        rows: Counted<'_>,
        totaled: Totaled,
        out: Out<'_>,
    ) -> Result<Totals, Error> {
        self.check_rows(rows)?;
        let of = self;
        match self.is_double() {
            true => {
                drive::run(exec, &Quantities::<f64> { of, rows, totaled, real: PhantomData }, out)
            }
            false => {
                drive::run(exec, &Quantities::<f32> { of, rows, totaled, real: PhantomData }, out)
            }
        }
    }
}

/// The quantity of every row, computed in `F`.
struct Quantities<'q, F> {
    of: &'q Quantity<'q>,
    rows: Counted<'q>,
    totaled: Totaled,
    real: PhantomData<F>,
}

/// What a thread keeps from group to group: a scratch for each array and one to compute with, and the
/// terms of a group of rows of each array.
struct Memory<F> {
    reading: [Scratch<F>; 2],
    computing: Scratch<F>,
    terms: [Buffer<F>; 2],
}

impl<F: Real> Default for Memory<F> {
    fn default() -> Self {
        let (reading, terms) = ([(); 2].map(|()| Scratch::default()), Default::default());
        Memory { reading, computing: Scratch::default(), terms }
    }
}

impl<F: Real> Work<Out<'_>> for Quantities<'_, F> {
    type Total = Totals;
    type Memory = Memory<F>;

    fn count(&self) -> usize {
        Rows::new([self.of.arrays()[0].1]).count()
    }

    fn per_task(&self) -> usize {
        let [(_, first), (_, second)] = self.of.arrays();
        Rows::new([first, second]).per_task()
    }

    #[inline(always)]
    fn task<S: Isa>(
        &self,
        isa: S,
        range: Range<usize>,
        mut out: Out<'_>,
        memory: &mut Memory<F>,
    ) -> Totals {
        let [(_, first), (_, second)] = self.of.arrays();
        let (one, both) = (Rows::new([first]), Rows::new([first, second]));
        let counted = self.rows;
        let weighted = counted.row_weight.is_some();
        let mut totals = Totals::empty(weighted, self.totaled);
        totals.ignored = counted.mask.map(|_| 0);
        if both.are_few() {
            for group in ranges(range, LANES) {
                let values = &mut self.lanes(isa, &group, memory)[..group.len()];
                counted.add_to(isa, &mut totals, group.start, (values, F::COMPENSATED));
                out.write(values, None);
            }
            return totals;
        }
        for group in both.groups(range) {
            let mut values = [0.0; GROUP];
            let (start, values) = (group.start, &mut values[..group.len()]);
            match self.of {
                Quantity::Entropy { .. } => {
                    memory.entropy(isa, &one, (group, counted), values);
                }
                Quantity::SoftTarget { weight, label_smoothing, .. } => {
                    let (smoothing, classes) = (*label_smoothing, both.classes());
                    let weighting = Weighting { weight: *weight, smoothing, classes };
                    memory.soft_target(isa, &both, (group, counted), weighting, values);
                }
                Quantity::Divergence { .. } => {
                    let rows = ([&one, &Rows::new([second])], &both);
                    memory.divergence(isa, rows, (group, counted), values);
                }
            }
            counted.add_to(isa, &mut totals, start, (values, F::COMPENSATED));
            out.write(values, None);
        }
        totals
    }
}

impl<F: Real> Quantities<'_, F> {
    /// The quantities of at most [`LANES`] rows of few classes. Called, not inlined: the loops of
    /// longer rows have the registers for themselves.
    #[inline(never)]
    fn lanes<S: Isa>(&self, isa: S, group: &Range<usize>, memory: &mut Memory<F>) -> [f64; LANES] {
        isa.vectorize(
            #[inline(always)]
            || self.lanes_here(isa, group, memory),
        )
    }

    #[inline(always)]
    fn lanes_here<S: Isa>(
        &self,
        isa: S,
        group: &Range<usize>,
        memory: &mut Memory<F>,
    ) -> [f64; LANES] {
        let [(_, first), (_, second)] = self.of.arrays();
        let both = Rows::new([first, second]);
        let Memory { reading, computing, terms: [more, _] } = memory;
        let held = scratch_lines(computing, both.classes());
        if let Quantity::Entropy { .. } = self.of {
            let one = Rows::new([first]);
            let [lines] = one.lines(isa, group, core::array::from_mut(&mut reading[0]));
            return lane_terms::entropy(isa, lines, held);
        }
        let lines = both.lines(isa, group, reading);
        match self.of {
            Quantity::SoftTarget { weight, label_smoothing, .. } => {
                let (smoothing, classes) = (*label_smoothing, both.classes());
                let weighting = Weighting { weight: *weight, smoothing, classes };
                lane_terms::soft_target(isa, lines, held, weighting)
            }
            _ => {
                let more = more.first(both.classes() * LANES, F::ZERO).as_chunks_mut().0;
                lane_terms::divergence(isa, lines, [held, more])
            }
        }
    }
}

impl<F: Real> Memory<F> {
    #[inline(always)]
    fn entropy<S: Isa>(
        &mut self,
        isa: S,
        rows: &Rows<'_>,
        (group, counted): (Range<usize>, Counted<'_>),
        values: &mut [f64],
    ) {
        let scratch = (core::array::from_mut(&mut self.reading[0]), &mut self.computing);
        let mut numbers = [[F::Extended::new(0.0); 3]; GROUP];
        sweep(
            isa,
            rows,
            (group, BLOCK),
            |row| counted.counts(row),
            scratch,
            #[inline(always)]
            |_| Entropy::<F>::empty(),
            #[inline(always)]
            |i, fold| numbers[i] = fold.finish(isa),
        );
        for (value, &numbers) in values.iter_mut().zip(&numbers) {
            *value = Entropy::<F>::value(isa, numbers);
        }
    }

    #[inline(always)]
    fn soft_target<S: Isa>(
        &mut self,
        isa: S,
        both: &Rows<'_, 2>,
        (group, counted): (Range<usize>, Counted<'_>),
        weighting: Weighting<'_>,
        values: &mut [f64],
    ) {
        let scratch = (&mut self.reading, &mut self.computing);
        let mut numbers = [[F::Extended::new(0.0); 4]; GROUP];
        sweep(
            isa,
            both,
            (group, BLOCK / 2),
            |row| counted.counts(row),
            scratch,
            #[inline(always)]
            |_| SoftTarget::<F>::empty(weighting),
            #[inline(always)]
            |i, fold| numbers[i] = fold.finish(isa),
        );
        for (value, &numbers) in values.iter_mut().zip(&numbers) {
            *value = SoftTarget::<F>::value(isa, numbers);
        }
    }

    #[inline(always)]
    fn divergence<S: Isa>(
        &mut self,
        isa: S,
        (each, both): ([&Rows<'_>; 2], &Rows<'_, 2>),
        (group, counted): (Range<usize>, Counted<'_>),
        values: &mut [f64],
    ) {
        let mut memory = core::mem::take(&mut self.terms);
        let size = group.len() * both.classes();
        let mut terms = [const { [const { None }; GROUP] }; 2];
        for ((terms, rows), memory) in terms.iter_mut().zip(each).zip(&mut memory) {
            let group = (group.clone(), counted);
            self.terms(isa, rows, group, memory.first(size, F::ZERO), terms);
        }
        let [p, q] = &mut terms;
        let mut pairs = p.iter_mut().flatten().zip(q.iter_mut().flatten());
        let scratch = (&mut self.reading, &mut self.computing);
        let mut numbers = [[F::Extended::new(0.0); 3]; GROUP];
        sweep(
            isa,
            both,
            (group, PIECE),
            |row| counted.counts(row),
            scratch,
            #[inline(always)]
            |_| pairs.next().map(|(p, q)| Divergence::new(Pair::new(isa, p, q))),
            #[inline(always)]
            |i, fold| numbers[i] = fold.finish(isa).unwrap_or(numbers[i]),
        );
        for (value, &numbers) in values.iter_mut().zip(&numbers) {
            *value = Divergence::<F>::value(isa, numbers);
        }
        self.terms = memory;
    }

    /// The terms of every row of a group, in `terms`, into `folds`.
    #[inline(always)]
    fn terms<'t, S: Isa>(
        &mut self,
        isa: S,
        rows: &Rows<'_>,
        (group, counted): (Range<usize>, Counted<'_>),
        terms: &'t mut [F],
        folds: &mut [Option<Terms<'t, F>>; GROUP],
    ) {
        let mut terms = terms.chunks_mut(rows.classes());
        let scratch = (core::array::from_mut(&mut self.reading[0]), &mut self.computing);
        sweep(
            isa,
            rows,
            (group, BLOCK),
            |row| counted.counts(row),
            scratch,
            #[inline(always)]
            |_| Terms::new(terms.next().unwrap_or_default()),
            #[inline(always)]
            |i, fold| folds[i] = Some(fold),
        );
    }
}

/// How many classes of both rows a divergence looks at together: their products stay in L1.
pub(crate) const PIECE: usize = 512;
