//! A model's own Jinja `chat_template`, with exact spans.
//!
//! A Jinja template is a program: nothing in its output says which bytes came
//! from which message. So it is run a second time with each message replaced by
//! a mark that no text contains. That yields the literal text between the
//! messages, and the real output must equal those literals with the messages
//! (as they are, or trimmed, as some templates do) in between, byte for byte.
//! Where it does not, there is no exact mask and the conversation is refused. Generation needs the
//! text alone and asks for no mask ([`JinjaTemplate::text`]).

mod clock;
mod environment;
mod json;

use std::collections::BTreeSet;

use minijinja::value::Serde;
use minijinja::{Environment, Value, context};

use crate::{ChatError, Conversation, Rendered, Role, Span, SpecialTokens};

/// End-of-turn tokens of published templates, looked for in the literal text
/// after an answer besides the end-of-sequence token.
const END_MARKERS: [&str; 8] = [
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "</s>",
];

/// A compiled `chat_template`.
#[derive(Debug, Clone)]
pub(crate) struct JinjaTemplate {
    name: String,
    source: String,
    environment: Environment<'static>,
    /// Names that the template uses and does not set itself.
    variables: BTreeSet<String>,
}

impl JinjaTemplate {
    /// Parses the template.
    pub fn compile(name: &str, source: &str) -> Result<Self, ChatError> {
        let environment = environment::compile(source).map_err(|error| ChatError::BadTemplate {
            template: name.to_string(),
            message: describe(&error),
        })?;
        let compiled = environment.get_template(environment::TEMPLATE);
        let variables = compiled
            .map_or_else(|_| BTreeSet::new(), |t| t.undeclared_variables(false).into_iter().collect());
        Ok(Self { name: name.to_string(), source: source.to_string(), environment, variables })
    }

    /// Whether the template uses a variable such as `bos_token` that it does not set itself.
    pub fn uses(&self, variable: &str) -> bool {
        self.variables.contains(variable)
    }

    /// The special tokens that the template uses, such as `pad_token`, in order of their names.
    pub fn token_variables(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(String::as_str).filter(|name| name.ends_with("_token"))
    }

    /// The end-of-turn tokens that the template writes around a question and its answer, after a
    /// system message where it takes one. Empty where it takes neither.
    pub fn written_markers(&self, tokens: &SpecialTokens) -> Vec<&'static str> {
        let turns = [(Role::System, "s"), (Role::User, "u"), (Role::Assistant, "a")];
        let texts = [self.run(&turns, tokens, false), self.run(&turns[1..], tokens, false)];
        let written = |marker: &&str| texts.iter().flatten().any(|text| text.contains(marker));
        self.end_markers().into_iter().filter(written).collect()
    }

    /// The end-of-turn tokens that stand in the template's source.
    pub fn end_markers(&self) -> Vec<&'static str> {
        END_MARKERS.into_iter().filter(|marker| self.source.contains(marker)).collect()
    }

    /// Renders, and no more than that.
    pub fn text(
        &self,
        conversation: &Conversation,
        tokens: &SpecialTokens,
        add_generation_prompt: bool,
    ) -> Result<String, ChatError> {
        if conversation.messages.is_empty() {
            return Err(ChatError::Empty { conversation: conversation.id.clone() });
        }
        let contents = contents(conversation);
        self.run(&contents, tokens, add_generation_prompt).map_err(|error| self.refused(conversation, &error))
    }

    /// Renders messages and tools as an API writes them, up to where the assistant's reply begins.
    pub fn api_text(
        &self,
        conversation: &str,
        messages: &[serde_json::Value],
        tools: &[serde_json::Value],
        tokens: &SpecialTokens,
    ) -> Result<String, ChatError> {
        if messages.is_empty() {
            return Err(ChatError::Empty { conversation: conversation.to_owned() });
        }
        let messages = messages.iter().map(|message| Value::from(Serde(message))).collect();
        let tools = if tools.is_empty() { Value::from(()) } else { Value::from(Serde(tools)) };
        self.run_values(messages, tools, tokens, true).map_err(|error| ChatError::Refused {
            conversation: conversation.to_owned(),
            template: self.name.clone(),
            message: describe(&error),
        })
    }

    /// Renders and takes the output apart.
    pub fn render(
        &self,
        conversation: &Conversation,
        tokens: &SpecialTokens,
        add_generation_prompt: bool,
    ) -> Result<Rendered, ChatError> {
        let text = self.text(conversation, tokens, add_generation_prompt)?;
        let contents = contents(conversation);

        let marks = marks_absent_from(&text, contents.len());
        let marked: Vec<(Role, &str)> =
            contents.iter().zip(&marks).map(|(&(role, _), mark)| (role, mark.as_str())).collect();
        let marked_text = self
            .run(&marked, tokens, add_generation_prompt)
            .map_err(|error| self.refused(conversation, &error))?;
        let literals = split_at_marks(&marked_text, &marks)
            .map_err(|reason| self.not_spannable(conversation, reason))?;
        let pieces = place_contents(&text, &literals, &contents).ok_or_else(|| {
            self.not_spannable(
                conversation,
                "its output is not its fixed text with the messages in between".into(),
            )
        })?;

        let spans = self.spans(&text, &literals, &pieces, &contents, tokens);
        Ok(Rendered { text, spans })
    }

    /// Widens each message's bytes to what its speaker writes: from the end of
    /// the generation prompt to the end token.
    fn spans(
        &self,
        text: &str,
        literals: &[&str],
        pieces: &[(usize, usize)],
        contents: &[(Role, &str)],
        tokens: &SpecialTokens,
    ) -> Vec<Span> {
        let mut spans = Vec::with_capacity(pieces.len());
        let mut free_from = 0;
        for (index, (&(start, end), &(role, _))) in pieces.iter().zip(contents).enumerate() {
            let mut span = Span { message: index, role, start, end };
            if role == Role::Assistant {
                // White space between the generation prompt and the answer is
                // the model's. Templates that cannot prompt here have none.
                if let Ok(prompt) = self.run(&contents[..index], tokens, true)
                    && text.starts_with(&prompt)
                    && (free_from..start).contains(&prompt.len())
                    && text[prompt.len()..start].trim().is_empty()
                {
                    span.start = prompt.len();
                }
                span.end = end + self.end_token_len(literals[index + 1], tokens);
            }
            free_from = span.end;
            spans.push(span);
        }
        spans
    }

    /// Bytes from an answer's end through its end token, if `literal`, the
    /// template's own text after it, begins with one.
    fn end_token_len(&self, literal: &str, tokens: &SpecialTokens) -> usize {
        let body = literal.trim_start();
        tokens
            .eos
            .as_deref()
            .into_iter()
            .chain(self.end_markers())
            .find(|marker| body.starts_with(marker))
            .map_or(0, |marker| literal.len() - body.len() + marker.len())
    }

    fn run(
        &self,
        messages: &[(Role, &str)],
        tokens: &SpecialTokens,
        add_generation_prompt: bool,
    ) -> Result<String, minijinja::Error> {
        let messages: Vec<Value> = messages
            .iter()
            .map(|(role, content)| context! { role => role.as_str(), content => *content })
            .collect();
        self.run_values(messages, Value::from(()), tokens, add_generation_prompt)
    }

    fn run_values(
        &self,
        messages: Vec<Value>,
        tools: Value,
        tokens: &SpecialTokens,
        add_generation_prompt: bool,
    ) -> Result<String, minijinja::Error> {
        let others = tokens.others.iter().map(|(name, token)| (name.as_str(), token.as_str()));
        self.environment.get_template(environment::TEMPLATE)?.render(context! {
            messages,
            add_generation_prompt,
            bos_token => tokens.bos.as_deref().unwrap_or_default(),
            eos_token => tokens.eos.as_deref().unwrap_or_default(),
            tools,
            documents => (),
            ..Value::from_pairs(others)
        })
    }

    fn refused(&self, conversation: &Conversation, error: &minijinja::Error) -> ChatError {
        ChatError::Refused {
            conversation: conversation.id.clone(),
            template: self.name.clone(),
            message: describe(error),
        }
    }

    fn not_spannable(&self, conversation: &Conversation, reason: String) -> ChatError {
        ChatError::NotSpannable { conversation: conversation.id.clone(), template: self.name.clone(), reason }
    }
}

fn contents(conversation: &Conversation) -> Vec<(Role, &str)> {
    conversation.messages.iter().map(|message| (message.role, message.content.as_str())).collect()
}

/// One mark per message, of private-use characters, none of them in `text`.
fn marks_absent_from(text: &str, count: usize) -> Vec<String> {
    let mut nonce = 0usize;
    while text.contains(&format!("\u{E000}{nonce}.")) {
        nonce += 1;
    }
    (0..count).map(|index| format!("\u{E000}{nonce}.{index}\u{E001}")).collect()
}

/// The template's own text: before the first message, between messages, after
/// the last (`marks.len() + 1` pieces).
fn split_at_marks<'t>(text: &'t str, marks: &[String]) -> Result<Vec<&'t str>, String> {
    let mut literals = Vec::with_capacity(marks.len() + 1);
    let mut rest = text;
    for (index, mark) in marks.iter().enumerate() {
        match text.matches(mark.as_str()).count() {
            1 => {}
            0 => return Err(format!("it leaves out message {index}")),
            n => return Err(format!("it writes message {index} {n} times")),
        }
        let (before, after) = rest
            .split_once(mark.as_str())
            .ok_or_else(|| format!("it moves message {index} before an earlier one"))?;
        literals.push(before);
        rest = after;
    }
    literals.push(rest);
    Ok(literals)
}

/// How a template may write a message's content.
const FORMS: [fn(&str) -> &str; 4] = [|s| s, str::trim, str::trim_start, str::trim_end];

/// The bytes of each message in `text`, when `text` is exactly the literals
/// with the contents between, each role's contents all in the same form.
fn place_contents(text: &str, literals: &[&str], contents: &[(Role, &str)]) -> Option<Vec<(usize, usize)>> {
    for system in FORMS {
        for user in FORMS {
            for assistant in FORMS {
                let form = |role| match role {
                    Role::System => system,
                    Role::User => user,
                    Role::Assistant => assistant,
                };
                if let Some(pieces) = place(text, literals, contents, form) {
                    return Some(pieces);
                }
            }
        }
    }
    None
}

fn place(
    text: &str,
    literals: &[&str],
    contents: &[(Role, &str)],
    form: impl Fn(Role) -> fn(&str) -> &str,
) -> Option<Vec<(usize, usize)>> {
    let mut at = literals[0].len();
    let mut rest = text.strip_prefix(literals[0])?;
    let mut pieces = Vec::with_capacity(contents.len());
    for ((role, content), literal) in contents.iter().zip(&literals[1..]) {
        let content = form(*role)(content);
        rest = rest.strip_prefix(content)?.strip_prefix(literal)?;
        pieces.push((at, at + content.len()));
        at += content.len() + literal.len();
    }
    rest.is_empty().then_some(pieces)
}

/// minijinja's message with the line, without its name for our only template.
fn describe(error: &minijinja::Error) -> String {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_string);
    match error.line() {
        Some(line) => format!("{detail} (line {line})"),
        None => detail,
    }
}
