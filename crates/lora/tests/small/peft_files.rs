//! Adapter files as other programs write them.

use std::path::Path;

use crate::model::{HIDDEN, Small, VOCAB, trained};
use burn::tensor::Device;
use camelid_lora::{LoadedAdapter, LoraConfig, LoraError, PeftNote, attach, load_peft, save_peft};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::{Value, json};

const WEIGHTS: &str = "adapter_model.safetensors";

/// A stored adapter on both linear layers, and the logits of the model that carries it.
fn stored(extra: Value, device: &Device) -> (tempfile::TempDir, Vec<f32>) {
    let mut all = json!({"r": 4, "lora_alpha": 8.0});
    all.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let config: LoraConfig = serde_json::from_value(all).unwrap();
    let model = attach(Small::dense(false, device), &config, 3, device).unwrap();
    let model = trained(model, 0.1, device);
    let dir = tempfile::tempdir().unwrap();
    save_peft(&model, &config, None, dir.path()).unwrap();
    (dir, model.logits())
}

fn load(dir: &Path, device: &Device) -> Result<(Vec<f32>, LoadedAdapter), LoraError> {
    let (model, loaded) = load_peft(Small::dense(false, device), dir, device)?;
    Ok((model.logits(), loaded))
}

fn set(dir: &Path, field: &str, value: Value) {
    let path = dir.join("adapter_config.json");
    let mut settings: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    settings[field] = value;
    std::fs::write(&path, settings.to_string()).unwrap();
}

/// Writes the file again under other names, with `more` f32 tensors of these shapes.
fn rename(dir: &Path, change: impl Fn(&str) -> Option<String>, more: &[(&str, Vec<usize>)]) {
    let bytes = std::fs::read(dir.join(WEIGHTS)).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Vec<(String, TensorView<'_>)> =
        file.iter().filter_map(|(name, view)| Some((change(name)?, view))).collect();
    let zeros = vec![0_u8; 4 * 4096];
    for (name, shape) in more {
        let len = 4 * shape.iter().product::<usize>();
        tensors.push((name.to_string(), TensorView::new(Dtype::F32, shape.clone(), &zeros[..len]).unwrap()));
    }
    std::fs::write(dir.join(WEIGHTS), safetensors::serialize(tensors, None).unwrap()).unwrap();
}

fn refusal(dir: &Path, device: &Device) -> String {
    let error = load(dir, device).unwrap_err();
    // A cause stands in the message once and is no source beside it.
    assert!(std::error::Error::source(&error).is_none());
    error.to_string()
}

#[test]
fn names_of_other_writers_are_understood() {
    let device = Device::flex().autodiff();
    let changes: [fn(&str) -> String; 6] = [
        |name| name.replace(".weight", ".default.weight"),
        |name| name.replace("base_model.model.", ""),
        |name| name.replace("base_model.model.model.", "base_model.model."),
        |name| name.replace("base_model.model.model.", ""),
        |name| format!("_orig_mod.{name}"),
        |name| name.replace("base_model.model.", "module.base_model.model._orig_mod."),
    ];
    for change in changes {
        let (dir, logits) = stored(json!({}), &device);
        rename(dir.path(), |name| Some(change(name)), &[]);
        let (found, loaded) = load(dir.path(), &device).unwrap();
        assert!(found == logits && loaded.notes.is_empty());
    }
}

#[test]
fn two_adapters_in_one_file_are_refused_by_their_names() {
    let device = Device::flex().autodiff();
    let (dir, _) = stored(json!({}), &device);
    let second = "base_model.model.model.layers.0.up.lora_A.other.weight";
    rename(dir.path(), |name| Some(name.to_string()), &[(second, vec![4, HIDDEN])]);
    let message = refusal(dir.path(), &device);
    assert!(message.contains("lora_A.other.weight") && message.contains("lora_A.weight"), "{message}");
}

#[test]
fn names_without_a_module_are_noted_and_only_nothing_at_all_is_an_error() {
    let device = Device::flex().autodiff();
    let (dir, logits) = stored(json!({}), &device);
    set(dir.path(), "target_modules", json!(["up", "down", "query_key_value", "W_pack", "lm_head"]));
    let (found, loaded) = load(dir.path(), &device).unwrap();
    assert!(found == logits);
    assert_eq!(
        loaded.notes,
        [
            PeftNote::TargetsWithoutModule(vec!["query_key_value".into(), "W_pack".into()]),
            PeftNote::ModulesWithoutFactors(vec!["lm_head".into()]),
        ]
    );
    set(dir.path(), "target_modules", json!(["query_key_value", "W_pack"]));
    let message = refusal(dir.path(), &device);
    assert!(message.contains("`query_key_value`, `W_pack` matches no"), "{message}");
    // The right names, but a file of another model.
    set(dir.path(), "target_modules", json!(["up", "down"]));
    rename(dir.path(), |name| Some(name.replace("layers.", "h.")), &[]);
    let message = refusal(dir.path(), &device);
    assert!(message.contains("holds nothing for the layers") && message.contains("h.0.up"), "{message}");
}

#[test]
fn settings_that_change_nothing_are_accepted() {
    let device = Device::flex().autodiff();
    for (field, value, notes) in [
        ("exclude_modules", json!(["lm_head"]), 0),
        ("exclude_modules", json!("vision.*"), 0),
        ("fan_in_fan_out", json!(true), 1),
        ("bias", json!("all"), 0),
        ("layers_to_transform", json!([0, 1]), 0),
        ("target_modules", json!("^(?!.*vision).*(?:up|down)"), 0),
        ("modules_to_save", json!(["score"]), 1),
        ("rank_pattern", json!({"q_proj": 64}), 0),
    ] {
        let (dir, logits) = stored(json!({}), &device);
        set(dir.path(), field, value);
        let (found, loaded) = load(dir.path(), &device).unwrap();
        assert!(found == logits, "{field}");
        assert_eq!(loaded.notes.len(), notes, "{field}");
    }
}

#[test]
fn factors_that_the_settings_leave_over_are_named() {
    let device = Device::flex().autodiff();
    let (dir, _) = stored(json!({}), &device);
    set(dir.path(), "layers_to_transform", json!(1));
    let (fewer, loaded) = load(dir.path(), &device).unwrap();
    let [note] = loaded.notes.as_slice() else { panic!("{:?}", loaded.notes) };
    let said = note.to_string();
    assert!(said.contains("settings do not choose") && said.contains("0.up.lora_A.weight`"), "{said}");
    // As if the file did not hold them.
    rename(dir.path(), |name| (!name.contains("layers.0.")).then(|| name.to_string()), &[]);
    let (same, loaded) = load(dir.path(), &device).unwrap();
    assert!(same == fewer && loaded.notes.is_empty());
    let (dir, _) = stored(json!({"use_dora": true}), &device);
    set(dir.path(), "use_dora", json!(false));
    let said = load(dir.path(), &device).unwrap().1.notes[0].to_string();
    assert!(said.contains("for use_dora is off") && said.contains("lora_magnitude_vector"), "{said}");
}

#[test]
fn of_several_adapters_in_a_file_the_default_one_is_loaded() {
    let device = Device::flex().autodiff();
    let (dir, logits) = stored(json!({}), &device);
    rename(dir.path(), |name| Some(name.replace(".weight", ".default.weight")), &[]);
    let bytes = std::fs::read(dir.path().join(WEIGHTS)).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let zeros = vec![0_u8; bytes.len()];
    let both: Vec<_> = file
        .iter()
        .flat_map(|(name, view)| {
            let other = TensorView::new(view.dtype(), view.shape().to_vec(), &zeros[..view.data().len()]);
            [(name.to_string(), view), (name.replace(".default.", ".other."), other.unwrap())]
        })
        .collect();
    std::fs::write(dir.path().join(WEIGHTS), safetensors::serialize(both, None).unwrap()).unwrap();
    let (found, loaded) = load(dir.path(), &device).unwrap();
    assert!(found == logits);
    assert!(loaded.notes[0].to_string().contains("`default` is loaded, not `other`"), "{:?}", loaded.notes);
    rename(dir.path(), |name| Some(name.replace(".default.", ".one.")), &[]);
    assert!(refusal(dir.path(), &device).contains("`one`, `other`, and none called `default`"));
}

#[test]
fn magnitudes_of_early_releases_are_columns() {
    let device = Device::flex().autodiff();
    let (dir, logits) = stored(json!({"use_dora": true}), &device);
    let bytes = std::fs::read(dir.path().join(WEIGHTS)).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensors: Vec<_> = file
        .iter()
        .map(|(name, view)| match name.strip_suffix("lora_magnitude_vector") {
            Some(_) => {
                let shape = vec![view.shape()[0], 1];
                (format!("{name}.weight"), TensorView::new(Dtype::F32, shape, view.data()).unwrap())
            }
            None => (name.to_string(), view),
        })
        .collect();
    let bytes = safetensors::serialize(tensors, None).unwrap();
    std::fs::write(dir.path().join(WEIGHTS), bytes).unwrap();
    assert!(load(dir.path(), &device).unwrap().0 == logits);
}

#[test]
fn a_resized_vocabulary_is_told_by_its_rows() {
    let device = Device::flex().autodiff();
    let (dir, _) = stored(json!({}), &device);
    let name = "base_model.model.model.embed_tokens.weight";
    rename(dir.path(), |name| Some(name.to_string()), &[(name, vec![VOCAB + 1, HIDDEN])]);
    let message = refusal(dir.path(), &device);
    assert!(message.contains("has 25 rows of tokens, the base has 24"), "{message}");
    let (dir, _) = stored(json!({"modules_to_save": ["lm_head"]}), &device);
    let head = "base_model.model.lm_head.weight";
    let others = |name: &str| (name != head).then(|| name.to_string());
    rename(dir.path(), others, &[(head, vec![VOCAB + 3, HIDDEN])]);
    let message = refusal(dir.path(), &device);
    assert!(message.contains("has 27 rows of tokens, the base has 24"), "{message}");
    rename(dir.path(), others, &[]);
    let message = refusal(dir.path(), &device);
    assert!(message.contains("lm_head.weight` is missing"), "{message}");
}

#[test]
fn a_weight_that_the_file_brings_unasked_is_used_and_noted() {
    let device = Device::flex().autodiff();
    let (dir, logits) = stored(json!({}), &device);
    let name = "base_model.model.model.embed_tokens.weight";
    rename(dir.path(), |name| Some(name.to_string()), &[(name, vec![VOCAB, HIDDEN])]);
    let (found, loaded) = load(dir.path(), &device).unwrap();
    assert!(found != logits);
    assert_eq!(loaded.notes, [PeftNote::BringsWeights(vec!["model.embed_tokens".into()])]);
    assert_eq!(loaded.config.modules_to_save, ["model.embed_tokens"]);
}

#[test]
fn weights_that_cannot_be_read_are_named_with_a_way_out() {
    let device = Device::flex().autodiff();
    let (dir, _) = stored(json!({}), &device);
    let weights = dir.path().join(WEIGHTS);
    std::fs::rename(&weights, dir.path().join("adapter_model.bin")).unwrap();
    let message = refusal(dir.path(), &device);
    assert!(
        message.contains("`adapter_model.bin`, a Python pickle") && message.contains("save_file"),
        "{message}"
    );
    std::fs::remove_file(dir.path().join("adapter_model.bin")).unwrap();
    let message = refusal(dir.path(), &device);
    assert!(message.contains("no adapter_model.safetensors beside adapter_config.json"), "{message}");
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n";
    std::fs::write(&weights, pointer).unwrap();
    let message = refusal(dir.path(), &device);
    assert!(message.contains("Git LFS pointer"), "{message}");
    let empty = |name: &str| name.ends_with("lora_A.weight").then(|| name.to_string());
    let (dir, _) = stored(json!({}), &device);
    let b = "base_model.model.model.layers.0.up.lora_B.weight";
    rename(dir.path(), empty, &[(b, vec![0])]);
    let message = refusal(dir.path(), &device);
    assert!(message.contains("is empty") && message.contains("ZeRO-3"), "{message}");
}
