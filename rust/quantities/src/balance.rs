//! The slope of a class that has more than half of a row. The slopes of entropies and divergences add up to
//! 0 over the row, so that of the likely class is minus the sum of the others: computed from its own formula, it
//! would be a difference of two numbers that are nearly equal.
//!
//! It is computed for one row, for rows in lanes, and for a row in pieces.

use nll_kernels::call::long_rows::Places;
use nll_kernels::data::lines::LANES;
use nll_kernels::data::out::Out;
use nll_kernels::data::rows::Block;
use nll_kernels::data::scratch::Scratch;
use nll_kernels::fold::Fold;
use nll_kernels::fold::lanes::LaneSums;
use nll_kernels::math::terms::{NONE, add_values};
use nll_simd::{Extended, Isa, LaneSum, Real};

/// Sets the slope of the likely class of a row, if it has one.
#[inline(always)]
pub(crate) fn balance_row<S: Isa, F: Real>(isa: S, slopes: &mut [F], likely: usize) {
    if likely < slopes.len() {
        slopes[likely] = F::ZERO;
        let mut others = LaneSum::ZERO;
        add_values::<S, F, _>(isa, &mut others, slopes);
        slopes[likely] = F::from_f64(-others.extended::<F>().rounded());
    }
}

/// The likely class of each of 32 rows, and the sum of the slopes of the others.
pub(crate) struct LaneBalance<F: Real> {
    /// The number of the class, −1 if a row has none.
    likely: [F; LANES],
    others: LaneSums,
}

impl<F: Real> LaneBalance<F> {
    #[inline(always)]
    pub(crate) fn new(likely: [F; LANES]) -> Self {
        LaneBalance { likely, others: LaneSums::ZERO }
    }

    /// Adds the slopes of a class, and returns them, with 0 where it is the likely class.
    #[inline(always)]
    pub(crate) fn take(&mut self, class: F, slopes: &[F; LANES]) -> [F; LANES] {
        let mut kept = [F::ZERO; LANES];
        for i in 0..LANES {
            kept[i] = if self.likely[i] == class { F::ZERO } else { slopes[i] };
            self.others.add::<F>(i, kept[i].to_f64());
        }
        kept
    }

    /// Sets the slopes of the likely classes, and those of rows that do not count to 0.
    #[inline(always)]
    pub(crate) fn finish(&self, factor: &[f64; LANES], slopes: &mut [[F; LANES]]) {
        let mut others = [F::ZERO; LANES];
        for i in 0..LANES {
            others[i] = F::from_f64(self.others.value::<F>(i).rounded());
        }
        for (class, slopes) in slopes.iter_mut().enumerate() {
            let (class, mut found) = (F::from_f64(class as f64), [F::ZERO; LANES]);
            for i in 0..LANES {
                // The sign is changed here and not above: to choose between two numbers in memory, LLVM chooses
                // between their addresses, and with AVX-512 gathers the numbers from there.
                let slope = if self.likely[i] == class { -others[i] } else { slopes[i] };
                found[i] = if factor[i] == 0.0 { F::ZERO } else { slope };
            }
            *slopes = found;
        }
    }
}

/// What is known of the slopes of a row once they are written.
#[derive(Clone, Copy)]
pub(crate) struct SlopesEnd {
    /// The likely class, [`NONE`] if there is none, and its slope.
    likely: (usize, f64),
    /// Whether all slopes by the first logits are finite.
    pub(crate) are_finite: bool,
}

/// Sets the slope of the likely class of each row that has one.
pub(crate) fn balance_long<F: Real>(places: &mut Places<'_, 2>, ends: &[Option<SlopesEnd>]) {
    for ([first, _], end) in places.iter_mut().zip(ends) {
        if let Some((class, slope)) = end.map(|end| end.likely).filter(|likely| likely.0 != NONE) {
            first.set(class, &[F::from_f64(slope)], F::to_f64);
        }
    }
}

/// The likely class of a row of very many classes, and the sum of the slopes of the others.
pub(crate) struct Balanced<T> {
    /// What the slopes of the row are made of.
    pub(crate) of: T,
    likely: usize,
    others: LaneSum,
    are_finite: bool,
}

impl<T> Balanced<T> {
    #[inline(always)]
    pub(crate) fn new(of: T, likely: usize) -> Self {
        Balanced { of, likely, others: LaneSum::ZERO, are_finite: true }
    }

    /// Writes the slopes of the classes from `first` on, and adds them up.
    #[inline(always)]
    pub(crate) fn write<S: Isa, F: Real>(
        &mut self,
        isa: S,
        first: usize,
        slopes: &mut [F],
        out: &mut Out<'_>,
    ) {
        if self.likely != NONE {
            if let Some(likely) = slopes.get_mut(self.likely.wrapping_sub(first)) {
                *likely = F::ZERO;
            }
            add_values::<S, F, _>(isa, &mut self.others, slopes);
        }
        self.are_finite &= slopes.iter().fold(true, |all, x| all & (x.abs() < F::INFINITY));
        out.write(slopes, None);
    }
}

impl<T, F: Real, const N: usize> Fold<F, N> for Balanced<T> {
    type Row = SlopesEnd;

    #[inline(always)]
    fn push<S: Isa>(&mut self, _isa: S, _block: &Block<'_, F, N>, _scratch: &mut Scratch<F>) {}

    #[inline(always)]
    fn merge<S: Isa>(&mut self, _isa: S, later: Self) {
        self.others = self.others.merge::<F>(later.others);
        self.are_finite &= later.are_finite;
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, _isa: S) -> SlopesEnd {
        let likely = (self.likely, -self.others.extended::<F>().rounded());
        SlopesEnd { likely, are_finite: self.are_finite }
    }
}
