//! log Σ e^x and log softmax of every row: no targets.

use nll_kernels::Error;
use nll_kernels::call::check_classes;
use nll_kernels::call::long_rows::{
    Fixed, Largest, LongRow, Top, fold_rows, next_rows, write_rows,
};
use nll_kernels::data::array::Array;
use nll_kernels::data::drive::{self, Exec, Split, Work, ranges};
use nll_kernels::data::lines::{LANES, lines_and_steps};
use nll_kernels::data::out::Out;
use nll_kernels::data::per_class::PerClass;
use nll_kernels::data::rows::{BLOCK, Block, GROUP, Rows};
use nll_kernels::data::scratch::Scratch;
use nll_kernels::fold::lanes;
use nll_kernels::fold::{Fold, LogSum, Others, sweep};
use nll_kernels::math::row::{self, ScaledSum};
use nll_kernels::math::side_by_side::{Steps, Words, compute_losses};
use nll_kernels::math::terms::NONE;
use nll_simd::{Isa, NonTemporal, Real, with_non_temporal};
use std::marker::PhantomData;
use std::ops::Range;

/// log Σ e^x of every row of `logits` into `out`.   +∞ without a NaN → +∞.
pub fn log_sum_exp(exec: Exec<'_>, logits: &Array<'_>, out: Out<'_>) -> Result<(), Error> {
    check_classes("logits", logits)?;
    let rows = Rows::new([logits]);
    match logits.is_double() {
        Some(true) => LogSumExp { rows, real: PhantomData::<f64> }.run(exec, out),
        _ => LogSumExp { rows, real: PhantomData::<f32> }.run(exec, out),
    }
}

/// log softmax of every row of `logits` into `out`.
///
/// With x_m the largest logit, log softmax(x)_j = (x_j − x_m) − loss_m, `loss_m` being the loss of
/// class m against the rest: the likely class keeps its digits. A row is read twice, the second
/// time from cache.
pub fn log_softmax(exec: Exec<'_>, logits: &Array<'_>, out: PerClass<'_>) -> Result<(), Error> {
    check_classes("logits", logits)?;
    let (rows, large) = (Rows::new([logits]), out.is_large());
    match logits.is_double() {
        Some(true) => LogSoftmax { rows, large, real: PhantomData::<f64> }.run(exec, out),
        _ => LogSoftmax { rows, large, real: PhantomData::<f32> }.run(exec, out),
    }
}

struct LogSumExp<'a, F> {
    rows: Rows<'a>,
    real: PhantomData<F>,
}

impl<F: Real> Work<Out<'_>> for LogSumExp<'_, F> {
    type Total = ();
    type Memory = ([Scratch<F>; 1], Scratch<F>);

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
        (reading, computing): &mut Self::Memory,
    ) {
        if self.rows.are_few() {
            for group in ranges(range, LANES) {
                let [lines] = self.rows.lines(isa, &group, &mut *reading);
                let (held, steps) = lines_and_steps(computing, lines.classes(), 1);
                let steps = &mut steps[0];
                lanes::sum_below_largest(isa, &lines, held, steps);
                let mut value = [0.0; LANES];
                for i in 0..LANES {
                    let (rest, x_m) = (steps.rest.of(i), steps.x_t[i].to_f64());
                    value[i] = row::log_sum_exp_of_rest::<S, F>(isa, rest, x_m);
                }
                self.finish(group, &mut value, |i| steps.x_t[i].to_f64(), &mut out);
            }
            return;
        }
        for group in ranges(range, GROUP) {
            let (mut sums, mut value) = ([ScaledSum::default(); GROUP], [0.0; GROUP]);
            sweep(
                isa,
                &self.rows,
                (group.clone(), BLOCK),
                |_| true,
                (&mut *reading, &mut *computing),
                #[inline(always)]
                |_| LogSum::<F>::without(NONE),
                #[inline(always)]
                |i, fold| sums[i] = fold.finish(isa),
            );
            for (value, &sum) in value.iter_mut().zip(&sums) {
                *value = row::log_sum_exp::<S, F>(isa, sum);
            }
            for (i, row) in group.clone().enumerate() {
                if is_near_zero(value[i], sums[i].max) {
                    value[i] = self.near_zero(isa, row, reading, computing);
                }
            }
            self.finish(group, &mut value, |i| sums[i].max, &mut out);
        }
    }
}

/// Whether the value is so near 0 that the sum, about 1, has lost what its logarithm is.
#[inline(always)]
fn is_near_zero(value: f64, max: f64) -> bool {
    value.abs() < 0.5 && max > -0.25
}

impl<F: Real> LongRow<F, 1> for LogSumExp<'_, F> {
    type State = LogSum<F>;
    /// The value, and the largest logit.
    type Row = [f64; 2];

    #[inline(always)]
    fn start<S: Isa>(&self, _isa: S, _row: usize) -> Option<LogSum<F>> {
        Some(LogSum::without(NONE))
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, isa: S, _row: usize, state: &LogSum<F>) -> [f64; 2] {
        let sum = state.finish(isa);
        [row::log_sum_exp::<S, F>(isa, sum), sum.max]
    }
}

impl<F: Real> LogSumExp<'_, F> {
    fn run(&self, exec: Exec<'_>, out: Out<'_>) -> Result<(), Error> {
        if self.rows.are_long() { self.run_long(exec, out) } else { drive::run(exec, self, out) }
    }

    /// The values of rows of very many classes.
    fn run_long(&self, exec: Exec<'_>, mut out: Out<'_>) -> Result<(), Error> {
        for group in self.rows.long_groups() {
            let found = fold_rows(exec, &self.rows, group.clone(), self)?;
            for (row, [mut value, max]) in group.zip(found.into_iter().flatten()) {
                if is_near_zero(value, max) {
                    let tops = fold_rows(exec, &self.rows, row..row + 1, &Largest(|_| true))?;
                    value = tops.into_iter().flatten().next().map_or(value, Top::<F>::log_sum_exp);
                }
                let all = (row, 0..self.rows.classes());
                if max == f64::INFINITY
                    && self.rows.find_in_tasks(exec, all, &f64::is_nan)?.is_none()
                {
                    value = f64::INFINITY;
                }
                out.write(&[value], None);
            }
        }
        Ok(())
    }

    /// The value of one row, from its largest logit and the others.
    #[cold]
    #[inline(never)]
    fn near_zero<S: Isa>(
        &self,
        isa: S,
        row: usize,
        reading: &mut [Scratch<F>; 1],
        computing: &mut Scratch<F>,
    ) -> f64 {
        let mut value = 0.0;
        isa.vectorize(
            #[inline(always)]
            || {
                sweep(
                    isa,
                    &self.rows,
                    (row..row + 1, BLOCK),
                    |_| true,
                    (reading, computing),
                    #[inline(always)]
                    |_| Others::<F>::empty(),
                    #[inline(always)]
                    |_, fold| value = Top::new(isa, &fold).log_sum_exp(),
                );
            },
        );
        value
    }

    /// Writes the values of a group, +∞ where the largest logit is +∞ and none is NaN.
    #[inline(always)]
    fn finish(
        &self,
        group: Range<usize>,
        values: &mut [f64],
        max: impl Fn(usize) -> f64,
        out: &mut Out<'_>,
    ) {
        let values = &mut values[..group.len()];
        for (i, value) in values.iter_mut().enumerate().filter(|&(i, _)| max(i) == f64::INFINITY) {
            let (is_nan, all) = (|x: f64| x.is_nan(), 0..self.rows.classes());
            if self.rows.find(group.start + i, all, &is_nan).is_none() {
                *value = f64::INFINITY;
            }
        }
        out.write(values, None);
    }
}

struct LogSoftmax<'a, F> {
    rows: Rows<'a>,
    /// Whether the results of few classes are written by non-temporal stores.
    large: bool,
    real: PhantomData<F>,
}

impl<F: Real> Work<PerClass<'_>> for LogSoftmax<'_, F> {
    type Total = ();
    type Memory = ([Scratch<F>; 1], Scratch<F>);

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
        mut out: PerClass<'_>,
        (reading, computing): &mut Self::Memory,
    ) {
        if self.rows.are_few() {
            with_non_temporal(
                #[inline(always)]
                |stores| {
                    let stores = self.large.then_some(stores);
                    for group in out.groups(range) {
                        self.lanes(isa, &group, reading, computing);
                        out.write(isa, computing, group.len(), stores);
                    }
                },
            );
            return;
        }
        let first = range.start;
        let (mut out, classes) = (out.rows(), self.rows.classes());
        for group in self.rows.groups(range) {
            let start = group.start - first;
            let mut tops = [[0.0; 2]; GROUP];
            sweep(
                isa,
                &self.rows,
                (group.clone(), BLOCK),
                |_| true,
                (&mut *reading, &mut *computing),
                #[inline(always)]
                |_| Others::<F>::empty(),
                #[inline(always)]
                |i, fold| tops[i] = Top::new(isa, &fold).x_m_and_loss(),
            );
            self.rows.visit(
                isa,
                (group, BLOCK),
                |_| true,
                reading,
                (
                    #[inline(always)]
                    |i| (start + i, tops[i]),
                    #[inline(always)]
                    |(row, [x_m, loss]), block| {
                        let [x] = block.classes();
                        out.set(*row * classes + block.first, x, share([*x_m, *loss]));
                    },
                    |_, _| (),
                ),
            );
        }
    }
}

/// The log softmax of a logit, from the largest and the loss of that.
#[inline(always)]
fn share<F: Real>([x_m, loss]: [f64; 2]) -> impl Fn(F) -> f64 {
    #[inline(always)]
    move |x: F| (x.to_f64() - x_m) - loss
}

/// The results of a group of rows of very many classes, from number `first` on.
struct Shares<F: Real> {
    first: usize,
    tops: Vec<Option<Top<F>>>,
}

impl<F: Real> LongRow<F, 1, 1> for Shares<F> {
    type State = Fixed<[f64; 2]>;
    type Row = ();

    #[inline(always)]
    fn start<S: Isa>(&self, _isa: S, row: usize) -> Option<Self::State> {
        Some(Fixed(self.tops[row - self.first]?.x_m_and_loss()))
    }

    #[inline(always)]
    fn write<'o: 's, 's, S: Isa>(
        &self,
        _isa: S,
        _row: usize,
        (Fixed(top), block): (&mut Self::State, &Block<'_, F>),
        _computing: &mut Scratch<F>,
        ([out], _): (&mut [Out<'o>; 1], &'s NonTemporal<'s, '_>),
    ) {
        let [x] = block.classes();
        out.split_off(x.len()).set(0, x, share(*top));
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, _isa: S, _row: usize, _state: &Self::State) {}
}

impl<F: Real> LogSoftmax<'_, F> {
    fn run(&self, exec: Exec<'_>, out: PerClass<'_>) -> Result<(), Error> {
        if self.rows.are_long() { self.run_long(exec, out) } else { drive::run(exec, self, out) }
    }

    /// The results of rows of very many classes.
    fn run_long(&self, exec: Exec<'_>, out: PerClass<'_>) -> Result<(), Error> {
        let (rows, mut out) = (&self.rows, [out.rows()]);
        for group in rows.long_groups() {
            let tops = fold_rows(exec, rows, group.clone(), &Largest(|_| true))?;
            let mut places = next_rows(&mut out, group.len(), rows.classes());
            let shares = Shares::<F> { first: group.start, tops };
            write_rows(exec, rows, group, &shares, &mut places)?;
        }
        Ok(())
    }

    /// The results of at most [`LANES`] rows of few classes, as lines of the scratch.
    #[inline(always)]
    fn lanes<S: Isa>(
        &self,
        isa: S,
        group: &Range<usize>,
        reading: &mut [Scratch<F>; 1],
        computing: &mut Scratch<F>,
    ) {
        let [lines] = self.rows.lines(isa, group, reading);
        let (results, steps) = lines_and_steps(computing, lines.classes(), 1);
        lanes::sum_below_largest(isa, &lines, results, &mut steps[0]);
        compute_losses(isa, steps);
        let Steps { x_t, losses: Words { hi: loss, .. }, .. } = &steps[0];
        let (mut x_m, loss) = ([0.0; LANES], *loss);
        for i in 0..LANES {
            x_m[i] = x_t[i].to_f64();
        }
        for (class, results) in results.iter_mut().enumerate() {
            let x = *lines.line(class);
            for i in 0..LANES {
                results[i] = F::from_f64((x[i].to_f64() - x_m[i]) - loss[i]);
            }
        }
    }
}
