//! JSON as Python's `json.dump(…, indent=2, ensure_ascii=False)` writes it.

use serde_json::Value;

/// Appends a value that begins at `depth` levels of indentation.
pub fn dump(value: &Value, depth: usize, out: &mut Vec<u8>) {
    match value {
        Value::Array(items) if !items.is_empty() => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                separate(index, depth + 1, out);
                dump(item, depth + 1, out);
            }
            new_line(depth, out);
            out.push(b']');
        }
        Value::Object(fields) if !fields.is_empty() => {
            out.push(b'{');
            for (index, (name, value)) in fields.iter().enumerate() {
                separate(index, depth + 1, out);
                text(name, out);
                out.extend_from_slice(b": ");
                dump(value, depth + 1, out);
            }
            new_line(depth, out);
            out.push(b'}');
        }
        Value::String(words) => text(words, out),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(value) => out.extend_from_slice(float(value).as_bytes()),
            None => out.extend_from_slice(number.to_string().as_bytes()),
        },
        other => out.extend_from_slice(other.to_string().as_bytes()),
    }
}

/// Appends a text in quotes; serde_json and Python escape the same characters the same way.
fn text(words: &str, out: &mut Vec<u8>) {
    // A text always has a form in JSON, and a vector takes it.
    let _ = serde_json::to_writer(out, words);
}

fn separate(index: usize, depth: usize, out: &mut Vec<u8>) {
    if index > 0 {
        out.push(b',');
    }
    new_line(depth, out);
}

fn new_line(depth: usize, out: &mut Vec<u8>) {
    out.push(b'\n');
    out.extend(std::iter::repeat_n(b' ', 2 * depth));
}

/// `repr` of a float: the shortest digits that give it back, with an exponent of two digits at
/// least below 1e-4 and from 1e16 on.
fn float(value: f64) -> String {
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..16).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => format!("{value:?}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_written_as_python_writes_them() {
        let value =
            json!({"a": [], "b": {}, "c": [1, "x\u{7f}\u{1}\u{2028}é\n\"\\"], "d": {"e": null, "f": true}});
        let mut out = Vec::new();
        dump(&value, 0, &mut out);
        let expected = "{\n  \"a\": [],\n  \"b\": {},\n  \"c\": [\n    1,\n    \"x\u{7f}\\u0001\u{2028}é\\n\\\"\\\\\"\n  ],\n  \
                        \"d\": {\n    \"e\": null,\n    \"f\": true\n  }\n}";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn floats_have_pythons_shortest_form() {
        for (value, expected) in [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (0.0001, "0.0001"),
            (0.00001234, "1.234e-05"),
            (-2e-7, "-2e-07"),
            (-0.0, "-0.0"),
        ] {
            assert_eq!(float(value), expected);
        }
    }
}
