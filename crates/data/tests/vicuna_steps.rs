//! Splitting and filtering beside FastChat's, and what must hold of every split.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use camelid_chat::{Conversation, Role, Template};
use camelid_data::clean::{CleanOptions, clean};
use camelid_data::split_long::{SplitOptions, SplitReport, split_long};
use camelid_data::{DataError, FilterRule, Mode, PassOptions, filter};
use camelid_files::Input;
use camelid_tests::byte_tokenizer_with_bos;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokenizers::Tokenizer;

static NEVER: AtomicBool = AtomicBool::new(false);
const PASS: PassOptions<'static> = PassOptions { strict: false, lineage: None, stop: &NEVER };

/// Splits a file into another.
fn split(
    input: &Path,
    out: &Path,
    mode: Mode,
    tokenizer: &Tokenizer,
    max_length: usize,
    cut_long: bool,
    pass: PassOptions<'_>,
) -> Result<SplitReport, DataError> {
    let template = Template::builtin("vicuna_v1.1").unwrap();
    let options = SplitOptions { mode, tokenizer, max_length, template: &template, cut_long };
    split_long(input, out, &options, pass)
}

fn rows(path: &Path) -> Vec<Value> {
    serde_json::from_str(&Input::open(path).unwrap().text().unwrap()).unwrap()
}

fn rounds(rows: &[Value]) -> u64 {
    rows.iter().map(|row| row["conversations"].as_array().unwrap().len() as u64 / 2).sum()
}

fn goldens() -> Option<(PathBuf, Tokenizer)> {
    let folder = camelid_tests::oracles()?;
    let tokenizer = Tokenizer::from_file(folder.join("llama-tokenizer/tokenizer.json")).unwrap();
    Some((folder.join("fastchat/pipeline"), tokenizer))
}

#[test]
fn fastchats_split_and_filter_come_out_byte_for_byte() {
    let Some((goldens, tokenizer)) = goldens() else { return };
    let folder = tempfile::tempdir().unwrap();
    let input = goldens.join("sharegpt_skip_ko.json");
    for (limit, parts, lost, wrong) in [(512, 308, 29, 11), (2048, 219, 1, 11)] {
        let out = folder.path().join(format!("split_{limit}.json"));
        let report = split(&input, &out, Mode::FastchatExact, &tokenizer, limit, false, PASS).unwrap();
        let golden = goldens.join(format!("sharegpt_split_{limit}.json"));
        assert!(std::fs::read(&out).unwrap() == std::fs::read(golden).unwrap(), "{limit}");
        assert_eq!((report.conversations.read, report.parts, report.rounds_in), (203, parts, 706));
        let listed: u64 = report.rounds_lost.values().map(|lost| lost.rounds).sum();
        assert_eq!((report.rounds_out, listed), (706 - lost, lost));

        let filtered = folder.path().join(format!("filtered_{limit}.json"));
        let report = filter(&out, &filtered, FilterRule::WrongLists, PASS).unwrap();
        let golden = goldens.join(format!("sharegpt_split_{limit}_filtered.json"));
        assert!(std::fs::read(&filtered).unwrap() == std::fs::read(golden).unwrap(), "{limit}");
        assert_eq!((report.read as u64, report.dropped_in_all()), (parts, wrong));
    }
}

#[test]
fn the_correct_split_of_the_same_conversations_loses_no_round() {
    let Some((goldens, tokenizer)) = goldens() else { return };
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.json");
    let input = goldens.join("sharegpt_skip_ko.json");
    let report = split(&input, &out, Mode::Correct, &tokenizer, 512, false, PASS).unwrap();
    assert_eq!((report.rounds_in, report.rounds_out), (706, 706));
    assert!(report.rounds_lost.is_empty() && report.longer.count > 0);
    let of_row = |row: &Value| {
        let id = row["id"].as_str().unwrap().rsplit_once('_').unwrap().0.to_string();
        (id, row["conversations"].as_array().unwrap().clone())
    };
    let mut joined: Vec<(String, Vec<Value>)> = Vec::new();
    for (id, turns) in rows(&out).iter().map(of_row) {
        match joined.last_mut().filter(|(last, _)| *last == id) {
            Some((_, all)) => all.extend(turns),
            None => joined.push((id, turns)),
        }
    }
    let before: Vec<_> = rows(&input)
        .iter()
        .map(|row| {
            (row["id"].as_str().unwrap().to_string(), row["conversations"].as_array().unwrap().clone())
        })
        .collect();
    assert!(joined == before, "the parts put together are the conversations");
}

/// Conversations of short and long turns, some with a late start, a system turn, no last answer, or
/// roles out of turn.
fn conversations() -> impl Strategy<Value = Vec<Value>> {
    let text = prop_oneof![4 => "[a-z ]{0,30}", 1 => "[a-z é]{100,400}"];
    let turns = prop::collection::vec(text, 0..9);
    let one = (turns, 0..8_u8).prop_map(|(texts, kind)| {
        let mut roles: Vec<&str> = ["human", "gpt"].into_iter().cycle().take(texts.len()).collect();
        match kind {
            0 if roles.len() > 1 => roles.insert(0, "gpt"),
            1 => roles.insert(0, "system"),
            2 if roles.len() > 2 => roles.swap(0, 1),
            _ => {}
        }
        let turn = |(from, value): (&&str, &String)| json!({"from": from, "value": value});
        roles.iter().zip(texts.iter().cycle()).map(turn).collect::<Vec<_>>()
    });
    prop::collection::vec(one, 1..6).prop_map(|all| {
        all.into_iter()
            .enumerate()
            .map(|(n, turns)| json!({"id": format!("c{n}"), "conversations": turns}))
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn rounds_in_are_rounds_out_and_the_listed_drops(all in conversations(), limit in 180_usize..600, cut in any::<bool>()) {
        let folder = tempfile::tempdir().unwrap();
        let (input, out) = (folder.path().join("in.jsonl"), folder.path().join("out.json"));
        std::fs::write(&input, all.iter().map(|row| format!("{row}\n")).collect::<String>()).unwrap();
        let tokenizer = byte_tokenizer_with_bos();
        for mode in [Mode::FastchatExact, Mode::Correct] {
            let lineage = folder.path().join("lineage.jsonl");
            let pass = PassOptions { lineage: Some(&lineage), ..PASS };
            let report = split(&input, &out, mode, &tokenizer, limit, cut, pass).unwrap();
            let written = rows(&out);
            // Counted from the file; a system turn in front makes the parts of its conversation odd.
            prop_assert_eq!(report.rounds_out, rounds(&written));
            let listed: u64 = report.rounds_lost.values().map(|lost| lost.rounds).sum();
            prop_assert_eq!(report.rounds_in, report.rounds_out + listed);
            let all_rounds: u64 = all.iter().map(|row| {
                let roles: Vec<&str> = row["conversations"].as_array().unwrap().iter().map(|turn| turn["from"].as_str().unwrap()).collect();
                let before = if mode == Mode::Correct { roles.iter().take_while(|role| **role != "human").count() } else { 0 };
                (roles.len() - before) as u64 / 2
            }).sum();
            prop_assert_eq!(report.rounds_in, all_rounds);
            let lines = Input::open(&lineage).unwrap().text().unwrap();
            prop_assert_eq!(lines.lines().count(), all.len());

            if mode == Mode::Correct {
                let template = Template::builtin("vicuna_v1.1").unwrap();
                let mut longer = 0;
                for row in &written {
                    let mut talk = Conversation::new("x");
                    for turn in row["conversations"].as_array().unwrap() {
                        let role = Role::from_name(turn["from"].as_str().unwrap()).unwrap();
                        talk.push(role, turn["value"].as_str().unwrap());
                    }
                    let tokens = template.encode(&talk, &tokenizer, false).unwrap().ids.len();
                    longer += usize::from(tokens > limit);
                }
                prop_assert_eq!(longer, report.longer.count);
                prop_assert!(!cut || longer == 0);
            }
        }
    }
}

#[test]
fn every_form_of_the_file_gives_the_same_parts() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let talk = |n: usize| {
        json!({"id": n, "tag": [0.5], "conversations": [
        {"from": "human", "value": "a ".repeat(60)}, {"from": "gpt", "value": "b ".repeat(60)},
        {"from": "human", "value": "c"}, {"from": "gpt", "value": "d"}, {"from": "human", "value": "left"}]})
    };
    let all: Vec<Value> = (0..5).map(talk).collect();
    std::fs::write(at("in.json"), serde_json::to_string(&all).unwrap()).unwrap();
    std::fs::write(at("in.jsonl"), all.iter().map(|row| format!("{row}\n")).collect::<String>()).unwrap();
    std::fs::write(
        at("in.jsonl.zst"),
        zstd::encode_all(&std::fs::read(at("in.jsonl")).unwrap()[..], 1).unwrap(),
    )
    .unwrap();
    let tokenizer = byte_tokenizer_with_bos();
    let mut first = None;
    for (input, out) in [("in.json", "a.json"), ("in.jsonl", "b.json.gz"), ("in.jsonl.zst", "c.json.zst")] {
        split(&at(input), &at(out), Mode::Correct, &tokenizer, 420, false, PASS).unwrap();
        let parts = rows(&at(out));
        assert_eq!(first.get_or_insert_with(|| parts.clone()), &parts, "{input}");
    }
    let first = first.unwrap();
    assert_eq!((first.len(), &first[1]["id"]), (10, &json!("0_2")));
    assert_eq!((&first[1]["tag"], &first[1]["conversations"][1]["value"]), (&json!([0.5]), &json!("d")));
    split(&at("in.json"), &at("d.jsonl"), Mode::Correct, &tokenizer, 420, false, PASS).unwrap();
    let lines = Input::open(&at("d.jsonl")).unwrap().text().unwrap();
    assert_eq!(lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>(), first);
}

#[test]
fn bad_rows_are_named_and_skipped_or_fatal() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let good =
        r#"{"id": "g", "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}"#;
    let bad = [
        r#"{"id": "b1", "conversations": 7}"#,
        r#"{"id": "b2", "conversations": [{"from": "human", "value": null}]}"#,
        r#"{"id": "b3"}"#,
        "[1]",
        r#"{"id": "b5", "conv"#,
    ];
    std::fs::write(at("in.jsonl"), format!("{good}\n{}\n{good}\n", bad.join("\n"))).unwrap();
    let tokenizer = byte_tokenizer_with_bos();
    for mode in [Mode::FastchatExact, Mode::Correct] {
        let report = split(&at("in.jsonl"), &at("out.json"), mode, &tokenizer, 512, false, PASS).unwrap();
        let conversations = &report.conversations;
        assert_eq!((conversations.read, conversations.kept, report.parts), (7, 2, 2));
        let said = conversations.to_string();
        for expected in [
            "line 2 (id b1): it is 7",
            "line 3 (id b2): in turn 1 it is null",
            "line 4 (id b3)",
            "line 5: an array",
            "line 6: the JSON is cut off",
        ] {
            assert!(said.contains(expected), "{expected}: {said}");
        }
        let strict = PassOptions { strict: true, ..PASS };
        let error =
            split(&at("in.jsonl"), &at("none.json"), mode, &tokenizer, 512, false, strict).unwrap_err();
        assert!(error.to_string().contains("in.jsonl, line 2: id b1: `conversations`"), "{error}");
        assert!(!at("none.json").exists());
    }
    let report = filter(&at("in.jsonl"), &at("out.json"), FilterRule::WrongLists, PASS).unwrap();
    assert_eq!((report.kept, report.dropped_in_all()), (2, 5));
}

#[test]
fn ten_thousand_turns_are_split_in_a_moment() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("in.json"), folder.path().join("out.json"));
    let turn = |n: usize| json!({"from": if n.is_multiple_of(2) { "human" } else { "gpt" }, "value": format!("turn {n}")});
    let talk = json!([{"id": "long", "conversations": (0..10_001).map(turn).collect::<Vec<_>>()}]);
    std::fs::write(&input, talk.to_string()).unwrap();
    let tokenizer = byte_tokenizer_with_bos();
    let began = std::time::Instant::now();
    let report = split(&input, &out, Mode::Correct, &tokenizer, 2048, false, PASS).unwrap();
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
    assert_eq!((report.rounds_in, report.rounds_out), (5000, 5000));
    assert_eq!(report.conversations.changed_by("a last question without an answer, left out"), 1);
    let parts = rows(&out);
    assert!(parts.len() > 50 && parts.len() < 200, "{}", parts.len());
    assert_eq!(
        parts[1]["conversations"][0]["value"],
        format!("turn {}", parts[0]["conversations"].as_array().unwrap().len())
    );
}

#[test]
fn what_cannot_be_split_is_said_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("cut.json"), r#"[{"id": "a", "conversations": []}, {"id": "b", "conv"#).unwrap();
    let tokenizer = byte_tokenizer_with_bos();
    let said = |input: &str, out: &Path, tokenizer: &Tokenizer, limit: usize, pass: PassOptions<'_>| {
        split(&at(input), out, Mode::Correct, tokenizer, limit, false, pass).unwrap_err().to_string()
    };
    let out = at("out.json");
    assert!(
        said("cut.json", &out, &tokenizer, 512, PASS)
            .contains("cut.json: the JSON array is cut off at item 2")
    );
    assert!(said("cut.json", &out, &tokenizer, 0, PASS).contains("0 tokens"));
    assert!(
        said("cut.json", &at("out.csv"), &tokenizer, 512, PASS)
            .contains("out.csv: the ending should be .json")
    );
    assert!(said("none.json", &out, &tokenizer, 512, PASS).contains("none.json: cannot open"));
    let json = byte_tokenizer_with_bos().to_string(false).unwrap().replace("</s>", "<end>");
    let without = Tokenizer::from_bytes(json).unwrap();
    assert!(said("cut.json", &out, &without, 512, PASS).contains("that ends a sequence"));
    let stop = AtomicBool::new(true);
    std::fs::write(at("some.json"), r#"[{"id": "a", "conversations": []}]"#).unwrap();
    assert!(
        said("some.json", &out, &tokenizer, 512, PassOptions { stop: &stop, ..PASS }).contains("interrupted")
    );
    let mut left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["cut.json", "some.json"]);
}

#[test]
fn a_full_disk_leaves_what_was_there() {
    let Some(disk) = camelid_tests::SmallDisk::mount("64k") else { return };
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.json");
    let value = "word ".repeat(40_000);
    let talk = json!([{"id": "a", "conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "value": value}]}]);
    std::fs::write(&input, talk.to_string()).unwrap();
    let out = disk.path().join("out.json");
    std::fs::write(&out, "before").unwrap();
    let tokenizer = byte_tokenizer_with_bos();
    let error = split(&input, &out, Mode::FastchatExact, &tokenizer, 1 << 20, false, PASS).unwrap_err();
    assert!(error.to_string().contains("out.json: cannot write"), "{error}");
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "before");
    assert_eq!(std::fs::read_dir(disk.path()).unwrap().count(), 1);
}

#[test]
fn turns_under_other_names_are_split_and_filtered_and_keep_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let turns = |list: &str, text: &str| {
        json!([
            {"role": "user", "content": "Make a list."}, {"role": "assistant", "content": list},
            {"role": "user", "content": text}, {"role": "assistant", "content": "Yes."},
        ])
    };
    let wrong = json!({"id": "w", "messages": turns("So:\n1. a\n1. b", "x")});
    let right = json!({"id": "r", "messages": turns("So:\n1. a\n2. b", &"long ".repeat(80))});
    std::fs::write(at("in.jsonl"), format!("{wrong}\n{right}\n")).unwrap();
    let report = filter(&at("in.jsonl"), &at("filtered.json"), FilterRule::WrongLists, PASS).unwrap();
    assert_eq!((report.read, report.kept), (2, 1));
    assert_eq!(rows(&at("filtered.json")), std::slice::from_ref(&right));

    let tokenizer = byte_tokenizer_with_bos();
    let report =
        split(&at("in.jsonl"), &at("split.json"), Mode::Correct, &tokenizer, 605, true, PASS).unwrap();
    assert_eq!((report.rounds_in, report.rounds_out, report.parts), (4, 4, 3));
    let parts = rows(&at("split.json"));
    let texts = parts[1]["messages"].as_array().unwrap();
    assert_eq!((&parts[1]["id"], texts.len()), (&json!("r_0"), 2));
    assert_eq!(texts[1], right["messages"][1]);
}

#[test]
fn a_file_of_another_format_is_named_and_nothing_is_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("alpaca.json"), folder.path().join("out.json"));
    std::fs::write(&input, json!([{"instruction": "a", "input": "", "output": "b"}]).to_string()).unwrap();
    std::fs::write(&out, "kept").unwrap();
    let tokenizer = byte_tokenizer_with_bos();
    let split = split(&input, &out, Mode::Correct, &tokenizer, 400, false, PASS).unwrap_err();
    let filtered = filter(&input, &out, FilterRule::WrongLists, PASS).unwrap_err();
    let cleaned = clean(&input, &out, &CleanOptions::new(Mode::Correct), &NEVER).unwrap_err();
    for said in [split.to_string(), filtered.to_string(), cleaned.to_string()] {
        assert!(said.contains("no row is `sharegpt`; the file looks like `alpaca`"), "{said}");
    }
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "kept");
}
