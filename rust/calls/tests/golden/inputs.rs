//! The inputs of the functions with golden numbers, and their calls.

use super::{ROW_COUNT, Results};
use crate::support::{Hash, Numbers};
use ndarray::ArrayD;
use nll_calls::{
    Clamp, Elements, Entries, Factorial, Gradient, Hessian, Loss, Options, Outputs, PoissonOptions,
    PreferenceOptions, Quantity, Rate, RowLosses, Slopes, Spread,
};
use nll_kernels::Error;
use nll_kernels::data::array::Array;
use nll_kernels::data::drive::Exec;
use nll_kernels::data::out::Out;
use nll_kernels::data::per_class::PerClass;
use nll_kernels::data::targets::{Counted, Targets};
use nll_kernels::data::totals::{Totaled, Totals};
use nll_kernels::math::preference::PreferenceKind;

/// An array of either precision.
pub(super) enum Data {
    Single(ArrayD<f32>),
    Double(ArrayD<f64>),
}

impl Data {
    pub(super) fn array(&self) -> Array<'_> {
        match self {
            Data::Single(x) => Array::F32(x.view().into()),
            Data::Double(x) => Array::F64(x.view().into()),
        }
    }
}

/// Where the inputs of a function come from, and how it runs.
pub(super) struct Inputs {
    pub(super) exec: Exec<'static>,
    pub(super) name: &'static str,
    pub(super) double: bool,
    pub(super) shape: Vec<usize>,
}

impl Inputs {
    pub(super) fn length(&self) -> usize {
        self.shape.iter().product()
    }

    pub(super) fn classes(&self) -> usize {
        self.shape[1]
    }

    /// Numbers between `low` and `high`, changed by `map`, of the argument with this name.
    pub(super) fn numbers(
        &self,
        argument: &str,
        [low, high]: [f64; 2],
        map: fn(f64) -> f64,
    ) -> Data {
        let mut seed = Hash::new();
        self.name.bytes().chain(argument.bytes()).for_each(|byte| seed.add(byte.into()));
        let mut numbers = Numbers(seed.0 as u32);
        let mut next = || map(numbers.between(low, high));
        match self.double {
            false => Data::Single(ArrayD::from_shape_simple_fn(&self.shape[..], || next() as f32)),
            true => Data::Double(ArrayD::from_shape_simple_fn(&self.shape[..], next)),
        }
    }

    pub(super) fn real(&self, argument: &str) -> Data {
        self.numbers(argument, [-60.0, 60.0], |x| x)
    }

    pub(super) fn small(&self, argument: &str) -> Data {
        self.numbers(argument, [-9.0, 9.0], |x| x)
    }

    /// Squares, many of them small.
    pub(super) fn positive(&self, argument: &str) -> Data {
        self.numbers(argument, [-9.0, 9.0], |x| x * x + 1e-9)
    }

    pub(super) fn unit(&self, argument: &str) -> Data {
        self.numbers(argument, [1e-6, 1.0], |x| x)
    }

    /// Zeros and ones.
    pub(super) fn label(&self, argument: &str) -> Data {
        self.numbers(argument, [0.0, 2.0], f64::floor)
    }

    pub(super) fn count(&self, argument: &str) -> Data {
        self.numbers(argument, [0.0, 60.0], f64::floor)
    }

    pub(super) fn logits(&self, argument: &str) -> Data {
        self.numbers(argument, [-20.0, 20.0], |x| x)
    }

    /// The `count` results that `call` writes.
    pub(super) fn results(
        &self,
        count: usize,
        call: impl FnOnce(Out<'_>) -> Result<(), Error>,
    ) -> Results {
        if self.double {
            let mut results = vec![0.0; count];
            call(Out::F64(&mut results))?;
            return Ok(results);
        }
        let mut results = vec![0.0; count];
        call(Out::F32(&mut results))?;
        Ok(results.into_iter().map(f64::from).collect())
    }

    /// The `count` results that `call` writes, and its totals.
    pub(super) fn with_totals(
        &self,
        count: usize,
        call: impl FnOnce(Out<'_>) -> Result<Totals, Error>,
    ) -> Results {
        let mut totals = Totals::default();
        let mut results = self.results(count, |out| {
            totals = call(out)?;
            Ok(())
        })?;
        let counts = [Some(totals.count), totals.ignored, totals.top1];
        results.extend([totals.sum.value(), totals.weight()]);
        results.extend(counts.into_iter().flatten().map(|count| count as f64));
        Ok(results)
    }

    /// The values of a loss, and its total.
    pub(super) fn values(&self, loss: Loss<'_>) -> Results {
        let elements = Elements::new(loss, Options { c_order: true, ..Options::default() })?;
        self.with_totals(self.length(), |out| run(self.exec, &elements, (out, vec![]), false))
    }

    /// The values of a loss, its total, and its derivatives by these arguments.
    pub(super) fn derivatives(&self, loss: Loss<'_>, wrt: &[&str]) -> Results {
        self.all_of(loss, Options { hess: Some(Hessian::Exact), ..Options::default() }, wrt)
    }

    /// The values, the total, and the derivatives by the arguments `wrt`; of weighted losses those of
    /// the mean.
    pub(super) fn all_of(&self, loss: Loss<'_>, options: Options<'_>, wrt: &[&str]) -> Results {
        let (length, mean) = (self.length(), options.weight.is_some());
        let wrt = wrt.iter().map(|name| String::from(*name)).collect();
        let elements = &Elements::new(loss, Options { wrt, c_order: true, ..options })?;
        self.with_totals((1 + elements.derivatives()) * length, |out| {
            let mut outs: Vec<_> = match out {
                Out::F32(out) => out.chunks_mut(length).map(Out::F32).collect(),
                Out::F64(out) => out.chunks_mut(length).map(Out::F64).collect(),
                Out::Nothing => unreachable!("results are wanted"),
            };
            let value = outs.remove(0);
            run(self.exec, elements, (value, outs), mean)
        })
    }

    pub(super) fn binary(&self, pos_weight: Array<'_>) -> Results {
        let (logits, target) = (self.real("logits"), self.unit("target"));
        let (logits, target) = (logits.array(), target.array());
        self.derivatives(
            Loss::BinaryWithLogits { logits, target, pos_weight, validate: false },
            &["logits", "target"],
        )
    }

    pub(super) fn weighted_mean(&self) -> Results {
        let [logits, target] = [self.real("logits"), self.unit("target")];
        let (logits, target, pos_weight) = (logits.array(), target.array(), Array::Scalar(3.0));
        let loss = Loss::BinaryWithLogits { logits, target, pos_weight, validate: false };
        let weight = self.positive("weight");
        let (weight, hess) = (Some(weight.array()), Some(Hessian::Upper));
        self.all_of(loss, Options { weight, hess, ..Options::default() }, &["logits"])
    }

    pub(super) fn probs(&self, target: Data, clamp: Clamp) -> Results {
        let (probs, target) = (&self.unit("probs"), &target);
        let (probs, target) = (probs.array(), target.array());
        self.values(Loss::Binary { probs, target, clamp, validate: true })
    }

    pub(super) fn gaussian(&self, spread: Spread<'_>, eps: f64, full: bool) -> Results {
        let (mean, target) = (&self.real("mean"), &self.small("target"));
        let (mean, target) = (mean.array(), target.array());
        let by = match spread {
            Spread::Variance(_) => "var",
            Spread::LogVariance(_) => "log_var",
            Spread::Sigma(_) => "sigma",
        };
        self.derivatives(
            Loss::Gaussian { mean, target, spread, eps, full },
            &["mean", "target", by],
        )
    }

    pub(super) fn laplace(&self, scale: Data, log_scale: bool) -> Results {
        let (mean, target, eps) = (&self.real("mean"), &self.small("target"), 1e-6);
        let (mean, target, scale) = (mean.array(), target.array(), scale.array());
        let wrt = ["mean", "target", if log_scale { "log_scale" } else { "scale" }];
        self.derivatives(Loss::Laplace { mean, target, scale, log_scale, eps }, &wrt)
    }

    pub(super) fn poisson(&self, input: Data, rate: Rate<'_>, full: Factorial) -> Results {
        let (input, target, eps) = (&input, &self.count("target"), 1e-8);
        let (input, target) = (input.array(), target.array());
        let wrt = if full == Factorial::Exact { &["input"][..] } else { &["input", "target"] };
        let options = PoissonOptions { full, eps, validate: true };
        self.derivatives(Loss::Poisson { input, target, rate, options }, wrt)
    }

    pub(super) fn bradley_terry(&self, margin: Array<'_>) -> Results {
        let (chosen, rejected) = (&self.real("chosen"), &self.small("rejected"));
        let (chosen, rejected) = (chosen.array(), rejected.array());
        let loss = Loss::BradleyTerry { chosen, rejected, margin };
        self.derivatives(loss, &["chosen", "rejected", "margin"])
    }

    pub(super) fn preference(&self, kind: PreferenceKind, label_smoothing: f64) -> Results {
        let names = ["chosen", "rejected", "ref_chosen", "ref_rejected"];
        let log_probs = names.map(|name| self.numbers(name, [-60.0, 0.0], |x| x));
        let options = PreferenceOptions { kind, beta: 0.1, label_smoothing, reference_point: 0.5 };
        let log_probs = log_probs.each_ref().map(Data::array);
        let loss = Loss::Preference { log_probs, options };
        self.all_of(loss, Options::default(), &["policy_chosen_logps", "ref_rejected_logps"])
    }

    pub(super) fn kl_div(&self, target: Data, log_target: bool) -> Results {
        let (input, target) = (&self.small("input"), &target);
        self.values(Loss::KlDiv { input: input.array(), target: target.array(), log_target })
    }

    /// Calls `run` with targets of all rows, of which those of class 0 do not count.
    pub(super) fn with_targets(
        &self,
        weighted: bool,
        run: impl FnOnce(Targets<'_>) -> Results,
    ) -> Results {
        let classes = self.classes();
        let target: Vec<_> = (0..ROW_COUNT).map(|row| (row * 7919 % classes) as i64).collect();
        let weight = self.weight();
        let weight = weighted.then_some(&weight[..]);
        let (target, shape) = (&target[..], &self.shape[..1]);
        run(Targets { target, first: 0, shape, ignore_index: Some(0), weight, row_weight: None })
    }

    /// A weight for each class, some of them 0.
    pub(super) fn weight(&self) -> Vec<f64> {
        (0..self.classes()).map(|class| (class % 5) as f64 / 4.0).collect()
    }

    pub(super) fn losses(&self, entries: Entries, weighted: bool) -> Results {
        let rows = &match entries {
            Entries::Probabilities { .. } => self.unit("x"),
            _ => self.logits("x"),
        };
        let rows = &rows.array();
        self.with_targets(weighted, |targets| {
            let losses = RowLosses {
                rows,
                entries,
                targets,
                negate: false,
                totaled: Totaled::Sum,
                is_new: false,
            };
            self.with_totals(ROW_COUNT, |out| losses.run(self.exec, out))
        })
    }

    pub(super) fn gradient(&self, label_smoothing: f64, weighted: bool) -> Results {
        let logits = &self.logits("x");
        let logits = &logits.array();
        self.with_targets(weighted, |targets| {
            let (hess, totaled) = (None, Totaled::Nothing);
            let gradient = Gradient { logits, targets, label_smoothing, mean: true, hess, totaled };
            self.results(self.length(), |out| {
                let [out, nothing] =
                    [out, Out::Nothing].map(|out| PerClass::new(out, self.classes(), None));
                gradient.run(self.exec, (out, nothing, Out::Nothing)).map(|_| ())
            })
        })
    }

    pub(super) fn soft_target(&self, label_smoothing: f64, weighted: bool) -> Results {
        let (logits, target, weight) = (self.logits("x"), self.unit("y"), self.weight());
        let (logits, target) = (&logits.array(), &target.array());
        let weight = weighted.then_some(&weight[..]);
        self.quantity(Quantity::SoftTarget { logits, target, weight, label_smoothing })
    }

    pub(super) fn quantity(&self, quantity: Quantity<'_>) -> Results {
        self.with_totals(ROW_COUNT, |out| {
            quantity.run(self.exec, Counted::default(), Totaled::Sum, out)
        })
    }

    /// The gradient of the sum of a quantity by the first logits, and that by the second ones of a
    /// divergence.
    pub(super) fn slopes(&self, of: Quantity<'_>) -> Results {
        let totaled = Totaled::Nothing;
        let call = Slopes { of, rows: Counted::default(), mean: false, totaled };
        let mut second = Vec::new();
        let mut results = self.results(self.length(), |first| {
            second = self.results(self.length(), |second| {
                let place = |out| PerClass::new(out, self.classes(), None);
                call.run(self.exec, (place(first), place(second), Out::Nothing)).map(drop)
            })?;
            Ok(())
        })?;
        results.append(&mut second);
        Ok(results)
    }
}

fn run<'o>(
    exec: Exec<'_>,
    elements: &Elements<'_>,
    (value, derivatives): (Out<'o>, Vec<Out<'o>>),
    mean: bool,
) -> Result<Totals, Error> {
    elements.run(exec, Outputs { value, derivatives, mean, totaled: Totaled::Sum })
}
