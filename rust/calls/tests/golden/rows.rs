//! The golden numbers of functions of rows.

use super::{Line, ROW_COUNT};
use nll_calls::{Entries, Quantity, log_softmax, log_sum_exp};
use nll_kernels::data::per_class::PerClass;

const LOGITS: Entries = Entries::Logits { label_smoothing: 0.0 };
const SMOOTHED: Entries = Entries::Logits { label_smoothing: 0.1 };

/// Run with rows of each of [`WIDTHS`](super::WIDTHS) classes.
pub(super) const ROWS: &[Line] = &[
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
        [0x4047_fe5f_d57b_d376, 0x9394_153a_f944_7f92],
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
        [0xd9de_4b15_723b_51a2, 0xd7e7_9401_e5e4_cb02],
    ),
    (
        "kl_divergence, gradient",
        |i| {
            let [p, q] = ["p", "q"].map(|name| i.logits(name));
            let (p_logits, q_logits) = (&p.array(), &q.array());
            i.slopes(Quantity::Divergence { p_logits, q_logits })
        },
        [0x08f3_5664_78f3_f156, 0x5253_3c51_cfac_2c9d],
    ),
];
