//! A line of FastChat's `YYYY-MM-DD-conv.json` (`serve/monitor`, `gradio_block_arena_anony.py`).
//!
//! `{"tstamp", "type": "leftvote" | "rightvote" | "tievote" | "bothbad_vote", "models", "states": [state,
//! state], "ip"}` is a vote, and blind where both of `models` are empty or "Model A" and "Model B";
//! `{"tstamp", "type": "chat", "model", "start", "finish", "state", "ip"}` a conversation so far.

use serde_json::{Map, Value, json};

use crate::arena::battle::{Mode, Verdict};
use crate::arena::store::Conversation;

/// A line that is sound.
pub(super) enum Line {
    Vote(Box<Vote>),
    /// A conversation whose `user` still is what stands in `ip`.
    Chat(Box<Conversation>),
    /// Neither.
    Other,
}

/// A vote between two.
pub(super) struct Vote {
    /// What the selectors said.
    models: [String; 2],
    pub(super) verdict: Verdict,
    pub(super) states: [Conversation; 2],
    /// Seconds since the Unix epoch.
    pub(super) at: f64,
    pub(super) ip: Option<String>,
}

/// What is wrong with a line.
pub(super) struct Wrong {
    pub(super) field: String,
    pub(super) found: String,
    pub(super) expected: &'static str,
}

/// Kinds of lines that are neither chats nor votes between two.
const OTHERS: [&str; 9] =
    ["upvote", "downvote", "flag", "share", "regenerate", "clear_history", "load", "chat_error", "like"];

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

impl Vote {
    /// Whether the voter knew the names: FastChat leaves the selectors empty in battles.
    pub(super) fn mode(&self) -> Mode {
        let hidden = |name: &str, label: &str| name.is_empty() || name.starts_with(label);
        let is_blind = hidden(&self.models[0], "Model A") && hidden(&self.models[1], "Model B");
        if is_blind { Mode::Battle } else { Mode::SideBySide }
    }
}

impl Line {
    /// Reads a line.
    pub(super) fn read(line: &[u8]) -> Result<Self, Wrong> {
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
            return vote(fields, verdict).map(|vote| Self::Vote(Box::new(vote)));
        }
        if kind != "chat" {
            return match OTHERS.contains(&kind.as_str()) {
                true => Ok(Self::Other),
                false => wrong("type", &json!(kind), "chat, leftvote, rightvote, tievote or bothbad_vote"),
            };
        }
        let at = number(fields, "tstamp")?;
        let time = |field| fields.get(field).and_then(Value::as_f64);
        let state = conversation(get(fields, "state"), "state")?;
        Ok(Self::Chat(Box::new(Conversation {
            user: ip(fields)?,
            started: time("start").unwrap_or(at),
            finished: time("finish").unwrap_or(at),
            ..state
        })))
    }
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
