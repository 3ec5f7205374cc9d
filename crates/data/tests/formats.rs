//! Files as they are met: every shape and packing, rows that are wrong, one entry point, writing.

use std::io::Write;
use std::path::{Path, PathBuf};

use camelid_chat::Role::{Assistant, System, User};
use camelid_chat::{Conversation, Role};
use camelid_data::alpaca::{AlpacaOptions, InputAs};
use camelid_data::oasst::Selection;
use camelid_data::{
    DataError, DataFormat, FirstTurn, Loaded, ReadOptions, WRITABLE, alpaca, messages, oasst,
    read_conversations, read_detected, sharegpt, write_conversations,
};
use serde_json::{Value, json};

fn file(dir: &tempfile::TempDir, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

fn turns(conversation: &Conversation) -> Vec<(Role, &str)> {
    conversation.messages.iter().map(|m| (m.role, m.content.as_str())).collect()
}

fn ids(loaded: &Loaded) -> Vec<&str> {
    loaded.conversations.iter().map(|c| c.id.as_str()).collect()
}

fn talk(id: Value, turns: &[(&str, &str)]) -> Value {
    let turns: Vec<Value> = turns.iter().map(|(from, value)| json!({"from": from, "value": value})).collect();
    json!({"id": id, "conversations": turns})
}

fn detected(path: &Path) -> (DataFormat, Loaded) {
    read_detected(&[path], &ReadOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// D01: a conversation cut out of a longer one begins with an answer.
#[test]
fn a_first_turn_of_the_assistant_is_left_out_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let rows = json!([
        talk(json!("whole"), &[("human", "a"), ("gpt", "b")]),
        talk(json!("late"), &[("gpt", "old"), ("human", "a"), ("gpt", "b")]),
        talk(json!("framed"), &[("system", "s"), ("gpt", "old"), ("human", "a"), ("gpt", "b")]),
        talk(json!("twice"), &[("gpt", "old"), ("gpt", "old"), ("human", "a"), ("gpt", "b")]),
    ]);
    let path = file(&dir, "s.json", rows.to_string());
    let loaded = sharegpt::load(&path).unwrap();
    assert_eq!(ids(&loaded), ["whole", "late", "framed"]);
    assert_eq!(turns(&loaded.conversations[1]), [(User, "a"), (Assistant, "b")]);
    assert_eq!(turns(&loaded.conversations[2]), [(System, "s"), (User, "a"), (Assistant, "b")]);
    let changed = &loaded.report.changed["a first turn of the assistant, left out"];
    assert_eq!(changed.examples, ["late", "framed"]);
    assert_eq!(changed.examples[0].place.as_deref(), Some("item 2"));
    let strict = ReadOptions { first_turn: FirstTurn::Drop, ..ReadOptions::default() };
    let loaded = read_conversations(DataFormat::Sharegpt, &[&path], &strict).unwrap();
    assert_eq!(ids(&loaded), ["whole"]);
}

/// D03: whatever stands in place of a text, one row is lost and named.
#[test]
fn one_bad_row_is_dropped_and_named_by_item_and_id() {
    let dir = tempfile::tempdir().unwrap();
    let good = talk(json!("good"), &[("human", "a"), ("gpt", "b")]);
    for bad in [json!(null), json!(42), json!(true), json!({"text": "x"}), json!([1])] {
        let mut row = talk(json!("bad"), &[("human", "a"), ("gpt", "b")]);
        row["conversations"][1]["value"] = bad.clone();
        for rows in [json!([good, row]).to_string(), format!("{good}\n{row}\n")] {
            let loaded = sharegpt::load(&file(&dir, "s.json", &rows)).unwrap();
            assert_eq!(ids(&loaded), ["good"], "{bad}");
            let named = &loaded.report.dropped["a turn without text"].examples[0];
            assert_eq!((named.id.as_str(), named.place.as_deref().unwrap().ends_with(" 2")), ("bad", true));
            assert!(
                loaded.report.to_string().contains("2 (id bad): `value` of turn 2 is"),
                "{}",
                loaded.report
            );
        }
    }
    let shapes = [
        json!({"id": "x", "conversations": "no list"}),
        json!({"id": "x", "conversations": ["no turn"]}),
        json!({"id": "x", "conversations": [{"value": "nobody"}]}),
        json!({"id": "x", "conversations": null}),
        json!({"id": "x"}),
        json!("a text"),
        json!([]),
    ];
    for bad in shapes {
        let loaded = sharegpt::load(&file(&dir, "s.json", json!([good, bad, good]).to_string())).unwrap();
        assert_eq!((loaded.report.read, loaded.report.kept), (3, 2), "{bad}");
        assert!(loaded.report.to_string().contains("item 2"), "{}", loaded.report);
    }
}

/// D04: half of a surrogate pair, high or low, in any loader.
#[test]
fn lone_surrogates_are_mended_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let text = r#"[{"instruction": "low \ude00", "output": "x"}, {"instruction": "whole \ud83d\ude00", "output": "x"}]"#;
    let loaded = alpaca::load(&file(&dir, "a.json", text), InputAs::default()).unwrap();
    assert_eq!(loaded.conversations[0].messages[0].content, "low \u{fffd}");
    assert_eq!(loaded.conversations[1].messages[0].content, "whole 😀");
    let changed = &loaded.report.changed["half of a surrogate pair, read as U+FFFD"];
    assert_eq!(changed.examples, ["a:1"]);
}

/// D05: assistants by any name, people too; a stranger is named.
#[test]
fn speakers_are_known_by_the_names_that_are_in_use() {
    let dir = tempfile::tempdir().unwrap();
    for (user, assistant) in [
        ("Human", "GPT"),
        ("USER", "gpt-4-0613"),
        ("user", "Claude-2"),
        ("human", "llama2"),
        ("prompter", "AI"),
        ("human", "Gemini"),
    ] {
        let row = talk(json!("x"), &[(user, "a"), (assistant, "b")]);
        let loaded = sharegpt::load(&file(&dir, "s.jsonl", row.to_string())).unwrap();
        assert_eq!(turns(&loaded.conversations[0]), [(User, "a"), (Assistant, "b")], "{user} {assistant}");
    }
    let row = talk(json!("x"), &[("human", "a"), ("narrator", "b")]);
    let error = sharegpt::load(&file(&dir, "s.jsonl", row.to_string())).unwrap_err().to_string();
    assert!(error.contains("unknown speaker") && error.contains("narrator"), "{error}");
    assert_eq!(Role::from_name("bardolph"), None);
}

/// D07: ids of every type, none lost, each given once.
#[test]
fn ids_of_any_type_are_kept_or_numbered() {
    let dir = tempfile::tempdir().unwrap();
    let values = [json!(-3), json!(0.5), json!(7.0), json!(""), json!({"a": 1}), json!(null), json!("7")];
    let rows: Vec<Value> = values.into_iter().map(|id| talk(id, &[("human", "a"), ("gpt", "b")])).collect();
    let loaded = sharegpt::load(&file(&dir, "s.json", json!(rows).to_string())).unwrap();
    assert_eq!(ids(&loaded), ["-3", "0.5", "7", "s:4", "s:5", "s:6", "7#7"]);
}

/// One rule for blank turns: the same dialogue comes out of every format.
#[test]
fn blank_turns_end_a_conversation_in_every_loader() {
    let dir = tempfile::tempdir().unwrap();
    let blank = " \n";
    let dialogue = [("a", "b"), ("c", blank), ("d", "e")];
    let flat: Vec<(&str, &str)> =
        dialogue.iter().flat_map(|(q, a)| [("user", *q), ("assistant", *a)]).collect();
    let of = |speaker: &str, content: &str| -> Vec<Value> {
        flat.iter().map(|(role, text)| json!({speaker: role, content: text})).collect()
    };
    let messages: Vec<Value> = flat
        .iter()
        .enumerate()
        .map(|(i, (role, text))| {
            let parent = i.checked_sub(1).map(|p| p.to_string());
            let role = if *role == "user" { "prompter" } else { "assistant" };
            json!({"message_id": i.to_string(), "parent_id": parent, "role": role, "text": text, "message_tree_id": "0"})
        })
        .collect();
    let flattened: String =
        dialogue.iter().map(|(q, a)| format!("### Human: {q}### Assistant: {a}")).collect();
    let files = [
        (DataFormat::Sharegpt, json!([{"conversations": of("from", "value")}])),
        (DataFormat::Messages, json!([{"messages": of("role", "content")}])),
        (DataFormat::Alpaca, json!([{"instruction": "d", "output": "e", "history": dialogue[..2]}])),
        (DataFormat::Guanaco, json!([{"text": flattened}])),
        (DataFormat::OasstFlat, json!(messages)),
    ];
    for (format, rows) in files {
        let path = file(&dir, "rows.json", rows.to_string());
        let loaded = read_conversations(format, &[&path], &ReadOptions::default()).unwrap();
        assert_eq!(turns(&loaded.conversations[0]), [(User, "a"), (Assistant, "b")], "{format}");
        assert!(loaded.report.to_string().contains("blank t"), "{format}: {}", loaded.report);
        assert_eq!(detected(&path), (format, with_note(loaded, format, "a JSON array")), "{format}");
    }
}

fn with_note(mut loaded: Loaded, format: DataFormat, shape: &str) -> Loaded {
    loaded.report.notes.insert(0, format!("taken for `{format}` in {shape}"));
    loaded
}

/// D08, and the shapes and packings of the wish table: the same rows however they are stored.
#[test]
fn conversations_are_the_same_in_every_shape_and_packing() {
    let dir = tempfile::tempdir().unwrap();
    let rows = [
        talk(json!("x"), &[("human", "a, \"b\""), ("gpt", "b\tc")]),
        talk(json!("y"), &[("human", "ü"), ("gpt", "d")]),
    ];
    let lists = |key: &str| -> Value { rows.iter().map(|row| row[key].clone()).collect() };
    let cell = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let table = |separator: &str| {
        let row = |row: &Value| {
            format!("{}{separator}{}\n", row["id"].as_str().unwrap(), cell(&row["conversations"].to_string()))
        };
        format!("id{separator}conversations\n{}", rows.iter().map(row).collect::<String>())
    };
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let by_row = |key: &str| json!({"0": lists(key)[0], "1": lists(key)[1]});
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(lines.as_bytes()).unwrap();
    let split: Vec<Value> = rows.iter().map(|row| json!([row["id"], row["conversations"]])).collect();
    let files: [(&str, Vec<u8>); 13] = [
        ("array", json!(rows).to_string().into()),
        ("bom before a blank line", format!("\u{feff}\n\n{:#}", json!(rows)).into()),
        ("lines", lines.clone().into()),
        ("bom before lines", format!("\u{feff}{lines}").into()),
        ("indented", rows.iter().map(|row| format!("{row:#}\n")).collect::<String>().into()),
        ("gzip, whatever its name", gzip.finish().unwrap()),
        ("zstd.zst", zstd::encode_all(lines.as_bytes(), 3).unwrap()),
        ("wrapped", json!({"version": 2, "data": rows}).to_string().into()),
        (
            "pandas columns",
            json!({"id": by_row("id"), "conversations": by_row("conversations")}).to_string().into(),
        ),
        (
            "pandas split",
            json!({"columns": ["id", "conversations"], "index": [0, 1], "data": split}).to_string().into(),
        ),
        ("pandas table", json!({"schema": {"fields": []}, "data": rows}).to_string().into()),
        ("csv", table(",").into()),
        ("tsv", table("\t").into()),
    ];
    for (name, bytes) in files {
        let path = file(&dir, name, bytes);
        let (format, loaded) = detected(&path);
        assert_eq!((format, ids(&loaded)), (DataFormat::Sharegpt, vec!["x", "y"]), "{name}");
        assert_eq!(turns(&loaded.conversations[0]), [(User, "a, \"b\""), (Assistant, "b\tc")], "{name}");
        assert_eq!(turns(&loaded.conversations[1]), [(User, "ü"), (Assistant, "d")], "{name}");
    }
}

/// D11, D12: numbers and truth values as pandas, tables and arrays have them.
#[test]
fn oasst_messages_are_read_however_their_numbers_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let row = |id: &str, parent: Value, role: &str, rank: Value, deleted: Value| {
        json!({"message_id": id, "parent_id": parent, "text": format!("text of {id}"), "role": role, "lang": "en",
               "rank": rank, "deleted": deleted, "review_count": 3.0, "message_tree_id": "p", "tree_state": "ready_for_export"})
    };
    let rows = |ranks: [Value; 2], no: Value, yes: Value| {
        [
            row("p", json!(null), "prompter", json!(null), no.clone()),
            row("worse", json!("p"), "assistant", ranks[1].clone(), no.clone()),
            row("better", json!("p"), "assistant", ranks[0].clone(), no),
            row("gone", json!("p"), "assistant", json!(null), yes),
        ]
    };
    let plain = rows([json!(0), json!(10)], json!(false), json!(true));
    let pandas = rows([json!(0.0), json!(10.0)], json!(0.0), json!(1.0));
    let texts = rows([json!("0"), json!("10.0")], json!("False"), json!("TRUE"));
    let csv = "message_id,parent_id,text,role,lang,rank,deleted,message_tree_id\n\
               p,,text of p,prompter,en,,False,p\nworse,p,text of worse,assistant,en,10.0,False,p\n\
               better,p,text of better,assistant,en,0.0,False,p\ngone,p,text of gone,assistant,en,,True,p\n";
    let files = [
        json!(plain).to_string(),
        plain.iter().map(|row| format!("{row}\n")).collect(),
        json!(pandas).to_string(),
        json!(texts).to_string(),
        csv.to_string(),
    ];
    for text in files {
        let loaded =
            oasst::load(&file(&dir, "m", &text), &Default::default(), Selection::BestRanked).unwrap();
        assert_eq!(loaded.conversations[0].id, "better", "{text}");
        assert_eq!((loaded.messages.read, loaded.messages.kept), (4, 3), "{text}");
        assert_eq!(loaded.messages.dropped["deleted"].examples, ["gone"]);
    }
    // A rank that is none is that message's fault alone.
    let odd = rows([json!(0.5), json!(1)], json!(false), json!(true));
    let loaded =
        oasst::load(&file(&dir, "m", json!(odd).to_string()), &Default::default(), Selection::BestRanked)
            .unwrap();
    assert_eq!(loaded.conversations[0].id, "worse");
    assert!(loaded.messages.to_string().contains("item 3 (id better): it is 0.5"), "{}", loaded.messages);
    // A table that lacks a column says so.
    let error = oasst::read(&file(&dir, "m.csv", csv.replace("rank", "rang"))).unwrap_err();
    assert!(matches!(&error, DataError::MissingColumn { column, .. } if column == "rank"), "{error}");
}

#[test]
fn a_bad_reply_takes_only_what_is_below_it_along() {
    let dir = tempfile::tempdir().unwrap();
    let tree = json!({"message_tree_id": "p", "prompt": {"message_id": "p", "text": "q", "role": "prompter", "replies": [
        {"message_id": "odd", "text": null, "role": "assistant", "rank": 0, "replies": [{"message_id": "under"}]},
        {"message_id": "good", "text": "a", "role": "assistant", "rank": 1.0},
        "no message"
    ]}});
    let loaded =
        oasst::load(&file(&dir, "t.jsonl", tree.to_string()), &Default::default(), Selection::BestRanked)
            .unwrap();
    assert_eq!(loaded.conversations[0].id, "good");
    assert_eq!((loaded.messages.read, loaded.messages.kept, loaded.messages.dropped_in_all()), (5, 2, 3));
    assert!(loaded.messages.to_string().contains("line 1 (id odd)"), "{}", loaded.messages);
}

/// D13, Dolly, and other names of the three fields.
#[test]
fn rows_of_instructions_are_read_by_any_of_their_names() {
    let dir = tempfile::tempdir().unwrap();
    for (names, note) in [
        (["instruction", "input", "output"], None),
        (["instruction", "context", "response"], Some("`response` is read as the output")),
        (["prompt", "input", "completion"], Some("`prompt` is read as the instruction")),
        (["prompt", "query", "response"], Some("`query` is read as the input")),
        (["question", "context", "answer"], Some("`answer` is read as the output")),
    ] {
        let [instruction, input, output] = names;
        let row = json!({instruction: "Do", input: "this", output: "Done", "category": "x"});
        let (format, loaded) = detected(&file(&dir, "a.jsonl", row.to_string()));
        assert_eq!(format, DataFormat::Alpaca);
        assert_eq!(turns(&loaded.conversations[0]), [(User, "Do\nthis"), (Assistant, "Done")], "{names:?}");
        assert_eq!(loaded.report.notes.iter().find(|n| Some(n.as_str()) == note).map(String::as_str), note);
    }
    let path = file(&dir, "a.jsonl", json!({"frage": "Do", "antwort": "Done"}).to_string());
    let named = AlpacaOptions {
        instruction: Some("frage".into()),
        output: Some("antwort".into()),
        ..Default::default()
    };
    let options = ReadOptions { alpaca: named, ..ReadOptions::default() };
    let loaded = read_conversations(DataFormat::Alpaca, &[&path], &options).unwrap();
    assert_eq!(turns(&loaded.conversations[0]), [(User, "Do"), (Assistant, "Done")]);
}

#[test]
fn histories_and_lone_inputs_of_alpaca_rows() {
    let dir = tempfile::tempdir().unwrap();
    let good = json!({"instruction": "Do", "output": "Done"});
    for history in
        [json!([["q", "a", "b"]]), json!([["q"]]), json!("q"), json!([{"q": "a"}]), json!([["q", 1]])]
    {
        let mut row = good.clone();
        row["history"] = history.clone();
        let loaded =
            alpaca::load(&file(&dir, "a.json", json!([row, good]).to_string()), InputAs::default()).unwrap();
        assert_eq!(ids(&loaded), ["a:2"], "{history}");
        assert!(
            loaded.report.to_string().contains("item 1") && loaded.report.to_string().contains("history")
        );
    }
    let path = file(
        &dir,
        "a.json",
        json!([{"instruction": " ", "input": "Whole question", "output": "x"}, good]).to_string(),
    );
    let loaded = alpaca::load(&path, InputAs::Section).unwrap();
    assert_eq!(turns(&loaded.conversations[0])[0], (User, "Whole question"));
    assert_eq!(loaded.report.changed_by("`input` alone, read as the question"), 1);
    let options = AlpacaOptions { input_alone: false, ..AlpacaOptions::default() };
    let options = ReadOptions { alpaca: options, ..ReadOptions::default() };
    let loaded = read_conversations(DataFormat::Alpaca, &[&path], &options).unwrap();
    assert_eq!(ids(&loaded), ["a:2"]);
}

#[test]
fn chat_messages_with_parts_and_without_tools() {
    let dir = tempfile::tempdir().unwrap();
    let message = |role: &str, content: Value| json!({"role": role, "content": content});
    let parts = json!([{"type": "text", "text": "Look "}, {"type": "text", "text": "here"}]);
    let rows = json!([
        {"id": "parts", "messages": [message("developer", json!("Be short.")), message("user", parts), message("assistant", json!("Yes"))]},
        {"id": "image", "messages": [message("user", json!([{"type": "image_url", "image_url": {"url": "x"}}])), message("assistant", json!("Yes"))]},
        {"id": "tool", "messages": [message("user", json!("a")), message("assistant", json!("b")), message("tool", json!("c"))]},
        {"id": "call", "messages": [message("user", json!("a")), {"role": "assistant", "content": null, "tool_calls": [{"id": 1}]}]},
        {"id": "lists", "messages": {"role": ["user", "assistant"], "content": ["a", "b"]}},
        {"conversation_id": "beside", "system": "From the row.", "messages": [message("user", json!("a")), message("assistant", json!("b"))]},
    ]);
    let loaded = messages::load(&file(&dir, "m.json", rows.to_string())).unwrap();
    assert_eq!(ids(&loaded), ["parts", "lists", "beside"]);
    assert_eq!(
        turns(&loaded.conversations[0]),
        [(System, "Be short."), (User, "Look here"), (Assistant, "Yes")]
    );
    assert_eq!(turns(&loaded.conversations[2])[0], (System, "From the row."));
    assert_eq!(loaded.report.dropped["tool messages"].examples, ["tool", "call"]);
    assert_eq!(loaded.report.dropped["a part that is no text"].examples, ["image"]);
}

#[test]
fn a_named_format_is_taken_at_its_word() {
    let dir = tempfile::tempdir().unwrap();
    let path =
        file(&dir, "alpaca.json", json!([talk(json!("x"), &[("human", "a"), ("gpt", "b")])]).to_string());
    let error = read_conversations(DataFormat::Alpaca, &[&path], &ReadOptions::default()).unwrap_err();
    let DataError::OtherFormat { looks_like, .. } = &error else { panic!("{error}") };
    assert_eq!(*looks_like, DataFormat::Sharegpt);
    assert!(
        error.to_string().contains("alpaca.json: no row is `alpaca`; the file looks like `sharegpt`"),
        "{error}"
    );
    assert_eq!(detected(&path).0, DataFormat::Sharegpt, "whatever its name");

    // A file that is cut off is no shorter file, whoever names its format.
    let whole = std::fs::read_to_string(&path).unwrap();
    let cut = file(&dir, "cut.json", &whole[..whole.len() - 3]);
    let two = file(&dir, "two.json", format!("{},{}", &whole[..whole.len() - 1], &whole[1..20]));
    for cut in [cut, two] {
        let error = read_conversations(DataFormat::Sharegpt, &[&cut], &ReadOptions::default()).unwrap_err();
        assert!(error.to_string().contains("cut off"), "{error}");
    }

    let other = file(&dir, "other.jsonl", "{\"weight\": 7}\n");
    let error = read_detected(&[&other], &ReadOptions::default()).unwrap_err().to_string();
    assert!(error.contains("`weight`") && error.contains("oasst-flat"), "{error}");
    let nested = file(&dir, "nested.json", "[[1], [2]]");
    let error = read_detected(&[&nested], &ReadOptions::default()).unwrap_err().to_string();
    assert!(error.contains("item 1: an array; an object is expected"), "{error}");
    let none: [&Path; 0] = [];
    assert!(read_conversations(DataFormat::Messages, &none, &ReadOptions::default()).is_err());
}

#[test]
fn several_files_are_one_with_ids_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let row = talk(json!("x"), &[("human", "a"), ("gpt", "b")]);
    let first = file(&dir, "one.json", json!([row]).to_string());
    let second = file(&dir, "two.jsonl", format!("{row}\n{{\"id\": 1}}\n"));
    let loaded =
        read_conversations(DataFormat::Sharegpt, &[&first, &second], &ReadOptions::default()).unwrap();
    assert_eq!(ids(&loaded), ["x", "x#2"]);
    assert_eq!((loaded.report.read, loaded.report.kept), (3, 2));
    assert!(loaded.report.to_string().contains("two.jsonl, line 2 (id 1)"), "{}", loaded.report);
}

#[test]
fn the_nano_world_is_a_format_without_a_file() {
    let none: [&Path; 0] = [];
    let loaded = read_conversations(DataFormat::Nano, &none, &ReadOptions::default()).unwrap();
    assert!(loaded.conversations.len() > 1000 && loaded.report.kept > loaded.conversations.len());
    let dir = tempfile::tempdir().unwrap();
    let few = file(&dir, "world.toml", "tuning_trees = 7\n");
    let loaded = read_conversations(DataFormat::Nano, &[&few], &ReadOptions::default()).unwrap();
    assert_eq!(loaded.conversations.len(), 7);
    let odd = file(&dir, "odd.toml", "tuning_tree = 7\n");
    let error =
        read_conversations(DataFormat::Nano, &[&odd], &ReadOptions::default()).unwrap_err().to_string();
    assert!(error.contains("odd.toml") && error.contains("tuning_tree"), "{error}");
}

#[test]
fn a_file_that_is_one_list_of_turns_is_one_conversation() {
    let dir = tempfile::tempdir().unwrap();
    let turns = json!([
        {"role": "system", "content": "Be kind."}, {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"}
    ]);
    let path = file(&dir, "talk.json", turns.to_string());
    let (format, loaded) = read_detected(&[&path], &ReadOptions::default()).unwrap();
    assert_eq!((format, loaded.conversations.len()), (DataFormat::Messages, 1));
    let talk = &loaded.conversations[0];
    assert_eq!((talk.id.as_str(), talk.messages.len()), ("talk", 3));
    assert!(loaded.report.notes.iter().any(|note| note.contains("one list of turns")), "{:?}", loaded.report);

    let turns = json!([{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]);
    let path = file(&dir, "sharegpt.json", turns.to_string());
    assert_eq!(read_detected(&[&path], &ReadOptions::default()).unwrap().0, DataFormat::Sharegpt);

    // A turn that cannot be read is no turn to leave out.
    let path = file(&dir, "torn.jsonl", "{\"role\": \"user\", \"content\": \"a\"}\n{\"role\": \n");
    let error = read_conversations(DataFormat::Messages, &[&path], &ReadOptions::default()).unwrap_err();
    assert!(matches!(error, DataError::Empty { .. }), "{error}");
}

#[test]
fn what_is_written_is_read_again_in_every_format_and_file_type() {
    let dir = tempfile::tempdir().unwrap();
    let mut long = Conversation::new("long");
    for (role, text) in
        [(System, "Be kind."), (User, "a \"b\"\n"), (Assistant, "ü"), (User, "c"), (Assistant, "d")]
    {
        long.push(role, text);
    }
    let mut short = Conversation::new("short");
    short.push(User, "a");
    short.push(Assistant, "b");
    let whole = [long.clone(), short.clone()];
    for format in WRITABLE {
        for ending in ["json", "jsonl", "parquet"] {
            let path = dir.path().join(format!("{format}.{ending}"));
            let report = write_conversations(format, &whole, &path).unwrap();
            let loaded = read_conversations(format, &[&path], &ReadOptions::default()).unwrap();
            assert_eq!((report.kept, loaded.conversations.len()), (2, 2), "{format} {ending}");
            assert_eq!(detected(&path).0, format, "{ending}");
            let mut expected = whole.clone();
            match format {
                DataFormat::OasstFlat => {
                    expected[0].messages.remove(0);
                    assert_eq!(report.changed_by("a system message, left out"), 1);
                }
                _ => assert!(report.changed.is_empty()),
            }
            assert_eq!(loaded.conversations, expected, "{format} {ending}");
        }
    }
    let many: Vec<Conversation> =
        (0..10_000).map(|i| Conversation { id: format!("c{i}"), ..short.clone() }).collect();
    let path = dir.path().join("many.parquet");
    write_conversations(DataFormat::Messages, &many, &path).unwrap();
    let loaded = read_conversations(DataFormat::Messages, &[&path], &ReadOptions::default()).unwrap();
    assert_eq!(loaded.conversations, many, "over several row groups");

    // Alpaca's rows end with an answer and have one system message.
    let mut asking = long.clone();
    asking.push(User, "e");
    asking.push(System, "Be brief.");
    let path = dir.path().join("asking.json");
    let report = write_conversations(DataFormat::Alpaca, &[asking], &path).unwrap();
    assert_eq!(report.changed["turns after the last answer, left out"].examples, ["long"]);
    assert_eq!(report.changed_by("system messages after the first, left out"), 1);
    let loaded = read_conversations(DataFormat::Alpaca, &[&path], &ReadOptions::default()).unwrap();
    assert_eq!(loaded.conversations, [long], "the rest is whole");

    let odd = write_conversations(DataFormat::Messages, &whole, &dir.path().join("x.csv")).unwrap_err();
    assert!(odd.to_string().contains(".jsonl"), "{odd}");
    assert!(!dir.path().join("x.csv").exists());
    assert!(write_conversations(DataFormat::Guanaco, &whole, &path).is_err());
}
