//! The same bits from an array wherever its elements lie in memory, for every type of element.

#[path = "../../kernels/tests/support/mod.rs"]
mod support;

use ndarray::{ArrayD, ArrayViewD, Axis, IxDyn, Slice};
use nll_calls::{
    Elements, Entries, Gradient, Hessian, Loss, Options, Outputs, Quantity, RowLosses, log_softmax,
    log_sum_exp,
};
use nll_kernels::data::array::Array;
use nll_kernels::data::drive::{Exec, Par, Team};
use nll_kernels::data::out::Out;
use nll_kernels::data::per_class::PerClass;
use nll_kernels::data::targets::{Counted, Targets};
use nll_kernels::data::totals::Totaled;
use nll_kernels::{Error, Level};
use support::Numbers;

/// What views are taken of: an array, one of its rows, and one class of all its rows.
struct Base<T> {
    all: ArrayD<T>,
    row: ArrayD<T>,
    class: ArrayD<T>,
}

impl<T: Copy> Base<T> {
    fn new(shape: &[usize], next: impl FnMut() -> T) -> Self {
        let all = ArrayD::from_shape_simple_fn(shape, next);
        let row = all.index_axis(Axis(0), 1).to_owned();
        let class = all.slice_axis(last(&all), Slice::new(1, Some(2), 1)).to_owned();
        Base { all, row, class }
    }

    /// The ways in which the elements of a view may lie in memory, by name.
    fn views(&self) -> Vec<(&'static str, ArrayViewD<'_, T>)> {
        let Base { all, row, class } = self;
        let cut = |axis, start, end, step| all.slice_axis(axis, Slice::new(start, end, step));
        let mut backwards = all.view();
        (0..all.ndim()).for_each(|axis| backwards.invert_axis(Axis(axis)));
        let mut views = vec![
            ("in C order", all.view()),
            ("in Fortran order", all.view().reversed_axes()),
            ("backwards", backwards),
            ("every second class", cut(last(all), 0, None, 2)),
            ("every second class, backwards", cut(last(all), 0, None, -2)),
            ("every third row", cut(Axis(0), 0, None, 3)),
            ("all classes but the last", cut(last(all), 0, Some(-1), 1)),
            ("one class", cut(last(all), 2, Some(3), 1)),
            ("the first row alone", all.index_axis(Axis(0), 0)),
            ("one row for all", row.broadcast(all.shape()).expect("it fits")),
            ("one class for all", class.broadcast(all.shape()).expect("it fits")),
        ];
        if all.ndim() == 3 {
            views.extend([
                ("axes 1, 0, 2", all.view().permuted_axes(IxDyn(&[1, 0, 2]))),
                ("axes 2, 0, 1", all.view().permuted_axes(IxDyn(&[2, 0, 1]))),
                ("a part of the middle axis", cut(Axis(1), 1, None, 1)),
            ]);
        }
        views
    }
}

fn last<T>(array: &ArrayD<T>) -> Axis {
    Axis(array.ndim() - 1)
}

/// The elements of a view in C order, without gaps.
fn copied<T: Clone>(view: &ArrayViewD<'_, T>) -> ArrayD<T> {
    ArrayD::from_shape_vec(view.shape(), view.iter().cloned().collect()).expect("as many")
}

/// The bits of the `count` results that `call` writes, as float64 if `double`.
fn bits(double: bool, count: usize, call: impl FnOnce(Out<'_>) -> Result<(), Error>) -> Vec<u64> {
    let (mut singles, mut doubles) = (vec![0.0; count], vec![0.0; count]);
    let out = if double { Out::F64(&mut doubles) } else { Out::F32(&mut singles) };
    call(out).expect("inputs without errors");
    match double {
        true => doubles.into_iter().map(f64::to_bits).collect(),
        false => singles.into_iter().map(|x: f32| x.to_bits().into()).collect(),
    }
}

/// The values, first and second derivatives of the binary cross entropy, in C order, and the total.
/// Every column has its own weight of positive labels.
fn binary<T>(
    exec: Exec<'_>,
    array: Wrap<T>,
    inputs: [&ArrayViewD<'_, T>; 3],
    c_order: bool,
) -> [Vec<u64>; 4] {
    let [logits, target, pos_weight] = inputs.map(|x| array(x.view()));
    let loss = Loss::BinaryWithLogits { logits, target, pos_weight, validate: false };
    let (hess, wrt) = (Some(Hessian::Exact), vec!["logits".into()]);
    let options = Options { hess, wrt, c_order, ..Options::default() };
    let elements = Elements::new(loss, options).expect("shapes that fit");
    let lengths: Vec<_> = elements.order().iter().map(|&axis| elements.shape()[axis]).collect();
    // The way back from the order of the visit.
    let mut axes = vec![0; lengths.len()];
    elements.order().iter().enumerate().for_each(|(k, &axis)| axes[axis] = k);
    let mut total = vec![];
    let mut result = |which: usize| {
        let results = bits(elements.is_double(), lengths.iter().product(), |out| {
            let mut outs = [Out::Nothing, Out::Nothing, Out::Nothing];
            outs[which] = out;
            let [value, hessian, gradient] = outs;
            let derivatives = vec![hessian, gradient];
            let (mean, totaled) = (false, Totaled::Sum);
            let outputs = Outputs { value, derivatives, mean, totaled };
            total = vec![elements.run(exec, outputs)?.sum.value().to_bits()];
            Ok(())
        });
        let results = ArrayD::from_shape_vec(&lengths[..], results).expect("as many");
        results.permuted_axes(IxDyn(&axes)).iter().copied().collect()
    };
    let [value, hessian, gradient] = [0, 1, 2].map(&mut result);
    [value, hessian, gradient, total]
}

/// The results of all functions of rows, by name.
fn of_rows(exec: Exec<'_>, x: &Array<'_>, y: &Array<'_>) -> [(&'static str, Vec<u64>); 8] {
    let (&classes, shape) = x.shape().split_last().expect("a class axis");
    let (count, double) = (shape.iter().product(), x.is_double() == Some(true));
    let target: Vec<_> = (0..count).map(|row| (row * 7 % (classes + 1)) as i64).collect();
    let weight: Vec<_> = (0..classes).map(|class| (class % 3) as f64).collect();
    // Class `classes` does not exist: its rows do not count.
    let (ignore_index, weight) = (Some(classes as i64), Some(&weight[..]));
    let targets =
        Targets { target: &target, first: 0, shape, ignore_index, weight, row_weight: None };
    let label_smoothing = 0.1;
    let losses = |entries, out: Out<'_>| {
        let (negate, totaled) = (false, Totaled::Sum);
        RowLosses { rows: x, entries, targets, negate, totaled, is_new: false }
            .run(exec, out)
            .map(drop)
    };
    let quantity = |quantity: Quantity<'_>| {
        bits(double, count, |out| {
            quantity.run(exec, Counted::default(), Totaled::Sum, out).map(drop)
        })
    };
    let (mean, hess, totaled) = (true, None, Totaled::Nothing);
    let gradient = Gradient { logits: x, targets, label_smoothing, mean, hess, totaled };
    let all = count * classes;
    let logits = Entries::Logits { label_smoothing };
    [
        ("cross entropy", bits(double, count, |out| losses(logits, out))),
        ("gathered entries", bits(double, count, |out| losses(Entries::LogProbabilities, out))),
        (
            "gradient",
            bits(double, all, |out| {
                let [slopes, curves] =
                    [out, Out::Nothing].map(|out| PerClass::new(out, classes, None));
                gradient.run(exec, (slopes, curves, Out::Nothing)).map(drop)
            }),
        ),
        ("log sum exp", bits(double, count, |out| log_sum_exp(exec, x, out))),
        (
            "log softmax",
            bits(double, all, |out| log_softmax(exec, x, PerClass::new(out, classes, None))),
        ),
        ("entropy", quantity(Quantity::Entropy { logits: x })),
        (
            "soft targets",
            quantity(Quantity::SoftTarget { logits: x, target: y, weight, label_smoothing }),
        ),
        ("divergence", quantity(Quantity::Divergence { p_logits: x, q_logits: y })),
    ]
}

/// An array of elements of one type.
type Wrap<T> = for<'a> fn(ArrayViewD<'a, T>) -> Array<'a>;

/// Compares the calls for every view with the same calls for copies in C order; calls of rows only
/// for `floats`.
fn check<T: Copy>(name: &str, floats: bool, number: fn(u32) -> T, array: Wrap<T>) {
    let levels = Level::available();
    let widest = &levels[levels.len() - 1..];
    // More rows than are read together; more classes than a block has, in several tasks; three
    // axes; more rows than a tile has, of more classes than are read side by side.
    let shapes = [
        (&[19, 70][..], &levels[..]),
        (&[8, 2100], widest),
        (&[3, 5, 40], &levels),
        (&[200, 130], widest),
    ];
    for (shape, levels) in shapes {
        let mut numbers = Numbers(1);
        let [x, y] = [(); 2].map(|()| Base::new(shape, || number(numbers.next())));
        let weights = ArrayD::from_shape_simple_fn(&[2100 * 3][..], || number(numbers.next()));
        for ((view, x), (_, y)) in x.views().into_iter().zip(y.views()) {
            // Every third weight.
            let classes = x.shape()[x.ndim() - 1] as isize;
            let weight = weights.slice_axis(Axis(0), Slice::new(0, Some(3 * classes), 3));
            let copies = [&x, &y, &weight].map(copied);
            let [x_copy, y_copy, weight_copy] = copies.each_ref().map(|copy| copy.view());
            for &level in levels {
                let what = format!("{name}, {shape:?}, {view}, {}", level.name());
                let team = Team { helpers: None, interrupted: &|| false };
                let here = Exec { level, par: Par::Here };
                let in_tasks = Exec { level, par: Par::Team(team) };
                let call = |exec, x: &ArrayViewD<'_, T>, y: &ArrayViewD<'_, T>| {
                    of_rows(exec, &array(x.view()), &array(y.view()))
                };
                let want = binary(here, array, [&x_copy, &y_copy, &weight_copy], true);
                let want_rows = floats.then(|| call(here, &x_copy, &y_copy));
                for (x, y) in [(&x, &y), (&x, &y_copy), (&x_copy, &y)] {
                    for c_order in [true, false] {
                        let found = binary(in_tasks, array, [x, y, &weight], c_order);
                        assert!(found == want, "binary cross entropy: {what}");
                    }
                    let Some(want) = &want_rows else { continue };
                    for ((function, found), (_, want)) in call(in_tasks, x, y).iter().zip(want) {
                        assert!(found == want, "{function}: {what}");
                    }
                }
            }
        }
    }
}

#[test]
fn float32() {
    check("float32", true, |x| x as f32 / 1_000_000.0 - 8.0, |view| Array::F32(view.into()));
}

#[test]
fn float64() {
    check("float64", true, |x| f64::from(x) / 1e6 - 8.0, |view| Array::F64(view.into()));
}

/// Bits of numbers between 2^-5 and 2^4, of either sign, in the format of half precision with
/// `fraction_bits` bits of fraction and an exponent that is stored with `bias` added.
fn half(x: u32, fraction_bits: u32, bias: u32) -> u16 {
    let (exponent, fraction) = (bias - 5 + (x >> 12) % 9, x % (1 << fraction_bits));
    ((x >> 23) << 15 | exponent << fraction_bits | fraction) as u16
}

#[test]
fn float16() {
    check("float16", true, |x| half(x, 10, 15), |view| Array::F16(view.into()));
}

#[test]
fn bfloat16() {
    check("bfloat16", true, |x| half(x, 7, 127), |view| Array::BF16(view.into()));
}

#[test]
fn uint8() {
    check("uint8", false, |x| (x >> 16) as u8, |view| Array::U8(view.into()));
}

#[test]
fn int32() {
    check("int32", false, |x| (x >> 18) as i32 - 32, |view| Array::I32(view.into()));
}

#[test]
fn int64() {
    check("int64", false, |x| i64::from(x >> 18) - 32, |view| Array::I64(view.into()));
}
