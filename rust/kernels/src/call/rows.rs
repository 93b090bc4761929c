//! Losses of rows with a class as target: cross entropy of logits, and gathered entries of tables
//! of probabilities.

use crate::Error;
use crate::call::{check_smoothing, check_targets};
use crate::data::array::Array;
use crate::data::drive::{self, Exec, Work, ranges};
use crate::data::lines::{LANES, Lines, tile};
use crate::data::out::Out;
use crate::data::rows::{BLOCK, GROUP, Rows};
use crate::data::scratch::Scratch;
use crate::data::targets::Targets;
use crate::data::totals::Totals;
use crate::fold::lanes::{self, LaneLogSums};
use crate::fold::{Fold, Linear, LogSum, Pick, sweep};
use crate::math::row::{self, ScaledSum, Smoothing};
use nll_simd::{Isa, Real};
use std::marker::PhantomData;
use std::ops::Range;

/// What the entries of a row are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Entries {
    /// Logits, of which the loss is the cross entropy, with label smoothing ε.
    Logits {
        /// ε, 0 for none.
        label_smoothing: f64,
    },
    /// Probabilities: −log p of the target.
    Probabilities,
    /// Log-probabilities: the negative of the target's.
    LogProbabilities,
}

/// The losses of rows with a class as target.
pub struct RowLosses<'a> {
    /// The rows; the last axis is the class axis.
    pub rows: &'a Array<'a>,
    /// What their entries are.
    pub entries: Entries,
    /// What happened in each row, which rows count, and the weights.
    pub targets: Targets<'a>,
    /// Whether the results are log-probabilities, −loss, in the place of losses. Totals are of
    /// losses.
    pub negate: bool,
}

impl RowLosses<'_> {
    /// The loss of every row into `out`, 0 for ignored rows, and the totals.
    pub fn run(&self, exec: Exec<'_>, out: Out<'_>) -> Result<Totals, Error> {
        let name = match self.entries {
            Entries::Logits { label_smoothing } => {
                check_smoothing(label_smoothing)?;
                "logits"
            }
            Entries::Probabilities => "probs",
            Entries::LogProbabilities => "log_probs",
        };
        check_targets(exec, (name, self.rows), &self.targets)?;
        let (rows, double) = (Rows::new([self.rows]), self.rows.is_double() == Some(true));
        match self.entries {
            Entries::Logits { label_smoothing } => {
                let weights = self.targets.sum_of_class_weights(rows.classes());
                if double {
                    let loss =
                        CrossEntropy::<f64>::new(&rows, self.targets, label_smoothing, weights);
                    return drive::run(
                        exec,
                        &Losses { loss, double, rows: &rows, call: self },
                        out,
                    );
                }
                let loss = CrossEntropy::<f32>::new(&rows, self.targets, label_smoothing, weights);
                drive::run(exec, &Losses { loss, double, rows: &rows, call: self }, out)
            }
            entries => {
                let logarithmic = entries == Entries::LogProbabilities;
                let loss =
                    Gather { array: self.rows, rows: &rows, targets: self.targets, logarithmic };
                loss.check(exec)?;
                drive::run(exec, &Losses { loss, double, rows: &rows, call: self }, out)
            }
        }
    }
}

/// The loss of a group of rows.
trait GroupLoss: Sync {
    /// Memory that a task keeps from group to group.
    type Memory: Default + Send;

    /// Whether the target is compared with the other classes.
    const KNOWS_TOP1: bool;

    /// Writes the loss of every row of `rows` that counts, and whether its target is the first
    /// largest class.
    fn losses<S: Isa>(
        &self,
        isa: S,
        rows: Range<usize>,
        memory: &mut Self::Memory,
        loss: &mut [f64; BLOCK_ROWS],
        is_top1: &mut [bool; BLOCK_ROWS],
    );
}

/// How many losses are added and written together.
const BLOCK_ROWS: usize = 256;

/// The losses of all rows, with their totals. A total is the sum of the losses as they are written:
/// float32 but for float64 rows.
struct Losses<'r, L> {
    loss: L,
    double: bool,
    rows: &'r Rows<'r>,
    call: &'r RowLosses<'r>,
}

impl<L: GroupLoss> Work<Out<'_>> for Losses<'_, L> {
    type Total = Totals;
    type Memory = L::Memory;

    fn count(&self) -> usize {
        self.rows.count()
    }

    fn per_task(&self) -> usize {
        self.rows.per_task()
    }

    #[inline(always)]
    fn task<S: Isa>(
        &self,
        isa: S,
        range: Range<usize>,
        mut out: Out<'_>,
        memory: &mut L::Memory,
    ) -> Totals {
        let targets = self.call.targets;
        let (mut totals, mut ignored, mut top1) = (Totals::default(), 0, 0);
        totals.weight = targets.weight.map(|_| Box::default());
        let (mut loss, mut is_top1) = ([0.0; BLOCK_ROWS], [false; BLOCK_ROWS]);
        for block in ranges(range, BLOCK_ROWS) {
            self.loss.losses(isa, block.clone(), memory, &mut loss, &mut is_top1);
            let loss = &mut loss[..block.len()];
            if let Some(ignore) = targets.ignore_index {
                let rows = loss.iter_mut().zip(&mut is_top1).zip(&targets.target[block.clone()]);
                for ((loss, is_top1), &target) in rows {
                    let counts = target != ignore;
                    *loss = if counts { *loss } else { 0.0 };
                    *is_top1 &= counts;
                    ignored += u64::from(!counts);
                }
            }
            if let Some(weight) = &mut totals.weight {
                let counted = block.clone().filter(|&row| targets.counts(row));
                counted.for_each(|row| weight.add(targets.weight(row)));
            }
            totals.count += block.len() as u64;
            top1 += is_top1[..block.len()].iter().map(|&is| u64::from(is)).sum::<u64>();
            if !self.double {
                loss.iter_mut().for_each(|loss| *loss = f64::from(*loss as f32));
            }
            totals.sum.add_block(isa, loss);
            if self.call.negate {
                loss.iter_mut().for_each(|loss| *loss = 0.0 - *loss);
            }
            out.write(loss, None);
        }
        totals.count -= ignored;
        totals.ignored = Some(ignored);
        totals.top1 = L::KNOWS_TOP1.then_some(top1);
        totals
    }
}

/// Cross entropy of logits: [`row::target_against_rest`], weighted and smoothed.
struct CrossEntropy<'r, F> {
    rows: &'r Rows<'r>,
    targets: Targets<'r>,
    smoothing: f64,
    /// Σ_c w_c, for the smoothing.
    weights: f64,
    real: PhantomData<F>,
}

impl<'r, F: Real> CrossEntropy<'r, F> {
    fn new(rows: &'r Rows<'r>, targets: Targets<'r>, smoothing: f64, weights: f64) -> Self {
        CrossEntropy { rows, targets, smoothing, weights, real: PhantomData }
    }

    /// Whether the target is the first largest class of the row.
    #[inline(always)]
    fn is_top1(&self, row: usize, x_t: f64, rest: f64) -> bool {
        let is_first = || self.rows.find(row, 0..self.targets.class(row), &|x| x == x_t).is_none();
        x_t > rest || (x_t == rest && is_first())
    }

    /// (1 − ε)·w_t·loss and the smoothing's share.
    #[inline(always)]
    fn weighted(&self, row: usize, loss: f64, x_t: f64, linear: Option<[f64; 2]>) -> f64 {
        let weight = self.targets.weight(row);
        let Some([linear, shift]) = linear else {
            return if self.targets.weight.is_some() { loss * weight } else { loss };
        };
        let (epsilon, classes) = (self.smoothing, self.rows.classes() as f64);
        let smoothing = Smoothing { epsilon, classes, weights: self.weights, linear };
        row::smoothed(loss, weight, x_t - shift, smoothing)
    }
}

impl<F: Real> GroupLoss for CrossEntropy<'_, F> {
    type Memory = [Scratch<F>; 2];

    const KNOWS_TOP1: bool = true;

    #[inline(always)]
    fn losses<S: Isa>(
        &self,
        isa: S,
        rows: Range<usize>,
        memory: &mut [Scratch<F>; 2],
        loss: &mut [f64; BLOCK_ROWS],
        is_top1: &mut [bool; BLOCK_ROWS],
    ) {
        let first = rows.start;
        if self.rows.are_few() {
            for group in ranges(rows, LANES) {
                let at = group.start - first;
                let results = (&mut loss[at..][..LANES], &mut is_top1[at..][..LANES]);
                self.lanes(isa, group, memory, results);
            }
        } else {
            for group in ranges(rows, GROUP) {
                let at = group.start - first;
                let results = (&mut loss[at..][..GROUP], &mut is_top1[at..][..GROUP]);
                self.group(isa, group, memory, results);
            }
        }
    }
}

impl<F: Real> CrossEntropy<'_, F> {
    /// The losses of at most [`LANES`] rows of few classes. Called, not inlined: the loops of longer
    /// rows have the registers for themselves.
    #[inline(never)]
    fn lanes<S: Isa>(
        &self,
        isa: S,
        group: Range<usize>,
        memory: &mut [Scratch<F>; 2],
        results: (&mut [f64], &mut [bool]),
    ) {
        isa.vectorize(
            #[inline(always)]
            || self.lanes_here(isa, group, memory, results),
        );
    }

    #[inline(always)]
    fn lanes_here<S: Isa>(
        &self,
        isa: S,
        group: Range<usize>,
        [reading, computing]: &mut [Scratch<F>; 2],
        (losses, is_top1): (&mut [f64], &mut [bool]),
    ) {
        let (start, count, targets) = (group.start, group.len(), self.targets);
        let [lines] = self.rows.lines(isa, &group, core::array::from_mut(reading));
        let mut target = [-F::ONE; LANES];
        for (to, &class) in target.iter_mut().zip(&targets.target[group]) {
            *to = F::from_f64(f64::from(class as i32));
        }
        let held = tile(computing, lines.classes());
        let [max, x_t] = lanes::hide(lines, target, held);
        let sums = LaneLogSums::new(isa, Lines::dense(held), &max);
        let mut loss = [0.0; LANES];
        for i in 0..LANES {
            loss[i] = row::target_against_rest::<S, F>(isa, sums.row(i), x_t[i].to_f64());
        }
        let (mut ties, mut larger) = (0, [false; LANES]);
        for i in 0..LANES {
            larger[i] = (x_t[i] > max[i]) & !loss[i].is_nan();
            ties |= u32::from(x_t[i] == max[i]);
        }
        is_top1[..count].copy_from_slice(&larger[..count]);
        if ties > 0 {
            for i in (0..count).filter(|&i| targets.counts(start + i) && !loss[i].is_nan()) {
                is_top1[i] = self.is_top1(start + i, x_t[i].to_f64(), max[i].to_f64());
            }
        }
        if targets.weight.is_some() || self.smoothing > 0.0 {
            let linear = lanes::linear(isa, lines, targets.weight);
            for i in (0..count).filter(|&i| targets.counts(start + i)) {
                let linear = (self.smoothing > 0.0).then(|| linear.map(|linear| linear[i]));
                loss[i] = self.weighted(start + i, loss[i], x_t[i].to_f64(), linear);
            }
        }
        losses[..count].copy_from_slice(&loss[..count]);
    }

    /// The losses of at most [`GROUP`] rows.
    #[inline(always)]
    fn group<S: Isa>(
        &self,
        isa: S,
        group: Range<usize>,
        [reading, computing]: &mut [Scratch<F>; 2],
        (losses, is_top1): (&mut [f64], &mut [bool]),
    ) {
        let mut loss = [0.0; GROUP];
        let (start, targets) = (group.start, self.targets);
        let class = |i: usize| targets.class(start + i);
        let smoothed = if self.smoothing > 0.0 { GROUP } else { 0 };
        let mut linears = vec![Linear::empty(targets.weight); smoothed];
        let mut linear = linears.iter_mut();
        let count = group.len();
        // An array for each number: a loop over arrays of structures is not vectorised.
        let [mut center, mut exponent, mut rest, mut max, mut target] = [[0.0; GROUP]; 5];
        sweep(
            isa,
            self.rows,
            (group, BLOCK),
            |row| targets.counts(row),
            (core::array::from_mut(reading), computing),
            #[inline(always)]
            |i| {
                let losses = (LogSum::without(class(i)), Pick::new(class(i)));
                (losses, linear.next())
            },
            #[inline(always)]
            |i, fold| {
                let (sum, x_t) = fold.0.finish(isa);
                (center[i], exponent[i], rest[i]) = (sum.center, sum.exponent, sum.sum);
                (max[i], target[i]) = (sum.max, x_t);
            },
        );
        for i in 0..GROUP {
            let (center, exponent, sum, max) = (center[i], exponent[i], rest[i], max[i]);
            let rest = ScaledSum { center, exponent, sum, max };
            loss[i] = row::target_against_rest::<S, F>(isa, rest, target[i]);
        }
        let mut linears = linears.iter();
        for i in (0..count).filter(|&i| targets.counts(start + i)) {
            is_top1[i] = !loss[i].is_nan() && self.is_top1(start + i, target[i], max[i]);
            let linear = linears.next().map(|linear| Fold::<F>::finish(linear, isa));
            loss[i] = self.weighted(start + i, loss[i], target[i], linear);
        }
        losses[..count].copy_from_slice(&loss[..count]);
    }
}

/// The loss of rows that are probabilities or log-probabilities: one entry of each row is read.
struct Gather<'r> {
    array: &'r Array<'r>,
    rows: &'r Rows<'r>,
    targets: Targets<'r>,
    /// Whether the entries are logarithms.
    logarithmic: bool,
}

impl Gather<'_> {
    /// The entry of the target of a row that counts.
    #[inline(always)]
    fn entry(&self, row: usize) -> f64 {
        self.array.entry(row, self.targets.class(row))
    }

    /// The losses of a block of rows; `entry` reads an entry of the table.
    #[inline(always)]
    fn entries<S: Isa>(
        &self,
        isa: S,
        group: Range<usize>,
        entry: impl Fn(usize, usize) -> f64,
        loss: &mut [f64; BLOCK_ROWS],
    ) {
        for (i, row) in group.clone().enumerate() {
            if self.targets.counts(row) {
                loss[i] = entry(row, self.targets.class(row));
            }
        }
        if self.logarithmic {
            for loss in loss.iter_mut() {
                *loss = row::log_probability(*loss);
            }
        } else {
            for loss in loss.iter_mut() {
                *loss = row::probability(isa, *loss);
            }
        }
        if self.targets.weight.is_some() {
            for (i, row) in group.enumerate().filter(|&(_, row)| self.targets.counts(row)) {
                loss[i] *= self.targets.weight(row);
            }
        }
    }

    /// An error for the first probability outside [0, 1] among those that count.
    fn check(&self, exec: Exec<'_>) -> Result<(), Error> {
        if self.logarithmic {
            return Ok(());
        }
        let is_bad =
            |row: usize| self.targets.counts(row) && !(0.0..=1.0).contains(&self.entry(row));
        let find = |mut rows: Range<usize>| rows.find(|&row| is_bad(row));
        match drive::first(exec, self.rows.count(), find)? {
            Some(row) => {
                let (value, class) = (self.entry(row), self.targets.class(row));
                Err(Error::Probability { value, row, class })
            }
            None => Ok(()),
        }
    }
}

impl GroupLoss for Gather<'_> {
    type Memory = ();

    const KNOWS_TOP1: bool = false;

    #[inline(always)]
    fn losses<S: Isa>(
        &self,
        isa: S,
        rows: Range<usize>,
        (): &mut (),
        loss: &mut [f64; BLOCK_ROWS],
        _is_top1: &mut [bool; BLOCK_ROWS],
    ) {
        match self.array {
            // The usual type is looked at once for the block and not for every row.
            Array::F32(x) => self.entries(isa, rows, |row, class| x.entry(row, class), loss),
            array => self.entries(isa, rows, |row, class| array.entry(row, class), loss),
        }
    }
}
