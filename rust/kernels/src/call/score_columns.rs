//! The arrays into which the quantities of scored rows are written.

use crate::data::drive::Split;
use crate::data::out::Out;

/// The arrays that [`Score`](crate::call::Score) writes, a number for each row or, of those of the k
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
    /// The largest classes in order, so many for each row.
    pub top: (usize, Classes<'a>, Out<'a>),
    /// log p of given classes, so many for each row.
    pub given: (usize, Out<'a>),
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
