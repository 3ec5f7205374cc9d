//! LaTeX that is written in different ways, in one form.

/// The normal form that MATH's authors compare (Hendrycks et al. 2021, `math_equivalence.py`), step by step and
/// in their order. `None` where a step cannot be taken: a root or fraction of nothing, two units.
///
/// `a/b` becomes a fraction where both are whole numbers. Otherwise it stays as it is, and `strict_ratio` says
/// whether that counts as a step that cannot be taken.
pub(super) fn normal(text: &str, strict_ratio: bool) -> Option<String> {
    let mut string = text.replace('\n', "").replace("\\!", "").replace("\\\\", "\\");
    string = string.replace("tfrac", "frac").replace("dfrac", "frac");
    for gone in ["\\left", "\\right", "^{\\circ}", "^\\circ", "\\$"] {
        string = string.replace(gone, "");
    }
    if let Some((before, unit)) = string.split_once("\\text{ ") {
        if unit.contains("\\text{ ") {
            return None;
        }
        string = before.to_owned();
    }
    string = string.replace("\\%", "").replace(" .", " 0.").replace("{.", "{0.");
    if string.is_empty() {
        return Some(string);
    }
    if string.starts_with('.') {
        string.insert(0, '0');
    }
    if let Some((variable, value)) = string.split_once('=')
        && !value.contains('=')
        && variable.chars().count() <= 2
    {
        string = value.to_owned();
    }
    string = arguments_braced(&string, "\\sqrt", 1)?.replace(' ', "");
    string = arguments_braced(&string, "\\frac", 2)?;
    if string == "0.5" {
        string = "\\frac{1}{2}".to_owned();
    }
    ratio(&string, strict_ratio)
}

/// Every argument of a command of one character put into braces: `\sqrt3` becomes `\sqrt{3}`, `\frac12`
/// and `\frac1{2}` become `\frac{1}{2}`. A first argument in braces leaves the others alone.
fn arguments_braced(string: &str, command: &str, count: usize) -> Option<String> {
    let mut pieces = string.split(command);
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        text.push_str(command);
        let mut rest = piece.chars();
        let first = rest.next()?;
        if first == '{' {
            text.push_str(piece);
            continue;
        }
        text.push_str(&format!("{{{first}}}"));
        if count == 2 {
            // One argument alone: the text is left as it came.
            let Some(second) = rest.next() else { return Some(string.to_owned()) };
            match second {
                '{' => text.push('{'),
                second => text.push_str(&format!("{{{second}}}")),
            }
        }
        text.push_str(rest.as_str());
    }
    Some(text)
}

/// `3/4` as a fraction.
fn ratio(string: &str, strict: bool) -> Option<String> {
    let Some((above, below)) = string.split_once('/').filter(|(_, below)| !below.contains('/')) else {
        return Some(string.to_owned());
    };
    match (above.parse::<i64>(), below.parse::<i64>()) {
        (Ok(a), Ok(b)) if format!("{a}/{b}") == string => Some(format!("\\frac{{{a}}}{{{b}}}")),
        (Ok(_), Ok(_)) => Some(string.to_owned()),
        _ => (!strict).then(|| string.to_owned()),
    }
}

/// An answer without what is written around it: dollars, percent signs, `\text{…}` at the end, `\mbox{…}`,
/// `\text`, `\mathbf`, `x\in`, degrees, a full stop at the end, zeros behind a decimal point (ToRA's `strip_string`).
pub(super) fn undecorated(text: &str) -> String {
    let mut string = text.trim().replace('\n', "");
    string.truncate(string.trim_end_matches('.').len());
    string = string.replace("\\!", "").replace("\\ ", "").replace("\\\\", "\\");
    if let Some(at) = string.find("\\text{").filter(|_| string.ends_with('}'))
        && !string[..at].trim().is_empty()
        && !string[at..string.len() - 1].contains('}')
    {
        string.truncate(at);
    }
    while let Some(at) = string.find("\\mbox{") {
        let Some(end) = string[at..].find('}') else { break };
        string.replace_range(at..=at + end, "");
    }
    for gone in ["^{\\circ}", "^\\circ", "\\$", "$", "\\text", "x\\in", "\\%", "%", "\\mathbf"] {
        string = string.replace(gone, "");
    }
    without_zeros(&string.replace("infinity", "\\infty")).trim().to_owned()
}

/// `3.00` as `3`.
fn without_zeros(string: &str) -> String {
    let chars: Vec<char> = string.chars().collect();
    let mut text = String::new();
    let mut at = 0;
    while at < chars.len() {
        let zeros = chars[at + 1..].iter().take_while(|c| **c == '0').count();
        let after_digit = at > 0 && chars[at - 1].is_ascii_digit();
        let more = chars.get(at + 1 + zeros).is_some_and(char::is_ascii_digit);
        if chars[at] == '.' && after_digit && zeros > 0 && !more {
            at += zeros;
        } else {
            text.push(chars[at]);
        }
        at += 1;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_in_writing_has_one_normal_form() {
        for (text, expected) in [
            ("\\dfrac12", "\\frac{1}{2}"),
            ("\\frac1{72}", "\\frac{1}{72}"),
            ("\\tfrac{1}{2}", "\\frac{1}{2}"),
            ("1/2", "\\frac{1}{2}"),
            ("-3/4", "\\frac{-3}{4}"),
            ("0.5", "\\frac{1}{2}"),
            (".5", "\\frac{1}{2}"),
            ("03/4", "03/4"),
            ("1/2/3", "1/2/3"),
            ("2\\sqrt3 + \\sqrt{5}", "2\\sqrt{3}+\\sqrt{5}"),
            ("k = 7", "7"),
            ("area = 7", "area=7"),
            ("\\left( 1, .5 \\right]", "(1,0.5]"),
            ("90^\\circ", "90"),
            ("\\$5", "5"),
            ("50\\%", "50"),
            ("10\\text{ cm}", "10"),
            ("1,\\!234", "1,234"),
            ("\\frac1", "\\frac1"),
            ("", ""),
        ] {
            assert_eq!(normal(text, true).as_deref(), Some(expected), "{text}");
        }
        for text in ["\\sqrt", "3\\frac", "1\\text{ m} 2\\text{ cm}", "x/2"] {
            assert_eq!(normal(text, true), None, "{text}");
        }
        assert_eq!(normal("x/2", false).as_deref(), Some("x/2"));
    }

    #[test]
    fn decoration_comes_off() {
        for (text, plain) in [
            ("$18.00$", "18"),
            ("18\\text{ dollars}", "18"),
            ("\\text{East}", "{East}"),
            ("5\\%.", "5"),
            ("3.050", "3.050"),
            ("2.0x", "2x"),
            ("7\\mbox{ cm}^2", "7^2"),
            ("x\\in[1,2]", "[1,2]"),
        ] {
            assert_eq!(undecorated(text), plain, "{text}");
        }
    }
}
