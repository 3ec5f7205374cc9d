//! `camelid export`.

mod camelid;

use std::fs;
use std::path::{Path, PathBuf};

use camelid::{entries, error_of, output_of, save_byte_model, save_nano_model, text};
use camelid_model::gguf::GgufFile;

/// Two steps on made-up conversations.
fn train_adapter(model: &Path, dir: &Path) -> PathBuf {
    let talk = |i| {
        format!(
            r#"{{"messages":[{{"role":"user","content":"say {i}"}},{{"role":"assistant","content":"{i}"}}]}}"#
        )
    };
    let talks: Vec<String> = (0..4).map(talk).collect();
    let (data, file, run) = (dir.join("talks.jsonl"), dir.join("tune.toml"), dir.join("run"));
    fs::write(&data, talks.join("\n")).unwrap();
    let toml = format!(
        "name = \"two\"\nlength = {{ steps = 2 }}\n[model]\nbase = {:?}\nstorage = \"f32\"\n[lora]\nr = 2\n\
         lora_alpha = 64\n[train]\nlearning_rate = 1e-2\ngrad_accum = 1\n[data]\nsource = {:?}\n\
         format = \"messages\"\ntemplate = \"auto\"\nmax_length = 128\n",
        text(model),
        text(&data)
    );
    fs::write(&file, toml).unwrap();
    output_of(&["train", text(&file), "--run", text(&run)]);
    run.join("adapter")
}

#[test]
fn a_model_becomes_one_file_that_answers_as_the_folder_does() {
    let dir = tempfile::tempdir().unwrap();
    let (model, file) = (dir.path().join("tiny"), dir.path().join("tiny.gguf"));
    save_byte_model(&model, 512);
    let said = output_of(&["export", "--model", text(&model), "--out", text(&file), "--type", "f32"]);
    assert!(said.contains("tiny.gguf") && said.contains("bits per parameter"), "{said}");
    let ask = |model: &str| {
        let greedy = ["--prompt", "What is a guanaco?", "--temperature", "0", "--max-new-tokens", "24"];
        output_of(&[&["chat", "--model", model][..], &greedy].concat())
    };
    assert_eq!(ask(text(&file)), ask(text(&model)));
    assert_eq!(GgufFile::open(&file).unwrap().string("general.name").unwrap(), "tiny");
    // Written again over itself, from itself.
    output_of(&["export", "--model", text(&file), "--to", text(&file), "--type", "q8_0", "--name", "again"]);
    assert_eq!(GgufFile::open(&file).unwrap().string("general.name").unwrap(), "again");
    assert_eq!(entries(dir.path()), ["tiny", "tiny.gguf"]);
}

#[test]
fn an_adapter_is_folded_in() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("tiny");
    save_byte_model(&model, 512);
    let adapter = train_adapter(&model, dir.path());
    let (plain, tuned, merged) = (dir.path().join("a.gguf"), dir.path().join("b.gguf"), dir.path().join("m"));
    let export = |model: &str, more: &[&str], out: &str| {
        output_of(&[&["export", "--model", model, "--type", "f32", "--out", out], more].concat());
    };
    export(text(&model), &[], text(&plain));
    export(text(&model), &["--adapter", text(&adapter)], text(&tuned));
    output_of(&["merge", "--model", text(&model), "--adapter", text(&adapter), "--out", text(&merged)]);
    let again = dir.path().join("c.gguf");
    export(text(&merged), &["--name", "tiny"], text(&again));
    let name = "blk.1.ffn_up.weight";
    let read = |path: &Path| GgufFile::open(path).unwrap().read(name).unwrap();
    assert_eq!(read(&tuned), read(&again), "as a merge does it");
    assert_ne!(read(&tuned), read(&plain));
}

#[test]
fn what_cannot_be_exported_is_refused_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (model, out) = (dir.path().join("nano"), dir.path().join("out.gguf"));
    save_nano_model(&model, 128);
    let said = error_of(&["export", "--model", text(&model), "--out", text(&out)]);
    assert!(said.contains("no name for"), "{said}");
    let said = error_of(&["export", "--model", text(&model), "--out", text(&out), "--type", "q5_k"]);
    assert!(said.contains("q4_0") && said.contains("q8_0"), "{said}");
    let said = error_of(&["export", "--model", text(&model), "--out", text(dir.path())]);
    assert!(said.contains("is a folder"), "{said}");
    let said =
        error_of(&["export", "--model", text(&model), "--out", text(&dir.path().join("no/where.gguf"))]);
    assert!(!said.is_empty());
    fs::remove_file(model.join("tokenizer.json")).unwrap();
    let said = error_of(&["export", "--model", text(&model), "--out", text(&out)]);
    assert!(said.contains("tokenizer"), "{said}");
    assert_eq!(entries(dir.path()), ["nano"]);
}
