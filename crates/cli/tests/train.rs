//! `camelid train`: a user's own model and data.

mod camelid;

use std::fs;
use std::path::Path;

use camelid::{camelid, entries, error_of, output_of, save_nano_model, text};
use serde_json::{Value, json};

/// The same conversations in the four formats that users have most often.
fn write_data(dir: &Path) -> Vec<(&'static str, String)> {
    let talks: Vec<(String, String)> =
        (0..12).map(|i| (format!("where is item {i} ?"), format!("it is in room {} .", i % 3))).collect();
    let rows = |row: &dyn Fn(usize, &str, &str) -> Value| -> String {
        talks.iter().enumerate().map(|(i, (q, a))| row(i, q, a).to_string() + "\n").collect()
    };
    let files = [
        (
            "sharegpt",
            rows(&|i, q, a| {
                json!({ "id": i.to_string(), "conversations": [
                { "from": "human", "value": q }, { "from": "gpt", "value": a } ] })
            }),
        ),
        ("alpaca", rows(&|_, q, a| json!({ "instruction": q, "input": "", "output": a }))),
        (
            "messages",
            rows(&|_, q, a| {
                json!({ "messages": [
                { "role": "user", "content": q }, { "role": "assistant", "content": a } ] })
            }),
        ),
        (
            "oasst-trees",
            rows(&|i, q, a| {
                let (tree, reply) = (format!("t{i}"), format!("r{i}"));
                json!({ "message_tree_id": tree, "tree_state": "ready_for_export", "prompt": {
                "message_id": tree, "parent_id": null, "text": q, "role": "prompter", "lang": "en",
                "replies": [{
                    "message_id": reply, "parent_id": tree, "text": a, "role": "assistant",
                    "lang": "en", "rank": 0, "replies": [] }] } })
            }),
        ),
    ];
    files
        .into_iter()
        .map(|(format, content)| {
            let path = dir.join(format!("{format}.jsonl"));
            fs::write(&path, content).unwrap();
            (format, text(&path).to_owned())
        })
        .collect()
}

/// The experiment file that the README shows.
fn shown() -> String {
    let readme = include_str!("../README.md");
    let (_, rest) = readme.split_once("```toml\n").expect("an experiment");
    let (toml, _) = rest.split_once("```").expect("its end");
    toml.lines().map(|line| line.strip_prefix("  ").unwrap_or(line).to_owned() + "\n").collect()
}

/// The README's experiment on a small model; its file, and the data by format.
fn experiment(dir: &Path) -> (String, Vec<(&'static str, String)>) {
    let model = dir.join("model");
    fs::create_dir(&model).unwrap();
    save_nano_model(&model, 256);
    let data = write_data(dir);
    let file = dir.join("mine.toml");
    let mut toml = shown();
    for (shown, here) in [
        ("steps = 6", "steps = 4".to_owned()),
        ("\"smollm2-135m-instruct\"", format!("{:?}", text(&model))),
        ("\"quantized\"", "\"f32\"".to_owned()),
        ("grad_accum = 2", "grad_accum = 1".to_owned()),
        ("save_every = 2", "save_every = 1".to_owned()),
        ("\"chats.json\"", format!("{:?}", data[0].1)),
        ("\"auto\"", "\"guanaco\"".to_owned()),
        ("count = 4", "count = 2".to_owned()),
    ] {
        assert!(toml.contains(shown), "{shown}: {toml}");
        toml = toml.replacen(shown, &here, 1);
    }
    fs::write(&file, toml).unwrap();
    (text(&file).to_owned(), data)
}

#[test]
fn every_format_trains_to_an_adapter_with_metrics_events_and_a_report() {
    let dir = tempfile::tempdir().unwrap();
    let (file, data) = experiment(dir.path());
    for (format, source) in &data {
        let run = dir.path().join(format);
        let (source, format) = (format!("data.source={source}"), format!("data.format={format}"));
        let said = output_of(&["train", &file, "--run", text(&run), "--set", &source, "--set", &format]);
        assert!(said.contains("test loss at the end"), "{said}");
        assert!(said.contains("--template guanaco"), "{said}");
        let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        assert_eq!(metrics.lines().count(), 4);
        let names = entries(&run);
        assert!(names.iter().any(|name| name.contains("tfevents")), "{names:?}");
        let page = fs::read_to_string(run.join("report.html")).unwrap();
        assert!(page.contains("<svg") && page.contains("where is item"), "{page}");
        let adapter = entries(&run.join("adapter"));
        for name in ["adapter_config.json", "adapter_model.safetensors", "tokenizer.json"] {
            assert!(adapter.iter().any(|file| file == name), "{adapter:?}");
        }
        let (model, adapter) = (dir.path().join("model"), run.join("adapter"));
        let base = ["--model", text(&model), "--adapter", text(&adapter)];
        let merged = dir.path().join("merged").join("");
        let _ = fs::remove_dir_all(&merged);
        output_of(&[&["merge"], &base[..], &["--out", text(&merged)]].concat());
        output_of(
            &[
                &["chat"],
                &base[..],
                &["--template", "guanaco", "--prompt", "where is item 1 ?", "--max-new-tokens", "3"],
            ]
            .concat(),
        );
    }
}

#[test]
fn full_fine_tuning_leaves_a_model() {
    let dir = tempfile::tempdir().unwrap();
    let (file, _) = experiment(dir.path());
    let toml =
        fs::read_to_string(&file).unwrap().replace("[lora]", "").replace("r = 8\nlora_alpha = 16\n", "");
    fs::write(&file, toml).unwrap();
    let run = dir.path().join("run");
    output_of(&["train", &file, "--run", text(&run)]);
    let model = run.join("model");
    output_of(&["chat", "--model", text(&model), "--prompt", "where ?", "--max-new-tokens", "2"]);
}

#[test]
fn a_run_that_is_started_again_goes_on_and_another_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (file, _) = experiment(dir.path());
    let run = dir.path().join("run");
    output_of(&["train", &file, "--run", text(&run)]);
    let adapter = || fs::read(run.join("adapter/adapter_model.safetensors")).unwrap();
    let whole = adapter();
    // As if killed after the third step: nothing of the end is there.
    fs::remove_dir_all(run.join("adapter")).unwrap();
    fs::remove_dir_all(run.join("checkpoints/step-000004")).unwrap();
    output_of(&["train", "--resume", text(&run)]);
    assert!(adapter() == whole, "the resumed run ends with other bytes");
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    assert_eq!(metrics.lines().count(), 4, "each step once");
    output_of(&["train", &file, "--run", text(&run)]);

    let other = error_of(&["train", &file, "--run", text(&run), "--set", "length.steps=5"]);
    assert!(other.contains("holds a run of another experiment"), "{other}");
    let filled = dir.path().join("filled");
    fs::create_dir(&filled).unwrap();
    fs::write(filled.join("thesis.tex"), "").unwrap();
    let said = error_of(&["train", &file, "--run", text(&filled)]);
    assert!(said.contains("is not empty"), "{said}");
    assert_eq!(entries(&filled), ["thesis.tex"]);
    let none = error_of(&["train", "--resume", text(dir.path())]);
    assert!(none.contains("holds no run"), "{none}");
}

#[test]
fn a_dry_run_says_what_it_takes_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (file, _) = experiment(dir.path());
    let before = entries(dir.path());
    let said = output_of(&["train", &file, "--dry-run", "--set", "length={epochs=3}"]);
    for part in ["would fetch nothing", "would take 15 steps", "optimizer", "would cost"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(entries(dir.path()), before);
}

#[test]
fn settings_that_cannot_be_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let (file, _) = experiment(dir.path());
    let run = dir.path().join("run");
    let error = |set: &str| error_of(&["train", &file, "--run", text(&run), "--set", set]);
    let unknown = error("train.learnin_rate=1e-4");
    assert!(unknown.contains("did you mean `learning_rate`?"), "{unknown}");
    let typed = error("train.learning_rate=fast");
    assert!(typed.contains("train.learning_rate=fast") && typed.contains("expected f64"), "{typed}");
    let missing = error("data.source=nowhere.json");
    assert!(missing.contains("nowhere.json"), "{missing}");
    let format = error("data.format=sharegtp");
    assert!(format.contains("sharegpt"), "{format}");
    assert!(!run.exists(), "nothing is written for a run that cannot begin");
    assert_eq!(camelid(&["train"]).status.code(), Some(2));
}
