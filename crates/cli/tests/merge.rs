//! `camelid merge` against PEFT's own merge.

mod camelid;

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use camelid_lora::{LoraConfig, attach, save_peft};
use camelid_model::{Llama, LoadedTensor, WeightStorage, open_weights};
use camelid_quant::bnb;

use camelid::{camelid, entries, error_of, output_of, save_nano_model, text};
use camelid_tests::oracles;

#[test]
fn a_dense_merge_has_the_weights_of_peft() {
    let Some(oracles) = oracles() else { return };
    let tiny = oracles.join("tiny_llama");
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("merged");
    let said = output_of(&[
        "merge",
        "--model",
        text(&tiny.join("base_f32")),
        "--adapter",
        text(&tiny.join("adapter_r8_a16")),
        "--out",
        text(&out),
    ]);
    assert!(said.contains("merged 14 layers"), "{said}");
    for figure in
        ["adapter effect on logits: max", "merge error on logits:    max", "lost in storing it: 0.0 %"]
    {
        assert!(said.contains(figure), "{said}");
    }

    let file = tiny.join("merged_on_f32_base.safetensors");
    let bytes = fs::read(&file).unwrap();
    let golden = bnb::parse(&bytes, &file).unwrap();
    let merged = open_weights(&out).unwrap();
    let mut compared = 0;
    for (name, expected) in golden.tensors() {
        let Some(weight) = name.strip_prefix("merged.") else { continue };
        let LoadedTensor::Dense { values, .. } = merged.read(weight).unwrap() else {
            panic!("{weight} is not dense");
        };
        let expected: Vec<f32> =
            expected.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        assert_eq!(values.len(), expected.len());
        for (a, b) in values.iter().zip(&expected) {
            assert!((a - b).abs() < 1e-6, "{weight}: {a} and {b}");
        }
        compared += 1;
    }
    assert_eq!(compared, 7, "the golden file has the linear layers of one block");
}

#[test]
fn a_4_bit_base_stays_4_bit_or_becomes_dense() {
    let Some(oracles) = oracles() else { return };
    let tiny = oracles.join("tiny_llama");
    let name = "model.layers.0.self_attn.q_proj.weight";
    for (into, packed) in [("base", true), ("dense", false)] {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("merged");
        output_of(&[
            "merge",
            "--model",
            text(&tiny.join("base_nf4_dq")),
            "--adapter",
            text(&tiny.join("adapter_r8_a16")),
            "--out",
            text(&out),
            "--into",
            into,
        ]);
        let source = open_weights(&out).unwrap();
        assert_eq!(matches!(source.read(name).unwrap(), LoadedTensor::Quantized(_)), packed, "{into}");
        assert_eq!(source.config().unwrap().stored_4bit, packed, "{into}");
    }
}

#[test]
fn adapters_that_do_not_belong_are_refused_and_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (model, out) = (dir.path().join("model"), dir.path().join("out"));
    save_nano_model(&model, 64);
    let merge = |adapter: &str| {
        error_of(&["merge", "--model", text(&model), "--adapter", adapter, "--out", text(&out)])
    };

    let missing = merge(text(&dir.path().join("nowhere")));
    assert!(missing.contains("adapter_config.json"), "{missing}");
    assert_eq!(entries(dir.path()), ["model"]);

    let Some(oracles) = oracles() else { return };
    let other = merge(text(&oracles.join("tiny_llama/adapter_r8_a16")));
    assert!(other.contains("lora_") && other.contains("expected"), "{other}");
    let model_folder = merge(text(&oracles.join("tiny_llama/base_f32")));
    assert!(model_folder.contains("a model's folder, not an adapter's"), "{model_folder}");
    assert_eq!(entries(dir.path()), ["model"]);
    assert_eq!(camelid(&["merge", "--help"]).status.code(), Some(0));
}

/// What was saved beside the adapter is what the tuned model was asked with.
#[test]
fn the_adapters_tokenizer_and_template_go_before_the_bases() {
    let dir = tempfile::tempdir().unwrap();
    let [base, adapter] = ["base", "adapter"].map(|name| dir.path().join(name));
    save_nano_model(&base, 64);
    save_nano_adapter(&base, &adapter);
    fs::write(base.join("chat_template.jinja"), "base's").unwrap();
    fs::create_dir(base.join("additional_chat_templates")).unwrap();
    fs::write(base.join("additional_chat_templates/tool_use.jinja"), "base's tools").unwrap();
    let merge = |name: &str| {
        let out = dir.path().join(name);
        output_of(&["merge", "--model", text(&base), "--adapter", text(&adapter), "--out", text(&out)]);
        out
    };
    let read = |path: PathBuf| fs::read_to_string(path).unwrap();

    let plain = merge("plain");
    assert_eq!(read(plain.join("chat_template.jinja")), "base's");
    assert_eq!(read(plain.join("additional_chat_templates/tool_use.jinja")), "base's tools");

    // Settings without a template change nothing of it.
    fs::write(adapter.join("tokenizer_config.json"), r#"{"eos_token": "<s>"}"#).unwrap();
    let settings = merge("settings");
    assert!(read(settings.join("tokenizer_config.json")).contains("<s>"));
    assert_eq!(read(settings.join("chat_template.jinja")), "base's");

    fs::write(adapter.join("tokenizer_config.json"), r#"{"chat_template": "adapter's"}"#).unwrap();
    let template = merge("template");
    assert!(read(template.join("tokenizer_config.json")).contains("adapter's"));
    assert!(!template.join("chat_template.jinja").exists());
    assert!(!template.join("additional_chat_templates").exists());

    fs::write(adapter.join("chat_template.jinja"), "adapter's file").unwrap();
    let file = merge("file");
    assert_eq!(read(file.join("chat_template.jinja")), "adapter's file");
}

/// A small trained adapter for the model in `base`.
fn save_nano_adapter(base: &Path, adapter: &Path) {
    let device = Device::flex();
    let model = Llama::load(open_weights(base).unwrap().as_ref(), &WeightStorage::F32, &device).unwrap();
    let config = LoraConfig { r: 4, ..LoraConfig::default() };
    let model = attach(model, &config, 3, &device).unwrap();
    save_peft(&model, &config, None, adapter).unwrap();
}
