//! Losses of single observations: shapes, precision, memory order and formula are settled here; then the
//! elements [`Stream`] through memory.

use crate::Error;
use crate::call::loss::{Argument, Clamp, Limit, Loss, Shapes, Spread};
use crate::call::stream::{Outside, Results, Stream, ValueOnly, WithDerivatives};
use crate::data::array::Array;
use crate::data::drive::{self, Exec};
use crate::data::out::Out;
use crate::data::totals::Totals;
use crate::error::{listed, shown};
use crate::math::bernoulli::{
    Bernoulli, BernoulliLogit, LogSigmoid, Softplus, WeightedBernoulliLogit,
};
use crate::math::density::{Density, Derivatives};
use crate::math::entropy::{Entropy, KlDiv, KlDivLog, RelativeEntropy};
use crate::math::gaussian::{Gaussian, GaussianLogVar, GaussianSigma, SquaredError};
use crate::math::poisson::{Poisson, PoissonLog};
use crate::math::preference::{BradleyTerry, Preference};
use nll_simd::Real;
use std::marker::PhantomData;

/// A loss of single observations whose shapes fit together.
pub struct Elements<'a> {
    loss: Loss<'a>,
    weight: Option<Array<'a>>,
    shape: Vec<usize>,
    /// The axes in the order in which the elements are visited.
    order: Vec<usize>,
    double: bool,
}

/// Where the results of a loss go, and which are wanted.
pub struct Outputs<'o> {
    /// The losses.
    pub value: Out<'o>,
    /// The first derivatives by the first input.
    pub gradient: Out<'o>,
    /// The second derivatives by the first input, …
    pub hessian: Out<'o>,
    /// … or their upper bounds over all first inputs.
    pub upper: bool,
    /// Whether the derivatives are those of the mean: each is divided by the number of elements.
    pub mean: bool,
    /// Whether the totals are wanted.
    pub total: bool,
}

impl<'a> Elements<'a> {
    /// Checks options and shapes. The elements are visited in the memory order of the largest array,
    /// unless `c_order` says that the outputs are there already, in C order.
    pub fn new(loss: Loss<'a>, weight: Option<Array<'a>>, c_order: bool) -> Result<Self, Error> {
        loss.check()?;
        let loss = loss.with_variance();
        let mut arguments = loss.arguments();
        let equal = match loss.shapes() {
            Shapes::Equal(n) => n.min(arguments.len()),
            Shapes::Broadcast => arguments.len(),
        };
        let shape = match loss.shapes() {
            Shapes::Equal(_) => equal_shape(&arguments[..equal])?,
            Shapes::Broadcast => broadcast_shape(&arguments)?,
        };
        let arrays: Vec<_> = arguments.iter().map(|argument| argument.array).collect();
        let any = |double| arrays.iter().any(|array| array.is_double() == Some(double));
        let double = loss.is_always_double() || any(true) || !any(false);
        if let Some(array) = &weight {
            arguments.push(Argument { name: "weight", array, limit: None });
        }
        for Argument { name, array, .. } in &arguments[equal..] {
            if !array.is_scalar() && !broadcasts(array.shape(), &shape) {
                let (given, needed) = (shown(array.shape()), shown(&shape));
                let sentence =
                    format!("{name} has shape {given}, which does not broadcast to {needed}");
                return Err(Error::Shapes(sentence));
            }
        }
        let scattered = arguments.iter().any(|argument| !argument.array.is_flat());
        let whole = arguments.iter().find(|argument| argument.array.shape() == shape);
        let order = match whole {
            Some(whole) if scattered && !c_order => whole.array.memory_order(),
            _ => (0..shape.len()).collect(),
        };
        Ok(Elements { shape, order, double, weight, loss })
    }

    /// The shape of the results.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The axes in the order in which results are written: the k-th axis of an output is axis
    /// `order()[k]` of the shape.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// Whether the loss is computed in float64: where an array is, where all are integers or numbers,
    /// and always for preferences.
    pub fn is_double(&self) -> bool {
        self.double
    }

    /// Computes what is wanted. Elements beyond their limits are looked for beside the computation: where
    /// that is an error, outputs have been written.
    pub fn run(&self, exec: Exec<'_>, out: Outputs<'_>) -> Result<Totals, Error> {
        let call = Call { of: self, exec };
        match &self.loss {
            Loss::Softplus { .. } => call.values(Softplus, out),
            Loss::LogSigmoid { .. } => call.values(LogSigmoid, out),
            Loss::BinaryWithLogits { pos_weight: Array::Scalar(1.0), .. } => {
                call.derivatives(BernoulliLogit, out)
            }
            Loss::BinaryWithLogits { .. } => call.derivatives(WeightedBernoulliLogit, out),
            Loss::Binary { probs, clamp, .. } => match clamp {
                Clamp::Torch => call.values(Bernoulli::<false> { floor: -100.0, margin: 0.0 }, out),
                Clamp::Never => {
                    call.values(Bernoulli::<false> { floor: f64::NEG_INFINITY, margin: 0.0 }, out)
                }
                Clamp::Epsilon => {
                    let (floor, margin) = (f64::NEG_INFINITY, probs.epsilon());
                    call.values(Bernoulli::<true> { floor, margin }, out)
                }
            },
            Loss::Gaussian { spread, eps, full, .. } => {
                let eps = *eps;
                let constant = if *full { HALF_LOG_TWO_PI } else { 0.0 };
                let normal = eps >= f64::from(f32::MIN_POSITIVE);
                match spread {
                    Spread::LogVariance(_) => call.derivatives(GaussianLogVar { constant }, out),
                    Spread::Sigma(_) => call.derivatives(GaussianSigma { eps, constant }, out),
                    Spread::Variance(_) if normal => {
                        call.derivatives(Gaussian::<true> { eps, constant }, out)
                    }
                    Spread::Variance(_) => {
                        call.derivatives(Gaussian::<false> { eps, constant }, out)
                    }
                }
            }
            Loss::SquaredError { .. } => call.derivatives(SquaredError, out),
            Loss::Poisson { log_input, full, eps, .. } => {
                let eps = *eps;
                if out.upper {
                    let sentence = "hess='upper': the second derivative of the Poisson loss has no \
                                    upper bound; use 'exact'";
                    return Err(Error::Choice(sentence.into()));
                }
                match (log_input, full) {
                    (true, false) => call.derivatives(PoissonLog::<false>, out),
                    (true, true) => call.derivatives(PoissonLog::<true>, out),
                    (false, false) => call.derivatives(Poisson::<false> { eps }, out),
                    (false, true) => call.derivatives(Poisson::<true> { eps }, out),
                }
            }
            Loss::BradleyTerry { margin: Array::Scalar(0.0), .. } => {
                call.derivatives(BradleyTerry::<false>, out)
            }
            Loss::BradleyTerry { .. } => call.derivatives(BradleyTerry::<true>, out),
            Loss::Preference { options, .. } => call.double_values(Preference::from(*options), out),
            Loss::Entropy { .. } => call.values(Entropy, out),
            Loss::RelativeEntropy { .. } => call.values(RelativeEntropy, out),
            Loss::KlDiv { log_target: true, .. } => call.values(KlDivLog, out),
            Loss::KlDiv { .. } => call.values(KlDiv, out),
        }
    }

    /// The array broadcast to the shape, in the order of the visit; None if it is that already.
    fn view<'v>(&self, array: &'v Array<'_>) -> Option<Array<'v>> {
        let straight = self.order.iter().enumerate().all(|(k, &axis)| k == axis);
        let as_it_is = array.is_scalar() || (straight && array.shape() == &self.shape[..]);
        if as_it_is { None } else { array.broadcast(&self.shape, &self.order) }
    }

    /// The index in the shape of an element, counted in the order of the visit.
    fn index(&self, mut element: usize) -> Vec<usize> {
        let mut index = vec![0; self.shape.len()];
        for &axis in self.order.iter().rev() {
            index[axis] = element % self.shape[axis];
            element /= self.shape[axis];
        }
        index
    }
}

const HALF_LOG_TWO_PI: f64 = 0.918_938_533_204_672_7;

/// The one shape of all arrays; numbers go with any.
fn equal_shape(arguments: &[Argument<'_>]) -> Result<Vec<usize>, Error> {
    let arrays: Vec<_> = arguments.iter().filter(|a| !a.array.is_scalar()).collect();
    let Some(first) = arrays.first() else { return Ok(vec![]) };
    if arrays.iter().all(|a| a.array.shape() == first.array.shape()) {
        return Ok(first.array.shape().to_vec());
    }
    let shapes: Vec<_> =
        arrays.iter().map(|a| format!("{} of shape {}", a.name, shown(a.array.shape()))).collect();
    Err(Error::Shapes(format!(
        "{} differ; nothing is broadcast here: reshape one of them, or use np.broadcast_to",
        listed(&shapes)
    )))
}

/// The shape that all arrays broadcast to by NumPy's rules.
fn broadcast_shape(arguments: &[Argument<'_>]) -> Result<Vec<usize>, Error> {
    let axes = arguments.iter().map(|a| a.array.shape().len()).max().unwrap_or(0);
    let mut shape = vec![1; axes];
    for argument in arguments {
        let lengths = argument.array.shape();
        for (to, &length) in shape[axes - lengths.len()..].iter_mut().zip(lengths) {
            *to = if *to == 1 { length } else { *to };
        }
    }
    let fits = |a: &Argument<'_>| a.array.is_scalar() || broadcasts(a.array.shape(), &shape);
    if arguments.iter().all(fits) {
        return Ok(shape);
    }
    let shapes: Vec<_> = arguments
        .iter()
        .filter(|a| !a.array.is_scalar())
        .map(|a| format!("{} {}", a.name, shown(a.array.shape())))
        .collect();
    Err(Error::Shapes(format!("the shapes do not broadcast together: {}", shapes.join(", "))))
}

/// Whether an array of shape `from` broadcasts to `to` by NumPy's rules.
fn broadcasts(from: &[usize], to: &[usize]) -> bool {
    let extra = to.len().checked_sub(from.len());
    extra.is_some_and(|extra| from.iter().zip(&to[extra..]).all(|(a, b)| a == b || *a == 1))
}

/// A call whose formula is being chosen.
struct Call<'c, 'a> {
    of: &'c Elements<'a>,
    exec: Exec<'c>,
}

impl Call<'_, '_> {
    /// A loss without derivatives.
    fn values<const N: usize>(
        self,
        loss: impl Density<N>,
        out: Outputs<'_>,
    ) -> Result<Totals, Error> {
        match self.of.double {
            true => self.double_values(loss, out),
            false => self.run::<f32, _, N>(ValueOnly(loss), out),
        }
    }

    /// A loss without derivatives that is computed in float64.
    fn double_values<const N: usize>(
        self,
        loss: impl Density<N>,
        out: Outputs<'_>,
    ) -> Result<Totals, Error> {
        self.run::<f64, _, N>(ValueOnly(loss), out)
    }

    /// A loss with derivatives.
    fn derivatives<const N: usize>(
        self,
        loss: impl Derivatives<N>,
        out: Outputs<'_>,
    ) -> Result<Totals, Error> {
        let length = self.of.shape.iter().product::<usize>();
        let scale = if out.mean && length > 0 { 1.0 / length as f64 } else { 1.0 };
        let loss = WithDerivatives { loss, upper: out.upper, scale };
        match self.of.double {
            true => self.run::<f64, _, N>(loss, out),
            false => self.run::<f32, _, N>(loss, out),
        }
    }

    fn run<F: Real, L: Results<N>, const N: usize>(
        self,
        loss: L,
        out: Outputs<'_>,
    ) -> Result<Totals, Error> {
        let Elements { shape, weight, .. } = self.of;
        let arguments = self.of.loss.arguments();
        let views: [_; N] = core::array::from_fn(|k| self.of.view(arguments[k].array));
        let weight_view = weight.as_ref().and_then(|array| self.of.view(array));
        let limits = core::array::from_fn(|k| arguments[k].limit);
        let large = [&out.value, &out.gradient, &out.hessian].iter().any(|out| out.is_large());
        let work = Stream {
            loss,
            inputs: core::array::from_fn(|k| views[k].as_ref().unwrap_or(arguments[k].array)),
            weight: weight_view.as_ref().or(weight.as_ref()),
            limits,
            length: shape.iter().product(),
            total: out.total,
            large,
            real: PhantomData::<F>,
        };
        let found = drive::run(self.exec, &work, [out.value, out.gradient, out.hessian])?;
        match found.outside {
            None => Ok(found.totals),
            Some(Outside { element, input, value }) => Err(Error::Element {
                argument: arguments[input].name,
                value,
                index: self.of.index(element),
                advice: limits[input].map_or("", |limit: Limit| limit.advice),
            }),
        }
    }
}
