//! `camelid data show`, `convert` and `stats` on files as they are met.

mod camelid;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use camelid::{camelid, camelid_with_input, entries, error_of, output_of, text};
use camelid_data::nano::{NanoConfig, NanoWorld};
use serde_json::{Value, json};

const ROWS: &str = r#"[
{"id": "s0", "conversations": [{"from": "human", "value": "What?"}, {"from": "bing", "value": "That."}]},
{"id": "s1", "conversations": [{"from": "gpt", "value": "old"}, {"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
{"id": "s2", "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": 7}]},
{"id": "s3", "conversations": [{"from": "system", "value": "Be kind."}, {"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}, {"from": "human", "value": "c"}, {"from": "gpt", "value": "d"}]}
]"#;

fn json_of(args: &[&str]) -> Value {
    serde_json::from_str(&output_of(args)).unwrap()
}

#[test]
fn conversations_are_shown_with_what_was_dropped_and_changed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("talks.json");
    fs::write(&file, ROWS).unwrap();
    let shown = camelid(&["data", "show", text(&file), "--limit", "2"]);
    let (out, said) = (String::from_utf8(shown.stdout).unwrap(), String::from_utf8(shown.stderr).unwrap());
    assert!(out.contains("── s0 (2 messages)\nuser: What?\nassistant: That.\n"), "{out}");
    assert!(out.contains("── s1") && !out.contains("old") && !out.contains("── s3"), "{out}");
    for expected in [
        "taken for `sharegpt` in a JSON array",
        "4 conversations read, 3 kept",
        "1 dropped (a turn without text): item 3 (id s2): `value` of turn 2 is 7",
        "1 with a first turn of the assistant, left out: item 2 (id s1)",
        "1 more",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }

    let whole = json_of(&["data", "show", text(&file), "--id", "s3", "--json", "--format", "sharegpt"]);
    assert_eq!(whole["conversations"].as_array().unwrap().len(), 1);
    assert_eq!(whole["conversations"][0]["messages"][0], json!({"role": "system", "content": "Be kind."}));
    assert_eq!(whole["report"]["dropped"]["a turn without text"]["examples"][0]["place"], "item 3");
    assert!(
        error_of(&["data", "show", text(&file), "--id", "s2"]).contains("no conversation has the id `s2`")
    );
}

#[test]
fn standard_input_is_told_by_its_content() {
    let lines = "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}]}\n";
    for (input, format) in
        [(ROWS, "sharegpt"), (lines, "messages"), ("instruction\toutput\nDo\tDone\n", "alpaca")]
    {
        let output = camelid_with_input(&["data", "stats", "-", "--json"], input);
        assert!(output.status.success(), "{output:?}");
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(told["format"], format);
    }
    let output = camelid_with_input(&["data", "show", "-"], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("standard input"), "{output:?}");
}

#[test]
fn what_a_format_cannot_hold_is_counted_and_said() {
    let dir = tempfile::tempdir().unwrap();
    let (file, out) = (dir.path().join("talks.json"), dir.path().join("alpaca.jsonl"));
    fs::write(&file, ROWS).unwrap();
    let told = camelid(&["data", "convert", text(&file), "--to", "alpaca", "--out", text(&out)]);
    let said = String::from_utf8(told.stderr).unwrap();
    assert!(told.status.success() && told.stdout.is_empty());
    assert!(said.contains("3 conversations written as alpaca") && !said.contains("left out: s3"), "{said}");
    let rows = fs::read_to_string(&out).unwrap();
    let last: Value = serde_json::from_str(rows.lines().last().unwrap()).unwrap();
    let earlier = json!([["a", "b"]]);
    assert_eq!(
        last,
        json!({"id": "s3", "system": "Be kind.", "history": earlier, "instruction": "c", "input": "", "output": "d"})
    );
    let trees = dir.path().join("trees.jsonl");
    let told = camelid(&["data", "convert", text(&file), "--to", "oasst-flat", "--out", text(&trees)]);
    let said = String::from_utf8(told.stderr).unwrap();
    assert!(said.contains("1 with a system message, left out: s3"), "{said}");

    // Every other format gives the same conversations back, from Parquet too.
    let before = json_of(&["data", "show", text(&file), "--json"])["conversations"].clone();
    for to in ["alpaca", "sharegpt", "messages"] {
        let out = dir.path().join(format!("{to}.parquet"));
        let told = json_of(&["data", "convert", text(&file), "--to", to, "--out", text(&out), "--json"]);
        assert_eq!((told["read"]["kept"].clone(), told["written"]["kept"].clone()), (json!(3), json!(3)));
        assert_eq!(json_of(&["data", "show", text(&out), "--json"])["conversations"], before, "{to}");
    }
}

#[test]
fn figures_are_counted_with_tokens_where_a_tokenizer_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let (file, tokenizer) = (dir.path().join("talks.json"), dir.path().join("tokenizer.json"));
    fs::write(&file, ROWS).unwrap();
    let words = NanoWorld::new(&NanoConfig::default()).unwrap().tokenizer().unwrap();
    words.save(&tokenizer, false).unwrap();
    let told = json_of(&["data", "stats", text(&file), "--json", "--tokenizer", text(&tokenizer)]);
    let texts = ["What?", "That.", "a", "b", "Be kind.", "a", "b", "c", "d"];
    let characters: usize = texts.iter().map(|text| text.len()).sum();
    let tokens: usize = texts.iter().map(|text| words.encode(*text, false).unwrap().len()).sum();
    let stats = &told["stats"];
    assert_eq!(stats["characters"]["total"], characters);
    assert_eq!(stats["tokens"]["total"], tokens);
    assert_eq!((stats["turns"]["total"].clone(), stats["turns"]["max"].clone()), (json!(8), json!(4)));
    let table = output_of(&["data", "stats", text(&file)]);
    assert!(
        table.contains("3 conversations, 2 different first questions, 1 with a system message"),
        "{table}"
    );
    assert!(!table.contains("tokens"), "{table}");
}

#[test]
fn wrong_files_and_options_are_said_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("talks.json"), ROWS).unwrap();
    fs::write(at("cut.json"), &ROWS[..ROWS.len() - 30]).unwrap();
    fs::write(at("other.json"), "[{\"weight\": 1}]").unwrap();
    fs::write(at("all_bad.jsonl"), "{\"conversations\": 7}\n").unwrap();
    let before = entries(dir.path());
    let out = at("out.json");
    for (file, expected) in [
        ("nowhere.json", "nowhere.json: cannot open"),
        ("cut.json", "cut.json: the JSON array is cut off"),
        ("other.json", "`weight`"),
        ("all_bad.jsonl", "`conversations`"),
    ] {
        let file = at(file);
        let said = error_of(&["data", "convert", text(&file), "--to", "messages", "--out", text(&out)]);
        assert!(said.contains(expected), "{said}");
    }
    let talks = at("talks.json");
    let said = error_of(&["data", "show", text(&talks), "--format", "alpaca"]);
    assert!(said.contains("no row is `alpaca`; the file looks like `sharegpt`"), "{said}");
    let said = error_of(&["data", "convert", text(&talks), "--to", "messages", "--out", "/nowhere/x.json"]);
    assert!(said.contains("/nowhere/x.json"), "{said}");
    let csv = at("x.csv");
    assert!(
        error_of(&["data", "convert", text(&talks), "--to", "messages", "--out", text(&csv)])
            .contains(".parquet")
    );
    let unknown = camelid(&["data", "show", text(&talks), "--format", "vicuna"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("oasst-flat"), "{unknown:?}");
    assert_eq!(entries(dir.path()), before);
}

#[test]
fn the_catalogue_is_json_on_demand() {
    let list = json_of(&["data", "list", "--json"]);
    let source = list.as_array().unwrap().iter().find(|s| s["name"] == "oasst1-questions").unwrap();
    assert_eq!(source["files"][0]["size"], 4_052_921);
}

/// C02: a full disk behind standard output is an error line, a reader that goes away is none.
#[cfg(target_os = "linux")]
#[test]
fn full_disks_are_said_and_closed_pipes_are_quiet() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("talks.json");
    fs::write(&file, ROWS).unwrap();
    let commands: [&[&str]; 5] = [
        &["data", "list"],
        &["data", "list", "--json"],
        &["data", "show", text(&file)],
        &["data", "stats", text(&file), "--json"],
        &["data", "convert", text(&file), "--to", "messages", "--out", "-"],
    ];
    for args in commands {
        let run = |stdout: Stdio| {
            Command::new(env!("CARGO_BIN_EXE_camelid"))
                .args(args)
                .stdout(stdout)
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        };
        let full = fs::OpenOptions::new().write(true).open(Path::new("/dev/full")).unwrap();
        let output = run(full.into()).wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.contains("error: cannot print: No space left") && !said.contains("panicked"), "{said}");

        let mut child = run(Stdio::piped());
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {said}");
        assert!(!said.contains("error"), "{said}");
    }
}
