//! Every kind of adapter on a small model: fresh it changes nothing, switched off it leaves the base,
//! stored it comes back, merged and unmerged it gives the same numbers.

use crate::model::{EVALUATION, HIDDEN, Small, VOCAB, largest_difference, trained, values};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use camelid_lora::{
    AdapterHost, LoraConfig, LoraError, MergeInto, Targets, attach, detach, load_peft, merge, save_peft,
    unmerge,
};
use camelid_quant::QuantConfig;
use serde_json::{Value, json};

fn config(extra: Value) -> LoraConfig {
    let mut all = json!({"r": 4, "lora_alpha": 8.0});
    all.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    serde_json::from_value(all).unwrap()
}

/// Kinds of adapters with, for each, how many modules they change on an untied model.
fn kinds() -> Vec<(Value, usize)> {
    vec![
        (json!({}), 2),
        (json!({"use_dora": true}), 2),
        (json!({"use_rslora": true, "rank_pattern": {"up": 2}, "alpha_pattern": {r"1\.down": 3.5}}), 2),
        (json!({"lora_bias": true, "target_modules": ["up"]}), 1),
        (json!({"exclude_modules": ["down"], "modules_to_save": ["norm"]}), 2),
        (json!({"layers_to_transform": 1}), 1),
        (json!({"target_modules": ["up", "lm_head"]}), 2),
        (json!({"target_modules": ["up", "lm_head"], "use_dora": true}), 2),
        (json!({"target_modules": ["down", "embed_tokens"]}), 2),
        (json!({"target_modules": ".*(embed_tokens|lm_head|up)"}), 3),
        (json!({"target_modules": ["up"], "modules_to_save": ["lm_head"]}), 2),
        (json!({"target_modules": ["up"], "modules_to_save": ["embed_tokens", "norm", "down"]}), 4),
    ]
}

#[test]
fn a_fresh_adapter_of_any_kind_changes_nothing() {
    let device = Device::flex().autodiff();
    for (kind, count) in kinds() {
        for tied in [false, true] {
            let base = Small::dense(tied, &device);
            let before = base.logits();
            let mut model = attach(base, &config(kind.clone()), 3, &device).unwrap();
            // DoRA divides by the length that it multiplies with.
            assert!(largest_difference(&model.logits(), &before) < 1e-4, "{kind}");
            assert_eq!(model.base_logits(), before, "{kind}");
            assert_eq!(detach(&mut model), count, "{kind}");
            assert_eq!(model.logits(), before, "{kind}");
        }
    }
}

#[test]
fn a_stored_adapter_of_any_kind_loads_with_the_same_bits() {
    let device = Device::flex().autodiff();
    for (kind, _) in kinds() {
        for tied in [false, true] {
            let config = config(kind.clone());
            let model = attach(Small::dense(tied, &device), &config, 3, &device).unwrap();
            let model = trained(model, 0.1, &device);
            assert_ne!(model.logits(), model.base_logits(), "{kind}");
            let dir = tempfile::tempdir().unwrap();
            save_peft(&model, &config, Some("base"), dir.path()).unwrap();
            let (loaded, read) = load_peft(Small::dense(tied, &device), dir.path(), &device).unwrap();
            assert_eq!(read.notes, [], "{kind}");
            assert_eq!(loaded.logits(), model.logits(), "{kind}");
            assert_eq!(loaded.base_logits(), model.base_logits(), "{kind}");
            // And what is written of it is the same file.
            let again = tempfile::tempdir().unwrap();
            save_peft(&loaded, &read.config, Some("base"), again.path()).unwrap();
            for file in ["adapter_config.json", "adapter_model.safetensors"] {
                let bytes = |dir: &tempfile::TempDir| std::fs::read(dir.path().join(file)).unwrap();
                assert!(bytes(&dir) == bytes(&again), "{kind}: {file}");
            }
        }
    }
}

#[test]
fn merging_any_kind_keeps_the_logits_and_is_undone_bit_for_bit() {
    let device = Device::flex().autodiff();
    for (kind, count) in kinds() {
        for tied in [false, true] {
            let model = attach(Small::dense(tied, &device), &config(kind.clone()), 3, &device).unwrap();
            let mut model = trained(model, 0.1, &device);
            let (before, off) = (model.logits(), model.base_logits());
            let (report, undo) = merge(&mut model, MergeInto::Dense, Small::logits).unwrap();
            assert!(!model.has_adapter());
            assert!(largest_difference(&model.logits(), &before) < 2e-4, "{kind}: {report:?}");
            assert_eq!(report.layers.len(), count);
            assert_eq!(report.warnings().count(), 0);
            let effect = largest_difference(&before, &off);
            assert!((report.adapter_effect.max_abs - effect).abs() < 1e-6 && effect > 1e-3, "{kind}");
            assert_eq!(unmerge(&mut model, undo, Small::logits).unwrap().max_abs, 0.0);
            assert_eq!(model.base_logits(), off);
        }
    }
}

#[test]
fn kinds_merge_onto_packed_bases_as_far_as_four_bits_allow() {
    let device = Device::flex().autodiff();
    let packed = QuantConfig::default();
    for (kind, _) in kinds() {
        if kind["modules_to_save"].to_string().contains("down") {
            let error =
                attach(Small::packed(false, &packed, &device), &config(kind), 3, &device).unwrap_err();
            assert!(error.to_string().contains("`model.layers.1.down` is packed to 4 bits"), "{error}");
            continue;
        }
        let adapted = || {
            let model = attach(Small::packed(false, &packed, &device), &config(kind.clone()), 3, &device);
            trained(model.unwrap(), 0.2, &device)
        };
        let mut dense = adapted();
        let before = dense.logits();
        let (report, _) = merge(&mut dense, MergeInto::Dense, Small::logits).unwrap();
        assert!(report.merge_error.max_abs < 2e-4, "{kind}: {report:?}");
        let mut requantised = adapted();
        assert_eq!(requantised.logits(), before);
        let (report, undo) = merge(&mut requantised, MergeInto::BaseFormat, Small::logits).unwrap();
        assert!(report.merge_error.max_abs.is_finite(), "{kind}");
        assert_eq!(unmerge(&mut requantised, undo, Small::logits).unwrap().max_abs, 0.0);
        assert_eq!(requantised.logits(), before);
    }
}

#[test]
fn dora_brings_each_row_to_its_magnitude() {
    let device = Device::flex().autodiff();
    for base in [Small::dense(false, &device), Small::packed(false, &QuantConfig::default(), &device)] {
        let model =
            trained(attach(base, &config(json!({"use_dora": true})), 3, &device).unwrap(), 0.2, &device);
        let adapter = model.up.adapter.as_ref().unwrap();
        let magnitude = values(adapter.dora.as_ref().unwrap().magnitude.val());
        let weight = values(model.up.weight(&EVALUATION));
        for (row, m) in weight.chunks(HIDDEN).zip(&magnitude) {
            let length = row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
            assert!((length - f64::from(m.abs())).abs() < 1e-4, "{length} {m}");
        }
        // The layer multiplies with that very weight, and adds the base's bias as it is.
        let x = Tensor::<2>::ones([1, HIDDEN], &device);
        let bias = values(camelid_lora::LoraLinear::forward(&model.up, x.clone() * 0.0, &EVALUATION));
        let y = values(model.up.forward(x, &EVALUATION));
        for ((row, y), b) in weight.chunks(HIDDEN).zip(&y).zip(&bias) {
            assert!((row.iter().sum::<f32>() + b - y).abs() < 1e-4);
        }
        let expected: Vec<f32> = (0..64).map(|i| ((i * 17) % 211) as f32 / 211.0 - 0.5).collect();
        assert!(largest_difference(&bias, &expected) < 1e-5);
    }
}

/// Gradients of `forward` against those of the formula written out, the length held constant.
#[test]
fn gradients_of_dora_are_those_of_its_formula() {
    let device = Device::flex().autodiff();
    let base = Small::dense(false, &device);
    let w = base.up.base.dense_weight().detach();
    let model = trained(attach(base, &config(json!({"use_dora": true})), 3, &device).unwrap(), 0.2, &device);
    let adapter = model.up.adapter.as_ref().unwrap();
    let x: Vec<f32> = (0..3 * HIDDEN).map(|i| ((i * 31) % 17) as f32 / 17.0 - 0.4).collect();
    let x = Tensor::<2>::from_data(burn::tensor::TensorData::new(x, [3, HIDDEN]), &device);
    let leaf = |t: Tensor<2>| t.detach().require_grad();
    let (a, b) = (leaf(adapter.lora_a.val()), leaf(adapter.lora_b.val()));
    let m = adapter.dora.as_ref().unwrap().magnitude.val().detach().require_grad();

    let sum = w + b.clone().matmul(a.clone()) * adapter.scale();
    let length = (sum.clone() * sum.clone()).sum_dim(1).squeeze_dim::<1>(1).sqrt().detach();
    let whole = sum * (m.clone() / length).unsqueeze_dim(1);
    let mut expected = x.clone().matmul(whole.transpose()).powi_scalar(2).sum().backward();

    let bias = model.up.forward(x.clone() * 0.0, &EVALUATION).detach();
    let x = x.require_grad();
    let y = model.up.forward(x, &EVALUATION) - bias;
    let mut found = y.powi_scalar(2).sum().backward();
    let close = |name: &str, found: Vec<f32>, expected: Vec<f32>| {
        let largest = expected.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
        assert!(largest > 0.0 && largest_difference(&found, &expected) <= 1e-4 * largest, "{name}");
    };
    let grad = |t: &Tensor<2>, g: &mut _| values(t.grad_remove(g).unwrap());
    close("A", grad(&adapter.lora_a.val(), &mut found), grad(&a, &mut expected));
    close("B", grad(&adapter.lora_b.val(), &mut found), grad(&b, &mut expected));
    let magnitude = adapter.dora.as_ref().unwrap().magnitude.val();
    let of_m = |t: &Tensor<1>, g: &mut _| values(t.grad_remove(g).unwrap());
    close("m", of_m(&magnitude, &mut found), of_m(&m, &mut expected));
}

#[test]
fn patterns_give_layers_their_own_rank_and_scale() {
    let device = Device::flex();
    let kind = json!({"rank_pattern": {r"layers\.0\..*": 2}, "alpha_pattern": {"down": 6}});
    let model = attach(Small::dense(false, &device), &config(kind), 3, &device).unwrap();
    let of = |linear: &camelid_lora::LoraLinear| {
        let adapter = linear.adapter.as_ref().unwrap();
        (adapter.r(), adapter.scale())
    };
    assert_eq!((of(&model.up), of(&model.down)), ((2, 4.0), (4, 1.5)));
}

#[test]
fn a_tied_head_stays_the_bases_unless_tying_is_asked_for() {
    let device = Device::flex().autodiff();
    let saved = |extra: Value| {
        let mut kind = json!({"target_modules": ["up"], "modules_to_save": ["embed_tokens"]});
        kind.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        config(kind)
    };
    let apart = attach(Small::dense(true, &device), &saved(json!({})), 3, &device).unwrap();
    let apart = trained(apart, 0.1, &device);
    let head = apart.lm_head.as_ref().unwrap();
    assert_eq!(values(head.weight(&EVALUATION)), values(apart.embed_tokens.original.as_ref().unwrap().val()));

    let tying = saved(json!({"ensure_weight_tying": true}));
    let together = trained(attach(Small::dense(true, &device), &tying, 3, &device).unwrap(), 0.1, &device);
    assert!(together.lm_head.is_none());
    let dir = tempfile::tempdir().unwrap();
    save_peft(&together, &tying, None, dir.path()).unwrap();
    let (loaded, _) = load_peft(Small::dense(true, &device), dir.path(), &device).unwrap();
    assert!(loaded.lm_head.is_none());
    assert_eq!(loaded.logits(), together.logits());

    let factors = config(json!({"target_modules": ["embed_tokens", "up"], "ensure_weight_tying": true}));
    let error = attach(Small::dense(true, &device), &factors, 3, &device).unwrap_err();
    assert!(matches!(error, LoraError::TiedFactors));
}

#[test]
fn an_embedding_adapter_moves_the_rows_that_it_looks_up() {
    let device = Device::flex().autodiff();
    let kind = config(json!({"target_modules": ["embed_tokens"]}));
    let model = trained(attach(Small::dense(true, &device), &kind, 3, &device).unwrap(), 0.3, &device);
    let adapter = model.embed_tokens.adapter.as_ref().unwrap();
    assert_eq!((adapter.lora_a.dims(), adapter.lora_b.dims()), ([4, VOCAB], [HIDDEN, 4]));
    let ids = Tensor::<2, burn::tensor::Int>::from_ints([[5, 0]], &device);
    let moved = values(model.embed_tokens.forward(ids, &EVALUATION));
    let table = model.embed_tokens.weight.val() + adapter.delta().transpose();
    let table = values(table);
    assert!(largest_difference(&moved[..HIDDEN], &table[5 * HIDDEN..6 * HIDDEN]) < 1e-5);
    assert!(largest_difference(&moved[HIDDEN..], &table[..HIDDEN]) < 1e-5);
}

#[test]
fn what_a_module_cannot_have_is_refused_by_name() {
    let device = Device::flex();
    for (kind, expected) in [
        (
            json!({"target_modules": ["embed_tokens"], "use_dora": true}),
            "`use_dora` has no place on `model.embed_tokens`",
        ),
        (json!({"target_modules": ["lm_head"], "lora_bias": true}), "`lora_bias` has no place on `lm_head`"),
        (json!({"modules_to_save": ["score"]}), "no module's name ends in `score`"),
        (json!({"target_modules": ["up", "dwon"]}), "`dwon` matches no"),
        (json!({"target_modules": ["up"], "exclude_modules": ".*up"}), "leave no layer"),
        (json!({"target_modules": "(up"}), "`(up` is not a regular expression"),
    ] {
        let error = attach(Small::dense(false, &device), &config(kind), 3, &device).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    // A bias that the base lacks can be run, but not merged.
    let kind = config(json!({"lora_bias": true, "target_modules": ["down"]}));
    let mut model = attach(Small::dense(false, &device), &kind, 3, &device).unwrap();
    let error = merge(&mut model, MergeInto::Dense, Small::logits).unwrap_err();
    assert!(error.to_string().contains("`lora_bias` cannot be merged"), "{error}");
    assert!(model.has_adapter());
}

#[test]
fn all_linear_leaves_embedding_and_head_alone() {
    let device = Device::flex();
    let model = attach(Small::dense(false, &device), &config(json!({})), 3, &device).unwrap();
    assert!(!model.embed_tokens.is_adapted() && !model.lm_head.as_ref().unwrap().is_adapted());
    assert_eq!(config(json!({})).target_modules, Targets::AllLinear);
    assert!(model.num_params() > 0);
}
