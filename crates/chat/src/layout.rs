//! Templates as data: fixed strings around each role's messages.

use serde::Deserialize;

use crate::{ChatError, Conversation, Role, SpecialTokens};

/// A conversation as text, with the bytes of each message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The whole text. A beginning token is part of it only where the template writes one.
    pub text: String,
    /// One span per message that was written, in order, disjoint.
    pub spans: Vec<Span>,
}

/// The bytes `text[start..end]` of one message: from the end of what a
/// generation prompt would hold to the message's end token, that included. The
/// space between `Assistant:` and the answer is inside, since the model writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Index of the message in the conversation.
    pub message: usize,
    /// Who speaks.
    pub role: Role,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// Who writes the beginning-of-sequence token. It is never written twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Bos {
    /// The tokenizer, if its post-processor adds one.
    Tokenizer,
    /// The template's own text, as `{bos}`.
    Text,
}

/// The definition of a template, as in `templates/*.toml`. In its strings
/// `{bos}` and `{eos}` stand for the tokenizer's tokens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Layout {
    pub name: String,
    pub bos: Bos,
    /// User and assistant must take turns, the user first; a system message only at the start.
    pub alternate: bool,
    /// Written once, between the system message and the first turn.
    #[serde(default)]
    pub turns_begin: String,
    /// Markers that are tokens of their own in a tokenizer made for this template.
    #[serde(default)]
    pub required_tokens: Vec<String>,
    /// Text that shows the model has begun another turn.
    #[serde(default)]
    pub stop_strings: Vec<String>,
    /// Tokens besides `{eos}` that end a reply.
    #[serde(default)]
    pub stop_tokens: Vec<String>,
    system: SystemTurn,
    user: UserTurn,
    assistant: AssistantTurn,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct SystemTurn {
    /// Used when the conversation has no system message.
    #[serde(default)]
    default: Option<String>,
    prefix: String,
    suffix: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct UserTurn {
    prefix: String,
    /// Replaces `prefix` directly after a system message.
    #[serde(default)]
    prefix_after_system: Option<String>,
    suffix: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct AssistantTurn {
    /// Also the generation prompt.
    prefix: String,
    /// Between the generation prompt and the answer; the model writes it.
    #[serde(default)]
    lead: String,
    /// Ends an answer; the model writes it.
    end: String,
    /// Replaces `end` when the answer is the conversation's last message.
    #[serde(default)]
    last_end: Option<String>,
    /// After the end, not learnt.
    #[serde(default)]
    suffix: String,
}

impl Layout {
    /// Parses a definition.
    pub fn parse(source: &str, name: &str) -> Result<Self, ChatError> {
        toml::from_str(source).map_err(|error| ChatError::BadTemplate {
            template: name.to_string(),
            message: error.to_string(),
        })
    }

    /// Writes a conversation and notes each message's bytes on the way.
    pub fn render(
        &self,
        conversation: &Conversation,
        tokens: &SpecialTokens,
        add_generation_prompt: bool,
    ) -> Result<Rendered, ChatError> {
        self.check_order(conversation, add_generation_prompt)?;
        let mut page = Page { text: String::new(), tokens };
        let mut spans = Vec::with_capacity(conversation.messages.len());
        let starts_with_system = conversation.messages[0].role == Role::System;
        if !starts_with_system {
            if let Some(default) = &self.system.default {
                page.write(&self.system.prefix);
                page.text.push_str(default);
                page.write(&self.system.suffix);
            }
            page.write(&self.turns_begin);
        }

        let last = conversation.messages.len() - 1;
        let mut previous = None;
        for (index, message) in conversation.messages.iter().enumerate() {
            let (before, lead, end, after) = match message.role {
                Role::System => (&self.system.prefix[..], "", "", &self.system.suffix[..]),
                Role::User => {
                    let prefix = match (&self.user.prefix_after_system, previous) {
                        (Some(prefix), Some(Role::System)) => prefix,
                        _ => &self.user.prefix,
                    };
                    (&prefix[..], "", "", &self.user.suffix[..])
                }
                Role::Assistant => {
                    let turn = &self.assistant;
                    let end = match &turn.last_end {
                        Some(last_end) if index == last => last_end,
                        _ => &turn.end,
                    };
                    (&turn.prefix[..], &turn.lead[..], &end[..], &turn.suffix[..])
                }
            };
            page.write(before);
            let start = page.text.len();
            page.write(lead);
            page.text.push_str(&message.content);
            page.write(end);
            spans.push(Span { message: index, role: message.role, start, end: page.text.len() });
            page.write(after);
            if index == 0 && starts_with_system {
                page.write(&self.turns_begin);
            }
            previous = Some(message.role);
        }
        if add_generation_prompt {
            page.write(&self.assistant.prefix);
        }
        Ok(Rendered { text: page.text, spans })
    }

    fn check_order(&self, conversation: &Conversation, add_generation_prompt: bool) -> Result<(), ChatError> {
        if conversation.messages.is_empty() {
            return Err(ChatError::Empty { conversation: conversation.id.clone() });
        }
        if !self.alternate {
            return Ok(());
        }
        let refuse = |message: usize, found: Role, expected: Role| ChatError::RoleOrder {
            conversation: conversation.id.clone(),
            template: self.name.clone(),
            message,
            found,
            expected,
        };
        let mut expected = Role::User;
        for (index, message) in conversation.messages.iter().enumerate() {
            if index == 0 && message.role == Role::System {
                continue;
            }
            if message.role != expected {
                return Err(refuse(index, message.role, expected));
            }
            expected = match expected {
                Role::User => Role::Assistant,
                _ => Role::User,
            };
        }
        if add_generation_prompt && expected != Role::Assistant {
            return Err(refuse(conversation.messages.len(), Role::Assistant, expected));
        }
        Ok(())
    }

    /// The layout's own strings, where `{bos}` and `{eos}` may occur.
    fn strings(&self) -> impl Iterator<Item = &str> {
        [
            Some(&self.turns_begin),
            Some(&self.system.prefix),
            Some(&self.system.suffix),
            Some(&self.user.prefix),
            self.user.prefix_after_system.as_ref(),
            Some(&self.user.suffix),
            Some(&self.assistant.prefix),
            Some(&self.assistant.lead),
            Some(&self.assistant.end),
            self.assistant.last_end.as_ref(),
            Some(&self.assistant.suffix),
        ]
        .into_iter()
        .flatten()
        .map(String::as_str)
    }

    /// Whether the layout writes a beginning token.
    pub fn writes_bos(&self) -> bool {
        self.strings().any(|string| string.contains("{bos}"))
    }

    /// Whether the layout writes an end token.
    pub fn writes_eos(&self) -> bool {
        self.strings().any(|string| string.contains("{eos}"))
    }
}

/// Text under construction. Only the layout's strings have placeholders filled;
/// messages are copied byte for byte.
struct Page<'a> {
    text: String,
    tokens: &'a SpecialTokens,
}

impl Page<'_> {
    fn write(&mut self, string: &str) {
        let bos = self.tokens.bos.as_deref().unwrap_or_default();
        let eos = self.tokens.eos.as_deref().unwrap_or_default();
        self.text.push_str(&string.replace("{bos}", bos).replace("{eos}", eos));
    }
}
