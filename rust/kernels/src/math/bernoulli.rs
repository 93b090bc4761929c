//! The Bernoulli distribution of yes or no, from a logit or from a probability.

use crate::math::density::{
    CHUNK, Density, Derivatives, Logistic, SecondDerivatives, clamp_min, mul_or_zero, sigmoids,
};
use crate::math::row::finite;
use nll_simd::math::{exp_scaled, log_of_outcome, log1p_unit, mul_exp};
use nll_simd::{Isa, Real, two_sum_error};

/// log(1 + e^x) = max(x, 0) + log(1 + e^−|x|).   −∞ → 0, +∞ → +∞, NaN → NaN.
#[derive(Clone, Copy)]
pub struct Softplus;

impl Logistic<1> for Softplus {
    #[inline(always)]
    fn value<S: Isa, F: Real>(self, _isa: S, [x]: [F; 1], log1p_exp: F) -> F {
        clamp_min(x, F::ZERO) + log1p_exp
    }
}

/// log σ(x) = −log(1 + e^−x) = min(x, 0) − log(1 + e^−|x|).   −∞ → −∞, +∞ → 0, NaN → NaN.
#[derive(Clone, Copy)]
pub struct LogSigmoid;

impl Logistic<1> for LogSigmoid {
    #[inline(always)]
    fn value<S: Isa, F: Real>(self, _isa: S, [x]: [F; 1], log1p_exp: F) -> F {
        F::ZERO - (clamp_min(-x, F::ZERO) + log1p_exp)
    }
}

/// Bernoulli, from the logit x, the label y and the weight w of the positive label:
/// w·y·softplus(−x) + (1 − y)·softplus(x).   The label that x = ±∞ predicts costs 0.
///
/// softplus(±x) = max(±x, 0) + log(1 + e^−|x|): |x| enters the term of the wrong label only.
#[derive(Clone, Copy)]
pub struct WeightedBernoulliLogit;

impl WeightedBernoulliLogit {
    /// w·y, 1 − y and their sum, and what each of them lost in rounding: without it the error would
    /// exceed 2 ulp.
    #[inline(always)]
    fn weights<S: Isa, F: Real>(isa: S, y: F, w: F) -> ([F; 3], [F; 3]) {
        let (positive, negative) = (w * y, F::ONE - y);
        let both = positive + negative;
        let lost = [isa.two_prod_error(w, y, positive), (F::ONE - negative) - y];
        let of_sum = finite(two_sum_error(positive, negative, both) + (lost[0] + lost[1]));
        ([positive, negative, both], [finite(lost[0]), finite(lost[1]), of_sum])
    }
}

impl Density<3> for WeightedBernoulliLogit {
    /// e^−|x| / `LEAST_NORMAL`: a subnormal e^−|x| has few digits, and a large weight would show it.
    #[inline(always)]
    fn inner<S: Isa, F: Real>(self, isa: S, [x, _, _]: [F; 3]) -> F {
        exp_scaled(isa, -x.abs())
    }
    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, [x, y, w]: [F; 3], scaled: F) -> F {
        let ([positive, negative, both], [.., lost]) = Self::weights(isa, y, w);
        let wrong = if x < F::ZERO { positive } else { negative };
        let size = if wrong == F::ZERO { F::ZERO } else { x.abs() };
        let exp_neg_abs = scaled * F::LEAST_NORMAL;
        // log(1 + z) rounds to z for a z this small.
        let tiny = exp_neg_abs < F::LEAST_NORMAL;
        let log = if tiny { scaled } else { log1p_unit(isa, exp_neg_abs) };
        let part = isa.mul_add(both, log, lost * log);
        isa.mul_add(wrong, size, if tiny { part * F::LEAST_NORMAL } else { part })
    }
}

impl Derivatives<3> for WeightedBernoulliLogit {
    /// By y: w·softplus(−x) − softplus(x); by w: y·softplus(−x).
    #[inline(always)]
    fn gradient<S: Isa, F: Real>(self, isa: S, [x, y, w]: [F; 3], scaled: F) -> [F; 3] {
        let exp_neg_abs = scaled * F::LEAST_NORMAL;
        let log1p_exp = log1p_unit(isa, exp_neg_abs);
        let yes = clamp_min(-x, F::ZERO) + log1p_exp;
        let no = clamp_min(x, F::ZERO) + log1p_exp;
        // By x: (w·y + 1 − y)·σ(x) − w·y for x < 0, and (1 − y) − (w·y + 1 − y)·σ(−x) for x ≥ 0.
        let ([positive, negative, both], lost) = Self::weights(isa, y, w);
        let sum = F::ONE + exp_neg_abs;
        let quotient = both / sum;
        let rest = lost[2] - quotient * (exp_neg_abs - (sum - F::ONE));
        let rest = finite((isa.minus_product(both, quotient, sum) + rest) / sum);
        // e^−|x| is not rounded before it is multiplied: it may be subnormal where the product is not.
        let part = mul_exp(isa, quotient, [-x.abs(), F::ZERO]);
        let part = isa.mul_add(rest, exp_neg_abs, part);
        let by_x =
            if x < F::ZERO { (part - lost[0]) - positive } else { negative - (part - lost[1]) };
        [by_x, mul_or_zero(w, yes) - no, mul_or_zero(y, yes)]
    }
}

impl SecondDerivatives<3> for WeightedBernoulliLogit {
    #[inline(always)]
    fn second<S: Isa, F: Real>(self, isa: S, [x, y, w]: [F; 3], scaled: F) -> F {
        let (up, down) = sigmoids(isa, x, scaled * F::LEAST_NORMAL);
        let larger = if x < F::ZERO { down } else { up };
        // As in the gradient, e^−|x| is not rounded before it is multiplied.
        mul_exp(isa, (w * y + (F::ONE - y)) * (larger * larger), [-x.abs(), F::ZERO])
    }

    #[inline(always)]
    fn bound<F: Real>(self, [_, y, w]: [F; 3], _inner: F) -> F {
        (w * y + (F::ONE - y)) * (F::HALF * F::HALF)
    }
}

/// Bernoulli with w = 1: max(x, 0) − x·y + log(1 + e^−|x|).
#[derive(Clone, Copy)]
pub struct BernoulliLogit;

impl Logistic<2> for BernoulliLogit {
    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, [x, y]: [F; 2], log1p_exp: F) -> F {
        isa.minus_product(clamp_min(x, F::ZERO), x, y) + log1p_exp
    }

    const HAS_LIMIT: bool = true;

    /// The label that x = ±∞ predicts costs 0, the other one +∞.
    #[inline(always)]
    fn limit<F: Real>(self, [x, y]: [F; 2]) -> F {
        let wrong = if x < F::ZERO { y } else { F::ONE - y };
        if x.is_nan() { x } else { mul_or_zero(wrong, x.abs()) }
    }
}

impl Derivatives<2> for BernoulliLogit {
    /// By x, where the label is certain with the digits of the smaller sigmoid; by y: −x.
    #[inline(always)]
    fn gradient<S: Isa, F: Real>(self, isa: S, [x, y]: [F; 2], exp_neg_abs: F) -> [F; 2] {
        let (up, down) = sigmoids(isa, x, exp_neg_abs);
        // (1 − y)·σ(x) − y·σ(−x), of which only the smaller sigmoid enters.
        let no = F::ONE - y;
        let lost = finite((F::ONE - no) - y);
        [if x < F::ZERO { up - y } else { (no - down) + lost }, -x]
    }
}

impl SecondDerivatives<2> for BernoulliLogit {
    #[inline(always)]
    fn second<S: Isa, F: Real>(self, isa: S, [x, _]: [F; 2], exp_neg_abs: F) -> F {
        let (up, down) = sigmoids(isa, x, exp_neg_abs);
        up * down
    }

    #[inline(always)]
    fn bound<F: Real>(self, _x: [F; 2], _inner: F) -> F {
        F::HALF * F::HALF
    }
}

/// Bernoulli, from the probability p: −y·log p − (1 − y)·log(1 − p). No logarithm is less than
/// `floor`. With `CLIP`, p is first clipped to [`margin`, 1 − `margin`].
#[derive(Clone, Copy)]
pub struct Bernoulli<const CLIP: bool> {
    /// The least logarithm: −100 as in torch, or −∞ for none.
    pub floor: f64,
    /// The least distance of p from 0 and 1: the machine epsilon as in scikit-learn, or 0.
    pub margin: f64,
}

impl<const CLIP: bool> Bernoulli<CLIP> {
    /// p within the margins.
    #[inline(always)]
    fn clipped<F: Real>(self, p: F) -> F {
        if !CLIP {
            return p;
        }
        let margin = F::from_f64(self.margin);
        -clamp_min(-clamp_min(p, margin), margin - F::ONE)
    }
}

impl<const CLIP: bool> Density<2> for Bernoulli<CLIP> {
    /// log p
    #[inline(always)]
    fn inner<S: Isa, F: Real>(self, isa: S, [p, _]: [F; 2]) -> F {
        log_of_outcome(isa, self.clipped(p), true)
    }

    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, [p, y]: [F; 2], log_p: F) -> F {
        let floor = F::from_f64(self.floor);
        let positive = clamp_min(log_p, floor);
        let negative = clamp_min(log_of_outcome(isa, self.clipped(p), false), floor);
        let no = F::ONE - y;
        let mut negative_part = mul_or_zero(no, negative);
        if F::COMPENSATED {
            // Adds what rounding took from 1 − y: without it, float64 errs by more than 2 ulp.
            let lost = finite(((F::ONE - no) - y) * negative);
            negative_part = if no == F::ZERO { F::ZERO } else { isa.mul_add(no, negative, lost) };
        }
        F::ZERO - (mul_or_zero(y, positive) + negative_part)
    }

    /// A label of 0 or 1 needs only one of the two logarithms: a chunk of such labels takes half
    /// the time, and its results have the same bits.
    #[inline(always)]
    fn values<S: Isa, F: Real>(
        self,
        isa: S,
        [p, y]: [&[F; CHUNK]; 2],
        (inner, _keeps_inner): (&mut [F; CHUNK], bool),
        values: &mut [F; CHUNK],
    ) {
        let others = y.iter().map(|&y| u32::from((y != F::ZERO) & (y != F::ONE))).sum::<u32>();
        if others > 0 {
            for (inner, (&p, &y)) in inner.iter_mut().zip(p.iter().zip(y)) {
                *inner = self.inner(isa, [p, y]);
            }
            for i in 0..CHUNK {
                values[i] = self.value(isa, [p[i], y[i]], inner[i]);
            }
            return;
        }
        for (value, (&p, &y)) in values.iter_mut().zip(p.iter().zip(y)) {
            let log = log_of_outcome(isa, self.clipped(p), y == F::ONE);
            *value = F::ZERO - clamp_min(log, F::from_f64(self.floor));
        }
    }
}
