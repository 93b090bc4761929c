//! Rows of very many classes, which are computed in pieces: all threads work on one row, Ctrl-C is
//! answered within it, and no memory is as long as it.
//!
//! The pieces are as long for any number of threads, and their states are merged in the order of
//! their classes, so the bits of a result do not depend on threads. What needs a row twice reads it
//! twice: its terms are not kept, but computed again.

use crate::Error;
use crate::data::drive::{self, Exec, Split, Work, ranges, rows_per_task};
use crate::data::out::Out;
use crate::data::rows::{BLOCK, Block, GROUP, Reader, Rows};
use crate::data::scratch::Scratch;
use crate::fold::{Fold, Others};
use nll_simd::{Extended, Isa, NonTemporal, Real, with_non_temporal};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// How many classes a piece has: enough for its state to cost nothing beside it.
const PIECE: usize = 1 << 17;

/// The K arrays of results of each row of a group.
pub type Places<'o, const K: usize> = [[Out<'o>; K]; GROUP];

/// What is computed of rows of very many classes: a state that takes in their blocks of classes, and K
/// results of each class. Both may be nothing.
pub trait LongRow<F: Real, const N: usize, const K: usize = 0>: Sync {
    /// The state of some classes.
    type State: Fold<F, N> + Send;
    /// What the state of all classes comes to.
    type Row: Send;
    /// At most how many classes a block has.
    const BLOCK: usize = BLOCK / N;

    /// The state of no classes; None of a row that does not count, whose results are 0.
    fn start<S: Isa>(&self, isa: S, row: usize) -> Option<Self::State>;

    /// Writes the results of a block, which the state has taken in.
    #[inline(always)]
    fn write<'o: 's, 's, S: Isa>(
        &self,
        _isa: S,
        _row: usize,
        _block: (&mut Self::State, &Block<'_, F, N>),
        _computing: &mut Scratch<F>,
        _outs: (&mut [Out<'o>; K], &'s NonTemporal<'s, '_>),
    ) {
    }

    /// What the state of a row comes to.
    fn finish<S: Isa>(&self, isa: S, row: usize, state: &Self::State) -> Self::Row;
}

/// What all rows of `group` come to, None of those that do not count.
pub fn fold_rows<F: Real, T: LongRow<F, N>, const N: usize>(
    exec: Exec<'_>,
    rows: &Rows<'_, N>,
    group: Range<usize>,
    of: &T,
) -> Result<Vec<Option<T::Row>>, Error> {
    write_rows(exec, rows, group, of, &mut [const { [] }; GROUP])
}

/// [`fold_rows`], with the results of each class into `places`.
pub fn write_rows<F: Real, T: LongRow<F, N, K>, const N: usize, const K: usize>(
    exec: Exec<'_>,
    rows: &Rows<'_, N>,
    group: Range<usize>,
    of: &T,
    places: &mut Places<'_, K>,
) -> Result<Vec<Option<T::Row>>, Error> {
    let (states, later, finished) = (Vec::new(), Vec::new(), Vec::new());
    let merged = Mutex::new(Merged { end: 0, states, later, finished });
    let places = places.each_mut().map(|row| row.each_mut().map(Out::reborrow));
    let readers = group.clone().map(|row| rows.reader(row)).collect();
    let pieces = Pieces { of, rows, group, readers, merged };
    drive::run(exec, &pieces, places)?;
    Ok(pieces.merged.into_inner().unwrap_or_else(PoisonError::into_inner).finished)
}

/// The results of the next `count` rows, taken off `outs`.
pub fn next_rows<'o, const K: usize>(
    outs: &mut [Out<'o>; K],
    count: usize,
    classes: usize,
) -> Places<'o, K> {
    core::array::from_fn(|i| {
        let classes = if i < count { classes } else { 0 };
        outs.each_mut().map(|out| out.split_off(classes))
    })
}

/// The pieces of a group of rows. An item is a class of all of them.
struct Pieces<'p, T, F, A, R, const N: usize> {
    of: &'p T,
    rows: &'p Rows<'p, N>,
    group: Range<usize>,
    readers: Vec<Reader<'p, F, N>>,
    merged: Mutex<Merged<A, R>>,
}

/// The states of pieces of some rows.
struct Merged<A, R> {
    /// How many classes are in the states.
    end: usize,
    /// The state of each row.
    states: Vec<Option<A>>,
    /// The states of pieces that were ready before their turn, with their first classes: at most as
    /// many as other threads compute while one is at its own.
    later: Vec<(usize, Vec<Option<A>>)>,
    /// What the rows come to, once all their classes are in.
    finished: Vec<Option<R>>,
}

impl<A, R> Merged<A, R> {
    /// Takes in the states of a piece, and of those whose turn has come.
    #[inline(always)]
    fn add<S: Isa, F, const N: usize>(&mut self, isa: S, first: usize, states: Vec<Option<A>>)
    where
        A: Fold<F, N>,
    {
        self.later.push((first, states));
        while let Some(next) = self.later.iter().position(|(start, _)| *start == self.end) {
            let (_, states) = self.later.swap_remove(next);
            if self.end == 0 {
                self.states = states;
            } else {
                for (state, later) in self.states.iter_mut().zip(states) {
                    state.merge(isa, later);
                }
            }
            self.end += PIECE;
        }
    }
}

/// What a thread keeps: a scratch for each array and one to compute with.
struct Memory<F, const N: usize> {
    reading: [Scratch<F>; N],
    computing: Scratch<F>,
}

impl<F: Real, const N: usize> Default for Memory<F, N> {
    fn default() -> Self {
        let reading = core::array::from_fn(|_| Scratch::default());
        Memory { reading, computing: Scratch::default() }
    }
}

impl<'o, F, T, const N: usize, const K: usize> Work<Places<'o, K>>
    for Pieces<'_, T, F, T::State, T::Row, N>
where
    F: Real,
    T: LongRow<F, N, K>,
{
    type Total = ();
    type Memory = Memory<F, N>;

    fn count(&self) -> usize {
        self.rows.classes()
    }

    fn per_task(&self) -> usize {
        rows_per_task(self.rows.classes(), self.group.len(), PIECE)
    }

    #[inline(always)]
    fn task<S: Isa>(
        &self,
        isa: S,
        range: Range<usize>,
        mut places: Places<'o, K>,
        memory: &mut Memory<F, N>,
    ) {
        with_non_temporal(
            #[inline(always)]
            |stores| {
                for piece in ranges(range, PIECE) {
                    let mut places = places.split_off(piece.len());
                    let mut states = Vec::new();
                    for row in self.group.clone() {
                        states.push(self.of.start(isa, row));
                    }
                    for classes in ranges(piece.clone(), T::BLOCK) {
                        let rows = self.readers.iter().zip(&mut states).zip(&mut places);
                        for ((row, state), outs) in rows {
                            self.block(isa, (row, &classes), state, memory, (outs, stores));
                        }
                    }
                    let mut merged = self.merged.lock().unwrap_or_else(PoisonError::into_inner);
                    merged.add(isa, piece.start, states);
                    if merged.end >= self.rows.classes() {
                        let mut finished = Vec::new();
                        for (row, state) in self.group.clone().zip(&merged.states) {
                            finished.push(match state {
                                Some(state) => Some(self.of.finish(isa, row, state)),
                                None => None,
                            });
                        }
                        merged.finished = finished;
                    }
                }
            },
        );
    }
}

impl<F: Real, T, A, R, const N: usize> Pieces<'_, T, F, A, R, N> {
    /// Takes a block of a row into its state, and writes its results: 0 of a row without a state.
    #[inline(always)]
    fn block<'o: 's, 's, S: Isa, const K: usize>(
        &self,
        isa: S,
        (row, classes): (&Reader<'_, F, N>, &Range<usize>),
        state: &mut Option<A>,
        Memory { reading, computing }: &mut Memory<F, N>,
        (outs, stores): (&mut [Out<'o>; K], &'s NonTemporal<'s, '_>),
    ) where
        T: LongRow<F, N, K, State = A>,
        A: Fold<F, N>,
    {
        let Some(state) = state else {
            let zeros = &[F::ZERO; BLOCK][..classes.len()];
            outs.iter_mut().for_each(|out| out.write(zeros, None));
            return;
        };
        let block = self.rows.block(isa, row, classes.clone(), reading);
        state.push(isa, &block, computing);
        self.of.write(isa, row.row, (state, &block), computing, (outs, stores));
    }
}

/// The state of results that do not depend on other blocks: what those of the row are made of.
pub struct Fixed<T>(pub T);

impl<T, X, const N: usize> Fold<X, N> for Fixed<T> {
    type Row = ();

    #[inline(always)]
    fn push<S: Isa>(&mut self, _isa: S, _block: &Block<'_, X, N>, _scratch: &mut Scratch<X>) {}

    #[inline(always)]
    fn merge<S: Isa>(&mut self, _isa: S, _later: Self) {}

    #[inline(always)]
    fn finish<S: Isa>(&self, _isa: S) {}
}

/// What the fold comes to that a function makes for each row that counts.
pub struct Folded<E>(pub E);

impl<F, A, E, const N: usize> LongRow<F, N> for Folded<E>
where
    F: Real,
    A: Fold<F, N, Row: Send> + Send,
    E: Fn(usize) -> Option<A> + Sync,
{
    type State = A;
    type Row = A::Row;

    #[inline(always)]
    fn start<S: Isa>(&self, _isa: S, row: usize) -> Option<A> {
        (self.0)(row)
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, isa: S, _row: usize, state: &A) -> A::Row {
        state.finish(isa)
    }
}

/// The largest logit of every row that counts, which the function says.
pub struct Largest<C>(pub C);

/// The largest logit of a row, and the sum of the others' terms.
#[derive(Clone, Copy)]
pub struct Top<F: Real> {
    /// The largest logit and the sum.
    pub max: Others<F>,
    /// −log p of the largest.
    loss: F::Extended,
}

impl<F: Real, C: Fn(usize) -> bool + Sync> LongRow<F, 1> for Largest<C> {
    type State = Others<F>;
    type Row = Top<F>;

    #[inline(always)]
    fn start<S: Isa>(&self, _isa: S, row: usize) -> Option<Others<F>> {
        (self.0)(row).then(Others::empty)
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, isa: S, _row: usize, max: &Others<F>) -> Top<F> {
        Top::new(isa, max)
    }
}

impl<F: Real> Top<F> {
    /// When all classes are in.
    #[inline(always)]
    pub fn new<S: Isa>(isa: S, max: &Others<F>) -> Self {
        Top { max: *max, loss: max.loss(isa) }
    }

    /// log Σ e^x, with the digits that the largest logit and its loss have.
    #[inline(always)]
    pub fn log_sum_exp(self) -> f64 {
        F::Extended::new(self.max.x.to_f64()).add(self.loss).rounded()
    }

    /// The largest logit and its loss: the log softmax of a class is its distance from the first, less the second.
    #[inline(always)]
    pub fn x_m_and_loss(&self) -> [f64; 2] {
        [self.max.x.to_f64(), self.loss.rounded()]
    }
}
