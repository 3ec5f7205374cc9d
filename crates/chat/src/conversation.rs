//! Who said what.

use serde::{Deserialize, Serialize};

/// The speaker of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions that frame the whole conversation.
    System,
    /// The human side: OASST's "prompter", ShareGPT's "human".
    User,
    /// The model's side: ShareGPT's "gpt".
    Assistant,
}

impl Role {
    /// The name used in chat APIs and Jinja templates: `system`, `user`, `assistant`.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        }
    }

    /// Reads the names that data sets use for the three roles, in upper or lower case: `human`,
    /// `prompter`, `gpt`, `Assistant`, and names of assistants, alone or with a version behind them
    /// (`bing`, `claude`, `GPT-4`, `llama2`). `None` for a name that is none of them.
    pub fn from_name(name: &str) -> Option<Role> {
        let name = name.trim().to_lowercase();
        match name.as_str() {
            "system" | "developer" => Some(Role::System),
            "user" | "human" | "prompter" | "customer" | "questioner" | "input" | "instruction" => {
                Some(Role::User)
            }
            "assistant" | "model" | "bot" | "chatbot" | "ai" | "llm" | "output" | "response" => {
                Some(Role::Assistant)
            }
            name => ASSISTANTS
                .iter()
                .filter_map(|assistant| name.strip_prefix(assistant))
                .any(|version| !version.starts_with(char::is_alphabetic))
                .then_some(Role::Assistant),
        }
    }
}

/// Assistants whose names stand for the role in data that were collected from them.
const ASSISTANTS: [&str; 23] = [
    "gpt",
    "chatgpt",
    "chat-gpt",
    "bing",
    "bard",
    "claude",
    "gemini",
    "copilot",
    "grok",
    "llama",
    "vicuna",
    "alpaca",
    "guanaco",
    "mistral",
    "mixtral",
    "qwen",
    "deepseek",
    "palm",
    "openassistant",
    "davinci",
    "text-davinci",
    "koala",
    "phind",
];

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said. Templates write it as it is, without trimming.
    pub content: String,
}

impl Message {
    /// A message by `role`.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into() }
    }
}

/// Messages in order, with the id that errors name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conversation {
    /// Where the conversation came from, e.g. an OASST message id.
    pub id: String,
    /// The turns.
    pub messages: Vec<Message>,
}

impl Conversation {
    /// A conversation without messages.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), messages: Vec::new() }
    }

    /// Appends a message.
    pub fn push(&mut self, role: Role, content: impl Into<String>) {
        self.messages.push(Message::new(role, content));
    }
}
