//! The golden numbers of functions of elements.

use super::Line;
use nll_calls::{Clamp, Factorial, Loss, Rate, Spread};
use nll_kernels::data::array::Array;
use nll_kernels::math::preference::PreferenceKind;

pub(super) const ELEMENTS: &[Line] = &[
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
        "preference_loss",
        |i| i.preference(PreferenceKind::Sigmoid, 0.0),
        [0x0195_003e_bc9e_a0e1, 0xdebc_05ff_8c46_fa52],
    ),
    (
        "preference_loss, sigmoid",
        |i| i.preference(PreferenceKind::Sigmoid, 0.1),
        [0x6e19_1234_6bfb_db7c, 0x7b84_6645_a905_2556],
    ),
    (
        "preference_loss, robust",
        |i| i.preference(PreferenceKind::Robust, 0.1),
        [0xa3ea_c1ae_d848_ca44, 0xca6b_323d_41b1_e972],
    ),
    (
        "preference_loss, hinge",
        |i| i.preference(PreferenceKind::Hinge, 0.1),
        [0xfa38_08d2_a1a6_2188, 0x196f_0931_8a5d_c0d8],
    ),
    (
        "preference_loss, ipo",
        |i| i.preference(PreferenceKind::Ipo, 0.1),
        [0x66dc_b7af_cd97_d474, 0xb712_d618_f650_fae7],
    ),
    (
        "preference_loss, exo_pair",
        |i| i.preference(PreferenceKind::ExoPair, 0.1),
        [0xc4c9_89a5_254e_83e0, 0x1431_cee0_d28a_57f5],
    ),
    (
        "preference_loss, nca_pair",
        |i| i.preference(PreferenceKind::NcaPair, 0.1),
        [0xb9bc_ff1b_1674_d061, 0x75e6_47d9_82c7_9a35],
    ),
    (
        "preference_loss, bco_pair",
        |i| i.preference(PreferenceKind::BcoPair, 0.1),
        [0x9760_f15d_6138_26e7, 0x04f5_d899_6344_4556],
    ),
    (
        "preference_loss, kto_pair",
        |i| i.preference(PreferenceKind::KtoPair, 0.1),
        [0x33dc_b8ed_b080_f185, 0x3469_7527_db23_b5b4],
    ),
    (
        "preference_loss, sppo_hard",
        |i| i.preference(PreferenceKind::SppoHard, 0.1),
        [0x6ce2_e4ed_b3e2_4dd1, 0x4f35_a19b_e6d3_31f3],
    ),
    (
        "preference_loss, apo_zero",
        |i| i.preference(PreferenceKind::ApoZero, 0.1),
        [0xee6d_927d_a0a4_157e, 0xb65f_acde_84b9_6e6f],
    ),
    (
        "preference_loss, apo_down",
        |i| i.preference(PreferenceKind::ApoDown, 0.1),
        [0x70d4_aad4_f6b5_a64e, 0x3231_b497_71fe_3a2f],
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
