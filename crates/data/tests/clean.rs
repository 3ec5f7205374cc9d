//! Cleaning: FastChat's output to the byte, and what holds of any input.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use camelid_data::Mode;
use camelid_data::clean::{CleanOptions, Rule, Summary, clean};
use serde_json::{Value, json};

static GO_ON: AtomicBool = AtomicBool::new(false);

fn pipeline(name: &str) -> Option<PathBuf> {
    Some(camelid_tests::oracles()?.join("fastchat/pipeline").join(name))
}

fn exact() -> CleanOptions {
    CleanOptions::new(Mode::FastchatExact)
}

fn value(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Cleans into a file of a folder of its own.
fn cleaned(input: &Path, name: &str, options: &CleanOptions) -> (Summary, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join(name);
    let summary = clean(input, &output, options, &GO_ON).unwrap();
    (summary, std::fs::read(output).unwrap())
}

#[test]
fn fastchats_output_and_counters_come_out_byte_for_byte() {
    let Some(input) = pipeline("sharegpt_html.json") else { return };
    let (summary, output) = cleaned(&input, "out.json", &exact());
    let golden = std::fs::read(pipeline("sharegpt_clean.json").unwrap()).unwrap();
    assert!(output == golden, "the output differs");
    let manifest = value(&pipeline("manifest.json").unwrap());
    assert_eq!(summary.fastchat_line(), manifest["steps"]["clean_sharegpt"]["printed"]);
}

#[test]
fn the_lineage_tells_each_row_as_fastchat_prints_it() {
    let Some(input) = pipeline("sharegpt_html.json") else { return };
    let folder = tempfile::tempdir().unwrap();
    let lineage = folder.path().join("lineage.jsonl");
    let options = CleanOptions { lineage: Some(lineage.clone()), ..exact() };
    let output = folder.path().join("out.jsonl");
    clean(&input, &output, &options, &GO_ON).unwrap();
    let rows: Vec<Value> =
        std::fs::read_to_string(&lineage).unwrap().lines().map(|l| l.parse().unwrap()).collect();
    let codes = value(&pipeline("clean_error_codes.json").unwrap());
    assert_eq!(rows.len(), codes.as_array().unwrap().len());
    let mut lines = Vec::new();
    for (row, code) in rows.iter().zip(codes.as_array().unwrap()) {
        let rule = row["rule"].as_str();
        let expected = match rule {
            Some("too-short") => 1,
            Some("wrong-format") => 2,
            Some("blocked-word") => 3,
            Some("parser-error") => 4,
            _ => 0,
        };
        assert_eq!(*code, expected, "{row}");
        let id = row["id"].as_str().unwrap();
        let other = row["duplicate_of"].as_str().unwrap_or_default();
        lines.push(match rule {
            None => continue,
            Some("too-short") => format!("id {id} is too short"),
            Some("wrong-format") => format!("id {id} has a wrong format"),
            Some("blocked-word") => format!("id {id} contains blocked words"),
            Some("parser-error") => format!("id {id} contains parser errors"),
            Some("id-duplicate") => format!("id {id} is an id duplication of {other}"),
            Some("plugin") => format!("id {id} contains plugin"),
            Some("value-duplicate") => format!("id {id} is a value duplication of {other}"),
            Some(rule) => panic!("{rule}"),
        });
    }
    let manifest = value(&pipeline("manifest.json").unwrap());
    assert_eq!(json!(lines), manifest["steps"]["clean_sharegpt"]["lines"]);
    let kept = rows.iter().filter(|row| row["kept"] == true).count();
    assert_eq!(std::fs::read_to_string(output).unwrap().lines().count(), kept);
}

#[test]
fn languages_and_repeated_digits_are_dropped_as_by_optional_clean() {
    let Some(input) = pipeline("sharegpt_html.json") else { return };
    let manifest = value(&pipeline("manifest.json").unwrap());
    let ids = |output: &[u8]| -> Vec<Value> {
        let rows: Vec<Value> = serde_json::from_slice(output).unwrap();
        rows.into_iter().map(|row| row["id"].clone()).collect()
    };
    let no_korean = CleanOptions { skip_languages: vec!["ko".to_owned()], ..exact() };
    let (summary, output) = cleaned(&input, "out.json", &no_korean);
    assert!(output == std::fs::read(pipeline("sharegpt_skip_ko.json").unwrap()).unwrap());
    assert_eq!(
        summary.fastchat_optional_line(),
        manifest["steps"]["optional_clean --skip-lang ko"]["printed"]
    );
    let (_, output) = cleaned(&input, "out.json", &CleanOptions { reduce_repetition: true, ..exact() });
    assert_eq!(json!(ids(&output)), value(&pipeline("sharegpt_reduce_rep_ids.json").unwrap()));
    // CLD2 and whatlang differ on short and mixed texts: 6 of 178.
    let english = CleanOptions { keep_language: Some("en".to_owned()), ..exact() };
    let (_, output) = cleaned(&input, "out.json", &english);
    let ours = ids(&output);
    let theirs = value(&pipeline("sharegpt_keep_en_ids.json").unwrap());
    let theirs = theirs.as_array().unwrap();
    let differ = ours.iter().filter(|id| !theirs.contains(id)).count()
        + theirs.iter().filter(|id| !ours.contains(id)).count();
    assert!(differ <= 6, "{differ} of {} differ", theirs.len());
}

#[test]
fn shards_together_are_the_whole() {
    let Some(input) = pipeline("sharegpt_html.json") else { return };
    let whole = |options: &CleanOptions| {
        let (summary, output) = cleaned(&input, "out.jsonl", options);
        let lines: Vec<String> = String::from_utf8(output).unwrap().lines().map(str::to_owned).collect();
        (summary, lines)
    };
    let (all, mut lines) = whole(&exact());
    let shards = ["1/3", "2/3", "3/3"].map(|s| whole(&CleanOptions { shard: s.parse().unwrap(), ..exact() }));
    let mut parts: Vec<String> = shards.iter().flat_map(|(_, lines)| lines.clone()).collect();
    assert_eq!(all.total, shards.iter().map(|(summary, _)| summary.total).sum::<u64>());
    assert_eq!(
        all.dropped_by(Rule::ValueDuplicate),
        shards.iter().map(|(summary, _)| summary.dropped_by(Rule::ValueDuplicate)).sum::<u64>()
    );
    lines.sort();
    parts.sort();
    assert!(lines == parts, "the shards differ from the whole");
}
