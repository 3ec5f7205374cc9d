//! Comma-separated values as RFC 4180 has them: fields may be quoted, quotes are doubled, and a
//! quoted field may hold commas and line breaks.

/// The records of a text, header included; empty lines are none.
///
/// An opening quote without its closing one makes the rest of the text one damaged record.
pub(super) fn records(text: &str) -> Vec<Result<Vec<String>, &'static str>> {
    let text = text.trim_start_matches('\u{feff}');
    let mut records = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (record, after) = record(rest);
        if record.as_ref().map_or(true, |fields| fields.len() > 1 || !fields[0].is_empty()) {
            records.push(record);
        }
        rest = after;
    }
    records
}

/// The first record of a text that is not empty, and what follows it.
fn record(text: &str) -> (Result<Vec<String>, &'static str>, &str) {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => match quoted_field(quoted) {
                Some(found) => found,
                None => return (Err("a quote that is never closed"), ""),
            },
            None => {
                let end = rest.find([',', '\n']).unwrap_or(rest.len());
                let (field, after) = rest.split_at(end);
                (field.trim_end_matches('\r').to_owned(), after)
            }
        };
        fields.push(field);
        let after = after.strip_prefix('\r').unwrap_or(after);
        match after.chars().next() {
            None => return (Ok(fields), ""),
            Some('\n') => return (Ok(fields), &after[1..]),
            Some(',') => rest = &after[1..],
            Some(_) => {
                let line = after.find('\n').map_or(after.len(), |end| end + 1);
                return (Err("text after a closing quote"), &after[line..]);
            }
        }
    }
}

/// The field up to its closing quote, and what follows that.
fn quoted_field(text: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('"')?;
        field.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => return Some((field, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_commas_and_line_breaks() {
        let text = "\u{feff}a,b\r\n\"x, \"\"y\"\"\",\"1\n2\"\n\n,\nlast,";
        let found: Vec<Vec<String>> = records(text).into_iter().map(Result::unwrap).collect();
        assert_eq!(found, [["a", "b"], ["x, \"y\"", "1\n2"], ["", ""], ["last", ""]]);
        assert!(records("").is_empty());
    }

    #[test]
    fn damaged_quotes_are_errors() {
        let found = records("a,b\n\"x\"y,1\nu,v\n\"open,1\nmore");
        assert!(found[0].is_ok() && found[1].is_err() && found[2].is_ok() && found[3].is_err());
        assert_eq!(found.len(), 4);
    }
}
