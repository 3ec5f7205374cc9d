//! The fields of a request's body, each read by its name, so that an error says which is wrong.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::ServeError;

/// The fields of a JSON object that have not been read yet.
#[derive(Debug)]
pub struct Fields {
    left: Map<String, Value>,
    /// Where the object stands in the body, e.g. `messages[2].`.
    within: String,
}

impl Fields {
    /// The fields of a body.
    ///
    /// # Errors
    /// When the body is no JSON object.
    pub fn of_body(body: &[u8]) -> Result<Self, ServeError> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(left)) => Ok(Self { left, within: String::new() }),
            Ok(other) => Err(ServeError::Invalid {
                message: format!("the body is {}, expected a JSON object", kind(&other)),
                param: None,
            }),
            Err(error) => {
                Err(ServeError::Invalid { message: format!("the body is no JSON: {error}"), param: None })
            }
        }
    }

    /// The fields of a part of the body, which stands at `place`.
    ///
    /// # Errors
    /// When it is no object.
    pub fn of_part(value: Value, place: &str) -> Result<Self, ServeError> {
        match value {
            Value::Object(left) => Ok(Self { left, within: format!("{place}.") }),
            other => {
                Err(ServeError::field(place, format!("`{place}` is {}, expected an object", kind(&other))))
            }
        }
    }

    /// Takes a field; `None` where it is absent or null. `expected` says what it should be.
    ///
    /// # Errors
    /// When it is something else.
    pub fn take<T: DeserializeOwned>(&mut self, name: &str, expected: &str) -> Result<Option<T>, ServeError> {
        match self.left.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let found = shown(&value);
                serde_json::from_value(value).map(Some).map_err(|_| self.wrong(name, &found, expected))
            }
        }
    }

    /// Takes a number within a range.
    ///
    /// # Errors
    /// When it is no number, or outside.
    pub fn number(&mut self, name: &str, least: f64, most: f64) -> Result<Option<f32>, ServeError> {
        let expected = match most.is_finite() {
            true => format!("a number from {least} to {most}"),
            false => format!("a number from {least}"),
        };
        match self.take::<f64>(name, &expected)? {
            Some(number) if !(least..=most).contains(&number) => {
                Err(self.wrong(name, &number.to_string(), &expected))
            }
            number => Ok(number.map(|number| number as f32)),
        }
    }

    /// Takes a whole number within a range.
    ///
    /// # Errors
    /// When it is no whole number, or outside.
    pub fn count(&mut self, name: &str, least: usize, most: usize) -> Result<Option<usize>, ServeError> {
        let expected = match most {
            usize::MAX => format!("a whole number from {least}"),
            _ => format!("a whole number from {least} to {most}"),
        };
        match self.take::<usize>(name, &expected)? {
            Some(count) if !(least..=most).contains(&count) => {
                Err(self.wrong(name, &count.to_string(), &expected))
            }
            count => Ok(count),
        }
    }

    /// Takes a field as it is.
    pub fn value(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name).filter(|value| !value.is_null())
    }

    /// An error about a field of this object.
    pub fn wrong(&self, name: &str, found: &str, expected: &str) -> ServeError {
        let param = format!("{}{name}", self.within);
        ServeError::Invalid {
            message: format!("`{param}` is {found}, expected {expected}"),
            param: Some(param),
        }
    }

    /// A required field is missing.
    pub fn missing(&self, name: &str, expected: &str) -> ServeError {
        let param = format!("{}{name}", self.within);
        ServeError::Invalid {
            message: format!("`{param}` is missing, expected {expected}"),
            param: Some(param),
        }
    }

    /// The names of what was never read and says something.
    pub fn unread(self) -> Vec<String> {
        let within = self.within;
        self.left
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, _)| format!("{within}{name}"))
            .collect()
    }
}

/// A value as an error shows it: short ones as they are, others by their kind.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.len() <= 60 { text } else { kind(value).to_owned() }
}

/// What a value is, in words.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(body: &str) -> Fields {
        Fields::of_body(body.as_bytes()).unwrap()
    }

    #[test]
    fn a_wrong_field_is_named_with_what_was_expected() {
        let mut body =
            fields(r#"{"temperature": "hot", "n": 0, "top_p": 3, "max_tokens": 1.5, "seed": null}"#);
        let said = body.number("temperature", 0.0, 2.0).unwrap_err().to_string();
        assert_eq!(said, "`temperature` is \"hot\", expected a number from 0 to 2");
        assert!(body.count("n", 1, 8).unwrap_err().to_string().contains("from 1 to 8"));
        assert!(body.number("top_p", 0.0, 1.0).is_err());
        assert!(body.count("max_tokens", 1, usize::MAX).is_err());
        assert_eq!(body.take::<i64>("seed", "a whole number").unwrap(), None);
    }

    #[test]
    fn what_is_not_read_is_left_over() {
        let mut body = fields(r#"{"model": "m", "store": true, "user": null}"#);
        assert_eq!(body.take::<String>("model", "a text").unwrap().as_deref(), Some("m"));
        assert_eq!(body.unread(), ["store"]);
    }

    #[test]
    fn a_body_that_is_no_object_says_what_it_is() {
        for (body, words) in [("[1]", "a list"), ("", "no JSON"), ("{\"a\":", "no JSON"), ("\"x\"", "a text")]
        {
            let said = Fields::of_body(body.as_bytes()).unwrap_err().to_string();
            assert!(said.contains(words), "{said}");
        }
    }
}
