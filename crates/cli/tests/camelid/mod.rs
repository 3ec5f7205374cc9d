//! Running the binary, and a small model for it.
#![allow(dead_code, reason = "each test file uses its part")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use burn::tensor::Device;
use camelid_data::nano::{NanoConfig, NanoWorld};
use camelid_model::{Llama, LlamaConfig};
use camelid_tests::{byte_tokenizer_with_bos, tiny_llama};
use serde_json::json;

/// A task of one's own over rows of `colours.jsonl`.
pub const COLOURS: &str = r#"
    name = "colours"
    version = 2
    about = "which colour"
    [data]
    files = [{ pattern = "colours.jsonl" }]
    fields = ["thing", "right"]
    id = "{{ row }}"
    [prompt]
    question = "The {{ thing }} is"
    [multiple_choice]
    choices = "['red', 'blue', 'as green as grass']"
    gold = "right"
    continuation = " {{ choice }}"
"#;

/// Runs `camelid` with these arguments.
pub fn camelid(args: &[&str]) -> Output {
    camelid_with_input(args, "")
}

/// The same, with text on standard input.
pub fn camelid_with_input(args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_camelid"))
        .args(args)
        .env_remove("CAMELID_MIRROR")
        .env_remove("CAMELID_OFFLINE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that reads no input may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// Standard output of a run that succeeds.
pub fn output_of(args: &[&str]) -> String {
    let output = camelid(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Standard error of a run that ends with exit code 1, or with 2 where the command line is wrong.
pub fn error_of(args: &[&str]) -> String {
    let output = camelid(args);
    let said = String::from_utf8(output.stderr).unwrap();
    let usage = said.contains("For more information, try '--help'.") || said.contains("Usage: ");
    assert_eq!(output.status.code(), Some(if usage { 2 } else { 1 }), "{args:?}: {said}");
    said
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Everything in a folder, hidden or not, by name.
pub fn entries(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A random model over bytes, with the template and the special tokens that chatting needs.
pub fn save_byte_model(dir: &Path, context: usize) {
    let tokenizer = byte_tokenizer_with_bos();
    let mut config = tiny_llama(tokenizer.get_vocab_size(true), 64, 2);
    for (key, value) in [("max_position_embeddings", context), ("bos_token_id", 256), ("eos_token_id", 257)] {
        config[key] = value.into();
    }
    let config = LlamaConfig::from_value(&config, "the test").unwrap();
    Llama::random_with_std(&config, 0.2, 5, &Device::flex()).save_safetensors(dir).unwrap();
    tokenizer.save(dir.join("tokenizer.json"), false).unwrap();
    let template = "{% for m in messages %}{{ m.role }}: {{ m.content }}</s>{% endfor %}\
                    {% if add_generation_prompt %}assistant: {% endif %}";
    let settings = json!({"bos_token": "<s>", "eos_token": "</s>", "chat_template": template});
    fs::write(dir.join("tokenizer_config.json"), settings.to_string()).unwrap();
}

/// A random model over the nano world's tokenizer, with a context of `context` tokens.
pub fn save_nano_model(dir: &Path, context: usize) {
    let tokenizer = NanoWorld::new(&NanoConfig::default()).unwrap().tokenizer().unwrap();
    let mut config = tiny_llama(tokenizer.get_vocab_size(true), 64, 2);
    config["max_position_embeddings"] = context.into();
    config["tie_word_embeddings"] = true.into();
    let config = LlamaConfig::from_value(&config, "the test").unwrap();
    let model = Llama::random_with_std(&config, 0.2, 5, &Device::flex());
    model.save_safetensors(dir).unwrap();
    tokenizer.save(dir.join("tokenizer.json"), false).unwrap();
}
