//! The same bits on every CPU with fused multiply-add, as one number for each family.
//!
//! The numbers were computed on AVX-512. A change of one is a change of results and belongs in the release notes.

use ndarray::{Array1, ArrayD, ArrayViewD};
use nll_kernels::distribution::{self, Distributions, Quantity};
use nll_kernels::drive::Par;
use nll_kernels::elementwise::{self, Elementwise, Given, Wanted};
use nll_kernels::gradient::{self, Gradient};
use nll_kernels::input::Input;
use nll_kernels::likelihood::{
    Bernoulli, BernoulliLogit, Entropy, Gaussian, KlDiv, LogSigmoid, Poisson, RelativeEntropy,
    Softplus, SquaredError, WeightedBernoulliLogit,
};
use nll_kernels::losses::{self, CrossEntropy, Targets};
use nll_kernels::out::{Out, Run};
use nll_kernels::preference::{BradleyTerry, Preference, PreferenceKind};
use nll_kernels::rows::Rows;
use nll_kernels::{Error, Level, log_softmax};
use nll_simd::{Dtype, Real};

const ELEMENTWISE: [u64; 2] = [0x1221_ea42_8dd5_98d5, 0x9235_b31e_0e05_8e74];
const ROWS: [u64; 2] = [0xbafb_ab89_7923_0cb6, 0xfac9_3c7a_0833_3620];

/// FNV-1a.
struct Hash(u64);

impl Hash {
    fn add(&mut self, values: &[f64]) {
        for value in values {
            assert!(!value.is_nan(), "the bits of NaN are not promised");
            self.0 = (self.0 ^ value.to_bits()).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// f32 or f64, as an input and as rows.
trait Number: Real + Dtype<Storage = Self, Real = Self> {
    fn input(view: ArrayViewD<'_, Self>) -> Input<'_>;
    fn out(values: &mut [Self]) -> Out<'_>;
}

impl Number for f32 {
    fn input(view: ArrayViewD<'_, f32>) -> Input<'_> {
        Input::F32(view.into())
    }
    fn out(values: &mut [f32]) -> Out<'_> {
        Out::F32(values)
    }
}

impl Number for f64 {
    fn input(view: ArrayViewD<'_, f64>) -> Input<'_> {
        Input::F64(view.into())
    }
    fn out(values: &mut [f64]) -> Out<'_> {
        Out::F64(values)
    }
}

/// Values of a linear congruence between `low` and `high`.
fn values<F: Number>(length: usize, seed: u32, [low, high]: [f64; 2]) -> ArrayD<F> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        F::from_f64(low + f64::from(state >> 8) / 16_777_216.0 * (high - low))
    };
    (0..length).map(|_| next()).collect::<Array1<F>>().into_dyn()
}

fn doubles<F: Real>(values: &[F]) -> Vec<f64> {
    values.iter().map(|x| x.to_f64()).collect()
}

/// What is computed with, and what has come of it so far.
struct Machine {
    level: Level,
    hash: Hash,
}

impl Machine {
    fn run(&self) -> Run<'static> {
        Run { level: self.level, par: Par::Here }
    }

    /// The values and the exact total of `function`, and its derivatives.
    fn elements<F: Number, const N: usize>(
        &mut self,
        function: impl Elementwise<N>,
        inputs: [&ArrayD<F>; N],
        differentiates: bool,
    ) -> Result<(), Error> {
        let length = inputs[0].len();
        let inputs = inputs.map(|x| F::input(x.view()));
        let mut outs = [(); 3].map(|()| vec![F::ZERO; length]);
        let [value, slope, curve] = &mut outs;
        let derivative = |out| if differentiates { F::out(out) } else { Out::Nothing };
        let (gradient, hessian) = (derivative(slope), derivative(curve));
        let wanted = Wanted {
            value: F::out(value),
            gradient,
            hessian,
            upper: false,
            scale: 1.0,
            total: true,
        };
        let given = Given { inputs: &inputs, weight: None, limits: &[] };
        let outcome = elementwise::run::<F, N>(self.run(), function, given, length, wanted)?;
        outs.iter().for_each(|out| self.hash.add(&doubles(out)));
        self.hash.add(&[outcome.total.value()]);
        Ok(())
    }

    fn every_element<F: Number>(&mut self) -> Result<(), Error> {
        let length = 1000;
        let x = &values::<F>(length, 1, [-60.0, 60.0]);
        let y = &values::<F>(length, 2, [-9.0, 9.0]);
        let [p, q] = &[3, 4].map(|seed| values::<F>(length, seed, [1e-6, 1.0]));
        let label = &x.mapv(|x| if x > F::ZERO { F::ONE } else { F::ZERO });
        let v = &y.mapv(|y| y * y + F::from_f64(1e-9));
        let count = &x.mapv(|x| F::from_f64(x.to_f64().abs().floor()));
        self.elements(Softplus, [x], false)?;
        self.elements(LogSigmoid, [x], false)?;
        self.elements(BernoulliLogit, [x, p], true)?;
        self.elements(WeightedBernoulliLogit, [x, p, v], true)?;
        self.elements(Bernoulli::<false> { floor: -100.0, margin: 0.0 }, [p, label], false)?;
        self.elements(Bernoulli::<true> { floor: -100.0, margin: 1e-3 }, [p, q], false)?;
        self.elements(Gaussian::<false, true> { eps: 1e-6, constant: 0.5 }, [x, y, v], true)?;
        self.elements(Gaussian::<false, false> { eps: 0.0, constant: 0.0 }, [x, y, v], true)?;
        self.elements(Gaussian::<true, false> { eps: 0.0, constant: 0.0 }, [x, y, y], true)?;
        self.elements(SquaredError, [x, y], true)?;
        self.elements(Poisson::<true, false> { eps: 0.0 }, [y, count], true)?;
        self.elements(Poisson::<false, true> { eps: 1e-8 }, [v, count], true)?;
        self.elements(Entropy, [p], false)?;
        self.elements(RelativeEntropy, [p, q], false)?;
        self.elements(KlDiv::<false>, [y, p], false)?;
        self.elements(BradleyTerry::<true>, [x, y, p], true)?;
        let kind = PreferenceKind::NcaPair;
        let preference = Preference { kind, beta: 0.1, smoothing: 0.1, reference_point: 0.0 };
        self.elements(preference, [x, y, p, q], false)
    }

    fn every_row<F: Number>(&mut self, classes: usize) -> Result<(), Error> {
        let rows = 18;
        let run = self.run();
        let shape = [rows, classes];
        let [x, y] = [5, 6].map(|seed| values::<F>(rows * classes, seed, [-20.0, 20.0]));
        let p = values::<F>(rows * classes, 7, [0.0, 2.0 / classes as f64]);
        let [x, y, p] = [&x, &y, &p].map(|a| a.to_shape(&shape[..]).expect("as many"));
        let target: Vec<i64> = (0..rows).map(|row| (row * 7919 % classes) as i64).collect();
        let weight: Vec<f64> = (0..classes).map(|c| (c % 5) as f64 / 4.0).collect();
        let mut each = vec![F::ZERO; rows];
        let mut all = vec![F::ZERO; rows * classes];
        for (weight, smoothing) in [(None, 0.0), (None, 0.1), (Some(&weight[..]), 0.1)] {
            let targets = Targets { target: &target, ignore_index: Some(0), weight };
            let weights = weight.map_or(classes as f64, |w| w.iter().sum());
            let loss = CrossEntropy::<F> { rows: Rows::new(x.view()), targets, smoothing, weights };
            let totals = losses::each(run, &loss, (F::out(&mut each), 1.0))?;
            self.hash.add(&doubles(&each));
            self.hash.add(&[totals.sum.value(), totals.weight.value(), totals.greedy as f64]);
            let logits = F::input(x.view());
            let of = Gradient { logits, targets, classes, smoothing, mean: true };
            gradient::each::<F>(run, &of, F::out(&mut all))?;
            self.hash.add(&doubles(&all));
        }
        log_softmax::log_sum_exp::<F>(run, &Rows::new(x.view()), F::out(&mut each))?;
        self.hash.add(&doubles(&each));
        log_softmax::log_softmax::<F>(run, &Rows::new(x.view()), &mut all)?;
        self.hash.add(&doubles(&all));
        for (quantity, second, weight) in [
            (Quantity::Entropy, None, None),
            (Quantity::CrossEntropy, Some(&p), None),
            (Quantity::CrossEntropy, Some(&p), Some(&weight[..])),
            (Quantity::Divergence, Some(&y), None),
        ] {
            let (logits, second) = (F::input(x.view()), second.map(|a| F::input(a.view())));
            let smoothing = if weight.is_some() { 0.1 } else { 0.0 };
            let of = Distributions { logits, second, rows, classes, quantity, weight, smoothing };
            let totals = distribution::each::<F>(run, &of, F::out(&mut each))?;
            self.hash.add(&doubles(&each));
            self.hash.add(&[totals.sum.value()]);
        }
        Ok(())
    }
}

/// The hashes in f32 and f64 on each level, beside those that are promised.
fn check(
    promised: [u64; 2],
    single: fn(&mut Machine) -> Result<(), Error>,
    double: fn(&mut Machine) -> Result<(), Error>,
) {
    for level in Level::available().into_iter().filter(|level| level.has_fma()) {
        let hashes = [single, double].map(|family| {
            let mut machine = Machine { level, hash: Hash(0xcbf2_9ce4_8422_2325) };
            family(&mut machine).expect("inputs without errors");
            machine.hash.0
        });
        println!("golden bits run on {}", level.name());
        assert_eq!(hashes, promised, "{}: {hashes:#x?}", level.name());
    }
}

#[test]
fn golden_bits_of_elements() {
    check(ELEMENTWISE, Machine::every_element::<f32>, Machine::every_element::<f64>);
}

#[test]
fn golden_bits_of_rows() {
    fn widths<F: Number>(machine: &mut Machine) -> Result<(), Error> {
        [2, 31, 33, 300, 2100].into_iter().try_for_each(|classes| machine.every_row::<F>(classes))
    }
    check(ROWS, widths::<f32>, widths::<f64>);
}
