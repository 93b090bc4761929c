//! How well a policy prefers the chosen answer, from log-probabilities: DPO and its relatives.
//!
//! The formulas are in float64, and the results of float32 numbers are rounded: differences of float32 numbers would lose
//! what an exponential or a square magnifies. Only −log σ(h) alone, the usual loss, has a form of its own for float32:
//! h in two words, and log(1 + e^−|h|) from the table of the logistic losses.

mod formulas;

use crate::math::density::{CHUNK, Density, Derivatives, element};
use crate::math::logistic_words::{exp_neg_abs_of_words, softplus_of_words};
use crate::math::preference::formulas::Words;
use crate::math::row::finite;
use nll_simd::{Aligned, DoubleWord, Extended, Isa, Real};

/// The losses of direct preference optimization, by TRL's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "their formulas stand in `formulas.rs`")]
pub enum PreferenceKind {
    Sigmoid,
    Robust,
    Hinge,
    Ipo,
    ExoPair,
    NcaPair,
    BcoPair,
    KtoPair,
    SppoHard,
    ApoZero,
    ApoDown,
}

impl PreferenceKind {
    /// Every loss, with its name in TRL.
    pub const NAMES: [(&'static str, PreferenceKind); 11] = [
        ("sigmoid", PreferenceKind::Sigmoid),
        ("robust", PreferenceKind::Robust),
        ("hinge", PreferenceKind::Hinge),
        ("ipo", PreferenceKind::Ipo),
        ("exo_pair", PreferenceKind::ExoPair),
        ("nca_pair", PreferenceKind::NcaPair),
        ("bco_pair", PreferenceKind::BcoPair),
        ("kto_pair", PreferenceKind::KtoPair),
        ("sppo_hard", PreferenceKind::SppoHard),
        ("apo_zero", PreferenceKind::ApoZero),
        ("apo_down", PreferenceKind::ApoDown),
    ];
}

/// A preference loss, from the log-probabilities that policy and reference give to two answers.
/// With the log-ratios a and b, policy/reference, of the chosen and the rejected one and
/// h = β·(a − b), `kind` picks the formula.
#[derive(Clone, Copy)]
pub struct Preference {
    /// Which loss.
    pub kind: PreferenceKind,
    /// β, how strongly the policy is held to the reference.
    pub beta: f64,
    /// ε, the probability that a label is wrong.
    pub smoothing: f64,
    /// δ, the reward that BCO and KTO compare with.
    pub reference_point: f64,
}

/// Up to this size, float32 numbers may be subtracted in float64: the difference of two differences is off by at most
/// 2^−25, and after it is multiplied by a β up to 1 so is h. With a larger β, the size is less by that factor.
const LARGE: f64 = (1 << 26) as f64;

impl Density<4> for Preference {
    #[inline(always)]
    fn with_constants(self, loops: impl FnOnce(Self)) {
        use PreferenceKind as Kind;
        match self.kind {
            // Without smoothing, half of the formula is 0.
            Kind::Sigmoid if self.smoothing == 0.0 => {
                loops(Preference { kind: Kind::Sigmoid, smoothing: 0.0, ..self });
            }
            Kind::Sigmoid => loops(Preference { kind: Kind::Sigmoid, ..self }),
            Kind::Robust => loops(Preference { kind: Kind::Robust, ..self }),
            Kind::Hinge => loops(Preference { kind: Kind::Hinge, ..self }),
            Kind::Ipo => loops(Preference { kind: Kind::Ipo, ..self }),
            Kind::ExoPair => loops(Preference { kind: Kind::ExoPair, ..self }),
            Kind::NcaPair => loops(Preference { kind: Kind::NcaPair, ..self }),
            Kind::BcoPair => loops(Preference { kind: Kind::BcoPair, ..self }),
            Kind::KtoPair => loops(Preference { kind: Kind::KtoPair, ..self }),
            Kind::SppoHard => loops(Preference { kind: Kind::SppoHard, ..self }),
            Kind::ApoZero => loops(Preference { kind: Kind::ApoZero, ..self }),
            Kind::ApoDown => loops(Preference { kind: Kind::ApoDown, ..self }),
        }
    }

    #[inline(always)]
    fn values<S: Isa, F: Real>(
        self,
        isa: S,
        x: [&[F; CHUNK]; 4],
        (inner, keeps_inner): (&mut [F; CHUNK], bool),
        values: &mut [F; CHUNK],
    ) {
        self.with_constants(
            #[inline(always)]
            |loss| {
                if !F::COMPENSATED && loss.kind == PreferenceKind::Sigmoid && loss.smoothing == 0.0
                {
                    loss.plain_values(isa, x, values);
                } else {
                    loss.formula_values(isa, x, (inner, keeps_inner && F::COMPENSATED), values);
                }
            },
        );
    }

    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, x: [F; 4], inner: F) -> F {
        F::from_f64(self.value_of(isa, wide(x), inner.to_f64()))
    }
}

impl Derivatives<4> for Preference {
    #[inline(always)]
    fn gradient<S: Isa, F: Real>(self, isa: S, x: [F; 4], inner: F) -> [F; 4] {
        let exp = if F::COMPENSATED { Some(inner.to_f64()) } else { None };
        let [by_a, by_b] = self.slopes(isa, wide(x), exp);
        let (by_a, by_b) = (F::from_f64(by_a), F::from_f64(by_b));
        [by_a, by_b, -by_a, -by_b]
    }
}

/// The same numbers in float64.
#[inline(always)]
fn wide<F: Real>(x: [F; 4]) -> [f64; 4] {
    let [chosen, rejected, ref_chosen, ref_rejected] = x;
    [chosen.to_f64(), rejected.to_f64(), ref_chosen.to_f64(), ref_rejected.to_f64()]
}

impl Preference {
    /// The values by the formula of the loss, and with `keeps_inner` the exponentials.
    ///
    /// A loss whose formula contains e^−|h| is computed in three loops over a chunk: the first writes h, the second
    /// the exponential, the third the value. In a single loop, each pair would be a chain of operations about as long as
    /// a CPU looks ahead, and few pairs would be computed at the same time.
    #[inline(always)]
    fn formula_values<S: Isa, F: Real>(
        self,
        isa: S,
        x: [&[F; CHUNK]; 4],
        (inner, keeps_inner): (&mut [F; CHUNK], bool),
        values: &mut [F; CHUNK],
    ) {
        if !self.contains_exp() {
            for (i, value) in values.iter_mut().enumerate() {
                *value = self.value(isa, element(x, i), F::ZERO);
            }
            return;
        }
        let [Aligned(mut hi), Aligned(mut lo), Aligned(mut exp)] = [Aligned([0.0; CHUNK]); 3];
        for i in 0..CHUNK {
            [hi[i], lo[i]] = self.numbers(isa, wide(element(x, i))).h.parts();
        }
        for i in 0..CHUNK {
            exp[i] = exp_neg_abs_of_words(isa, Words::of_parts([hi[i], lo[i]]));
        }
        if keeps_inner {
            for i in 0..CHUNK {
                inner[i] = F::from_f64(exp[i]);
            }
        }
        for i in 0..CHUNK {
            let h = Words::of_parts([hi[i], lo[i]]);
            values[i] = F::from_f64(self.value_of_exp(isa, h, exp[i]));
        }
    }

    /// −log σ(h) of float32 numbers: h in one float64, of which two words of float32 are made; the logarithm of the first
    /// from the table, corrected for the second.
    #[inline(always)]
    fn plain_values<S: Isa, F: Real>(self, isa: S, x: [&[F; CHUNK]; 4], values: &mut [F; CHUNK]) {
        let [Aligned(mut hi), Aligned(mut lo)] = [Aligned([F::ZERO; CHUNK]); 2];
        for i in 0..CHUNK {
            let [chosen, rejected, ref_chosen, ref_rejected] = wide(element(x, i));
            let h = self.beta * ((chosen - ref_chosen) - (rejected - ref_rejected));
            hi[i] = F::from_f64(h);
            // An infinite h has no second word.
            lo[i] = finite(F::from_f64(h - hi[i].to_f64()));
        }
        F::log1p_exp_neg_abs(isa, &hi, values);
        for i in 0..CHUNK {
            let below = DoubleWord { hi: -hi[i], lo: -lo[i] };
            values[i] = softplus_of_words(isa, below, values[i]);
        }
        let (mut are_small, most) = (true, F::from_f64(LARGE / self.beta.max(1.0)));
        for x in x {
            are_small &= F::are_at_most(x, most);
        }
        if !are_small {
            self.replace_large(isa, x, most, values);
        }
    }

    /// Replaces the values of pairs with a number above `most`, whose h in one float64 may be off by more than 2^−25. The
    /// whole chunk is computed, and each pair chosen by its own numbers, so that no value depends on its neighbours.
    #[cold]
    #[inline(never)]
    fn replace_large<S: Isa, F: Real>(
        self,
        isa: S,
        x: [&[F; CHUNK]; 4],
        most: F,
        values: &mut [F; CHUNK],
    ) {
        isa.vectorize(
            #[inline(always)]
            || {
                let (of_small, mut exact) = (*values, [F::ZERO; CHUNK]);
                self.formula_values(isa, x, (&mut [F::ZERO; CHUNK], false), &mut exact);
                for i in 0..CHUNK {
                    let [a, b, c, d] = element(x, i);
                    let is_small = (a.abs() <= most)
                        & (b.abs() <= most)
                        & (c.abs() <= most)
                        & (d.abs() <= most);
                    values[i] = if is_small { of_small[i] } else { exact[i] };
                }
            },
        );
    }
}
