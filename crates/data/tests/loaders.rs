//! Flattened, Alpaca and ShareGPT files.

use std::path::{Path, PathBuf};

use camelid_chat::Role::{Assistant, System, User};
use camelid_chat::{Conversation, Role};
use camelid_data::alpaca::{self, InputAs};
use camelid_data::{DataError, guanaco, sharegpt};
use camelid_files::FileError;
use serde_json::json;

fn file(dir: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn turns(conversation: &Conversation) -> Vec<(Role, &str)> {
    let messages = conversation.messages.iter();
    messages.map(|m| (m.role, m.content.as_str())).collect()
}

#[test]
fn guanaco_text_is_split_into_turns() {
    let dir = tempfile::tempdir().unwrap();
    let rows = [
        "### Human: One?### Assistant: 1.### Human: Two?### Assistant: 2.",
        "Be short.\n### Human: a\n\n### Assistant: b ### Human: c",
        "### Human: unanswered",
        "### Human: a### Assistant: ### Human: b### Assistant: c",
        "### Human: a### Human: b### Assistant: c",
        "### Assistant: b",
        "no marker",
    ];
    let text: String = rows.iter().map(|t| format!("{}\n", json!({"text": t}))).collect();
    let loaded = guanaco::load_text(&file(&dir, "best.jsonl", &text)).unwrap();
    assert_eq!(loaded.conversations.len(), 2);
    assert_eq!(loaded.conversations[0].id, "best:1");
    assert_eq!(
        turns(&loaded.conversations[0]),
        [(User, "One?"), (Assistant, "1."), (User, "Two?"), (Assistant, "2.")]
    );
    assert_eq!(
        turns(&loaded.conversations[1]),
        [(System, "Be short."), (User, "a"), (Assistant, "b"), (User, "c")]
    );
    let report = &loaded.report;
    assert_eq!((report.read, report.kept, report.dropped_in_all()), (7, 2, 5));
    assert_eq!(report.dropped["no assistant turn"].examples, ["best:3"]);
    assert_eq!(report.dropped["blank turn"].examples, ["best:4"]);
    assert_eq!(report.dropped["roles do not alternate"].examples, ["best:5", "best:6"]);
    assert_eq!(report.dropped["no \"### Human:\" turn"].examples, ["best:7"]);
}

#[test]
fn guanaco_text_from_parquet() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/guanaco_text.parquet");
    let loaded = guanaco::load_text(&path).unwrap();
    assert_eq!(turns(&loaded.conversations[0]), [(User, "Hi"), (Assistant, "Hello.")]);
    assert_eq!((loaded.report.read, loaded.report.kept), (3, 1));
    let path = path.with_file_name("oasst_hub.parquet");
    assert!(guanaco::load_text(&path).is_err(), "messages are no dialogues");
}

#[test]
fn questions_take_the_output_as_the_last_turn() {
    let dir = tempfile::tempdir().unwrap();
    let rows = [
        json!({"input": "### Human: a ### Assistant: b ### Human: c ### Assistant:", "output": "d", "message_id": "m"}),
        json!({"input": "### Human: a ### Assistant:", "output": "b"}),
        json!({"input": "### Human: a", "output": "b"}),
        json!({"input": "### Human: a ### Assistant:", "output": " "}),
        json!({"input": "### Human: a ### Assistant: b ### Assistant:", "output": "c"}),
        json!({"input": "### Human: a ### Assistant:", "output": "b", "message_id": "m"}),
    ];
    let text: String = rows.iter().map(|r| format!("{r}\n")).collect();
    let loaded = guanaco::load_questions(&file(&dir, "q.jsonl", &text)).unwrap();
    let ids: Vec<&str> = loaded.conversations.iter().map(|c| c.id.as_str()).collect();
    assert_eq!(ids, ["m", "q:2"]);
    assert_eq!(
        turns(&loaded.conversations[0]),
        [(User, "a"), (Assistant, "b"), (User, "c"), (Assistant, "d")]
    );
    assert_eq!((loaded.report.read, loaded.report.dropped_in_all()), (6, 4));
}

/// All 953 real dialogues, against a reading by cutting at the markers.
#[test]
fn real_questions_agree_with_a_plain_reading() {
    let Some(folder) = camelid_tests::oracles() else { return };
    let path = folder.join("oasst1/oa_questions.jsonl");
    let loaded = guanaco::load_questions(&path).unwrap();
    assert_eq!((loaded.report.read, loaded.report.kept), (953, 953));
    let text = std::fs::read_to_string(&path).unwrap();
    let mut by_turns = [0; 4];
    for (line, conversation) in text.lines().zip(&loaded.conversations) {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let input = row["input"].as_str().unwrap().replace("### Human:", "### Assistant:");
        let mut plain: Vec<&str> = input.split("### Assistant:").map(str::trim).collect();
        let last = plain.len() - 1;
        plain[last] = row["output"].as_str().unwrap().trim();
        let ours: Vec<&str> = conversation.messages.iter().map(|m| m.content.as_str()).collect();
        assert_eq!(ours, plain[1..]);
        assert_eq!(row["message_id"], conversation.id.as_str());
        by_turns[conversation.messages.len() / 2] += 1;
    }
    assert_eq!(by_turns, [0, 517, 414, 22]);
}

#[test]
fn alpaca_rows_from_array_and_lines() {
    let dir = tempfile::tempdir().unwrap();
    let rows = [
        json!({"instruction": "Add.", "input": "1 2", "output": "3"}),
        json!({"instruction": "Greet.", "input": "", "output": "Hi", "system": "Be kind.", "history": [["a", "b"]]}),
        json!({"instruction": "Nothing.", "output": " "}),
        json!({"instruction": "", "output": "x"}),
    ];
    let lines: String = rows.iter().map(|r| format!("{r}\n")).collect();
    let array = serde_json::to_string_pretty(&rows).unwrap();
    for (name, text) in [("d.json", &array), ("d.jsonl", &lines)] {
        let loaded = alpaca::load(&file(&dir, name, text), InputAs::NextLine).unwrap();
        assert_eq!(loaded.conversations[0].id, "d:1");
        assert_eq!(turns(&loaded.conversations[0]), [(User, "Add.\n1 2"), (Assistant, "3")]);
        assert_eq!(
            turns(&loaded.conversations[1]),
            [(System, "Be kind."), (User, "a"), (Assistant, "b"), (User, "Greet."), (Assistant, "Hi")]
        );
        assert_eq!((loaded.report.read, loaded.report.kept), (4, 2));
        assert_eq!(loaded.report.dropped_for("blank output"), 1);
        assert_eq!(loaded.report.dropped_for("blank instruction"), 1);
    }
    let section = alpaca::load(&file(&dir, "d.json", &array), InputAs::Section).unwrap();
    assert_eq!(section.conversations[0].messages[0].content, "Add.\n\n### Input:\n1 2");
}

#[test]
fn sharegpt_takes_well_formed_conversations() {
    let dir = tempfile::tempdir().unwrap();
    let turn = |from: &str, value: &str| json!({"from": from, "value": value});
    let rows = json!([
        {"id": "x", "conversations": [turn("human", "a"), turn("gpt", "b")]},
        {"id": "x", "conversations": [turn("system", "s"), turn("human", "a"), turn("gpt", "b")]},
        {"id": 7, "conversations": []},
        {"conversations": [turn("gpt", "b")]},
        {"conversations": [turn("human", "b")]},
        {"conversations": [turn("human", "a"), turn("tool", "b")]},
    ]);
    let loaded = sharegpt::load(&file(&dir, "s.json", &rows.to_string())).unwrap();
    let ids: Vec<&str> = loaded.conversations.iter().map(|c| c.id.as_str()).collect();
    assert_eq!(ids, ["x", "x#2"]);
    assert_eq!(turns(&loaded.conversations[1]), [(System, "s"), (User, "a"), (Assistant, "b")]);
    let report = &loaded.report;
    assert_eq!((report.read, report.kept, report.dropped.len()), (6, 2, 4));
    assert_eq!(report.dropped["no turns"].examples, ["7"]);
    assert_eq!(report.dropped["unknown speaker"].examples, ["s:6"]);
}

#[test]
fn cut_off_and_misshapen_json_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let cut = file(&dir, "cut.json", "[{\"instruction\": \"a\", \"output\": \"b");
    let error = alpaca::load(&cut, InputAs::NextLine).unwrap_err();
    assert!(matches!(error, DataError::File(FileError::Content { .. })), "{error}");
    assert!(error.to_string().contains("cut.json: the JSON array is cut off at item 1"), "{error}");
    assert!(sharegpt::load(&cut).is_err());
    let shape = file(&dir, "shape.json", "[{\"instruction\": \"a\"}]");
    let text = alpaca::load(&shape, InputAs::NextLine).unwrap_err().to_string();
    assert!(text.contains("no `output`") && text.contains("item 1"), "{text}");
    let empty = file(&dir, "empty.json", "[]");
    for error in [
        alpaca::load(&empty, InputAs::NextLine).unwrap_err(),
        sharegpt::load(&empty).unwrap_err(),
        guanaco::load_text(&file(&dir, "none.jsonl", "")).unwrap_err(),
    ] {
        assert!(matches!(error, DataError::Empty { .. }), "{error}");
    }
}

#[test]
fn real_alpaca_and_sharegpt_files() {
    let Some(folder) = camelid_tests::oracles() else { return };
    let path = folder.join("alpaca/alpaca_en_demo.json");
    let loaded = alpaca::load(&path, InputAs::NextLine).unwrap();
    let plain: Vec<serde_json::Value> =
        serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!((loaded.report.read, plain.len()), (999, 999));
    let filled = plain.iter().filter(|r| !r["output"].as_str().unwrap().trim().is_empty());
    assert_eq!(loaded.report.kept, filled.count());

    let path = folder.join("fastchat/dummy_conversation.json");
    let loaded = sharegpt::load(&path).unwrap();
    assert_eq!((loaded.report.read, loaded.report.kept), (500, 500));
}
