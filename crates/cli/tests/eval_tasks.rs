//! `camelid eval tasks` from arguments to results.

mod camelid;

use std::fs;

use camelid::{COLOURS as TASK, entries, error_of, output_of, save_nano_model, text};

#[test]
fn a_task_of_ones_own_is_scored_and_its_results_are_filed() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    save_nano_model(&at("model"), 64);
    fs::write(at("colours.toml"), TASK).unwrap();
    let row = |thing, right| format!("{{\"thing\": \"{thing}\", \"right\": {right}}}\n");
    fs::write(at("colours.jsonl"), [row("sky", 1), row("rose", 0), row("sea", 1)].concat()).unwrap();
    let (model, task, data, out) = (at("model"), at("colours.toml"), at("colours.jsonl"), at("out"));
    let args = ["eval", "tasks", "--model", text(&model), "--task", text(&task), "--data", text(&data)];
    let table = output_of(&[&args[..], &["--out", text(&out)]].concat());
    assert!(
        table.contains("colours v2") && table.contains("3 of 3") && table.contains("accuracy"),
        "{table}"
    );
    assert_eq!(entries(&out), ["colours.json", "colours.parquet", "colours.rows.jsonl"]);
    // Nothing is asked again, and nothing changes.
    let parquet = fs::read(out.join("colours.parquet")).unwrap();
    let json = output_of(&[&args[..], &["--out", text(&out), "--json"]].concat());
    let reports: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(reports[0]["scores"][0]["measure"], "accuracy");
    assert_eq!(reports[0]["model"]["load"], "f32");
    assert_eq!(fs::read(out.join("colours.parquet")).unwrap(), parquet);
    let page = at("colours.html");
    output_of(&[&args[..], &["--out", text(&out), "--html", text(&page)]].concat());
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("<svg") && page.contains("colours, accuracy"), "{page}");
    // Rows of another way of holding the model may not mix with these.
    let said = error_of(&[&args[..], &["--out", text(&out), "--load", "nf4"]].concat());
    assert!(said.contains("other settings") && said.contains("load nf4"), "{said}");
}

#[test]
fn what_is_wrong_is_said_before_the_weights_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("colours.toml"), TASK).unwrap();
    fs::write(at("short.toml"), TASK.replace("version = 2", "")).unwrap();
    fs::write(at("extra.toml"), TASK.replace("version = 2", "version = 2\nverison = 3")).unwrap();
    fs::write(at("colours.jsonl"), "{\"thing\": \"sky\"}\n").unwrap();
    let [task, short, extra] = ["colours.toml", "short.toml", "extra.toml"].map(at);
    let (data, out) = (at("colours.jsonl"), at("out"));
    for (args, expected) in [
        (vec!["--task", "mmul"], "did you mean `mmlu`?"),
        (vec!["--task", text(&short)], "missing field `version`"),
        (vec!["--task", text(&extra)], "verison"),
        (vec!["--task", "/nowhere/task.toml"], "/nowhere/task.toml"),
        (vec!["--task", text(&task), "--task", text(&task)], "named twice"),
        (vec!["--task", text(&task), "--data", "/nowhere/data"], "/nowhere/data"),
        (vec!["--task", text(&task), "--data", text(&data)], "/nowhere/model"),
        (vec![], "--task"),
    ] {
        let all =
            [vec!["eval", "tasks", "--model", "/nowhere/model", "--out", text(&out)], args.clone()].concat();
        let said = error_of(&all);
        assert!(said.contains(expected), "{args:?}: {said}");
        assert!(!out.exists(), "{args:?}");
    }
    save_nano_model(&at("model"), 64);
    let model = at("model");
    let args = ["eval", "tasks", "--model", text(&model), "--task", text(&task), "--data", text(&data)];
    let said = error_of(&args);
    assert!(said.contains("colours.jsonl, row 1: no field `right`; there are: thing"), "{said}");
}
