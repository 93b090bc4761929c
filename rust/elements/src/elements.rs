//! Losses of single observations. Shapes, precision and memory order are settled here; a [`Stream`]
//! then computes the elements.

use crate::evaluation::{Evaluate, Evaluation, Outside};
use crate::formula::{Derivative, Formula};
use crate::loss::{Argument, Loss, Visitor, spread};
use crate::shapes::{check_fit, common_shape, fitted};
use crate::stream::{FindNotFinite, FindTooFar, RESULTS, Stream, Weighting, Weights};
use crate::weigh::Weigh;
use nll_kernels::Error;
use nll_kernels::call::Hessian;
use nll_kernels::call::too_far_for_float32;
use nll_kernels::data::array::Array;
use nll_kernels::data::drive::{self, Exec};
use nll_kernels::data::out::Out;
use nll_kernels::data::totals::{Totaled, Totals};
use nll_kernels::error::listed;
use nll_simd::Real;
use std::marker::PhantomData;

/// A loss of single observations whose options and shapes have been checked.
pub struct Elements<'a> {
    loss: Loss<'a>,
    options: Options<'a>,
    plan: Plan,
}

/// What every loss may be given beside its own arguments.
#[derive(Default)]
pub struct Options<'a> {
    /// A factor of each loss.
    pub weight: Option<Array<'a>>,
    /// Where it is 0, an element does not count: its loss is 0, whatever it holds.
    pub mask: Option<Array<'a>>,
    /// The names of the arguments by which derivatives are wanted.
    pub wrt: Vec<String>,
    /// Which second derivatives are wanted, by the first argument.
    pub hess: Option<Hessian>,
    /// Whether the outputs exist already, in C order.
    pub c_order: bool,
}

/// The shape of a call, and how it is computed.
struct Plan {
    shape: Vec<usize>,
    /// The axes in the order in which the elements are visited.
    order: Vec<usize>,
    double: bool,
    derivatives: Vec<Derivative>,
}

/// Where the results of a loss go, and which are wanted.
pub struct Outputs<'o> {
    /// The losses.
    pub value: Out<'o>,
    /// The derivatives that the options ask for: the second derivative, then those by the arguments.
    pub derivatives: Vec<Out<'o>>,
    /// Whether the derivatives are those of the mean.
    pub mean: bool,
    /// Which totals are wanted.
    pub totaled: Totaled,
}

impl<'a> Elements<'a> {
    /// Checks options and shapes. The elements are visited in C order if the outputs exist already
    /// or all arrays are in C order; else in the memory order of the first array that has the shape
    /// of the results.
    pub fn new(loss: Loss<'a>, options: Options<'a>) -> Result<Self, Error> {
        loss.check(options.hess)?;
        let weight_name = loss.weight_name();
        let plan = loss.visit(Planner { options: &options, weight_name })?;
        Ok(Elements { loss, options, plan })
    }

    /// The shape of the results.
    pub fn shape(&self) -> &[usize] {
        &self.plan.shape
    }

    /// The axes in the order in which results are written: the k-th axis of an output is axis
    /// `order()[k]` of the shape.
    pub fn order(&self) -> &[usize] {
        &self.plan.order
    }

    /// True (float64) if an array is float64, or if no array holds floats.
    pub fn is_double(&self) -> bool {
        self.plan.double
    }

    /// How many derivatives are wanted.
    pub fn derivatives(&self) -> usize {
        self.plan.derivatives.len()
    }

    /// Computes the wanted outputs. Limits are checked in the same pass, so the outputs have been
    /// written when this returns the error of an element beyond its limit.
    pub fn run(&self, exec: Exec<'_>, out: Outputs<'_>) -> Result<Totals, Error> {
        self.loss.visit(Runner { of: self, exec, out })
    }
}

impl Plan {
    /// The index of an element, given its number in the order of the visit.
    fn index(&self, mut element: usize) -> Vec<usize> {
        let mut index = vec![0; self.shape.len()];
        for &axis in self.order.iter().rev() {
            index[axis] = element % self.shape[axis];
            element /= self.shape[axis];
        }
        index
    }
}

/// Makes the plan of a loss.
struct Planner<'p> {
    options: &'p Options<'p>,
    weight_name: &'static str,
}

impl Planner<'_> {
    fn plan(self, arguments: &[Argument<'_>]) -> Result<Plan, Error> {
        let Options { weight, mask, c_order, .. } = self.options;
        let any = |double| arguments.iter().any(|a| a.array.is_double() == Some(double));
        let double = any(true) || !any(false);
        let extra = |name, array| Argument { differentiable: false, ..spread(name, array, None) };
        let weight = weight.as_ref().map(|array| extra(self.weight_name, array));
        let mask = mask.as_ref().map(|array| extra("mask", array));
        let shape = common_shape(arguments)?;
        for argument in arguments.iter().chain(&weight).chain(&mask) {
            check_fit(argument, &shape)?;
        }
        let mut all = arguments.iter().chain(&weight).chain(&mask);
        let scattered = !c_order && all.clone().any(|a| !a.array.is_flat());
        let mut order = match all.find(|a| scattered && a.array.shape() == shape) {
            Some(whole) => whole.array.memory_order(),
            None => (0..shape.len()).collect::<Vec<_>>(),
        };
        // The stride of an axis of length 1 says nothing. As the last one it would make every element a row.
        order.sort_by_key(|&axis| shape[axis] > 1);
        Ok(Plan { shape, order, double, derivatives: self.derivatives(arguments)? })
    }

    /// The derivatives that the options ask for.
    fn derivatives(&self, arguments: &[Argument<'_>]) -> Result<Vec<Derivative>, Error> {
        let Options { hess, wrt, .. } = self.options;
        let second = hess.map(|hess| match hess {
            Hessian::Exact => Derivative::Second,
            Hessian::Upper => Derivative::Bound,
        });
        let mut derivatives: Vec<_> = second.into_iter().collect();
        for name in wrt {
            let input = arguments.iter().position(|a| a.name == name && a.differentiable);
            let by = input.map(Derivative::By).filter(|by| !derivatives.contains(by));
            derivatives.push(by.ok_or_else(|| {
                let names = arguments.iter().filter(|a| a.differentiable);
                let names: Vec<_> = names.map(|a| format!("'{}'", a.name)).collect();
                let names = listed(&names);
                Error::Choice(format!("wrt holds '{name}'; name some of {names}, each once"))
            })?);
        }
        Ok(derivatives)
    }
}

impl Visitor for Planner<'_> {
    type Output = Result<Plan, Error>;

    fn visit<const N: usize>(
        self,
        arguments: [Argument<'_>; N],
        _formula: impl Formula<N>,
    ) -> Self::Output {
        self.plan(&arguments)
    }
}

/// Runs a loss by its plan.
struct Runner<'r> {
    of: &'r Elements<'r>,
    exec: Exec<'r>,
    out: Outputs<'r>,
}

impl Runner<'_> {
    /// Runs a loss, which is given in the precision of the call and in f64. The loss is not a type
    /// parameter, so this function is compiled only a few times.
    fn run<F: Real, const N: usize>(
        self,
        arguments: [Argument<'_>; N],
        (loss, exact): (&dyn Evaluate<F, N>, &dyn Evaluate<f64, N>),
    ) -> Result<Totals, Error> {
        let Runner { of: Elements { loss: call, options, plan }, exec, out } = self;
        let view = |array| fitted(array, &plan.shape, &plan.order);
        let views = arguments.map(|argument| view(argument.array));
        let [weight, mask] = [&options.weight, &options.mask].map(Option::as_ref);
        let (weight_view, mask_view) = (weight.and_then(view), mask.and_then(view));
        let weighting = Weighting {
            weight: weight_view.as_ref().or(weight),
            mask: mask_view.as_ref().or(mask),
            divides: call.divides_by_weights(),
        };
        let length = plan.shape.iter().product();
        let of_mean = out.mean && !plan.derivatives.is_empty();
        let scale = if of_mean { 1.0 / divisor::<F>(exec, weighting, length)? } else { 1.0 };
        let mut given = core::iter::once(out.value).chain(out.derivatives);
        let outs: [_; RESULTS] = core::array::from_fn(|_| given.next().unwrap_or(Out::Nothing));
        let work = Stream::<F, N> {
            loss,
            inputs: core::array::from_fn(|k| views[k].as_ref().unwrap_or(arguments[k].array)),
            weighting,
            weigh: Weigh { exact, level: exec.level },
            scale,
            length,
            totaled: out.totaled,
            large: outs.iter().any(|out| out.is_large()),
        };
        check_weights::<F>(exec, call.weight_name(), weighting.weight, length)?;
        let found = drive::run(exec, &work, outs)?;
        // The loss of an element whose weight is infinite or NaN is so too.
        let sum = found.totals.sum.special();
        let not_finite = if weighting.weight.is_some() && (sum != 0.0 || sum.is_nan()) {
            let search = FindNotFinite::<F> { weighting, length, real: PhantomData };
            drive::run(exec, &search, ())?.0
        } else {
            found.not_finite
        };
        if let Some(value) = not_finite {
            let (argument, allowed) = (call.weight_name(), "weights must be finite".into());
            return Err(Error::Number { argument, value, allowed });
        }
        match found.outside {
            None => Ok(found.totals),
            Some(Outside { element, input, value }) => Err(Error::Element {
                argument: arguments[input].name,
                value,
                index: plan.index(element),
                advice: arguments[input].limit.map_or("", |limit| limit.advice),
            }),
        }
    }
}

/// An error if losses in float32 are to be multiplied by a float64 weight that float32 does not hold.
fn check_weights<F: Real>(
    exec: Exec<'_>,
    name: &'static str,
    weight: Option<&Array<'_>>,
    length: usize,
) -> Result<(), Error> {
    let Some(array) = weight else { return Ok(()) };
    if F::COMPENSATED || !(array.is_scalar() || array.is_double() == Some(true)) {
        return Ok(());
    }
    let found = drive::run(exec, &FindTooFar { array, length }, ())?;
    found.0.map_or(Ok(()), |value| Err(too_far_for_float32(name, value)))
}

/// What the mean divides by: the sum of the weights, or the number of elements that count. 1 for no
/// elements, 0 where a mask leaves none: every derivative is then set to 0.
fn divisor<F: Real>(exec: Exec<'_>, weighting: Weighting<'_>, length: usize) -> Result<f64, Error> {
    if weighting.mask.is_none() && !(weighting.divides && weighting.weight.is_some()) {
        return Ok(length.max(1) as f64);
    }
    let totals = drive::run(exec, &Weights::<F> { weighting, length, real: PhantomData }, ())?;
    Ok(totals.weight())
}

impl Visitor for Runner<'_> {
    type Output = Result<Totals, Error>;

    fn visit<const N: usize>(
        self,
        arguments: [Argument<'_>; N],
        formula: impl Formula<N>,
    ) -> Self::Output {
        let limits = arguments.map(|argument| argument.limit);
        let derivatives = self.of.plan.derivatives.clone();
        let loss = &Evaluation { loss: formula, limits, derivatives };
        if self.of.plan.double {
            self.run::<f64, N>(arguments, (loss, loss))
        } else {
            self.run::<f32, N>(arguments, (loss, loss))
        }
    }
}
