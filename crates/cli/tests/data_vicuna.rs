//! `camelid data split`, `filter` and `inspect`.

mod camelid;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use camelid::{camelid, entries, error_of, output_of, text};
use camelid_data::nano::{NanoConfig, NanoWorld};
use camelid_tests::oracles;
use serde_json::{Value, json};

/// Three conversations, the second of two rounds, the third with a separator in its question.
fn talks(folder: &Path) -> std::path::PathBuf {
    let turns = |texts: &[&str]| -> Vec<Value> {
        let from = ["human", "gpt"].into_iter().cycle();
        texts.iter().zip(from).map(|(text, from)| json!({"from": from, "value": text})).collect()
    };
    let rows = json!([
        {"id": "one", "conversations": turns(&["What?", "That."])},
        {"id": "two", "conversations": turns(&["a\n1. x\n1. y", "b ", " ", "d"])},
        {"id": "three", "conversations": turns(&["he said ASSISTANT: yes", "No."])},
    ]);
    let file = folder.join("talks.json");
    fs::write(&file, rows.to_string()).unwrap();
    let words = NanoWorld::new(&NanoConfig::default()).unwrap().tokenizer().unwrap();
    words.save(folder.join("tokenizer.json"), false).unwrap();
    file
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn fastchats_files_come_out_of_the_commands_byte_for_byte() {
    let Some(oracles) = oracles() else { return };
    let (goldens, folder) = (oracles.join("fastchat/pipeline"), tempfile::tempdir().unwrap());
    let input = goldens.join("sharegpt_skip_ko.json");
    let tokenizer = oracles.join("llama-tokenizer/tokenizer.json");
    let (split, filtered) = (folder.path().join("split.json"), folder.path().join("filtered.json"));
    let said = output_of(&[
        "data",
        "split",
        text(&input),
        "--mode",
        "fastchat-exact",
        "--tokenizer",
        text(&tokenizer),
        "--max-length",
        "512",
        "--out",
        text(&split),
    ]);
    assert_eq!(said, "#in: 203, #out: 308\n");
    assert!(fs::read(&split).unwrap() == fs::read(goldens.join("sharegpt_split_512.json")).unwrap());
    let said =
        output_of(&["data", "filter", text(&split), "--rule", "wrong-lists", "--out", text(&filtered)]);
    assert_eq!(said, "#in: 308, #out: 297\n");
    assert!(
        fs::read(&filtered).unwrap() == fs::read(goldens.join("sharegpt_split_512_filtered.json")).unwrap()
    );
}

#[test]
fn a_split_says_what_it_did() {
    let folder = tempfile::tempdir().unwrap();
    let input = talks(folder.path());
    let at = |name: &str| folder.path().join(name);
    let (tokenizer, out, lineage) = (at("tokenizer.json"), at("out.jsonl.gz"), at("lineage.jsonl"));
    let common = ["data", "split", text(&input), "--tokenizer", text(&tokenizer), "--out", text(&out)];
    // The system sentence alone is longer than this, so every round is.
    let shown = camelid(&[&common[..], &["--max-length", "20", "--lineage", text(&lineage)]].concat());
    let said = String::from_utf8(shown.stderr).unwrap();
    assert!(shown.status.success() && shown.stdout.is_empty(), "{said}");
    for expected in [
        "3 conversations read, 3 kept",
        "4 rounds in, 4 out in 4 parts of at most 20 tokens; 1 conversations are in several parts",
        "4 rounds longer than that, as they are (--cut-long cuts them): item 1 (id one): ",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let rows = lines(&fs::read_to_string(&lineage).unwrap());
    assert_eq!((&rows[1]["id"], &rows[1]["rounds"]), (&json!("two"), &json!(2)));
    assert_eq!(
        (&rows[1]["parts"][1]["id"], &rows[1]["parts"][1]["turns"]),
        (&json!("two_2"), &json!([2, 4]))
    );

    let report: Value = serde_json::from_str(&output_of(
        &[&common[..], &["--max-length", "20", "--cut-long", "--json"]].concat(),
    ))
    .unwrap();
    assert_eq!((&report["rounds_out"], &report["rounds_lost"].as_object().unwrap().len()), (&json!(0), &1));
    let exact = ["--mode", "fastchat-exact", "--max-length", "20"];
    let shown = camelid(&[&common[..], &exact].concat());
    assert_eq!(String::from_utf8(shown.stdout).unwrap(), "#in: 3, #out: 1\n");
    let said = String::from_utf8(shown.stderr).unwrap();
    assert!(said.contains("rounds lost (the last round, where it overflows): item "), "{said}");
}

#[test]
fn parts_go_into_a_table_or_down_a_pipe_and_the_figures_beside_them() {
    let folder = tempfile::tempdir().unwrap();
    let input = talks(folder.path());
    let (tokenizer, table) = (folder.path().join("tokenizer.json"), folder.path().join("out.parquet"));
    let split = ["data", "split", text(&input), "--tokenizer", text(&tokenizer), "--out"];
    let piped = camelid(&[&split[..], &["-"]].concat());
    let rows = lines(&String::from_utf8(piped.stdout).unwrap());
    assert!(String::from_utf8(piped.stderr).unwrap().contains("3 conversations read, 3 kept"));
    assert_eq!(rows.len(), 3);

    output_of(&[&split[..], &[text(&table)]].concat());
    let shown = output_of(&["data", "filter", text(&table), "--rule", "restarting-lists", "--out", "-"]);
    let kept: Vec<Value> = lines(&shown).into_iter().map(|row| row["id"].clone()).collect();
    assert_eq!(kept, ["one_0", "three_0"]);
    assert!(error_of(&[&split[..], &["-", "--json"]].concat()).contains("--json and --out - both print"));
    let lineage = folder.path().join("lineage.parquet");
    let refused = error_of(&[&split[..], &["-", "--lineage", text(&lineage)]].concat());
    assert!(refused.contains("lineage.parquet") && refused.contains(".jsonl"), "{refused}");
}

#[test]
fn labels_are_printed_a_line_each_and_proven() {
    let folder = tempfile::tempdir().unwrap();
    let input = talks(folder.path());
    let tokenizer = folder.path().join("tokenizer.json");
    let common =
        ["data", "inspect", text(&input), "--template", "vicuna_v1.1", "--tokenizer", text(&tokenizer)];
    let shown = camelid(&[&common[..], &["--max-length", "2048", "--json", "--fastchat"]].concat());
    let said = String::from_utf8(shown.stderr).unwrap();
    assert!(shown.status.success(), "{said}");
    let rows = lines(&String::from_utf8(shown.stdout).unwrap());
    assert_eq!(
        rows.iter().map(|row| row["id"].as_str().unwrap()).collect::<Vec<_>>(),
        ["one", "two", "three"]
    );
    let loss = |row: &Value| -> Vec<i64> {
        let labels = row["labels"].as_array().unwrap().iter().map(|label| label.as_i64().unwrap());
        labels.filter(|label| *label != -100).collect()
    };
    let words = NanoWorld::new(&NanoConfig::default()).unwrap().tokenizer().unwrap();
    let spelt = |row: &Value| {
        let ids: Vec<u32> = loss(row).into_iter().map(|id| id as u32).collect();
        words.decode(&ids, false).unwrap()
    };
    assert_eq!(rows.iter().map(spelt).collect::<Vec<_>>(), [" That.</s>", " b </s> d</s>", " No.</s>"]);
    for expected in [
        "3 conversations, ",
        ": 4 answers as far as their end marker",
        "3 of 3 proven",
        "silenced (no loss at all), 1 of them with something to learn",
        "three: WARNING: tokenization mismatch: 1 vs. ",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }

    // Shown with marks where there are no colours, and cut where that is asked.
    let shown = output_of(&[&common[..], &["--limit", "1"]].concat());
    assert!(shown.contains("USER: What? ASSISTANT:⟦ That.</s>⟧") && !shown.contains("── two"), "{shown}");
    let cut = camelid(&[&common[..], &["--max-length", "5", "--json"]].concat());
    let said = String::from_utf8(cut.stderr).unwrap();
    assert!(said.contains("3 cut at the limit") && said.contains("3 with nothing to learn"), "{said}");
    assert_eq!(lines(&String::from_utf8(cut.stdout).unwrap())[0]["ids"].as_array().unwrap().len(), 5);
}

#[test]
fn the_page_marks_loss_and_escapes_what_users_wrote() {
    let folder = tempfile::tempdir().unwrap();
    talks(folder.path());
    let at = |name: &str| folder.path().join(name);
    let row = json!({"id": "<b>", "conversations": [
        {"from": "human", "value": "<script>alert(1)</script>"}, {"from": "gpt", "value": "a\n\u{202e}b"}]});
    fs::write(at("in.jsonl"), row.to_string()).unwrap();
    let (input, tokenizer, out) = (at("in.jsonl"), at("tokenizer.json"), at("page.html"));
    let said =
        output_of(&["data", "inspect", text(&input), "--tokenizer", text(&tokenizer), "--html", text(&out)]);
    assert_eq!(said, "");
    let page = fs::read_to_string(&out).unwrap();
    let begin = page.find("<div class=\"tokens\">").unwrap();
    let marked = &page[begin..page[begin..].find("</div>").unwrap() + begin];
    assert!(marked.contains("<b><i> a</i><i>⏎\n</i>") && marked.contains("‹202e›"), "{marked}");
    assert!(
        marked.ends_with("<i>&lt;&#x2f;s&gt;</i></b>") || marked.ends_with("<i>&lt;/s&gt;</i></b>"),
        "{marked}"
    );
    assert!(!page.contains("<script") && page.contains(">proven<"));
}

#[test]
fn wrong_files_and_options_are_said_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let input = talks(folder.path());
    let at = |name: &str| folder.path().join(name);
    fs::write(at("cut.json"), &fs::read_to_string(&input).unwrap()[..80]).unwrap();
    let good =
        r#"{"id": "g", "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}"#;
    fs::write(at("bad.jsonl"), format!("{good}\n{{\"id\": \"b\", \"conversations\": [7]}}\n{good}\n"))
        .unwrap();
    let other = fs::read_to_string(at("tokenizer.json")).unwrap().replace("</s>", "<end>");
    fs::write(at("other.json"), other).unwrap();
    let before = entries(folder.path());
    let (tokenizer, other, cut, bad, out) =
        (at("tokenizer.json"), at("other.json"), at("cut.json"), at("bad.jsonl"), at("out.json"));
    let split = |file: &Path, tokenizer: &Path, more: &[&str]| {
        error_of(
            &[&["data", "split", text(file), "--tokenizer", text(tokenizer), "--out", text(&out)], more]
                .concat(),
        )
    };
    assert!(split(&cut, &tokenizer, &[]).contains("cut.json: the JSON array is cut off at item 1"));
    assert!(
        split(&input, &other, &[]).contains("template `vicuna_v1.1` needs the token that ends a sequence")
    );
    assert!(split(&bad, &tokenizer, &["--strict"]).contains("bad.jsonl, line 2: id b: "));
    assert!(split(&input, &tokenizer, &["--max-length", "0"]).contains("0 tokens"));
    assert!(split(&input, &tokenizer, &["--template", "none"]).contains("unknown template `none`"));
    let inspect = |file: &Path, tokenizer: &Path, more: &[&str]| {
        error_of(&[&["data", "inspect", text(file), "--tokenizer", text(tokenizer)], more].concat())
    };
    assert!(inspect(&cut, &tokenizer, &[]).contains("cut off"));
    assert!(inspect(&input, &other, &[]).contains("vicuna_v1.1"));
    assert!(inspect(&bad, &tokenizer, &["--strict"]).contains("line 2 (id b)"));
    assert!(
        error_of(&["data", "filter", text(&bad), "--rule", "wrong-lists", "--strict", "--out", text(&out)])
            .contains("bad.jsonl, line 2: id b: ")
    );
    assert!(
        error_of(&["data", "filter", text(&bad), "--rule", "none", "--out", text(&out)])
            .contains("restarting-lists")
    );
    assert_eq!(entries(folder.path()), before);

    // Left out and named where nobody is strict.
    let shown = camelid(&["data", "filter", text(&bad), "--rule", "wrong-lists", "--out", text(&out)]);
    assert_eq!(String::from_utf8(shown.stdout).unwrap(), "#in: 3, #out: 2\n");
    let said = String::from_utf8(shown.stderr).unwrap();
    assert!(said.contains("line 2 (id b): in turn 1 it is null"), "{said}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_split_with_130_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    talks(folder.path());
    let at = |name: &str| folder.path().join(name);
    let before = entries(folder.path());
    let (tokenizer, out) = (at("tokenizer.json"), at("out.json"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_camelid"))
        .args(["data", "split", "-", "--tokenizer", text(&tokenizer), "--out", text(&out)])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A pipe that says something and then nothing more.
    let mut input = child.stdin.take().unwrap();
    input.write_all(&b"{\"id\": \"a\"}\n".repeat(1000)).unwrap();
    input.flush().unwrap();
    let began = Instant::now();
    while entries(folder.path()) == before {
        assert!(began.elapsed() < Duration::from_secs(30), "no output was begun");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let ended = child.wait_with_output().unwrap();
    drop(input);
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!((ended.status.code(), said.as_str()), (Some(130), "interrupted; nothing was written\n"));
    assert_eq!(entries(folder.path()), before);
}
