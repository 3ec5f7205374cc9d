//! Functions that the model may call, and its calls.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::fields::Fields;
use crate::error::ServeError;

/// What the model may call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tools {
    /// The tools as they were given, each with a `function` that has a name.
    pub list: Vec<Value>,
    /// Whether it has to call one.
    pub choice: ToolChoice,
}

/// Whether and what the model calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// As it likes.
    #[default]
    Auto,
    /// Nothing.
    None,
    /// Any of the tools.
    Required,
    /// This one.
    Function(String),
}

/// A call.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ToolCall {
    /// The call's name, which the tool's message repeats.
    pub id: String,
    /// `function`.
    pub r#type: &'static str,
    /// What is called.
    pub function: FunctionCall,
}

/// What is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FunctionCall {
    /// The function.
    pub name: String,
    /// Its arguments, JSON within a text.
    pub arguments: String,
}

/// A piece of a call: its name comes first, then its arguments piece by piece.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ToolCallDelta {
    /// Which call, from 0.
    pub index: usize,
    /// With the first piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// With the first piece: `function`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#type: Option<&'static str>,
    /// What this piece adds.
    pub function: FunctionDelta,
}

/// A piece of what is called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct FunctionDelta {
    /// With the first piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// More of the arguments.
    pub arguments: String,
}

impl ToolCallDelta {
    /// The first piece of call `index`.
    pub fn name(index: usize, id: String, name: String) -> Self {
        let function = FunctionDelta { name: Some(name), arguments: String::new() };
        Self { index, id: Some(id), r#type: Some("function"), function }
    }

    /// More arguments of call `index`.
    pub fn arguments(index: usize, arguments: String) -> Self {
        Self { index, id: None, r#type: None, function: FunctionDelta { name: None, arguments } }
    }
}

impl Tools {
    /// Reads `tools` and `tool_choice`.
    ///
    /// # Errors
    /// Names the field that is not what it should be.
    pub fn read(fields: &mut Fields) -> Result<Self, ServeError> {
        let list: Vec<Value> = fields.take("tools", "a list of tools")?.unwrap_or_default();
        for (at, tool) in list.iter().enumerate() {
            if tool["function"]["name"].as_str().is_none_or(str::is_empty) {
                let place = format!("tools[{at}].function.name");
                let message = format!("`{place}` is missing, expected the name of a function");
                return Err(ServeError::field(place, message));
            }
        }
        let expected = "none, auto, required, or {\"type\": \"function\", \"function\": {\"name\": …}}";
        let choice = match fields.value("tool_choice") {
            None => ToolChoice::Auto,
            Some(Value::String(word)) => match word.as_str() {
                "auto" => ToolChoice::Auto,
                "none" => ToolChoice::None,
                "required" | "any" => ToolChoice::Required,
                other => return Err(fields.wrong("tool_choice", &format!("\"{other}\""), expected)),
            },
            Some(value) => match value["function"]["name"].as_str() {
                Some(name) => ToolChoice::Function(name.to_owned()),
                None => return Err(fields.wrong("tool_choice", "an object without a name", expected)),
            },
        };
        match &choice {
            ToolChoice::Required if list.is_empty() => {
                Err(fields.wrong("tool_choice", "\"required\"", "tools to choose from in `tools`"))
            }
            ToolChoice::Function(name) if !list.iter().any(|tool| tool["function"]["name"] == **name) => {
                Err(fields.wrong("tool_choice", &format!("`{name}`"), "the name of one of `tools`"))
            }
            _ => Ok(Self { list, choice }),
        }
    }

    /// The tools that the model is told of.
    pub fn offered(&self) -> &[Value] {
        if self.choice == ToolChoice::None { &[] } else { &self.list }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: Value) -> Result<Tools, String> {
        let mut fields = Fields::of_body(body.to_string().as_bytes()).unwrap();
        Tools::read(&mut fields).map_err(|error| error.to_string())
    }

    #[test]
    fn a_choice_has_to_be_among_the_tools() {
        let tool = json!({"type": "function", "function": {"name": "add", "parameters": {}}});
        let of = |choice: Value| read(json!({"tools": [tool], "tool_choice": choice}));
        assert_eq!(of(json!("auto")).unwrap().choice, ToolChoice::Auto);
        assert!(of(json!("none")).unwrap().offered().is_empty());
        let named = json!({"type": "function", "function": {"name": "add"}});
        assert_eq!(of(named).unwrap().choice, ToolChoice::Function("add".into()));
        let other = json!({"type": "function", "function": {"name": "sub"}});
        assert!(of(other).unwrap_err().contains("`sub`"));
        assert!(of(json!("perhaps")).unwrap_err().contains("\"perhaps\""));
        assert!(read(json!({"tool_choice": "required"})).is_err());
        assert!(
            read(json!({"tools": [{"type": "function"}]})).unwrap_err().contains("tools[0].function.name")
        );
    }
}
