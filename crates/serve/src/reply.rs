//! A model's text taken apart into what it says and what it calls.
//!
//! Models write calls as their templates taught them: between `<tool_call>` and `</tool_call>` (Hermes,
//! Qwen, SmolLM2), after `[TOOL_CALLS]` (Mistral), or as the whole text (Llama 3.1). Each call is a JSON
//! object with `name` and `arguments` or `parameters`. Its name is passed on as soon as it is whole, its
//! arguments as they come. What begins like a call and is none stays text.

use camelid_chat::Template;

use crate::wire::{ToolCallDelta, ToolChoice, Tools, new_id};

/// What is new of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReplyDelta {
    Text(String),
    Call(ToolCallDelta),
}

/// How calls are written.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Style {
    /// There are none.
    Plain,
    /// After this marker.
    Marked(&'static str),
    /// The whole text is calls, if it begins like one.
    Bare,
    /// The whole text is the arguments of this function.
    Arguments(String),
}

/// Reads a reply piece by piece.
#[derive(Clone, Debug)]
pub(crate) struct ReplyParser {
    style: Style,
    mode: Mode,
    /// Text that is not decided yet.
    pending: String,
    calls: usize,
}

#[derive(Clone, Debug)]
enum Mode {
    Text,
    Call(Box<Call>),
    /// After a call: another one, the end marker, or text again.
    After,
}

/// The marks around calls that are no part of them.
const ENDS: [&str; 2] = ["</tool_call>", "<|eom_id|>"];

impl ReplyParser {
    /// A parser of what a template's model writes when it is offered these tools.
    pub fn new(template: &Template, tools: &Tools) -> Self {
        let style = match &tools.choice {
            _ if tools.offered().is_empty() => Style::Plain,
            // The text is held to one form then, whatever the template taught.
            ToolChoice::Function(name) => Style::Arguments(name.clone()),
            ToolChoice::Required => Style::Bare,
            _ if template.definition().contains("<tool_call>") => Style::Marked("<tool_call>"),
            _ if template.definition().contains("[TOOL_CALLS]") => Style::Marked("[TOOL_CALLS]"),
            _ => Style::Bare,
        };
        Self { style, mode: Mode::Text, pending: String::new(), calls: 0 }
    }

    /// Whether the reply calls anything so far.
    pub fn has_calls(&self) -> bool {
        self.calls > 0
    }

    /// Takes more text.
    pub fn push(&mut self, text: &str) -> Vec<ReplyDelta> {
        let mut deltas = Vec::new();
        if let Style::Plain = self.style {
            deltas.push(ReplyDelta::Text(text.to_owned()));
        } else if let Style::Arguments(name) = &self.style {
            if self.calls == 0 {
                deltas.push(ReplyDelta::Call(ToolCallDelta::name(0, new_id("call_"), name.clone())));
                self.calls = 1;
            }
            deltas.push(ReplyDelta::Call(ToolCallDelta::arguments(0, text.to_owned())));
        } else {
            self.pending.push_str(text);
            while self.step(&mut deltas) {}
        }
        deltas
    }

    /// What was not decided when the text ended.
    pub fn finish(&mut self) -> Vec<ReplyDelta> {
        let rest = std::mem::take(&mut self.pending);
        let text = match std::mem::replace(&mut self.mode, Mode::Text) {
            Mode::Text => rest,
            // Arguments that broke off were passed on as far as they came.
            Mode::Call(call) if call.arguments.is_some() => return Vec::new(),
            Mode::Call(call) => call.opener + &call.raw + &rest,
            Mode::After => return Vec::new(),
        };
        if text.is_empty() { Vec::new() } else { vec![ReplyDelta::Text(text)] }
    }

    /// One step through what is pending; false when more text is needed.
    fn step(&mut self, deltas: &mut Vec<ReplyDelta>) -> bool {
        match &mut self.mode {
            Mode::Text => self.text(deltas),
            Mode::Call(call) => {
                let (used, state) = call.push(&self.pending, &mut self.calls, deltas);
                self.pending.drain(..used);
                match state {
                    CallState::Open => false,
                    CallState::Closed => {
                        self.mode = Mode::After;
                        true
                    }
                    CallState::NoCall(text) => {
                        deltas.push(ReplyDelta::Text(text));
                        // A reply that is no call from its start on is a text to its end.
                        if self.style == Style::Bare {
                            self.style = Style::Marked("<|python_tag|>");
                        }
                        self.mode = Mode::Text;
                        true
                    }
                }
            }
            Mode::After => self.after(),
        }
    }

    fn text(&mut self, deltas: &mut Vec<ReplyDelta>) -> bool {
        let marker = match self.style {
            Style::Marked(marker) => marker,
            _ => {
                let start = self.pending.trim_start();
                let Some(first) = start.chars().next() else { return false };
                if let Some(rest) = start.strip_prefix("<|python_tag|>") {
                    self.pending = rest.to_owned();
                } else if "<|python_tag|>".starts_with(start) {
                    return false;
                } else if !matches!(first, '{' | '[') {
                    self.style = Style::Marked("<|python_tag|>");
                    return true;
                }
                self.mode = Mode::Call(Box::default());
                return true;
            }
        };
        if let Some(at) = self.pending.find(marker) {
            let before = self.pending[..at].to_owned();
            self.pending.drain(..at + marker.len());
            if !before.trim_end().is_empty() {
                deltas.push(ReplyDelta::Text(before.trim_end().to_owned()));
            }
            self.mode = Mode::Call(Box::new(Call { opener: marker.to_owned(), ..Call::default() }));
            return true;
        }
        // White space before a call is dropped, so it waits for what follows it.
        let keep = self.pending[..open_start(&self.pending, marker)].trim_end().len();
        let shown: String = self.pending.drain(..keep).collect();
        if !shown.is_empty() {
            deltas.push(ReplyDelta::Text(shown));
        }
        false
    }

    fn after(&mut self) -> bool {
        let rest =
            self.pending.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ',' | ']' | ';'));
        let rest = rest.to_owned();
        self.pending = rest;
        if let Some(end) = ENDS.iter().find(|end| self.pending.starts_with(**end)) {
            self.pending.drain(..end.len());
            return true;
        }
        if self.pending.is_empty() || ENDS.iter().any(|end| end.starts_with(self.pending.as_str())) {
            return false;
        }
        self.mode = match self.pending.starts_with('{') {
            true => Mode::Call(Box::default()),
            false => Mode::Text,
        };
        if self.style == Style::Bare && matches!(self.mode, Mode::Text) {
            self.style = Style::Marked("<|python_tag|>");
        }
        true
    }
}

/// Where the longest suffix begins that is the start of `marker`.
fn open_start(text: &str, marker: &str) -> usize {
    let mut starts = text.char_indices().map(|(at, _)| at);
    starts.find(|at| marker.starts_with(&text[*at..])).unwrap_or(text.len())
}

/// A call that is being written.
#[derive(Clone, Debug, Default)]
struct Call {
    opener: String,
    raw: String,
    scan: JsonScan,
    /// Once name and start of the arguments are known.
    arguments: Option<Arguments>,
}

#[derive(Clone, Debug)]
struct Arguments {
    /// The call's number.
    index: usize,
    /// How far `raw` was passed on.
    sent: usize,
    scan: JsonScan,
    done: bool,
}

enum CallState {
    Open,
    Closed,
    /// It is none: this is its text.
    NoCall(String),
}

impl Call {
    /// Takes text up to the end of the call; says how many bytes of it were used.
    fn push(&mut self, text: &str, calls: &mut usize, deltas: &mut Vec<ReplyDelta>) -> (usize, CallState) {
        let mut used = 0;
        let mut closed = false;
        for c in text.chars() {
            if self.raw.is_empty() && (c.is_whitespace() || c == '[') {
                self.opener.push(c);
                used += c.len_utf8();
                continue;
            }
            if self.raw.is_empty() && c != '{' {
                return (used, CallState::NoCall(std::mem::take(&mut self.opener)));
            }
            self.raw.push(c);
            used += c.len_utf8();
            if self.scan.push(c) {
                closed = true;
                break;
            }
        }
        if self.arguments.is_none()
            && let Some((name, at)) = header(&self.raw)
        {
            deltas.push(ReplyDelta::Call(ToolCallDelta::name(*calls, new_id("call_"), name)));
            self.arguments =
                Some(Arguments { index: *calls, sent: at, scan: JsonScan::default(), done: false });
            *calls += 1;
        }
        if let Some(arguments) = &mut self.arguments {
            arguments.pass_on(&self.raw, deltas);
            return (used, if closed { CallState::Closed } else { CallState::Open });
        }
        if !closed {
            return (used, CallState::Open);
        }
        match whole(&self.raw) {
            Some((name, arguments)) => {
                deltas.push(ReplyDelta::Call(ToolCallDelta::name(*calls, new_id("call_"), name)));
                deltas.push(ReplyDelta::Call(ToolCallDelta::arguments(*calls, arguments)));
                *calls += 1;
                (used, CallState::Closed)
            }
            None => (used, CallState::NoCall(std::mem::take(&mut self.opener) + &self.raw)),
        }
    }
}

impl Arguments {
    fn pass_on(&mut self, raw: &str, deltas: &mut Vec<ReplyDelta>) {
        let from = self.sent;
        for c in raw[from..].chars() {
            if self.done {
                break;
            }
            self.sent += c.len_utf8();
            self.done = self.scan.push(c);
        }
        if self.sent > from {
            let piece = raw[from..self.sent].to_owned();
            deltas.push(ReplyDelta::Call(ToolCallDelta::arguments(self.index, piece)));
        }
    }
}

/// Name and start of the arguments of a call that is written in the usual order, once both are there
/// and the arguments are an object.
fn header(raw: &str) -> Option<(String, usize)> {
    let mut rest = raw.strip_prefix('{')?.trim_start();
    rest = rest.strip_prefix("\"name\"")?.trim_start().strip_prefix(':')?.trim_start();
    let mut strings = serde_json::Deserializer::from_str(rest).into_iter::<String>();
    let name = strings.next()?.ok()?;
    rest = rest.get(strings.byte_offset()..)?.trim_start().strip_prefix(',')?.trim_start();
    let key = ["\"arguments\"", "\"parameters\""].into_iter().find_map(|key| rest.strip_prefix(key))?;
    rest = key.trim_start().strip_prefix(':')?.trim_start();
    rest.starts_with('{').then(|| (name, raw.len() - rest.len()))
}

/// Name and arguments of a whole call in any order.
fn whole(raw: &str) -> Option<(String, String)> {
    let call: serde_json::Value = serde_json::from_str(raw).ok()?;
    let function = if call["function"].is_object() { &call["function"] } else { &call };
    let name = function["name"].as_str()?.to_owned();
    let arguments = match function.get("arguments").or_else(|| function.get("parameters")) {
        None | Some(serde_json::Value::Null) => "{}".to_owned(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    Some((name, arguments))
}

/// Finds the end of a JSON object or list.
#[derive(Clone, Debug, Default)]
struct JsonScan {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl JsonScan {
    /// Takes a character; true when it closes the value.
    fn push(&mut self, c: char) -> bool {
        if self.in_string {
            match c {
                _ if self.escaped => self.escaped = false,
                '\\' => self.escaped = true,
                '"' => self.in_string = false,
                _ => {}
            }
            return false;
        }
        match c {
            '"' => self.in_string = true,
            '{' | '[' => self.depth += 1,
            '}' | ']' => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parser(style: Style) -> ReplyParser {
        ReplyParser { style, mode: Mode::Text, pending: String::new(), calls: 0 }
    }

    /// The text and the calls of a reply that comes in these pieces.
    fn read(style: Style, pieces: &[&str]) -> (String, Vec<(String, String)>) {
        let mut parser = parser(style);
        let mut deltas: Vec<ReplyDelta> = pieces.iter().flat_map(|piece| parser.push(piece)).collect();
        deltas.extend(parser.finish());
        let (mut text, mut calls) = (String::new(), Vec::<(String, String)>::new());
        for delta in deltas {
            match delta {
                ReplyDelta::Text(more) => text.push_str(&more),
                ReplyDelta::Call(ToolCallDelta { index, function, .. }) => match function.name {
                    Some(name) => {
                        assert_eq!(index, calls.len());
                        calls.push((name, function.arguments));
                    }
                    None => calls[index].1.push_str(&function.arguments),
                },
            }
        }
        (text, calls)
    }

    fn call(name: &str, arguments: &str) -> (String, String) {
        (name.to_owned(), arguments.to_owned())
    }

    const HERMES: Style = Style::Marked("<tool_call>");

    #[test]
    fn calls_are_found_in_each_style() {
        let one = r#"{"name": "add", "arguments": {"a": [1, "}"]}}"#;
        let calls = [call("add", r#"{"a": [1, "}"]}"#)];
        for (style, text, said) in [
            (HERMES, format!("Let me see. <tool_call>\n{one}\n</tool_call>"), "Let me see."),
            (HERMES, format!("<tool_call>[{one}]</tool_call>"), ""),
            (Style::Marked("[TOOL_CALLS]"), format!("[TOOL_CALLS] [{one}]"), ""),
            (Style::Bare, one.to_owned(), ""),
            (Style::Bare, format!("<|python_tag|>{one}"), ""),
            (
                Style::Bare,
                r#"{"type": "function", "function": {"name": "add", "arguments": "{\"a\": [1, \"}\"]}"}}"#
                    .into(),
                "",
            ),
            (Style::Bare, r#"{"parameters": {"a": [1, "}"]}, "name": "add"}"#.into(), ""),
        ] {
            let (found, read_calls) = read(style, &[&text]);
            assert_eq!(found, said, "{text}");
            let same = |arguments: &str| serde_json::from_str::<serde_json::Value>(arguments).unwrap();
            assert_eq!(read_calls.len(), 1, "{text}");
            assert_eq!(
                (&read_calls[0].0, same(&read_calls[0].1)),
                (&calls[0].0, same(&calls[0].1)),
                "{text}"
            );
        }
    }

    #[test]
    fn several_calls_have_their_numbers() {
        let text = "<tool_call>{\"name\": \"a\", \"arguments\": {}}</tool_call>\n<tool_call>{\"name\": \"b\", \"arguments\": {\"x\": 1}}</tool_call>";
        assert_eq!(read(HERMES, &[text]).1, [call("a", "{}"), call("b", "{\"x\": 1}")]);
    }

    #[test]
    fn what_is_no_call_stays_text() {
        for (style, text) in [
            (HERMES, "1 < 2 and <tool"),
            (HERMES, "<tool_call>nothing "),
            (HERMES, "<tool_call>{\"x\": 1}</tool_call>"),
            (Style::Bare, "{\"x\": 1} is an object"),
            (Style::Bare, "Hello {\"name\": \"a\", \"arguments\": {}}"),
            (Style::Bare, "[1, 2]"),
            (Style::Bare, "{\"name\": \"a\""),
        ] {
            let (found, calls) = read(style, &[text]);
            assert!(calls.is_empty(), "{text}");
            assert_eq!(found, text);
        }
    }

    #[test]
    fn the_name_comes_before_the_arguments_and_these_as_they_are_written() {
        let mut parser = parser(HERMES);
        assert_eq!(parser.push("<tool_call>{\"name\": \"ad"), []);
        let first = parser.push("d\", \"arguments\": {\"a\"");
        assert!(
            matches!(&first[0], ReplyDelta::Call(delta) if delta.function.name.as_deref() == Some("add"))
        );
        assert_eq!(first[1], ReplyDelta::Call(ToolCallDelta::arguments(0, "{\"a\"".into())));
        assert_eq!(parser.push(": 1"), [ReplyDelta::Call(ToolCallDelta::arguments(0, ": 1".into()))]);
        assert_eq!(parser.push("}}</tool"), [ReplyDelta::Call(ToolCallDelta::arguments(0, "}".into()))]);
        assert_eq!(parser.push("_call>"), []);
        assert!(parser.finish().is_empty() && parser.has_calls());
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(cuts in prop::collection::vec(0usize..90, 0..8)) {
            let text = "é <b> <tool_call>{\"name\": \"f\", \"arguments\": {\"x\": \"</tool_call>\"}}</tool_call> done";
            let chars: Vec<char> = text.chars().collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(chars.len())).collect();
            cuts.extend([0, chars.len()]);
            cuts.sort_unstable();
            let pieces: Vec<String> = cuts.windows(2).map(|pair| chars[pair[0]..pair[1]].iter().collect()).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let (said, calls) = read(HERMES, &pieces);
            prop_assert_eq!(said, "é <b>done");
            prop_assert_eq!(calls, vec![call("f", "{\"x\": \"</tool_call>\"}")]);
        }
    }
}
