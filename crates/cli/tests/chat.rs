//! `camelid chat` on a random model with the nano world's tokenizer.

mod camelid;

use std::fs;
use std::path::Path;

use burn::module::Param;
use burn::tensor::{Device, Int, Tensor};
use camelid::{camelid_with_input, error_of, output_of, save_nano_model, text};
use camelid_lora::{AdapterHost, LoraConfig, attach, save_peft};
use camelid_model::{Llama, WeightStorage, open_weights};
use serde_json::json;

#[test]
fn one_prompt_gives_one_answer_and_the_same_again() {
    let dir = tempfile::tempdir().unwrap();
    save_nano_model(dir.path(), 128);
    let chat = |extra: &[&str]| {
        let fixed =
            ["chat", "--model", text(dir.path()), "--max-new-tokens", "24", "--prompt", "What is 2 + 3?"];
        output_of(&[fixed.as_slice(), extra].concat())
    };

    let answer = chat(&[]);
    assert!(!answer.trim().is_empty());
    assert_eq!(chat(&[]), answer);
    assert_ne!(chat(&["--seed", "1"]), answer, "another seed samples otherwise");
    let greedy = chat(&["--temperature", "0"]);
    assert_eq!(chat(&["--temperature", "0", "--seed", "1"]), greedy);
    assert_eq!(chat(&["--temperature", "0", "--template", "guanaco"]), greedy, "auto falls back on guanaco");
    for load in ["nf4", "f32", "bf16"] {
        assert!(!chat(&["--load", load]).trim().is_empty(), "{load}");
    }
}

#[test]
fn the_models_own_template_comes_first() {
    let dir = tempfile::tempdir().unwrap();
    save_nano_model(dir.path(), 128);
    let ask = |template: &str| {
        output_of(&[
            "chat",
            "--model",
            text(dir.path()),
            "--temperature",
            "0",
            "--max-new-tokens",
            "16",
            "--prompt",
            "What is 2 + 3?",
            "--template",
            template,
        ])
    };
    let without = ask("auto");
    let source = "{% for m in messages %}{{ m.role }}: {{ m.content }}</s>{% endfor %}assistant:";
    let config = json!({ "chat_template": source, "eos_token": "</s>" });
    fs::write(dir.path().join("tokenizer_config.json"), config.to_string()).unwrap();
    assert_ne!(ask("auto"), without);
    assert_eq!(ask("guanaco"), without);
}

#[test]
fn a_conversation_is_kept_reset_and_trimmed() {
    let dir = tempfile::tempdir().unwrap();
    save_nano_model(dir.path(), 64);
    let chat = |input: &str| {
        let args = ["chat", "--model", text(dir.path()), "--temperature", "0", "--max-new-tokens", "12"];
        let output = camelid_with_input(&args, input);
        assert!(output.status.success(), "{output:?}");
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let question = "What is 2 + 3?\n";
    let (once, notices) = chat(question);
    assert_eq!(notices, "");

    // After a reset the same question is a first question again; /quit ends before the rest.
    let (reset, notices) = chat(&format!("{question}/reset\n{question}/quit\n{question}"));
    assert_eq!(reset, once.repeat(2));
    assert!(notices.contains("forgotten"));
    let (kept, _) = chat(&question.repeat(2));
    assert!(kept.starts_with(&once));
    assert_ne!(kept, reset, "the second answer sees the first exchange");

    let (_, notices) = chat(&question.repeat(6));
    assert!(notices.contains("context of 64 tokens is full"), "{notices}");

    // A message that cannot fit is reported, and the next one is answered as if first.
    let (after, notices) = chat(&format!("{}\n{question}", "2 ".repeat(100)));
    assert!(notices.contains("room for 64"), "{notices}");
    assert_eq!(after, once);
}

#[test]
fn bad_chat_settings_are_named() {
    let dir = tempfile::tempdir().unwrap();
    save_nano_model(dir.path(), 64);
    let chat = |extra: &[&str]| {
        error_of(&[["chat", "--model", text(dir.path()), "--prompt", "Hello"].as_slice(), extra].concat())
    };
    for (extra, expected) in [
        (["--template", "chatml"], "<|im_"),
        (["--template", "guanako"], "guanaco"),
        (["--top-p", "0"], "top_p"),
        (["--temperature", "NaN"], "temperature"),
        (["--max-new-tokens", "0"], "max-new-tokens"),
        (["--load", "int3"], "nf4, fp4, int4, int8, f32, bf16, f16"),
        (["--adapter", "/nowhere/adapter"], "adapter_config.json"),
    ] {
        let said = chat(&extra);
        assert!(said.contains(expected), "{extra:?}: {said}");
    }
    let long = "2 ".repeat(100);
    let said = error_of(&["chat", "--model", text(dir.path()), "--prompt", &long]);
    assert!(said.contains("room for 64"), "{said}");

    fs::remove_file(dir.path().join("tokenizer.json")).unwrap();
    let said = chat(&["--seed", "1"]);
    assert!(said.contains("tokenizer"), "{said}");
}

/// An adapter beside its base answers as the model it is merged into.
#[test]
fn an_adapter_changes_the_answer_as_its_merge_does() {
    let dir = tempfile::tempdir().unwrap();
    let [base, adapter, merged] = ["base", "adapter", "merged"].map(|name| dir.path().join(name));
    save_nano_model(&base, 128);
    let device = Device::flex();
    let model = Llama::load(open_weights(&base).unwrap().as_ref(), &WeightStorage::F32, &device).unwrap();
    let config = LoraConfig { r: 4, ..LoraConfig::default() };
    let mut model = attach(model, &config, 3, &device).unwrap();
    for (_, linear) in model.linears_mut() {
        let adapter = linear.adapter.as_mut().unwrap();
        let [rows, rank] = adapter.lora_b.val().dims();
        // B begins as zero; anything else will do.
        let values = Tensor::<1, Int>::arange(0..(rows * rank) as i64, &device).float().sin();
        adapter.lora_b = Param::from_tensor(values.reshape([rows, rank]));
    }
    save_peft(&model, &config, None, &adapter).unwrap();

    let ask = |model: &Path, extra: &[&str]| {
        let fixed = ["chat", "--model", text(model), "--temperature", "0", "--max-new-tokens", "12"];
        output_of(&[fixed.as_slice(), &["--prompt", "What is 2 + 3?"], extra].concat())
    };
    let with_adapter = ask(&base, &["--adapter", text(&adapter)]);
    assert_ne!(with_adapter, ask(&base, &[]));
    output_of(&["merge", "--model", text(&base), "--adapter", text(&adapter), "--out", text(&merged)]);
    assert_eq!(ask(&merged, &[]), with_adapter);
}

/// A reader that goes away ends a conversation quietly; a message that is no text does not end it.
#[cfg(target_os = "linux")]
#[test]
fn a_closed_pipe_is_no_error_and_bytes_that_are_no_text_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    save_nano_model(dir.path(), 64);
    let run = |command: &str| {
        let camelid = format!(
            "'{}' chat --model '{}' --temperature 0 --max-new-tokens 8",
            env!("CARGO_BIN_EXE_camelid"),
            dir.path().display()
        );
        let line = command.replace("CAMELID", &camelid);
        std::process::Command::new("bash").args(["-c", &line]).output().unwrap()
    };
    for command in [
        "CAMELID --prompt Hello | true; exit ${PIPESTATUS[0]}",
        "printf 'a\\nb\\nc\\n' | CAMELID | head -1; exit ${PIPESTATUS[1]}",
    ] {
        let ended = run(command);
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(0), "{command}: {said}");
        assert!(!said.contains("roken pipe"), "{command}: {said}");
    }
    let ended = run("printf '\\xff\\nHello\\n' | CAMELID");
    assert!(ended.status.success());
    assert_eq!(ended.stdout, run("printf 'Hello\\n' | CAMELID").stdout);
    assert!(String::from_utf8(ended.stderr).unwrap().contains("not UTF-8"));
}
