//! The same bits on every CPU with fused multiply-add, as one golden number for each function.
//!
//! The numbers were computed on AVX-512, those of "..., gradient" on AVX2. A change of one is a change
//! of results and belongs in the release notes. Each is a hash of results whose inputs depend on the
//! function's name and on nothing else, so a new function is a new line and leaves the other numbers as
//! they are.

#[path = "../../kernels/tests/support/mod.rs"]
mod support;

use ndarray::ArrayD;
use nll_calls::{
    Clamp, Elements, Entries, Factorial, Gradient, Hessian, Loss, Options, Outputs, PoissonOptions,
    PreferenceOptions, Quantity, Rate, RowLosses, Slopes, Spread, log_softmax, log_sum_exp,
};
use nll_kernels::data::array::Array;
use nll_kernels::data::drive::{Exec, Par};
use nll_kernels::data::out::Out;
use nll_kernels::data::per_class::PerClass;
use nll_kernels::data::targets::{Counted, Targets};
use nll_kernels::data::totals::{Totaled, Totals};
use nll_kernels::math::preference::PreferenceKind;
use nll_kernels::{Error, Level};
use support::{Hash, Numbers, fused_levels};

/// All results of a function, as f64.
type Results = Result<Vec<f64>, Error>;

/// A function's name, a call of it, and the golden numbers of float32 and of float64.
type Line = (&'static str, fn(&Inputs) -> Results, [u64; 2]);

const ELEMENTS: &[Line] = &[
    (
        "softplus",
        |i| i.values(Loss::Softplus { x: i.real("x").array() }),
        [0x74fd_d05d_697e_1246, 0x9637_ffbc_94ee_ff2b],
    ),
    (
        "log_sigmoid",
        |i| i.values(Loss::LogSigmoid { x: i.real("x").array() }),
        [0x95c4_8dce_63da_fc61, 0xd2c0_817e_623a_b25f],
    ),
    (
        "binary_cross_entropy_with_logits",
        |i| i.binary(Array::Scalar(1.0)),
        [0xcefc_62d9_7f7b_4ed5, 0x2c37_1871_f99f_1daa],
    ),
    (
        "binary_cross_entropy_with_logits, pos_weight",
        |i| i.binary(i.positive("w").array()),
        [0xaccd_e781_32fb_3255, 0xb33e_296f_8abf_ddce],
    ),
    (
        "binary_cross_entropy_with_logits, weight, mean",
        |i| i.weighted_mean(),
        [0xe780_ba94_3080_f05e, 0x5bbb_5eef_4db7_a398],
    ),
    (
        "binary_cross_entropy",
        |i| i.probs(i.label("y"), Clamp::Torch),
        [0x27c1_7259_5c10_bf28, 0x9f77_9511_5534_7b3f],
    ),
    (
        "binary_cross_entropy, soft labels",
        |i| i.probs(i.unit("y"), Clamp::Torch),
        [0xd9c4_b81b_36eb_6a50, 0x9bfb_153d_9b12_a230],
    ),
    (
        "binary_cross_entropy, clamp eps",
        |i| i.probs(i.unit("y"), Clamp::Epsilon),
        [0x9129_13bd_fc62_93e9, 0x3bdb_f76f_cdb7_31fb],
    ),
    (
        "binary_cross_entropy, no clamp",
        |i| i.probs(i.unit("y"), Clamp::Never),
        [0x4f0f_584a_3bc9_3bb3, 0xf68d_e77c_c6f8_792d],
    ),
    (
        "gaussian_nll_loss, var",
        |i| i.gaussian(Spread::Variance(i.positive("v").array()), 1e-6, true),
        [0xd50c_01df_9289_33c9, 0x6c1a_e793_a540_e266],
    ),
    (
        "gaussian_nll_loss, var, eps 0",
        |i| i.gaussian(Spread::Variance(i.positive("v").array()), 0.0, false),
        [0xa035_6e52_3c69_c490, 0x1087_5bf9_1a65_a4c1],
    ),
    (
        "gaussian_nll_loss, log_var",
        |i| i.gaussian(Spread::LogVariance(i.small("l").array()), 1e-6, false),
        [0xdcf6_c0c4_4492_138b, 0x9110_841b_9a99_54e0],
    ),
    (
        "gaussian_nll_loss, sigma",
        |i| i.gaussian(Spread::Sigma(i.positive("s").array()), 1e-6, true),
        [0xea3a_7bcb_bccc_4cbf, 0x50f4_1e5e_b81a_20aa],
    ),
    (
        "laplace_nll_loss",
        |i| i.laplace(i.positive("b"), false),
        [0xf298_764b_b2cd_448d, 0x7825_2dbf_45db_012a],
    ),
    (
        "laplace_nll_loss, log_scale",
        |i| i.laplace(i.small("l"), true),
        [0x3cff_f591_89e1_8d50, 0x6614_012c_ead6_e2bf],
    ),
    (
        "mse_loss",
        |i| {
            let (mean, target) = (i.real("mean"), i.small("target"));
            let (mean, target) = (mean.array(), target.array());
            i.derivatives(Loss::SquaredError { mean, target }, &["mean", "target"])
        },
        [0xf1a4_aa16_0936_fd2b, 0xb952_751d_ee73_c30b],
    ),
    (
        "poisson_nll_loss, log_input",
        |i| i.poisson(i.small("x"), Rate::Logarithm, Factorial::LeftOut),
        [0xf071_cdd1_62ea_fdee, 0xa34a_bd0f_46a6_e26f],
    ),
    (
        "poisson_nll_loss, log_input, full",
        |i| i.poisson(i.small("x"), Rate::Logarithm, Factorial::Stirling),
        [0xd16e_12bb_1ac4_a57a, 0x69da_f0ad_d03a_9655],
    ),
    (
        "poisson_nll_loss",
        |i| i.poisson(i.positive("x"), Rate::Given, Factorial::LeftOut),
        [0x7eab_50b6_911e_c513, 0x022a_47dd_2672_eca9],
    ),
    (
        "poisson_nll_loss, full",
        |i| i.poisson(i.positive("x"), Rate::Given, Factorial::Stirling),
        [0x28dd_3c07_8377_e376, 0xae04_037b_450c_48f4],
    ),
    (
        "poisson_nll_loss, exact",
        |i| i.poisson(i.small("x"), Rate::Logarithm, Factorial::Exact),
        [0xe3e3_648a_3e85_ec2f, 0x40c3_3fd5_7afc_9f40],
    ),
    (
        "poisson_nll_loss, log_offset",
        |i| i.poisson(i.small("x"), Rate::Offset(i.small("o").array()), Factorial::LeftOut),
        [0x7700_c1ad_8633_a947, 0x6111_e7dc_b54a_9dc3],
    ),
    (
        "bradley_terry_loss",
        |i| i.bradley_terry(Array::Scalar(0.0)),
        [0x08f7_78e7_d2c7_2719, 0x3368_2162_e5dc_c9ce],
    ),
    (
        "bradley_terry_loss, margin",
        |i| i.bradley_terry(i.unit("margin").array()),
        [0xaeae_7ca0_9603_8c5c, 0xccc7_9a90_a346_d02e],
    ),
    (
        "preference_loss, sigmoid",
        |i| i.preference(PreferenceKind::Sigmoid),
        [0xabb5_1832_8f50_c928, 0x7b84_6645_a905_2556],
    ),
    (
        "preference_loss, robust",
        |i| i.preference(PreferenceKind::Robust),
        [0x34ea_fa75_a7d4_fae3, 0xca6b_323d_41b1_e972],
    ),
    (
        "preference_loss, hinge",
        |i| i.preference(PreferenceKind::Hinge),
        [0x472e_cd60_73db_47bc, 0x196f_0931_8a5d_c0d8],
    ),
    (
        "preference_loss, ipo",
        |i| i.preference(PreferenceKind::Ipo),
        [0x7f3d_7430_7882_878f, 0xb712_d618_f650_fae7],
    ),
    (
        "preference_loss, exo_pair",
        |i| i.preference(PreferenceKind::ExoPair),
        [0xd005_7394_7159_81bb, 0x1431_cee0_d28a_57f5],
    ),
    (
        "preference_loss, nca_pair",
        |i| i.preference(PreferenceKind::NcaPair),
        [0x5679_0b1e_3d4d_b31b, 0x75e6_47d9_82c7_9a35],
    ),
    (
        "preference_loss, bco_pair",
        |i| i.preference(PreferenceKind::BcoPair),
        [0xeb1d_aae5_a792_e307, 0x04f5_d899_6344_4556],
    ),
    (
        "preference_loss, kto_pair",
        |i| i.preference(PreferenceKind::KtoPair),
        [0x64ca_71f3_ecb6_7f94, 0x3469_7527_db23_b5b4],
    ),
    (
        "preference_loss, sppo_hard",
        |i| i.preference(PreferenceKind::SppoHard),
        [0x70de_5876_3532_82cf, 0x4f35_a19b_e6d3_31f3],
    ),
    (
        "preference_loss, apo_zero",
        |i| i.preference(PreferenceKind::ApoZero),
        [0x87e7_1343_0d80_d4f0, 0xb65f_acde_84b9_6e6f],
    ),
    (
        "preference_loss, apo_down",
        |i| i.preference(PreferenceKind::ApoDown),
        [0xb401_fbcf_5106_cd95, 0x3231_b497_71fe_3a2f],
    ),
    (
        "entr",
        |i| i.values(Loss::Entropy { p: i.unit("p").array() }),
        [0x81ff_3d11_a1cd_5f7b, 0xccce_6d5a_45d4_5c92],
    ),
    (
        "rel_entr",
        |i| {
            let (p, q) = (i.unit("p"), i.unit("q"));
            i.values(Loss::RelativeEntropy { p: p.array(), q: q.array() })
        },
        [0xf5cf_1341_e2ce_be6a, 0x7e5a_3b4a_ed90_ca4c],
    ),
    (
        "kl_div",
        |i| i.kl_div(i.unit("target"), false),
        [0x5e1b_22d4_e1ec_5eea, 0x3664_f9ae_7ff5_f672],
    ),
    (
        "kl_div, log_target",
        |i| i.kl_div(i.small("target"), true),
        [0xc3d3_bbd8_aced_fea0, 0xf250_d6de_d4d1_fc23],
    ),
];

/// Run with rows of each of [`WIDTHS`] classes.
const ROWS: &[Line] = &[
    ("cross_entropy", |i| i.losses(LOGITS, false), [0xab72_61b2_1b97_e236, 0x905f_c1df_d6e0_e53d]),
    (
        "cross_entropy, label_smoothing",
        |i| i.losses(SMOOTHED, false),
        [0x061b_deb9_43c5_ee41, 0xc5a1_f0f6_a4e9_ecbc],
    ),
    (
        "cross_entropy, weight",
        |i| i.losses(LOGITS, true),
        [0xa6cc_bfea_c90b_0d9f, 0x2d45_bb58_7f19_3556],
    ),
    (
        "cross_entropy, label_smoothing, weight",
        |i| i.losses(SMOOTHED, true),
        [0x7089_70f6_5d85_693e, 0xe417_5297_56a3_0139],
    ),
    (
        "nll_loss",
        |i| i.losses(Entries::LogProbabilities, true),
        [0xa02e_6dc2_ccd0_b691, 0xa3b3_ce53_503e_8c7f],
    ),
    (
        "nll_of_probs",
        |i| i.losses(Entries::Probabilities { clip: false }, true),
        [0xf15f_7da1_0d88_f154, 0xd692_1300_6877_dc2b],
    ),
    (
        "cross_entropy_grad",
        |i| i.gradient(0.0, false),
        [0x098e_2d88_cef7_cd25, 0x3441_5b6a_b7ea_e602],
    ),
    (
        "cross_entropy_grad, label_smoothing",
        |i| i.gradient(0.1, false),
        [0x2c25_42cc_b523_e51a, 0x691f_0e8e_3b2a_4957],
    ),
    (
        "cross_entropy_grad, label_smoothing, weight",
        |i| i.gradient(0.1, true),
        [0x0201_74ac_7dc3_7322, 0x987b_22f5_a46a_35e4],
    ),
    (
        "logsumexp",
        |i| i.results(ROW_COUNT, |out| log_sum_exp(i.exec, &i.logits("x").array(), out)),
        [0xb128_38f6_49b4_ebbf, 0x1c61_6b71_c7c6_8e6a],
    ),
    (
        "logsumexp, b",
        |i| {
            let (logits, factor) = (&i.logits("x"), &i.unit("b"));
            i.quantity(Quantity::WeightedSum { logits: &logits.array(), factor: &factor.array() })
        },
        [0xc1b1_8eb8_ae8b_6ec6, 0x2ed2_67b0_3968_e607],
    ),
    (
        "log_softmax",
        |i| {
            i.results(i.length(), |out| {
                log_softmax(i.exec, &i.logits("x").array(), PerClass::new(out, i.classes(), None))
            })
        },
        [0x6855_3ac0_c395_4968, 0xec35_0d85_4b59_bbb1],
    ),
    (
        "entropy",
        |i| i.quantity(Quantity::Entropy { logits: &i.logits("x").array() }),
        [0x0fef_065d_03af_c563, 0x72a5_8d09_4572_1857],
    ),
    (
        "soft cross_entropy",
        |i| i.soft_target(0.0, false),
        [0x90c9_b641_6af8_19d7, 0xce3e_6f39_dc51_9419],
    ),
    (
        "soft cross_entropy, label_smoothing, weight",
        |i| i.soft_target(0.1, true),
        [0x9861_a3b6_2b72_e1f6, 0x5143_3953_777d_646f],
    ),
    (
        "soft categorical_nll",
        |i| {
            let [p, y] = ["p", "y"].map(|name| i.unit(name));
            let (probs, target, weight) = (&p.array(), &y.array(), i.weight());
            let weight = Some(&weight[..]);
            i.quantity(Quantity::ExpectedLoss { probs, target, weight, clip: false })
        },
        [0x2846_f9c8_99e6_5d85, 0x452c_860b_86d9_c069],
    ),
    (
        "kl_divergence",
        |i| {
            let [p, q] = ["p", "q"].map(|name| i.logits(name));
            let (p_logits, q_logits) = (&p.array(), &q.array());
            i.quantity(Quantity::Divergence { p_logits, q_logits })
        },
        [0x8c8f_84a0_165b_c75e, 0x9394_153a_f944_7f92],
    ),
    (
        "entropy, gradient",
        |i| i.slopes(Quantity::Entropy { logits: &i.logits("x").array() }),
        [0x0d28_90d4_4b07_1a9b, 0xff51_be5a_dbd1_1b02],
    ),
    (
        "soft cross_entropy, gradient",
        |i| {
            let (logits, target) = (&i.logits("x"), &i.unit("y"));
            let (logits, target) = (&logits.array(), &target.array());
            let (weight, label_smoothing) = (None, 0.0);
            i.slopes(Quantity::SoftTarget { logits, target, weight, label_smoothing })
        },
        [0x8b9d_5b08_1fec_9a30, 0xd7e7_9401_e5e4_cb02],
    ),
    (
        "kl_divergence, gradient",
        |i| {
            let [p, q] = ["p", "q"].map(|name| i.logits(name));
            let (p_logits, q_logits) = (&p.array(), &q.array());
            i.slopes(Quantity::Divergence { p_logits, q_logits })
        },
        [0xf470_900a_89bd_8f4a, 0x5253_3c51_cfac_2c9d],
    ),
];

const LOGITS: Entries = Entries::Logits { label_smoothing: 0.0 };
const SMOOTHED: Entries = Entries::Logits { label_smoothing: 0.1 };
const ROW_COUNT: usize = 18;
const WIDTHS: [usize; 5] = [2, 31, 33, 300, 2100];

/// An array of either precision.
enum Data {
    Single(ArrayD<f32>),
    Double(ArrayD<f64>),
}

impl Data {
    fn array(&self) -> Array<'_> {
        match self {
            Data::Single(x) => Array::F32(x.view().into()),
            Data::Double(x) => Array::F64(x.view().into()),
        }
    }
}

/// Where the inputs of a function come from, and how it runs.
struct Inputs {
    exec: Exec<'static>,
    name: &'static str,
    double: bool,
    shape: Vec<usize>,
}

impl Inputs {
    fn length(&self) -> usize {
        self.shape.iter().product()
    }

    fn classes(&self) -> usize {
        self.shape[1]
    }

    /// Numbers between `low` and `high`, changed by `map`, of the argument with this name.
    fn numbers(&self, argument: &str, [low, high]: [f64; 2], map: fn(f64) -> f64) -> Data {
        let mut seed = Hash::new();
        self.name.bytes().chain(argument.bytes()).for_each(|byte| seed.add(byte.into()));
        let mut numbers = Numbers(seed.0 as u32);
        let mut next = || map(numbers.between(low, high));
        match self.double {
            false => Data::Single(ArrayD::from_shape_simple_fn(&self.shape[..], || next() as f32)),
            true => Data::Double(ArrayD::from_shape_simple_fn(&self.shape[..], next)),
        }
    }

    fn real(&self, argument: &str) -> Data {
        self.numbers(argument, [-60.0, 60.0], |x| x)
    }

    fn small(&self, argument: &str) -> Data {
        self.numbers(argument, [-9.0, 9.0], |x| x)
    }

    /// Squares, many of them small.
    fn positive(&self, argument: &str) -> Data {
        self.numbers(argument, [-9.0, 9.0], |x| x * x + 1e-9)
    }

    fn unit(&self, argument: &str) -> Data {
        self.numbers(argument, [1e-6, 1.0], |x| x)
    }

    /// Zeros and ones.
    fn label(&self, argument: &str) -> Data {
        self.numbers(argument, [0.0, 2.0], f64::floor)
    }

    fn count(&self, argument: &str) -> Data {
        self.numbers(argument, [0.0, 60.0], f64::floor)
    }

    fn logits(&self, argument: &str) -> Data {
        self.numbers(argument, [-20.0, 20.0], |x| x)
    }

    /// The `count` results that `call` writes.
    fn results(&self, count: usize, call: impl FnOnce(Out<'_>) -> Result<(), Error>) -> Results {
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
    fn with_totals(
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
    fn values(&self, loss: Loss<'_>) -> Results {
        let elements = Elements::new(loss, Options { c_order: true, ..Options::default() })?;
        self.with_totals(self.length(), |out| run(self.exec, &elements, (out, vec![]), false))
    }

    /// The values of a loss, its total, and its derivatives by these arguments.
    fn derivatives(&self, loss: Loss<'_>, wrt: &[&str]) -> Results {
        self.all_of(loss, Options { hess: Some(Hessian::Exact), ..Options::default() }, wrt)
    }

    /// The values, the total, and the derivatives by the arguments `wrt`; of weighted losses those of
    /// the mean.
    fn all_of(&self, loss: Loss<'_>, options: Options<'_>, wrt: &[&str]) -> Results {
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

    fn binary(&self, pos_weight: Array<'_>) -> Results {
        let (logits, target) = (self.real("logits"), self.unit("target"));
        let (logits, target) = (logits.array(), target.array());
        self.derivatives(
            Loss::BinaryWithLogits { logits, target, pos_weight, validate: false },
            &["logits", "target"],
        )
    }

    fn weighted_mean(&self) -> Results {
        let [logits, target] = [self.real("logits"), self.unit("target")];
        let (logits, target, pos_weight) = (logits.array(), target.array(), Array::Scalar(3.0));
        let loss = Loss::BinaryWithLogits { logits, target, pos_weight, validate: false };
        let weight = self.positive("weight");
        let (weight, hess) = (Some(weight.array()), Some(Hessian::Upper));
        self.all_of(loss, Options { weight, hess, ..Options::default() }, &["logits"])
    }

    fn probs(&self, target: Data, clamp: Clamp) -> Results {
        let (probs, target) = (&self.unit("probs"), &target);
        let (probs, target) = (probs.array(), target.array());
        self.values(Loss::Binary { probs, target, clamp, validate: true })
    }

    fn gaussian(&self, spread: Spread<'_>, eps: f64, full: bool) -> Results {
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

    fn laplace(&self, scale: Data, log_scale: bool) -> Results {
        let (mean, target, eps) = (&self.real("mean"), &self.small("target"), 1e-6);
        let (mean, target, scale) = (mean.array(), target.array(), scale.array());
        let wrt = ["mean", "target", if log_scale { "log_scale" } else { "scale" }];
        self.derivatives(Loss::Laplace { mean, target, scale, log_scale, eps }, &wrt)
    }

    fn poisson(&self, input: Data, rate: Rate<'_>, full: Factorial) -> Results {
        let (input, target, eps) = (&input, &self.count("target"), 1e-8);
        let (input, target) = (input.array(), target.array());
        let wrt = if full == Factorial::Exact { &["input"][..] } else { &["input", "target"] };
        let options = PoissonOptions { full, eps, validate: true };
        self.derivatives(Loss::Poisson { input, target, rate, options }, wrt)
    }

    fn bradley_terry(&self, margin: Array<'_>) -> Results {
        let (chosen, rejected) = (&self.real("chosen"), &self.small("rejected"));
        let (chosen, rejected) = (chosen.array(), rejected.array());
        let loss = Loss::BradleyTerry { chosen, rejected, margin };
        self.derivatives(loss, &["chosen", "rejected", "margin"])
    }

    fn preference(&self, kind: PreferenceKind) -> Results {
        let names = ["chosen", "rejected", "ref_chosen", "ref_rejected"];
        let log_probs = names.map(|name| self.numbers(name, [-60.0, 0.0], |x| x));
        let options =
            PreferenceOptions { kind, beta: 0.1, label_smoothing: 0.1, reference_point: 0.5 };
        let log_probs = log_probs.each_ref().map(Data::array);
        let loss = Loss::Preference { log_probs, options };
        self.all_of(loss, Options::default(), &["policy_chosen_logps", "ref_rejected_logps"])
    }

    fn kl_div(&self, target: Data, log_target: bool) -> Results {
        let (input, target) = (&self.small("input"), &target);
        self.values(Loss::KlDiv { input: input.array(), target: target.array(), log_target })
    }

    /// Calls `run` with targets of all rows, of which those of class 0 do not count.
    fn with_targets(&self, weighted: bool, run: impl FnOnce(Targets<'_>) -> Results) -> Results {
        let classes = self.classes();
        let target: Vec<_> = (0..ROW_COUNT).map(|row| (row * 7919 % classes) as i64).collect();
        let weight = self.weight();
        let weight = weighted.then_some(&weight[..]);
        let (target, shape) = (&target[..], &self.shape[..1]);
        run(Targets { target, first: 0, shape, ignore_index: Some(0), weight, row_weight: None })
    }

    /// A weight for each class, some of them 0.
    fn weight(&self) -> Vec<f64> {
        (0..self.classes()).map(|class| (class % 5) as f64 / 4.0).collect()
    }

    fn losses(&self, entries: Entries, weighted: bool) -> Results {
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

    fn gradient(&self, label_smoothing: f64, weighted: bool) -> Results {
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

    fn soft_target(&self, label_smoothing: f64, weighted: bool) -> Results {
        let (logits, target, weight) = (self.logits("x"), self.unit("y"), self.weight());
        let (logits, target) = (&logits.array(), &target.array());
        let weight = weighted.then_some(&weight[..]);
        self.quantity(Quantity::SoftTarget { logits, target, weight, label_smoothing })
    }

    fn quantity(&self, quantity: Quantity<'_>) -> Results {
        self.with_totals(ROW_COUNT, |out| {
            quantity.run(self.exec, Counted::default(), Totaled::Sum, out)
        })
    }

    /// The gradient of the sum of a quantity by the first logits, and that by the second ones of a
    /// divergence.
    fn slopes(&self, of: Quantity<'_>) -> Results {
        let call = Slopes { of, rows: Counted::default(), scale: 1.0 };
        let mut second = Vec::new();
        let mut results = self.results(self.length(), |first| {
            second = self.results(self.length(), |second| {
                let out = [first, second].map(|out| PerClass::new(out, self.classes(), None));
                call.run(self.exec, out)
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

/// The hash of the results for every shape.
fn hash(line: &Line, level: Level, double: bool, shapes: &[Vec<usize>]) -> u64 {
    let (name, function, _) = *line;
    let mut hash = Hash::new();
    for shape in shapes {
        let exec = Exec { level, par: Par::Here };
        let inputs = Inputs { exec, name, double, shape: shape.clone() };
        for result in function(&inputs).expect("inputs without errors") {
            assert!(!result.is_nan(), "{name}: the bits of NaN are not promised");
            // Byte by byte: added whole, a number's high bits would reach few bits of the hash.
            result.to_bits().to_le_bytes().into_iter().for_each(|byte| hash.add(byte.into()));
        }
    }
    hash.0
}

/// Compares every function at every fused level with its golden numbers. All that differ are shown
/// at once, with the numbers as they would stand in the table.
fn check(test: &str, lines: &[Line], shapes: &[Vec<usize>]) {
    let mut differing = String::new();
    for level in fused_levels(test) {
        for line in lines {
            let found = [false, true].map(|double| hash(line, level, double, shapes));
            if found != line.2 {
                let [single, double] = found.map(|hash| {
                    let digits = format!("{hash:016x}");
                    [0, 4, 8, 12].map(|at| &digits[at..at + 4]).join("_")
                });
                let (name, level) = (line.0, level.name());
                differing += &format!("{level}: {name:?}: [0x{single}, 0x{double}]\n");
            }
        }
    }
    assert!(differing.is_empty(), "other bits than the golden numbers say:\n{differing}");
}

#[test]
fn golden_bits_of_elements() {
    check("golden bits of elements", ELEMENTS, &[vec![1000]]);
}

#[test]
fn golden_bits_of_rows() {
    check("golden bits of rows", ROWS, &WIDTHS.map(|classes| vec![ROW_COUNT, classes]));
}
