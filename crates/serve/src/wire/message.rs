//! Messages of a chat, as clients write them.

use serde_json::{Map, Value, json};

use super::fields::{Fields, kind};
use crate::error::ServeError;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChatRole {
    /// Instructions, also under the name `developer`.
    System,
    /// The user.
    User,
    /// The model.
    Assistant,
    /// What a function that the model called gave back; `function` in older requests.
    Tool,
}

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatMessage {
    /// Who speaks.
    pub role: ChatRole,
    /// What is said; `None` for a bare call of tools.
    pub content: Option<String>,
    /// The speaker's name.
    pub name: Option<String>,
    /// The calls of an assistant's message, their arguments as the JSON that they are.
    pub tool_calls: Vec<Value>,
    /// Which call a tool's message answers.
    pub tool_call_id: Option<String>,
}

impl ChatMessage {
    /// A message of text alone.
    pub fn text(role: ChatRole, content: impl Into<String>) -> Self {
        Self { role, content: Some(content.into()), name: None, tool_calls: Vec::new(), tool_call_id: None }
    }

    /// Reads `messages`.
    ///
    /// # Errors
    /// Names the first field that is not what it should be.
    pub fn read_all(fields: &mut Fields) -> Result<Vec<Self>, ServeError> {
        let expected = "a list of messages";
        let list: Vec<Value> =
            fields.take("messages", expected)?.ok_or_else(|| fields.missing("messages", expected))?;
        if list.is_empty() {
            return Err(fields.wrong("messages", "an empty list", "at least one message"));
        }
        list.into_iter()
            .enumerate()
            .map(|(at, value)| Self::read(value, &format!("messages[{at}]")))
            .collect()
    }

    fn read(value: Value, place: &str) -> Result<Self, ServeError> {
        let mut fields = Fields::of_part(value, place)?;
        let expected = "system, developer, user, assistant or tool";
        let role: String = fields.take("role", expected)?.ok_or_else(|| fields.missing("role", expected))?;
        let role = match role.as_str() {
            "system" | "developer" => ChatRole::System,
            "user" => ChatRole::User,
            "assistant" => ChatRole::Assistant,
            "tool" | "function" => ChatRole::Tool,
            other => return Err(fields.wrong("role", &format!("\"{other}\""), expected)),
        };
        let content = match fields.value("content") {
            None => None,
            Some(value) => Some(text(value, &format!("{place}.content"))?),
        };
        let calls: Vec<Value> = fields.take("tool_calls", "a list of calls")?.unwrap_or_default();
        let calls = calls.into_iter().enumerate();
        let tool_calls: Vec<Value> = calls
            .map(|(at, call)| read_call(call, &format!("{place}.tool_calls[{at}]")))
            .collect::<Result<_, _>>()?;
        if content.is_none() && tool_calls.is_empty() {
            return Err(fields.missing("content", "a text or a list of parts"));
        }
        if !tool_calls.is_empty() && role != ChatRole::Assistant {
            return Err(fields.wrong("tool_calls", "there", "them in the assistant's messages alone"));
        }
        Ok(Self {
            role,
            content,
            name: fields.take("name", "a text")?,
            tool_calls,
            tool_call_id: fields.take("tool_call_id", "a text")?,
        })
    }

    /// The message as chat templates read it.
    pub fn for_template(&self) -> Value {
        let mut message = Map::new();
        message.insert("role".into(), json!(self.role.name()));
        message.insert("content".into(), json!(self.content.as_deref().unwrap_or_default()));
        if let Some(name) = &self.name {
            message.insert("name".into(), json!(name));
        }
        if !self.tool_calls.is_empty() {
            message.insert("tool_calls".into(), json!(self.tool_calls));
        }
        if let Some(id) = &self.tool_call_id {
            message.insert("tool_call_id".into(), json!(id));
        }
        message.into()
    }
}

impl ChatRole {
    /// The name that templates know.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// A content as one text: a text as it is, parts joined by line ends (FastChat's and vLLM's way).
fn text(value: Value, place: &str) -> Result<String, ServeError> {
    let parts = match value {
        Value::String(text) => return Ok(text),
        Value::Array(parts) => parts,
        other => {
            let message = format!("`{place}` is {}, expected a text or a list of parts", kind(&other));
            return Err(ServeError::field(place, message));
        }
    };
    let mut texts = Vec::with_capacity(parts.len());
    for (at, part) in parts.into_iter().enumerate() {
        let place = format!("{place}[{at}]");
        if let Value::String(text) = part {
            texts.push(text);
            continue;
        }
        let mut part = Fields::of_part(part, &place)?;
        let expected = "text: this model reads no images, sounds or files";
        let field = match part.take::<String>("type", expected)?.as_deref() {
            Some("text" | "input_text" | "output_text") | None => "text",
            Some("refusal") => "refusal",
            Some(other) => return Err(part.wrong("type", &format!("\"{other}\""), expected)),
        };
        texts.push(part.take(field, "a text")?.ok_or_else(|| part.missing(field, "a text"))?);
    }
    Ok(texts.join("\n"))
}

/// A call as templates read it: its arguments, JSON within a text, as what they are.
fn read_call(value: Value, place: &str) -> Result<Value, ServeError> {
    let mut call = Fields::of_part(value, place)?;
    let function = call
        .value("function")
        .ok_or_else(|| call.missing("function", "an object with name and arguments"))?;
    let mut function = Fields::of_part(function, &format!("{place}.function"))?;
    let name: String = function.take("name", "a text")?.ok_or_else(|| function.missing("name", "a text"))?;
    let arguments = match function.value("arguments") {
        None => json!({}),
        Some(Value::String(text)) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        Some(other) => other,
    };
    let id: Option<String> = call.take("id", "a text")?;
    Ok(json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(messages: Value) -> Result<Vec<ChatMessage>, String> {
        let body = json!({ "messages": messages }).to_string();
        let mut fields = Fields::of_body(body.as_bytes()).unwrap();
        ChatMessage::read_all(&mut fields).map_err(|error| error.to_string())
    }

    #[test]
    fn content_is_a_text_or_parts() {
        let parts = json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]);
        let read =
            read(json!([{"role": "user", "content": parts}, {"role": "developer", "content": "c"}])).unwrap();
        assert_eq!(read[0], ChatMessage::text(ChatRole::User, "a\nb"));
        assert_eq!(read[1].role, ChatRole::System);
    }

    #[test]
    fn a_call_has_no_content_and_its_arguments_are_json() {
        let call =
            json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"x\": 1}"}});
        let read = read(json!([{"role": "assistant", "content": null, "tool_calls": [call]}])).unwrap();
        assert_eq!(read[0].tool_calls[0]["function"]["arguments"], json!({"x": 1}));
        assert_eq!(read[0].for_template()["content"], "");
    }

    #[test]
    fn what_is_wrong_with_a_message_is_named_with_its_place() {
        for (messages, words) in [
            (json!([]), "`messages` is an empty list"),
            (json!("hi"), "`messages` is \"hi\""),
            (json!([{"role": "user", "content": "a"}, 3]), "`messages[1]` is a number"),
            (json!([{"content": "a"}]), "`messages[0].role` is missing"),
            (json!([{"role": "wizard", "content": "a"}]), "`messages[0].role` is \"wizard\""),
            (json!([{"role": "user"}]), "`messages[0].content` is missing"),
            (json!([{"role": "user", "content": 5}]), "`messages[0].content` is a number"),
            (
                json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]),
                "`messages[0].content[0].type` is \"image_url\"",
            ),
            (json!([{"role": "user", "content": "a", "tool_calls": [{}]}]), "function` is missing"),
        ] {
            let said = read(messages).unwrap_err();
            assert!(said.contains(words), "{said}");
        }
    }
}
