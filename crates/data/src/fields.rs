//! Values of a row as the loaders want them, whoever wrote them: pandas turns whole numbers into
//! `0.0` where some are missing, and separated values are all texts.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// The fields of one row.
pub(crate) type Fields = Map<String, Value>;

/// Why a row cannot be used: what is counted, and the particulars of this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub reason: Cow<'static, str>,
    pub detail: Option<String>,
}

impl Problem {
    pub(crate) fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { reason: reason.into(), detail: None }
    }

    pub(crate) fn with(reason: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self { reason: reason.into(), detail: Some(detail.into()) }
    }

    /// A field that holds something else than is needed.
    pub(crate) fn field(name: &str, value: Option<&Value>, expected: &str) -> Self {
        let found = value.map_or_else(|| "missing".to_string(), |value| format!("{}", Short(value)));
        Self::with(format!("`{name}` is not {expected}"), format!("it is {found}"))
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.detail {
            Some(detail) => write!(f, "{}: {detail}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

/// A value in few words.
pub(crate) struct Short<'a>(pub &'a Value);

impl std::fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Value::Array(items) => write!(f, "a list of {}", items.len()),
            Value::Object(fields) => {
                write!(
                    f,
                    "an object with {}",
                    fields.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
                )
            }
            Value::String(text) if text.chars().count() > 40 => {
                write!(f, "{:?}…", text.chars().take(40).collect::<String>())
            }
            Value::String(text) => write!(f, "{text:?}"),
            plain => write!(f, "{plain}"),
        }
    }
}

/// The field, where it is there and not null.
pub(crate) fn get<'a>(fields: &'a Fields, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|value| !value.is_null())
}

/// The first of several names that is there and not null.
pub(crate) fn first<'a, 'n>(fields: &'a Fields, names: &[&'n str]) -> Option<(&'n str, &'a Value)> {
    names.iter().find_map(|name| Some((*name, get(fields, name)?)))
}

/// A text that must be there.
pub(crate) fn text(fields: &Fields, name: &str) -> Result<String, Problem> {
    match fields.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        other => Err(Problem::field(name, other, "a text")),
    }
}

/// A text that may be missing or null.
pub(crate) fn optional_text(fields: &Fields, name: &str) -> Result<Option<String>, Problem> {
    match get(fields, name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        other => Err(Problem::field(name, other, "a text")),
    }
}

/// An id: a text, or a number, which is written without a fraction of zero. Missing, null, blank
/// and of any other type are `None`.
pub(crate) fn id(fields: &Fields, name: &str) -> Option<String> {
    match get(fields, name)? {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Value::Number(number) => Some(match whole_of(&Value::Number(number.clone())) {
            Some(whole) => whole.to_string(),
            None => number.to_string(),
        }),
        _ => None,
    }
}

/// A whole number, or a text or fraction that is one; missing, null and blank are `None`.
pub(crate) fn whole(fields: &Fields, name: &str) -> Result<Option<i64>, Problem> {
    let value = match get(fields, name) {
        None => return Ok(None),
        Some(Value::String(text)) if is_missing(text) => return Ok(None),
        Some(value) => value,
    };
    whole_of(value).map(Some).ok_or_else(|| Problem::field(name, Some(value), "a whole number"))
}

fn whole_of(value: &Value) -> Option<i64> {
    let fraction = match value {
        Value::Number(number) => match number.as_i64() {
            Some(whole) => return Some(whole),
            None => number.as_f64()?,
        },
        Value::String(text) => match text.trim().parse() {
            Ok(whole) => return Some(whole),
            Err(_) => text.trim().parse().ok()?,
        },
        _ => return None,
    };
    // Up to 2^53 every whole number is one of f64's.
    (fraction.fract() == 0.0 && fraction.abs() <= 9_007_199_254_740_992.0).then_some(fraction as i64)
}

/// True or false, also as 1 and 0 and as texts; missing, null and blank are `None`.
pub(crate) fn truth(fields: &Fields, name: &str) -> Result<Option<bool>, Problem> {
    let value = match get(fields, name) {
        None => return Ok(None),
        Some(Value::String(text)) if is_missing(text) => return Ok(None),
        Some(value) => value,
    };
    let said = match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) if text.trim().eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.trim().eq_ignore_ascii_case("false") => Some(false),
        other => match whole_of(other) {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        },
    };
    said.map(Some).ok_or_else(|| Problem::field(name, Some(value), "true or false"))
}

/// How tables write a cell without a value.
fn is_missing(cell: &str) -> bool {
    matches!(cell.trim().to_ascii_lowercase().as_str(), "" | "nan" | "null" | "none" | "na" | "<na>")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(value: Value) -> Fields {
        Map::from_iter([("x".to_string(), value)])
    }

    #[test]
    fn whole_numbers_are_read_however_they_are_written() {
        for value in [json!(3), json!(3.0), json!("3"), json!(" 3.0 ")] {
            assert_eq!(whole(&of(value), "x"), Ok(Some(3)));
        }
        for value in [json!(null), json!(""), json!("NaN"), json!("<NA>")] {
            assert_eq!(whole(&of(value), "x"), Ok(None));
        }
        for value in [json!(0.5), json!("three"), json!(true), json!([3]), json!(1e300)] {
            assert!(whole(&of(value.clone()), "x").is_err(), "{value}");
        }
    }

    #[test]
    fn truth_is_read_however_it_is_written() {
        for value in [json!(true), json!(1), json!(1.0), json!("True"), json!("1")] {
            assert_eq!(truth(&of(value), "x"), Ok(Some(true)));
        }
        assert_eq!(truth(&of(json!("FALSE")), "x"), Ok(Some(false)));
        let problem = truth(&of(json!("maybe")), "x").unwrap_err();
        assert_eq!(problem.to_string(), "`x` is not true or false: it is \"maybe\"");
    }

    #[test]
    fn ids_are_texts_or_numbers() {
        for (value, expected) in [
            (json!("a"), Some("a")),
            (json!(-1), Some("-1")),
            (json!(7.0), Some("7")),
            (json!(0.25), Some("0.25")),
            (json!(18_446_744_073_709_551_615_u64), Some("18446744073709551615")),
            (json!(" "), None),
            (json!(null), None),
            (json!({"$oid": "a"}), None),
        ] {
            assert_eq!(id(&of(value), "x").as_deref(), expected);
        }
    }
}
