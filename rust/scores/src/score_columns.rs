//! The arrays into which the quantities of scored rows are written.

use nll_kernels::data::drive::Split;
use nll_kernels::data::lines::LANES;
use nll_kernels::data::out::Out;

/// The arrays that [`Score`](crate::Score) writes, a number for each row or, of those of the k
/// largest and of given classes, several.
pub struct ScoreColumns<'a> {
    /// log p of the target.
    pub log_prob: Out<'a>,
    /// log Σ e^x
    pub logsumexp: Out<'a>,
    /// −Σ p·log p
    pub entropy: Out<'a>,
    /// log p of the largest class.
    pub max_log_prob: Out<'a>,
    /// The first of the largest classes.
    pub argmax: Classes<'a>,
    /// 1 + the number of classes above the target.
    pub rank: Classes<'a>,
    /// The number of other classes equal to it.
    pub ties: Classes<'a>,
    /// How many of the largest classes each row has, then these classes in order, and log p of each.
    pub top: (usize, Classes<'a>, Out<'a>),
    /// How many given classes each row has, and log p of each.
    pub given: (usize, Out<'a>),
}

/// The numbers of a row that counts and holds no NaN.
#[derive(Clone, Copy)]
pub(crate) struct RowNumbers {
    pub(crate) log_prob: f64,
    pub(crate) logsumexp: f64,
    pub(crate) entropy: f64,
    pub(crate) max_log_prob: f64,
    pub(crate) argmax: usize,
    pub(crate) rank: u64,
    pub(crate) ties: u64,
}

impl RowNumbers {
    /// As they are written.
    #[inline(always)]
    pub(crate) fn columns(&self) -> ([f64; 4], [i64; 3]) {
        let RowNumbers { log_prob, logsumexp, entropy, max_log_prob, argmax, rank, ties } = *self;
        let numbers = [log_prob, logsumexp, entropy, max_log_prob];
        (numbers, [argmax as i64, rank as i64, ties as i64])
    }
}

/// `N` numbers and `M` classes of at most 32 neighbouring rows, written together: NaN and −1 of a row without.
pub(crate) struct RowsNumbers<const N: usize, const M: usize> {
    count: usize,
    numbers: [[f64; LANES]; N],
    classes: [[i64; LANES]; M],
}

impl<const N: usize, const M: usize> RowsNumbers<N, M> {
    /// The numbers of no rows.
    #[inline(always)]
    pub(crate) fn empty() -> Self {
        RowsNumbers { count: 0, numbers: [[f64::NAN; LANES]; N], classes: [[-1; LANES]; M] }
    }

    /// Takes in the next row.
    #[inline(always)]
    pub(crate) fn push(&mut self, row: Option<([f64; N], [i64; M])>) {
        let i = self.count;
        self.count += 1;
        let Some((numbers, classes)) = row else { return };
        for (column, number) in self.numbers.iter_mut().zip(numbers) {
            column[i] = number;
        }
        for (column, class) in self.classes.iter_mut().zip(classes) {
            column[i] = class;
        }
    }

    /// Writes all of them.
    #[inline(always)]
    pub(crate) fn write(&self, numbers: [&mut Out<'_>; N], classes: [&mut Classes<'_>; M]) {
        for (out, numbers) in numbers.into_iter().zip(&self.numbers) {
            out.write(&numbers[..self.count], None);
        }
        for (out, classes) in classes.into_iter().zip(&self.classes) {
            out.write_all(&classes[..self.count]);
        }
    }
}

impl ScoreColumns<'_> {
    /// Writes the numbers that every row has.
    #[inline(always)]
    pub(crate) fn write(&mut self, numbers: &RowsNumbers<4, 3>) {
        let ScoreColumns { log_prob, logsumexp, entropy, max_log_prob, .. } = self;
        let outs = [log_prob, logsumexp, entropy, max_log_prob];
        numbers.write(outs, [&mut self.argmax, &mut self.rank, &mut self.ties]);
    }
}

/// An array of integers: classes, or how many of them.
pub struct Classes<'a>(pub &'a mut [i64]);

impl Classes<'_> {
    /// Writes the next one.
    #[inline(always)]
    pub(crate) fn write(&mut self, value: i64) {
        if let Some(next) = self.0.split_off_first_mut() {
            *next = value;
        }
    }

    /// Writes the next ones.
    #[inline(always)]
    pub(crate) fn write_all(&mut self, values: &[i64]) {
        if let Some(next) = self.0.split_off_mut(..values.len()) {
            next.copy_from_slice(values);
        }
    }
}

impl Split for Classes<'_> {
    fn split_off(&mut self, items: usize) -> Self {
        Classes(self.0.split_off_mut(..items).unwrap_or_default())
    }
}

impl Split for ScoreColumns<'_> {
    fn split_off(&mut self, items: usize) -> Self {
        let (k, m) = (self.top.0, self.given.0);
        ScoreColumns {
            log_prob: self.log_prob.split_off(items),
            logsumexp: self.logsumexp.split_off(items),
            entropy: self.entropy.split_off(items),
            max_log_prob: self.max_log_prob.split_off(items),
            argmax: self.argmax.split_off(items),
            rank: self.rank.split_off(items),
            ties: self.ties.split_off(items),
            top: (k, self.top.1.split_off(items * k), self.top.2.split_off(items * k)),
            given: (m, self.given.1.split_off(items * m)),
        }
    }
}
