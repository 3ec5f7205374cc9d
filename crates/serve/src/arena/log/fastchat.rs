//! FastChat's logs of chats and votes, in and out.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use camelid_files::{FileError, Input, WholeFile};
use camelid_ratings::TextRules;
use serde_json::{Value, json};

use super::Imported;
use super::line::{Line, Vote, Wrong};
use crate::arena::battle::{Battle, Mode};
use crate::arena::error::ArenaError;
use crate::arena::store::{Conversation, Entry, Facts, Store, StoredVote, UserKey};

/// Reads a log (`.json`, also gzip or zstd) into the store: all of it, or nothing where a line is not
/// what it should be. A vote that is there already is not counted again.
///
/// # Errors
/// [`ArenaError::Line`] with line and field; [`ArenaError::File`]; [`ArenaError::Store`].
pub fn import_fastchat(store: &Store, path: &Path, rules: &TextRules) -> Result<Imported, ArenaError> {
    // Nothing is written before the whole file is read: votes of a running arena would have to wait.
    let input = BufReader::new(Input::open(path)?);
    let (mut entries, mut left_out) = (Vec::new(), 0);
    for (line, number) in input.split(b'\n').zip(1..) {
        let line = line.map_err(FileError::io(path, "read"))?;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let wrong = |Wrong { field, found, expected }: Wrong| ArenaError::Line {
            path: path.to_owned(),
            line: number,
            field,
            found,
            expected,
        };
        match Line::read(&line).map_err(wrong)? {
            Line::Vote(vote) => entries.push(entry(*vote, store.key(), rules)),
            Line::Chat(conversation) => {
                let user = conversation.user.as_deref().map(|ip| store.key().imported(ip));
                entries.push(Entry {
                    conversations: vec![Conversation { user, ..*conversation }],
                    battle: None,
                });
            }
            Line::Other => left_out += 1,
        }
    }
    Imported::write(store, &entries, left_out)
}

/// A vote as it is stored.
fn entry(vote: Vote, key: &UserKey, rules: &TextRules) -> Entry {
    let user = vote.ip.as_deref().map(|ip| key.imported(ip));
    let (mode, at) = (vote.mode(), vote.at);
    let conversations =
        vote.states.map(|state| Conversation { user: user.clone(), started: at, finished: at, ..state });
    let sides: Vec<_> = conversations.iter().map(Conversation::side).collect();
    let facts = Facts::of(&sides, rules);
    let id = format!("{}+{}", conversations[0].id, conversations[1].id);
    let battle = Battle { id, mode, sides, user, started: at, finished: at, verdict: Some(vote.verdict) };
    Entry { conversations: conversations.into(), battle: Some((battle, facts)) }
}

/// Writes every conversation as a chat and every vote, in FastChat's form, one JSON object a line;
/// `ip` is the user's keyed hash. Returns the chats and the votes written.
///
/// # Errors
/// [`ArenaError::Store`] and [`ArenaError::File`]; the file then is not there.
pub fn export_fastchat(store: &Store, path: &Path) -> Result<(usize, usize), ArenaError> {
    let (conversations, votes) = store.log()?;
    let by_id: HashMap<&str, &Conversation> = conversations.iter().map(|c| (c.id.as_str(), c)).collect();
    let mut lines: Vec<(f64, Value)> = conversations.iter().map(|c| (c.finished, chat(c))).collect();
    for vote in &votes {
        let states = vote.conversations.each_ref();
        let states = states.map(|id| by_id.get(id.as_str()).map_or(Value::Null, |found| state(found)));
        lines.push((vote.at, vote_line(vote, states)));
    }
    lines.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let mut file = WholeFile::create(path)?;
    for (_, line) in &lines {
        writeln!(file, "{line}").map_err(FileError::io(path, "write"))?;
    }
    file.finish()?;
    Ok((conversations.len(), votes.len()))
}

fn chat(conversation: &Conversation) -> Value {
    json!({
        "tstamp": conversation.finished, "type": "chat", "model": conversation.model,
        "gen_params": {}, "start": conversation.started, "finish": conversation.finished,
        "state": state(conversation), "ip": conversation.user,
    })
}

fn vote_line(vote: &StoredVote, states: [Value; 2]) -> Value {
    let models = if vote.mode == Mode::Battle { ["", ""].map(str::to_owned) } else { vote.models.clone() };
    json!({ "tstamp": vote.at, "type": vote.verdict.name(), "models": models, "states": states, "ip": vote.user })
}

fn state(conversation: &Conversation) -> Value {
    json!({
        "template_name": conversation.template, "system_message": conversation.system,
        "roles": conversation.roles, "messages": conversation.messages, "offset": conversation.opening,
        "conv_id": conversation.id, "model_name": conversation.model,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kind: &str, number: usize, models: [&str; 2]) -> Value {
        let state = |side: &str, model: &str| {
            json!({
                "template_name": "vicuna_v1.1", "system_message": "A chat.", "roles": ["USER", "ASSISTANT"],
                "messages": [["USER", format!("Question {number}?")], ["ASSISTANT", format!("From {side}.")]],
                "offset": 0, "conv_id": format!("{side}{number}"), "model_name": model,
            })
        };
        json!({
            "tstamp": 1_690_000_000.5 + number as f64, "type": kind, "models": models,
            "states": [state("left", "x"), state("right", "y")], "ip": "203.0.113.7",
        })
    }

    fn import(folder: &Path, database: &str, text: &str) -> (Store, Result<Imported, ArenaError>) {
        let store = Store::open(&folder.join(database)).unwrap();
        let log = folder.join("log.json");
        std::fs::write(&log, text).unwrap();
        let imported = import_fastchat(&store, &log, &TextRules::default());
        (store, imported)
    }

    #[test]
    fn what_was_imported_is_exported_with_the_same_votes() {
        let folder = tempfile::tempdir().unwrap();
        let lines = [
            line("leftvote", 0, ["", ""]),
            line("bothbad_vote", 1, ["Model A: ", "Model B: "]),
            line("tievote", 2, ["x", "y"]),
            json!({"tstamp": 5, "type": "upvote", "model": "x"}),
            json!({
                "tstamp": 6.0, "type": "chat", "model": "z", "start": 5.0, "finish": 6.0, "ip": null,
                "state": {"conv_id": "z1", "model_name": "z", "roles": ["U", "A"], "offset": 1,
                          "messages": [["A", "Hello"], ["U", "Hi"], ["A", null]]},
            }),
        ];
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let (store, imported) = import(folder.path(), "a.db", &text);
        assert_eq!(imported.unwrap(), Imported { votes: 3, known: 0, chats: 1, left_out: 1 });
        let again = import_fastchat(&store, &folder.path().join("log.json"), &TextRules::default()).unwrap();
        assert_eq!((again.votes, again.known), (0, 3), "a file read twice counts once");

        let out = folder.path().join("out.json");
        assert_eq!(export_fastchat(&store, &out).unwrap(), (7, 3));
        let exported = std::fs::read_to_string(&out).unwrap();
        assert!(!exported.contains("203.0.113.7"));
        let votes = |text: &str| -> Vec<Value> {
            let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let votes = lines
                .filter(|line| line["type"].as_str().is_some_and(|t| t.ends_with("vote") && t != "upvote"));
            votes.map(|line| json!([line["tstamp"], line["type"], line["states"]])).collect()
        };
        assert_eq!(votes(&exported), votes(&text));
        // And from there into another arena: the same users too.
        let (other, imported) = import(folder.path(), "b.db", &exported);
        assert_eq!(imported.unwrap().votes, 3);
        let shown = |store: &Store| -> Vec<_> {
            let votes = store.votes_after(0).unwrap();
            votes.into_iter().map(|v| (v.mode, v.models, v.verdict, v.user, v.at, v.facts)).collect()
        };
        assert_eq!(shown(&other), shown(&store));
        assert_eq!(shown(&store)[0].0, Mode::Battle);
        assert_eq!(shown(&store)[2].0, Mode::SideBySide);
    }

    #[test]
    fn no_vote_goes_out_without_its_conversations_while_others_come_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("arena.db");
        let store = Store::open(&path).unwrap();
        let other = Store::open(&path).unwrap();
        let out = folder.path().join("out.json");
        std::thread::scope(|scope| {
            let votes = scope.spawn(|| {
                for number in 0..300 {
                    let line = line("leftvote", number, ["", ""]).to_string();
                    let Ok(Line::Vote(vote)) = Line::read(line.as_bytes()) else { panic!("{line}") };
                    let entry = entry(*vote, other.key(), &TextRules::default());
                    assert_eq!(other.import(&[entry]).unwrap(), 1);
                }
            });
            let mut last = false;
            while !last {
                last = votes.is_finished();
                export_fastchat(&store, &out).unwrap();
                let text = std::fs::read_to_string(&out).unwrap();
                for line in text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
                    let states = line["states"].as_array().into_iter().flatten();
                    assert!(states.into_iter().all(Value::is_object), "{line}");
                }
            }
        });
        assert_eq!(export_fastchat(&store, &out).unwrap(), (600, 300));
    }

    #[test]
    fn a_file_is_read_before_the_database_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("arena.db")).unwrap();
        let log = folder.path().join("log.json");
        std::fs::write(&log, format!("{}\n{{}}\n", line("leftvote", 0, ["", ""]))).unwrap();
        let mut other = rusqlite::Connection::open(store.path()).unwrap();
        let writing = other.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
        // What is wrong with it is found although nothing can be written now.
        let message = import_fastchat(&store, &log, &TextRules::default()).unwrap_err().to_string();
        assert!(message.contains("line 2: `type` is missing"), "{message}");
        drop(writing);
    }

    #[test]
    fn a_cut_off_or_foreign_file_names_line_and_field_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let good = line("leftvote", 0, ["", ""]).to_string();
        let change = |change: &dyn Fn(&mut Value)| {
            let mut line = line("leftvote", 1, ["", ""]);
            change(&mut line);
            line.to_string()
        };
        for (number, (second, expected)) in [
            (good[..200].to_owned(), "line 2: `line` is not JSON"),
            ("[1, 2]".to_owned(), "line 2: `line` is [1,2]"),
            (r#"{"model_a": "x"}"#.to_owned(), "line 2: `type` is missing"),
            (change(&|l| l["type"] = json!("vote")), "`type` is \"vote\"; expected chat, leftvote"),
            (change(&|l| l["models"] = json!(["x"])), "`models` is [\"x\"]"),
            (change(&|l| l["models"] = json!(["x", ""])), "expected two names, or none"),
            (change(&|l| l["tstamp"] = Value::Null), "`tstamp` is missing; expected seconds"),
            (change(&|l| l["states"][1]["messages"][1] = json!("hm")), "`states[1].messages[1]` is \"hm\""),
            (
                change(&|l| l["states"][0]["messages"][0][0] = json!("Q")),
                "`states[0].messages[0][0]` is \"Q\"",
            ),
            (change(&|l| l["states"][1]["model_name"] = json!("x")), "`states[1].model_name` is \"x\""),
            (change(&|l| l["states"][1]["conv_id"] = json!(7)), "`states[1].conv_id` is 7"),
        ]
        .into_iter()
        .enumerate()
        {
            let (store, imported) =
                import(folder.path(), &format!("{number}.db"), &format!("{good}\n{second}\n"));
            let message = imported.unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains("line 2"), "{message}");
            assert!(store.votes_after(0).unwrap().is_empty(), "all or nothing");
        }
    }
}
