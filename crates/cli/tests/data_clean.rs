//! `camelid data clean` and `markdown`.

mod camelid;

use std::fs;

use camelid::{camelid, camelid_with_input, error_of, output_of, text};
use serde_json::Value;

const PAGES: &str = r#"[
{"id": "a", "conversations": [{"from": "human", "value": "A Vec<String>?"}, {"from": "gpt", "value": "<p>Yes, my_var is <b>one</b>.</p>"}]},
{"id": "b", "conversations": [{"from": "human", "value": "ChatGPT?"}, {"from": "gpt", "value": "<p>It is nothing of the kind.</p>"}]},
{"id": "c", "conversations": 7}
]"#;

#[test]
fn pages_are_cleaned_counted_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (pages, out, lineage, report) =
        (path("pages.json"), path("out.json"), path("lineage.jsonl"), path("report.html"));
    fs::write(&pages, PAGES).unwrap();
    let args = [
        "data",
        "clean",
        text(&pages),
        "--out",
        text(&out),
        "--lineage",
        text(&lineage),
        "--report",
        text(&report),
    ];
    let run = camelid(&args);
    let (table, said) = (String::from_utf8(run.stdout).unwrap(), String::from_utf8(run.stderr).unwrap());
    assert!(run.status.success() && said.contains("1 row skipped that cannot be used: c: "), "{said}");
    assert!(table.contains("a blocked word") && table.contains("33.3 %"), "{table}");
    let kept: Value = serde_json::from_slice(&fs::read(&out).unwrap()).unwrap();
    assert_eq!(kept[0]["conversations"][0]["value"], "A Vec<String>?");
    assert_eq!(kept[0]["conversations"][1]["value"], "Yes, my_var is **one**.");
    assert_eq!(fs::read_to_string(&lineage).unwrap().lines().count(), 3);
    let page = fs::read_to_string(&report).unwrap();
    assert!(page.contains("<svg") && page.contains("blocked-word") && page.contains("ChatGPT?"), "{page}");

    let exact = output_of(&["data", "clean", text(&pages), "--mode", "fastchat-exact", "--out", text(&out)]);
    assert!(exact.starts_with("total: 3, skip: 2, new: 1, cnt_blocked_words: 1,"), "{exact}");
    let kept: Value = serde_json::from_slice(&fs::read(&out).unwrap()).unwrap();
    assert_eq!(kept[0]["conversations"][1]["value"], r"Yes, my\_var is **one**.");

    fs::remove_file(&out).unwrap();
    let strict = error_of(&["data", "clean", text(&pages), "--out", text(&out), "--strict"]);
    assert!(strict.contains("pages.json: item 3: id c") && !out.exists(), "{strict}");
}

#[test]
fn a_page_or_a_string_a_line_becomes_markdown() {
    let page = camelid_with_input(&["data", "markdown"], "<p>a_b <i>c</i></p>\n");
    assert_eq!(String::from_utf8(page.stdout).unwrap(), "a_b *c*");
    let lines = "\"<p>a_b</p>\"\n\"<![x[y]]>z\"\n\"x\\ny\"\n";
    let exact = camelid_with_input(&["data", "markdown", "--mode", "fastchat-exact", "--jsonl"], lines);
    assert_eq!(String::from_utf8(exact.stdout).unwrap(), "\"a\\\\_b\"\nnull\n\"x\\ny\"\n");
    assert!(String::from_utf8(exact.stderr).unwrap().starts_with("line 2: "));
}
