//! The sweeps over a group of rows that compute quantities of long rows, and the memory for them.

use crate::data::rows::{BLOCK, GROUP, Rows};
use crate::data::scratch::Scratch;
use crate::data::targets::Counted;
use crate::fold::{
    Direct, DirectRow, Divergence, Entropy, Fold, Others, Pair, SoftTarget, Terms, Weighting, sweep,
};
use crate::math::divergence;
use nll_simd::{Buffer, Extended, Isa, Real};
use std::ops::Range;

/// What a thread keeps from group to group: a scratch for each array and one to compute with, and the
/// terms of a group of rows of each array.
pub struct Memory<F> {
    /// For each array.
    pub reading: [Scratch<F>; 2],
    /// To compute with.
    pub computing: Scratch<F>,
    /// The terms of a group of rows of each array.
    pub terms: [Buffer<F>; 2],
}

impl<F: Real> Default for Memory<F> {
    fn default() -> Self {
        let (reading, terms) = ([(); 2].map(|()| Scratch::default()), Default::default());
        Memory { reading, computing: Scratch::default(), terms }
    }
}

impl<F: Real> Memory<F> {
    /// The entropy of each row that counts.
    #[inline(always)]
    pub fn entropy<S: Isa>(
        &mut self,
        isa: S,
        rows: &Rows<'_>,
        (group, counted): (Range<usize>, Counted<'_>),
        values: &mut [f64],
    ) {
        let mut numbers = [[F::Extended::new(0.0); 3]; GROUP];
        let wanted = |row: usize| counted.counts(row);
        let scratch = [&mut self.reading[0], &mut self.computing];
        let end = &mut |i: usize, (found, _): EntropyRow<F>| numbers[i] = found;
        entropy_rows(isa, rows, (group, &wanted), scratch, end);
        for (value, &numbers) in values.iter_mut().zip(&numbers) {
            *value = Entropy::<F>::value(isa, numbers);
        }
    }

    /// A quantity whose fold comes to the value itself.
    #[inline(always)]
    pub fn plain<S: Isa, A: Fold<F, 2, Row = f64>>(
        &mut self,
        isa: S,
        both: &Rows<'_, 2>,
        (group, counted): (Range<usize>, Counted<'_>),
        empty: impl Fn() -> A,
        values: &mut [f64],
    ) {
        sweep(
            isa,
            both,
            (group, BLOCK / 2),
            |row| counted.counts(row),
            (&mut self.reading, &mut self.computing),
            #[inline(always)]
            |_| empty(),
            #[inline(always)]
            |i, fold| values[i] = fold.finish(isa),
        );
    }

    /// The cross entropy of each row that counts with a distribution as target.
    #[inline(always)]
    pub fn soft_target<S: Isa>(
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

    /// The divergence of each two rows that count.
    #[inline(always)]
    pub fn divergence<S: Isa>(
        &mut self,
        isa: S,
        (each, both): ([&Rows<'_>; 2], &Rows<'_, 2>),
        (group, counted): (Range<usize>, Counted<'_>),
        values: &mut [f64],
    ) {
        let start = group.start;
        let scratch = (&mut self.reading, &mut self.computing);
        let counts = |row: usize| counted.counts(row);
        let direct = direct_divergences(isa, both, (group.clone(), &counts), scratch);
        for (value, found) in values.iter_mut().zip(&direct) {
            *value = found.map_or(*value, |found| found.value);
        }
        let is_unknown = |row: usize| counted.counts(row) && direct[row - start].is_none();
        if !group.clone().any(is_unknown) {
            return;
        }
        let mut memory = core::mem::take(&mut self.terms);
        let size = group.len() * both.classes();
        let mut terms = [const { [const { None }; GROUP] }; 2];
        for (((terms, rows), memory), reading) in
            terms.iter_mut().zip(each).zip(&mut memory).zip(&mut self.reading)
        {
            let computing = &mut self.computing;
            term_folds(
                isa,
                rows,
                (group.clone(), &is_unknown),
                [reading, computing],
                (memory.first(size, F::ZERO), terms),
            );
        }
        let [p, q] = &mut terms;
        let mut pairs = p.iter_mut().flatten().zip(q.iter_mut().flatten());
        let scratch = (&mut self.reading, &mut self.computing);
        let mut numbers = [[F::Extended::new(0.0); 3]; GROUP];
        sweep(
            isa,
            both,
            (group, PIECE),
            is_unknown,
            scratch,
            #[inline(always)]
            |_| pairs.next().map(|(p, q)| Divergence::new(Pair::new(isa, p, q))),
            #[inline(always)]
            |i, fold| numbers[i] = fold.finish(isa).unwrap_or(numbers[i]),
        );
        for ((row, value), [bend, slope, p_sum]) in (start..).zip(values).zip(numbers) {
            if is_unknown(row) {
                *value = divergence::value::<S, F>(isa, bend, slope, p_sum);
            }
        }
        self.terms = memory;
    }
}

/// How many classes a row must have for its divergence to be computed directly: what that takes for each row does not pay for
/// fewer.
const DIRECT: usize = 512;

/// What [`Direct`] finds of the rows of a group that are wanted.
#[inline(always)]
pub fn direct_divergences<S: Isa, F: Real>(
    isa: S,
    both: &Rows<'_, 2>,
    (group, wanted): (Range<usize>, &dyn Fn(usize) -> bool),
    (reading, computing): (&mut [Scratch<F>; 2], &mut Scratch<F>),
) -> [Option<DirectRow>; GROUP] {
    let mut found = [None; GROUP];
    if !F::COMPENSATED && both.classes() >= DIRECT {
        sweep(
            isa,
            both,
            (group, BLOCK / 2),
            wanted,
            (reading, computing),
            #[inline(always)]
            |_| Direct::empty(),
            #[inline(always)]
            |i, fold| found[i] = Fold::<F, 2>::finish(&fold, isa),
        );
    }
    found
}

/// The terms of every row of a group that is wanted, in `terms`, into `folds`.
#[inline(always)]
fn term_folds<'t, S: Isa, F: Real>(
    isa: S,
    rows: &Rows<'_>,
    (group, wanted): (Range<usize>, &dyn Fn(usize) -> bool),
    [reading, computing]: [&mut Scratch<F>; 2],
    (terms, folds): (&'t mut [F], &mut [Option<Terms<'t, F>>; GROUP]),
) {
    let mut terms = terms.chunks_mut(rows.classes());
    sweep(
        isa,
        rows,
        (group, BLOCK),
        wanted,
        (core::array::from_mut(reading), computing),
        #[inline(always)]
        |_| Terms::new(terms.next().unwrap_or_default()),
        #[inline(always)]
        |i, fold| folds[i] = Some(fold),
    );
}

/// What [`Entropy`] comes to, and its largest logit.
pub type EntropyRow<F> = ([<F as Real>::Extended; 3], Others<F>);

/// The entropies of the rows of a group that are wanted.
#[inline(always)]
pub fn entropy_rows<S: Isa, F: Real>(
    isa: S,
    rows: &Rows<'_>,
    (group, wanted): (Range<usize>, &dyn Fn(usize) -> bool),
    [reading, computing]: [&mut Scratch<F>; 2],
    end: &mut dyn FnMut(usize, EntropyRow<F>),
) {
    sweep(
        isa,
        rows,
        (group, BLOCK),
        wanted,
        (core::array::from_mut(reading), computing),
        #[inline(always)]
        |_| Entropy::<F>::empty(),
        #[inline(always)]
        |i, fold| end(i, (fold.finish(isa), *fold.others())),
    );
}

/// How many classes of both rows a divergence looks at together: their products stay in L1.
pub const PIECE: usize = 512;
