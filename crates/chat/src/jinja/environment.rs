//! The Jinja environment that Hugging Face's `apply_chat_template` offers.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error, ErrorKind};

use super::{clock, json};

/// The name of the only template in the environment.
pub const TEMPLATE: &str = "chat_template";

/// Parses `source` in an environment of its own.
pub fn compile(source: &str) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", |format: String| clock::strftime_now(&format));
    // minijinja's own filter escapes for HTML; Python's json.dumps does not.
    environment.add_filter("tojson", |value: &Value, options: Kwargs| {
        let indent: Option<usize> = options.get("indent")?;
        json::dumps(value, indent)
    });
    environment.add_template_owned(TEMPLATE, without_generation_tags(source))?;
    Ok(environment)
}

/// Transformers marks assistant text with `{% generation %}…{% endgeneration %}`,
/// a tag of its own that writes nothing. It becomes an `if` that is always
/// true, white-space control kept.
fn without_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(open) = rest.find("{%") {
        let (before, tag_on) = rest.split_at(open);
        out.push_str(before);
        let Some(close) = tag_on.find("%}") else {
            rest = tag_on;
            break;
        };
        let (tag, after) = tag_on.split_at(close + 2);
        let name = tag[2..tag.len() - 2].trim_matches(|c: char| c == '-' || c == '+' || c.is_whitespace());
        match name {
            "generation" => out.push_str(&tag.replace("generation", "if true")),
            "endgeneration" => out.push_str(&tag.replace("endgeneration", "endif")),
            _ => out.push_str(tag),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str) -> String {
        let environment = compile(source).unwrap();
        environment
            .get_template(TEMPLATE)
            .unwrap()
            .render(minijinja::context! { text => " a<b> é\n", list => vec![1, 2] })
            .unwrap()
    }

    #[test]
    fn generation_tags_write_nothing() {
        assert_eq!(render("x {%- generation %} y{% endgeneration -%} z"), "x yz");
    }

    #[test]
    fn blocks_take_their_line() {
        assert_eq!(render("  {% if true %}\na\n  {% endif %}\nb\n"), "a\nb");
    }

    #[test]
    fn python_string_methods_work() {
        assert_eq!(render("{{ text.strip().upper() }}|{{ text.split('<')[0] }}"), "A<B> É| a");
    }

    #[test]
    fn tojson_is_pythons_json_dumps() {
        assert_eq!(
            render(r#"{{ {"k": [1, 2.5, true, none, text]} | tojson }}"#),
            r#"{"k": [1, 2.5, true, null, " a<b> é\n"]}"#
        );
        assert_eq!(render("{{ list | tojson(indent=2) }}"), "[\n  1,\n  2\n]");
        assert_eq!(render("{{ [] | tojson(indent=2) }}"), "[]");
    }
}
