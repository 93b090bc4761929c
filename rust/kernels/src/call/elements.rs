//! Losses of single observations. Shapes, precision and memory order are settled here; a [`Stream`]
//! then computes the elements.

use crate::Error;
use crate::call::evaluation::{Evaluation, Outside};
use crate::call::formula::Formula;
use crate::call::loss::{Argument, Hessian, Loss, Shapes, Visitor};
use crate::call::stream::Stream;
use crate::data::array::Array;
use crate::data::drive::{self, Exec};
use crate::data::out::Out;
use crate::data::totals::Totals;
use crate::error::{listed, shown};
use nll_simd::Real;

/// A loss of single observations whose options and shapes have been checked.
pub struct Elements<'a> {
    loss: Loss<'a>,
    weight: Option<Array<'a>>,
    plan: Plan,
}

/// The shape of a call, and how it is computed.
struct Plan {
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
    /// The second derivatives by the first input, as `hess` says.
    pub hessian: Out<'o>,
    /// Whether the second derivatives or their upper bounds are wanted.
    pub hess: Option<Hessian>,
    /// Whether the derivatives are those of the mean: each is divided by the number of elements.
    pub mean: bool,
    /// Whether the totals are wanted.
    pub total: bool,
}

impl<'a> Elements<'a> {
    /// Checks options and shapes. The elements are visited in C order if the outputs exist already
    /// (`c_order`) or all arrays are in C order; else in the memory order of the first array that
    /// has the shape of the results.
    pub fn new(loss: Loss<'a>, weight: Option<Array<'a>>, c_order: bool) -> Result<Self, Error> {
        loss.check(None)?;
        let loss = loss.with_variance();
        let plan = loss.visit(Planner { weight: weight.as_ref(), c_order })?;
        Ok(Elements { loss, weight, plan })
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

    /// True (float64) if an array is float64, if no array holds floats, and for preferences.
    pub fn is_double(&self) -> bool {
        self.plan.double
    }

    /// Computes the wanted outputs. Limits are checked in the same pass, so the outputs have been
    /// written when this returns the error of an element beyond its limit.
    pub fn run(&self, exec: Exec<'_>, out: Outputs<'_>) -> Result<Totals, Error> {
        self.loss.check(out.hess)?;
        self.loss.visit(Runner { plan: &self.plan, weight: self.weight.as_ref(), exec, out })
    }
}

impl Plan {
    /// The array broadcast to the shape of the results, in the order of the visit; None if it
    /// already has both.
    fn view<'v>(&self, array: &'v Array<'_>) -> Option<Array<'v>> {
        let as_it_is =
            array.is_scalar() || (self.order.is_sorted() && array.shape() == &self.shape[..]);
        if as_it_is { None } else { array.broadcast(&self.shape, &self.order) }
    }

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
    weight: Option<&'p Array<'p>>,
    c_order: bool,
}

impl Planner<'_> {
    fn plan(
        self,
        shapes: Shapes,
        arguments: &[Argument<'_>],
        always_double: bool,
    ) -> Result<Plan, Error> {
        let (shape, equal) = match shapes {
            Shapes::Equal(n) => (equal_shape(&arguments[..n])?, n),
            Shapes::Broadcast => (broadcast_shape(arguments)?, arguments.len()),
        };
        let any = |double| arguments.iter().any(|a| a.array.is_double() == Some(double));
        let double = always_double || any(true) || !any(false);
        let weight = self.weight.map(|array| Argument { name: "weight", array, limit: None });
        for Argument { name, array, .. } in arguments[equal..].iter().chain(&weight) {
            if !array.is_scalar() && !broadcasts(array.shape(), &shape) {
                let (given, needed) = (shown(array.shape()), shown(&shape));
                let sentence =
                    format!("{name} has shape {given}, which does not broadcast to {needed}");
                return Err(Error::Shapes(sentence));
            }
        }
        let mut all = arguments.iter().chain(&weight);
        let scattered = !self.c_order && all.clone().any(|a| !a.array.is_flat());
        let order = match all.find(|a| scattered && a.array.shape() == shape) {
            Some(whole) => whole.array.memory_order(),
            None => (0..shape.len()).collect(),
        };
        Ok(Plan { shape, order, double })
    }
}

impl Visitor for Planner<'_> {
    type Output = Result<Plan, Error>;

    fn visit<const N: usize>(
        self,
        shapes: Shapes,
        arguments: [Argument<'_>; N],
        formula: impl Formula<N>,
    ) -> Self::Output {
        self.plan(shapes, &arguments, is_always_double(formula))
    }
}

/// Runs a loss by its plan.
struct Runner<'r> {
    plan: &'r Plan,
    weight: Option<&'r Array<'r>>,
    exec: Exec<'r>,
    out: Outputs<'r>,
}

impl Runner<'_> {
    fn run<F: Real, L: Formula<N>, const N: usize>(
        self,
        arguments: [Argument<'_>; N],
        loss: L,
    ) -> Result<Totals, Error> {
        let Runner { plan, weight, out, .. } = self;
        let views = arguments.map(|argument| plan.view(argument.array));
        let weight_view = weight.and_then(|array| plan.view(array));
        let limits = arguments.map(|argument| argument.limit);
        let length = plan.shape.iter().product();
        let loss = Evaluation {
            loss,
            limits,
            upper: out.hess == Some(Hessian::Upper),
            scale: if out.mean && length > 0 { 1.0 / length as f64 } else { 1.0 },
        };
        let work = Stream::<F, N> {
            loss: &loss,
            inputs: core::array::from_fn(|k| views[k].as_ref().unwrap_or(arguments[k].array)),
            weight: weight_view.as_ref().or(weight),
            length,
            total: out.total,
            large: [&out.value, &out.gradient, &out.hessian].iter().any(|out| out.is_large()),
            level: self.exec.level,
        };
        let found = drive::run(self.exec, &work, [out.value, out.gradient, out.hessian])?;
        match found.outside {
            None => Ok(found.totals),
            Some(Outside { element, input, value }) => Err(Error::Element {
                argument: arguments[input].name,
                value,
                index: plan.index(element),
                advice: limits[input].map_or("", |limit| limit.advice),
            }),
        }
    }
}

impl Visitor for Runner<'_> {
    type Output = Result<Totals, Error>;

    fn visit<const N: usize>(
        self,
        _: Shapes,
        arguments: [Argument<'_>; N],
        formula: impl Formula<N>,
    ) -> Self::Output {
        if is_always_double(formula) || self.plan.double {
            self.run::<f64, _, N>(arguments, formula)
        } else {
            self.run::<f32, _, N>(arguments, formula)
        }
    }
}

fn is_always_double<L: Formula<N>, const N: usize>(_: L) -> bool {
    L::ALWAYS_DOUBLE
}

/// The shape that all arrays have; a number goes with any shape.
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
