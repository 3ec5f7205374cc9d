//! Python's `json.dumps(value, ensure_ascii=False)`, as Hugging Face's `tojson`.

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind};

/// JSON with Python's separators: `", "` and `": "` on one line, or one item a
/// line with `indent` spaces a level.
pub fn dumps(value: &Value, indent: Option<usize>) -> Result<String, Error> {
    let mut out = String::new();
    write(value, indent, 0, &mut out)?;
    Ok(out)
}

fn write(value: &Value, indent: Option<usize>, depth: usize, out: &mut String) -> Result<(), Error> {
    match value.kind() {
        ValueKind::None | ValueKind::Undefined => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => out.push_str(&value.to_string()),
        ValueKind::String => write_string(value.as_str().unwrap_or_default(), out),
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Vec<Value> = value.try_iter()?.collect();
            write_items(&items, '[', ']', indent, depth, out, |item, out| {
                write(item, indent, depth + 1, out)
            })?;
        }
        ValueKind::Map => {
            let keys: Vec<Value> = value.try_iter()?.collect();
            write_items(&keys, '{', '}', indent, depth, out, |key, out| {
                write_string(&key.to_string(), out);
                out.push_str(": ");
                write(&value.get_item(key)?, indent, depth + 1, out)
            })?;
        }
        other => {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                format!("tojson cannot write a value of kind {other}"),
            ));
        }
    }
    Ok(())
}

fn write_items(
    items: &[Value],
    open: char,
    close: char,
    indent: Option<usize>,
    depth: usize,
    out: &mut String,
    mut write_one: impl FnMut(&Value, &mut String) -> Result<(), Error>,
) -> Result<(), Error> {
    let new_line = |levels: usize, out: &mut String| {
        if let Some(width) = indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', width * levels));
        }
    };
    out.push(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push_str(if indent.is_some() { "," } else { ", " });
        }
        new_line(depth + 1, out);
        write_one(item, out)?;
    }
    if !items.is_empty() {
        new_line(depth, out);
    }
    out.push(close);
    Ok(())
}

fn write_string(string: &str, out: &mut String) {
    // serde_json escapes exactly what Python escapes with ensure_ascii=False.
    out.push_str(&serde_json::Value::from(string).to_string());
}
