//! FastChat's `YYYY-MM-DD-conv.json`: a line for each chat and each vote (`serve/monitor`,
//! `gradio_block_arena_anony.py`).
//!
//! `{"tstamp", "type": "leftvote" | "rightvote" | "tievote" | "bothbad_vote", "models", "states": [state,
//! state], "ip"}` is a vote, and blind where both of `models` are empty or "Model A" and "Model B";
//! `{"tstamp", "type": "chat", "model", "start", "finish", "state", "ip"}` a conversation so far.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use camelid_files::{FileError, Input, WholeFile};
use camelid_ratings::TextRules;
use serde_json::{Map, Value, json};

use crate::arena::battle::{Battle, Mode, Verdict};
use crate::arena::error::ArenaError;
use crate::arena::store::{Conversation, Facts, Store, StoredVote};

/// What an import brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Imported {
    /// Votes that are new.
    pub votes: u64,
    /// Votes that were there already.
    pub known: u64,
    /// Lines of chats.
    pub chats: u64,
    /// Lines of other kinds, which are left out: votes on single answers, shares, flags.
    pub left_out: u64,
}

/// Kinds of lines that are neither chats nor votes between two.
const OTHERS: [&str; 9] =
    ["upvote", "downvote", "flag", "share", "regenerate", "clear_history", "load", "chat_error", "like"];

/// Reads a log (`.json`, also gzip or zstd) into the store: all of it, or nothing where a line is not
/// what it should be. A vote that is there already is not counted again.
///
/// # Errors
/// [`ArenaError::Line`] with line and field; [`ArenaError::File`]; [`ArenaError::Store`].
pub fn import_fastchat(store: &Store, path: &Path, rules: &TextRules) -> Result<Imported, ArenaError> {
    let input = BufReader::new(Input::open(path)?);
    store.all_or_nothing("import", |transaction| {
        let mut imported = Imported::default();
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
            match read(&line).map_err(wrong)? {
                Line::Vote(vote) => {
                    let Vote { models, verdict, states, at, ip } = *vote;
                    let user = ip.map(|ip| store.key().imported(&ip));
                    let mode = if is_blind(&models) { Mode::Battle } else { Mode::SideBySide };
                    let conversations = states.map(|state| Conversation {
                        user: user.clone(),
                        started: at,
                        finished: at,
                        ..state
                    });
                    let sides: Vec<_> = conversations.iter().map(Conversation::side).collect();
                    let facts = Facts::of(&sides, rules);
                    let battle = Battle {
                        id: format!("{}+{}", conversations[0].id, conversations[1].id),
                        mode,
                        sides,
                        user: user.clone(),
                        started: at,
                        finished: at,
                        verdict: None,
                    };
                    let vote = Some((verdict, user.as_deref(), at, &facts));
                    match store.put_imported(transaction, &battle, &conversations, vote)? {
                        true => imported.votes += 1,
                        false => imported.known += 1,
                    }
                }
                Line::Chat(conversation) => {
                    let user = conversation.user.as_deref().map(|ip| store.key().imported(ip));
                    let conversation = Conversation { user, ..*conversation };
                    let none = Battle {
                        id: String::new(),
                        mode: Mode::Direct,
                        sides: Vec::new(),
                        user: None,
                        started: 0.0,
                        finished: 0.0,
                        verdict: None,
                    };
                    store.put_imported(transaction, &none, &[conversation], None)?;
                    imported.chats += 1;
                }
                Line::Other => imported.left_out += 1,
            }
        }
        Ok(imported)
    })
}

/// Writes every conversation as a chat and every vote, in FastChat's form, one JSON object a line;
/// `ip` is the user's keyed hash. Returns the chats and the votes written.
///
/// # Errors
/// [`ArenaError::Store`] and [`ArenaError::File`]; the file then is not there.
pub fn export_fastchat(store: &Store, path: &Path) -> Result<(usize, usize), ArenaError> {
    let conversations = store.conversations()?;
    let votes = store.votes_after(0)?;
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

/// A line that is sound.
enum Line {
    Vote(Box<Vote>),
    /// A conversation whose `user` still is what stands in `ip`.
    Chat(Box<Conversation>),
    Other,
}

struct Vote {
    models: [String; 2],
    verdict: Verdict,
    states: [Conversation; 2],
    at: f64,
    ip: Option<String>,
}

/// What is wrong with a line.
struct Wrong {
    field: String,
    found: String,
    expected: &'static str,
}

fn wrong<T>(field: impl Into<String>, found: &Value, expected: &'static str) -> Result<T, Wrong> {
    let found = match found {
        Value::Null => "missing".to_owned(),
        other => {
            let text = other.to_string();
            let short: String = text.chars().take(60).collect();
            if short.len() < text.len() { format!("{short}…") } else { short }
        }
    };
    Err(Wrong { field: field.into(), found, expected })
}

/// Whether the voter did not know the names: FastChat leaves the selectors empty in battles.
fn is_blind(models: &[String; 2]) -> bool {
    let hidden = |name: &str, label: &str| name.is_empty() || name.starts_with(label);
    hidden(&models[0], "Model A") && hidden(&models[1], "Model B")
}

fn read(line: &[u8]) -> Result<Line, Wrong> {
    let whole: Value = serde_json::from_slice(line).map_err(|error| Wrong {
        field: "line".to_owned(),
        found: format!("not JSON: {error}"),
        expected: "one JSON object a line, as FastChat logs them",
    })?;
    let Value::Object(fields) = &whole else {
        return wrong("line", &whole, "a JSON object as FastChat logs them");
    };
    let kind = text(fields, "", "type", "chat, leftvote, rightvote, tievote or bothbad_vote")?;
    if let Some(verdict) = Verdict::from_name(&kind) {
        return vote(fields, verdict).map(|vote| Line::Vote(Box::new(vote)));
    }
    if kind != "chat" {
        return match OTHERS.contains(&kind.as_str()) {
            true => Ok(Line::Other),
            false => wrong("type", &json!(kind), "chat, leftvote, rightvote, tievote or bothbad_vote"),
        };
    }
    let at = number(fields, "tstamp")?;
    let time = |field| fields.get(field).and_then(Value::as_f64);
    let state = conversation(get(fields, "state"), "state")?;
    Ok(Line::Chat(Box::new(Conversation {
        user: ip(fields)?,
        started: time("start").unwrap_or(at),
        finished: time("finish").unwrap_or(at),
        ..state
    })))
}

fn vote(fields: &Map<String, Value>, verdict: Verdict) -> Result<Vote, Wrong> {
    const MODELS: &str = "a list of two names, empty in battles";
    let models = match get(fields, "models").as_array().map(Vec::as_slice) {
        Some([left, right]) => [left, right].map(|name| name.as_str().map(str::to_owned)),
        _ => return wrong("models", get(fields, "models"), MODELS),
    };
    let [Some(left), Some(right)] = models else { return wrong("models", get(fields, "models"), MODELS) };
    if left.is_empty() != right.is_empty() {
        return wrong("models", get(fields, "models"), "two names, or none in a battle");
    }
    let states = match get(fields, "states").as_array().map(Vec::as_slice) {
        Some([left, right]) => [conversation(left, "states[0]")?, conversation(right, "states[1]")?],
        _ => return wrong("states", get(fields, "states"), "a list of the two conversations"),
    };
    if states[0].model == states[1].model {
        return wrong(
            "states[1].model_name",
            &json!(states[1].model),
            "another model than that of states[0]",
        );
    }
    if states[0].id == states[1].id {
        return wrong("states[1].conv_id", &json!(states[1].id), "another id than that of states[0]");
    }
    Ok(Vote { models: [left, right], verdict, states, at: number(fields, "tstamp")?, ip: ip(fields)? })
}

fn conversation(state: &Value, place: &str) -> Result<Conversation, Wrong> {
    let Value::Object(fields) = state else { return wrong(place, state, "a conversation's state") };
    let at = |field: &str| format!("{place}.{field}");
    let optional = |field: &str| fields.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let roles = match get(fields, "roles").as_array().map(Vec::as_slice) {
        Some([user, assistant]) => match (user.as_str(), assistant.as_str()) {
            (Some(user), Some(assistant)) => [user.to_owned(), assistant.to_owned()],
            _ => return wrong(at("roles"), get(fields, "roles"), "two names"),
        },
        _ => return wrong(at("roles"), get(fields, "roles"), "the names of user and assistant"),
    };
    let Some(said) = get(fields, "messages").as_array() else {
        return wrong(at("messages"), get(fields, "messages"), "a list of [role, text]");
    };
    let mut messages = Vec::with_capacity(said.len());
    for (number, message) in said.iter().enumerate() {
        let place = || at(&format!("messages[{number}]"));
        let Some([role, content]) = message.as_array().map(Vec::as_slice) else {
            return wrong(place(), message, "[role, text]");
        };
        let Some(role) = role.as_str().filter(|role| roles.iter().any(|known| known == role)) else {
            return wrong(format!("{}[0]", place()), role, "one of the two roles");
        };
        match content {
            Value::String(text) => messages.push((role.to_owned(), Some(text.clone()))),
            Value::Null => messages.push((role.to_owned(), None)),
            other => return wrong(format!("{}[1]", place()), other, "a text, or null for no answer"),
        }
    }
    Ok(Conversation {
        id: text(fields, place, "conv_id", "the conversation's id")?,
        model: text(fields, place, "model_name", "the model's name")?,
        system: optional("system_message"),
        template: optional("template_name"),
        roles,
        opening: fields.get("offset").and_then(Value::as_i64).unwrap_or(0),
        user: None,
        started: 0.0,
        finished: 0.0,
        messages,
    })
}

fn get<'a>(fields: &'a Map<String, Value>, name: &str) -> &'a Value {
    fields.get(name).unwrap_or(&Value::Null)
}

fn text(
    fields: &Map<String, Value>,
    place: &str,
    name: &str,
    expected: &'static str,
) -> Result<String, Wrong> {
    let field = if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
    match get(fields, name) {
        Value::String(text) if !text.trim().is_empty() => Ok(text.clone()),
        other => wrong(field, other, expected),
    }
}

fn number(fields: &Map<String, Value>, name: &'static str) -> Result<f64, Wrong> {
    match get(fields, name).as_f64() {
        Some(number) => Ok(number),
        None => wrong(name, get(fields, name), "seconds since 1970"),
    }
}

fn ip(fields: &Map<String, Value>) -> Result<Option<String>, Wrong> {
    match get(fields, "ip") {
        Value::Null => Ok(None),
        Value::String(ip) => Ok(Some(ip.clone())),
        other => wrong("ip", other, "an address or a user"),
    }
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
