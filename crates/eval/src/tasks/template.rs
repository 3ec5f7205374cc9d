//! Templates and expressions of task definitions: Jinja, read by minijinja.
//!
//! They see the row's fields, `row` (its number in its file, from 0) and `file` (that file's
//! name without folders and endings). A field that is not there is an error, and so is one that is
//! null where its text is to stand. Beyond minijinja's own filters:
//!
//! - `text | without("[", "]")` removes whatever stands between two marks, the marks included;
//! - `joined(prompt, completion, entry_point)` and `code(completion)` make programs of replies; see
//!   [`camelid_sandbox::programs::reply`];
//! - `portable(test)` is a test of EvalPlus that runs without NumPy too; see [`camelid_sandbox::programs::plus`];
//! - `position(list, value)` is the index of a value in a list; an error when it is not there.

use camelid_sandbox::programs::{plus, reply};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};
use serde_json::Map;

use super::rows::Row;

/// What is said of a null, which Jinja would write as `none`.
pub(super) const NULL: &str = "null stands where a text or a number is expected";

/// Compiled templates by name.
#[derive(Debug)]
pub(super) struct Templates {
    environment: Environment<'static>,
}

impl Templates {
    pub(super) fn new() -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let mut syntax = SyntaxConfig::builder();
        syntax.trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true);
        if let Ok(syntax) = syntax.build() {
            environment.set_syntax(syntax);
        }
        environment.set_formatter(|out, state, value| match value.is_none() {
            true => Err(Error::new(ErrorKind::InvalidOperation, NULL)),
            false => minijinja::escape_formatter(out, state, value),
        });
        environment.add_filter("without", without);
        environment.add_function("position", position);
        environment.add_function("portable", plus::test);
        environment.add_function("joined", reply::joined);
        environment.add_function("code", |completion: &str| reply::code(completion, "").to_owned());
        Self { environment }
    }

    /// Adds the template `name`.
    pub(super) fn add(&mut self, name: &'static str, source: &str) -> Result<(), String> {
        self.environment.add_template_owned(name, source.to_owned()).map_err(|e| said(name, &e))
    }

    /// Checks that `source` is an expression.
    pub(super) fn check_expression(&self, name: &str, source: &str) -> Result<(), String> {
        self.environment.compile_expression(source).map(|_| ()).map_err(|e| said(name, &e))
    }

    /// The text of template `name`; `None` when the definition has no such template.
    pub(super) fn render(&self, name: &str, variables: &Variables) -> Result<Option<String>, String> {
        match self.environment.get_template(name) {
            Ok(template) => template.render(Serde(&variables.0)).map(Some).map_err(|e| said(name, &e)),
            Err(_) => Ok(None),
        }
    }

    /// The value of an expression.
    pub(super) fn evaluate(&self, name: &str, source: &str, variables: &Variables) -> Result<Value, String> {
        self.environment
            .compile_expression(source)
            .and_then(|expression| expression.eval(Serde(&variables.0)))
            .map_err(|e| said(name, &e))
    }
}

/// What a template sees.
#[derive(Clone, Debug)]
pub(super) struct Variables(Map<String, serde_json::Value>);

impl Variables {
    /// The fields of a row.
    pub(super) fn of(row: &Row) -> Self {
        let mut fields = row.fields.clone();
        fields.insert("row".into(), row.number.into());
        fields.insert("file".into(), row.stem.clone().into());
        Self(fields)
    }

    /// With one more.
    pub(super) fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }
}

/// An error with all that led to it, in a line.
fn said(name: &str, error: &Error) -> String {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.line() {
        Some(line) => format!("`{name}`, line {line}: {detail}"),
        None => format!("`{name}`: {detail}"),
    }
}

fn without(text: &str, open: &str, close: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, marked)) = rest.split_once(open) {
        let Some((_, after)) = marked.split_once(close) else { break };
        out.push_str(before);
        rest = after;
    }
    out.push_str(rest);
    out
}

fn position(list: &Value, wanted: &Value) -> Result<usize, Error> {
    if list.kind() != ValueKind::Seq {
        return Err(Error::new(ErrorKind::InvalidOperation, "position() expects a list"));
    }
    list.try_iter()?
        .position(|item| item == *wanted)
        .ok_or_else(|| Error::new(ErrorKind::InvalidOperation, format!("{wanted} is not in {list}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Variables {
        let fields = serde_json::json!({
            "sum": "2+2 = <<2+2=4>>4 and <<3", "labels": ["A", "B"], "key": "B", "n": 3, "no": null
        });
        let fields = fields.as_object().unwrap().clone();
        Variables::of(&Row { place: "t".into(), number: 7, stem: "test".into(), fields, notes: Vec::new() })
    }

    fn render(source: &str) -> Result<String, String> {
        let mut templates = Templates::new();
        templates.add("question", source)?;
        templates.render("question", &variables()).map(Option::unwrap)
    }

    #[test]
    fn marks_are_removed_with_what_they_enclose() {
        assert_eq!(render("{{ sum | without('<<', '>>') }}").unwrap(), "2+2 = 4 and <<3");
    }

    #[test]
    fn row_file_and_final_newline_are_kept() {
        assert_eq!(render("{{ file }}/{{ row }}\n").unwrap(), "test/7\n");
    }

    #[test]
    fn an_expression_gives_a_value() {
        let templates = Templates::new();
        let value = templates.evaluate("gold", "position(labels, key)", &variables()).unwrap();
        assert_eq!(value.as_usize(), Some(1));
        let error = templates.evaluate("gold", "position(labels, 'C')", &variables()).unwrap_err();
        assert!(error.contains("`gold`") && error.contains("is not in"), "{error}");
    }

    #[test]
    fn what_is_not_there_is_an_error_and_not_an_empty_text() {
        assert!(render("{{ quesiton }}").unwrap_err().contains("question"));
        assert!(render("{{ n").unwrap_err().contains("line 1"));
        assert!(render("It is {{ no }}").unwrap_err().contains("null stands where"));
        assert_eq!(render("It is {{ no or n }}").unwrap(), "It is 3");
    }
}
