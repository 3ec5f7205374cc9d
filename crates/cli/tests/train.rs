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

/// The command that goes on with a run under other settings.
fn resume<'a>(run: &'a Path, settings: &[&'a str]) -> Vec<&'a str> {
    let set = settings.iter().flat_map(|setting| ["--set", *setting]);
    ["train", "--resume", text(run)].into_iter().chain(set).collect()
}

/// A run may be made longer, and then ends as if it had been that long from the start; what would
/// have changed the steps done is refused by name, and leaves the run as it was.
#[test]
fn a_resumed_run_takes_other_settings_that_leave_its_steps_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (file, _) = experiment(dir.path());
    let (short, long) = (dir.path().join("short"), dir.path().join("long"));
    let constant = ["--set", "train.warmup_ratio=0", "--set", "train.lr_schedule=constant"];
    output_of(&[&["train", file.as_str(), "--run", text(&short)], &constant[..]].concat());
    let before = fs::read(short.join("experiment.toml")).unwrap();
    for (settings, expected) in [
        (["lora.r=4"], "lora.r = 4 (was 8)"),
        (["seed=1"], "seed = 1"),
        (["data.max_length=100"], "data.max_length = 100 (was 256)"),
        (["train.weight_decay=0.1"], "train.weight_decay = 0.1 (was 0.0)"),
        (["train.learning_rate=1e-3"], "a learning rate of 1e-3 at step 1 (was 2e-4"),
        (["train.lr_schedule=cosine"], "at step 2"),
        (["length.steps=2"], "a length of 2 steps (4 are done)"),
    ] {
        let said = error_of(&resume(&short, &settings));
        assert!(said.contains(expected), "{settings:?}: {said}");
        assert!(fs::read(short.join("experiment.toml")).unwrap() == before, "{settings:?}");
        assert!(short.join("adapter").exists(), "{settings:?}");
    }

    output_of(&resume(&short, &["length.steps=6", "train.save_every=2"]));
    output_of(
        &[&["train", file.as_str(), "--run", text(&long), "--set", "length.steps=6"], &constant[..]].concat(),
    );
    let adapter = |run: &Path| fs::read(run.join("adapter/adapter_model.safetensors")).unwrap();
    assert!(adapter(&short) == adapter(&long), "the lengthened run ends with other bytes");
    assert!(short.join("adapter-step-000004/adapter_model.safetensors").exists());
    // It is a run of six steps from now on.
    output_of(&resume(&short, &[]));
}

/// `auto` becomes a compute type when a run begins, is saved as that one, and stays it.
#[test]
fn a_run_keeps_the_compute_type_that_auto_came_to() {
    let dir = tempfile::tempdir().unwrap();
    let (file, _) = experiment(dir.path());
    let run = dir.path().join("run");
    let auto = ["train", &file, "--run", text(&run), "--set", "model.compute=auto"];
    let measured = |args: &[&str]| {
        let output = camelid(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        said.contains("GFLOP/s here")
    };
    assert!(measured(&auto), "the rates are said");
    let saved = fs::read_to_string(run.join("experiment.toml")).unwrap();
    let [took, other] = if saved.contains("compute = \"bf16\"") { ["bf16", "f32"] } else { ["f32", "bf16"] };
    assert!(saved.contains(&format!("compute = \"{took}\"")), "{saved}");
    assert!(!measured(&auto) && !measured(&resume(&run, &["model.compute=auto"])), "measured again");
    let changed = error_of(&resume(&run, &[&format!("model.compute={other}")]));
    assert!(changed.contains(&format!("model.compute = \"{other}\" (was \"{took}\")")), "{changed}");

    let losses = |compute: &str| {
        let run = dir.path().join(compute);
        let set = format!("model.compute={compute}");
        output_of(&["train", &file, "--run", text(&run), "--set", &set]);
        let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        let of_line = |line: &str| serde_json::from_str::<Value>(line).unwrap()["loss"].as_f64().unwrap();
        metrics.lines().map(of_line).collect::<Vec<f64>>()
    };
    let (f32, bf16) = (losses("f32"), losses("bf16"));
    assert_ne!(f32, bf16, "rounded operands");
    assert!(f32.iter().zip(&bf16).all(|(a, b)| (a - b).abs() < 0.05), "{f32:?} {bf16:?}");
}

/// Weights are asked in the template that they were tuned on: the base's own goes with the adapter,
/// and no other does.
#[test]
fn the_template_goes_with_the_adapter() {
    let dir = tempfile::tempdir().unwrap();
    let (file, _) = experiment(dir.path());
    let model = dir.path().join("model");
    let own = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}\
               {% if add_generation_prompt %}assistant: {% endif %}";
    fs::write(model.join("chat_template.jinja"), own).unwrap();
    fs::create_dir(model.join("additional_chat_templates")).unwrap();
    fs::write(model.join("additional_chat_templates/tool_use.jinja"), own).unwrap();
    let train = |name: &str, template: &str| {
        let run = dir.path().join(name);
        let template = format!("data.template={template}");
        output_of(&["train", &file, "--run", text(&run), "--set", "length.steps=1", "--set", &template]);
        run.join("adapter")
    };
    let with_own = train("own", "auto");
    let without = entries(&train("other", "guanaco"));
    assert!(!without.iter().any(|name| name.contains("chat_template")), "{without:?}");

    // What the base says later changes nothing.
    fs::write(model.join("chat_template.jinja"), "another").unwrap();
    let merged = dir.path().join("merged");
    let base = ["--model", text(&model), "--adapter", text(&with_own)];
    output_of(&[&["merge"], &base[..], &["--out", text(&merged)]].concat());
    assert_eq!(fs::read_to_string(merged.join("chat_template.jinja")).unwrap(), own);
    output_of(&[&["chat"], &base[..], &["--prompt", "where ?", "--max-new-tokens", "2"]].concat());
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
    assert!(typed.contains("train.learning_rate=fast") && typed.contains("expected a number"), "{typed}");
    let missing = error("data.source=nowhere.json");
    assert!(missing.contains("nowhere.json"), "{missing}");
    let format = error("data.format=sharegtp");
    assert!(format.contains("sharegpt"), "{format}");
    let range = error("train.micro_batch_size=0");
    assert!(range.contains("mine.toml: ") && range.contains("expected at least 1"), "{range}");
    let all = error("data.test.count=1000");
    assert!(all.contains("sharegpt.jsonl: `data.test`: cannot set 1000 "), "{all}");
    assert!(!run.exists(), "nothing is written for a run that cannot begin");
    assert_eq!(camelid(&["train"]).status.code(), Some(2));
}

#[test]
fn a_stretched_model_is_written_so_that_others_read_its_positions() {
    let dir = tempfile::tempdir().unwrap();
    let (file, _) = experiment(dir.path());
    let with_lora = fs::read_to_string(&file).unwrap();
    let scaling = "model.rope_scaling={type='linear',factor=4.0}";
    let adapted = dir.path().join("adapted");
    let said =
        output_of(&["train", &file, "--run", text(&adapted), "--set", scaling, "--set", "length.steps=1"]);
    assert!(said.contains("rope_scaling"), "an adapter does not carry its base's positions: {said}");
    let (before, after) = with_lora.split_once("[lora]").unwrap();
    let (_, after) = after.split_once("\n[").unwrap();
    fs::write(&file, format!("{before}[{after}")).unwrap();
    let run = dir.path().join("full");
    output_of(&["train", &file, "--run", text(&run), "--set", scaling, "--set", "length.steps=1"]);
    let config: Value = serde_json::from_slice(&fs::read(run.join("model/config.json")).unwrap()).unwrap();
    assert_eq!(config["rope_scaling"], json!({ "type": "linear", "factor": 4.0 }));
    assert_eq!(config["max_position_embeddings"], 256);
}

#[test]
fn a_run_is_planned_before_base_and_data_are_here() {
    let file = camelid_tests::workspace().join("experiments/vicuna/v0-7b.toml");
    let said = output_of(&["train", text(&file), "--dry-run", "--offline"]);
    for part in [
        "would need data/sharegpt-70k.json",
        "would take 13500 steps of 32",
        "8 × A100-80GB",
        "542",
        "164",
        "@b4f10a3",
    ] {
        assert!(said.contains(part), "{part} in\n{said}");
    }
}
