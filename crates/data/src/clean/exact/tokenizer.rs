//! CPython's `html.parser` (3.11), with `convert_charrefs` off as Beautiful Soup sets it.
//!
//! It is no HTML5 parser, and what it makes of broken markup is part of what FastChat's cleaning
//! is: the order of its checks, its two passes (`feed`, then `close`) and the places at which it
//! gives up are kept.

use std::sync::LazyLock;

use fancy_regex::Regex;

use super::MarkdownError;
use super::python::is_space;
use super::tree::{Attribute, Tree};

/// Bytes that failed searches for the end of a construct may pass over before a text is refused:
/// thousands of unclosed tags make `html.parser` quadratic, and a page of a megabyte would take
/// it hours.
const WASTE: usize = 1 << 28;

/// A start tag up to what should be its `>` (`locatestarttagend_tolerant`).
static START_TAG: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?s)\G<[a-zA-Z][^\t\n\r\f />\x00]*(?:[S/]*(?:(?<=['"S/])[^S/>][^S/=>]*(?:[S]*=+[S]*(?:'[^']*'|"[^"]*"|(?!['"])[^>S]*)[S]*)?(?:[S]|/(?!>))*)*)?[S]*"#,
    )
});
/// Its name and what follows it (`tagfind_tolerant`).
static TAG_NAME: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?s)\G([a-zA-Z][^\t\n\r\f />\x00]*)(?:[S]|/(?!>))*"));
/// One attribute (`attrfind_tolerant`).
static ATTRIBUTE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?s)\G((?<=['"S/])[^S/>][^S/=>]*)([S]*=+[S]*('[^']*'|"[^"]*"|(?!['"])[^>S]*))?(?:[S]|/(?!>))*"#,
    )
});

/// Compiles a pattern in which `S` in brackets stands for what `\s` matches in Python.
#[expect(clippy::expect_used, reason = "the patterns are constants, and every test compiles them")]
fn pattern(text: &str) -> Regex {
    Regex::new(&text.replace('S', r"\s\x1c-\x1f")).expect("a constant pattern")
}

/// Reads `html` into a tree.
///
/// # Errors
/// [`MarkdownError::Rejected`] where `html.parser` raises, or would take hours.
pub fn parse(html: &str) -> Result<Tree, MarkdownError> {
    let mut tokenizer = Tokenizer { text: html, at: 0, raw_text: None, wasted: 0, tree: Tree::default() };
    tokenizer.go_ahead(false)?;
    // `feed` keeps the rest, and `close` begins with it.
    tokenizer.go_ahead(true)?;
    Ok(tokenizer.tree.finish())
}

struct Tokenizer<'a> {
    text: &'a str,
    at: usize,
    /// `script` or `style`, inside of which only its end tag is markup.
    raw_text: Option<&'static str>,
    wasted: usize,
    tree: Tree,
}

impl<'a> Tokenizer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// `goahead(end)`.
    fn go_ahead(&mut self, end: bool) -> Result<(), MarkdownError> {
        while self.at < self.text.len() {
            let found = match self.raw_text {
                None => self.rest().find(['&', '<']),
                Some(name) => match end_tag_of(self.rest(), name) {
                    None => break,
                    found => found,
                },
            };
            let until = found.map_or(self.text.len(), |offset| self.at + offset);
            if self.at < until {
                self.tree.data(&self.text[self.at..until]);
                self.at = until;
            }
            if self.at == self.text.len() {
                break;
            }
            let go_on = match self.rest() {
                rest if rest.starts_with('<') => self.markup(end)?,
                rest if rest.starts_with("&#") => self.numeric_reference()?,
                _ => self.named_reference(end),
            };
            if !go_on {
                break;
            }
        }
        if end && self.at < self.text.len() && self.raw_text.is_none() {
            self.tree.data(self.rest());
            self.at = self.text.len();
        }
        Ok(())
    }

    /// What begins with `<`. `false` where `goahead` leaves its loop.
    fn markup(&mut self, end: bool) -> Result<bool, MarkdownError> {
        let rest = self.rest();
        let next = rest[1..].chars().next();
        let read = if next.is_some_and(|c| c.is_ascii_alphabetic()) {
            self.start_tag()?
        } else if rest.starts_with("</") {
            self.end_tag()
        } else if rest.starts_with("<!--") {
            self.comment()
        } else if rest.starts_with("<?") {
            self.instruction()
        } else if rest.starts_with("<!") {
            self.declaration()?
        } else if next.is_some() {
            self.tree.data("<");
            Some(1)
        } else {
            return Ok(false);
        };
        let length = match read {
            Some(length) => length,
            None if !end => return Ok(false),
            None => {
                // Unfinished: it is text, up to the next `>`, or else the next `<`.
                self.waste(rest.len())?;
                let length = match rest[1..].find('>') {
                    Some(offset) => offset + 2,
                    None => rest[1..].find('<').map_or(1, |offset| offset + 1),
                };
                self.tree.data(&rest[..length]);
                length
            }
        };
        self.at += length;
        Ok(true)
    }

    /// `parse_starttag`: the length of the tag, `None` when it is not finished.
    fn start_tag(&mut self) -> Result<Option<usize>, MarkdownError> {
        let text = self.text;
        let Some(length) = self.start_tag_end()? else { return Ok(None) };
        let end = self.at + length;
        let name = captures(&TAG_NAME, text, self.at + 1)?;
        let Some((name, mut at)) = name.map(|c| (c[1].to_lowercase(), c.end)) else { return Ok(None) };
        let mut attributes: Vec<Attribute> = Vec::new();
        while at < end {
            let Some(found) = captures(&ATTRIBUTE, text, at)? else { break };
            attributes.push((found[1].to_lowercase(), unescape(unquoted(found[3]))));
            at = found.end;
        }
        // The name alone may reach beyond what was found to be the tag.
        let close = text.get(at..end).map_or("", |close| super::python::strip(close));
        if close != ">" && close != "/>" {
            self.tree.data(&text[self.at..end]);
            return Ok(Some(length));
        }
        if close == "/>" {
            self.tree.start_end(name, attributes);
        } else {
            self.raw_text = ["script", "style"].into_iter().find(|raw| *raw == name);
            self.tree.start(name, attributes);
        }
        Ok(Some(length))
    }

    /// `check_for_whole_start_tag`: where the tag ends, from its `<`.
    fn start_tag_end(&self) -> Result<Option<usize>, MarkdownError> {
        let rest = self.rest();
        if let Some(length) = plain_start_tag(rest) {
            return Ok(Some(length));
        }
        let Some(found) = START_TAG.find_from_pos(self.text, self.at).map_err(|_| too_long())? else {
            return Ok(None);
        };
        let length = found.end() - self.at;
        Ok(match rest[length..].chars().next() {
            Some('>') => Some(length + 1),
            Some('/') => rest[length..].starts_with("/>").then_some(length + 2),
            None | Some('a'..='z' | 'A'..='Z' | '=') => None,
            Some(_) => Some(length),
        })
    }

    /// `parse_endtag`.
    fn end_tag(&mut self) -> Option<usize> {
        let rest = self.rest();
        let close = rest.find('>')? + 1;
        if let Some(name) = whole_end_tag(&rest[..close]) {
            let name = name.to_lowercase();
            if self.raw_text.is_some_and(|raw| raw != name) {
                self.tree.data(&rest[..close]);
                return Some(close);
            }
            self.tree.end(&name);
            self.raw_text = None;
            return Some(close);
        }
        if self.raw_text.is_some() {
            self.tree.data(&rest[..close]);
            return Some(close);
        }
        let after = &rest[2..];
        if !after.starts_with(|c: char| c.is_ascii_alphabetic()) {
            if rest.starts_with("</>") {
                return Some(3);
            }
            return self.bogus_comment();
        }
        let name = after.find(['\t', '\n', '\r', '\x0c', ' ', '/', '>', '\0']).unwrap_or(after.len());
        // Spaces and slashes after the name belong to it for this search, but a slash before `>`
        // does not: the `>` that ends it is never passed over.
        let end = after[name..].find('>')? + name;
        self.tree.end(&after[..name].to_lowercase());
        Some(end + 3)
    }

    /// `parse_comment`.
    fn comment(&mut self) -> Option<usize> {
        let rest = self.rest();
        let (end, close) = closed_by(&rest[4..], "--", 1)?;
        self.tree.comment(&rest[4..4 + end]);
        Some(4 + close)
    }

    /// `parse_bogus_comment`.
    fn bogus_comment(&mut self) -> Option<usize> {
        let rest = self.rest();
        let end = rest[2..].find('>')? + 2;
        self.tree.comment(&rest[2..end]);
        Some(end + 1)
    }

    /// `parse_pi`: its text stays in the tree.
    fn instruction(&mut self) -> Option<usize> {
        let rest = self.rest();
        let end = rest[2..].find('>')? + 2;
        self.tree.own_text(&rest[2..end]);
        Some(end + 1)
    }

    /// `parse_html_declaration`.
    fn declaration(&mut self) -> Result<Option<usize>, MarkdownError> {
        let rest = self.rest();
        if rest.starts_with("<![") {
            return self.marked_section();
        }
        let doctype = rest.get(..9).is_some_and(|start| start.eq_ignore_ascii_case("<!doctype"));
        if !doctype {
            return Ok(self.bogus_comment());
        }
        let Some(end) = rest[9..].find('>').map(|offset| offset + 9) else { return Ok(None) };
        // What follows "DOCTYPE " is kept; that character may be the `>` itself.
        self.tree.doctype(rest.get(10..end).unwrap_or(""));
        Ok(Some(end + 1))
    }

    /// `parse_marked_section`: CDATA and the conditional comments of office programs.
    fn marked_section(&mut self) -> Result<Option<usize>, MarkdownError> {
        let rest = self.rest();
        let body = &rest[3..];
        if body.is_empty() {
            return Ok(None);
        }
        if !body.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err(MarkdownError::Rejected("a marked section without a name"));
        }
        let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let name = body.find(|c| !inside(c)).unwrap_or(body.len());
        let spaces = body[name..].len() - body[name..].trim_start_matches(is_space).len();
        if name + spaces == body.len() {
            return Ok(None);
        }
        let brackets = match body[..name].to_ascii_lowercase().as_str() {
            "temp" | "cdata" | "ignore" | "include" | "rcdata" => 2,
            "if" | "else" | "endif" => 1,
            _ => return Err(MarkdownError::Rejected("a marked section of an unknown name")),
        };
        let Some((end, close)) = closed_by(body, "]", brackets) else { return Ok(None) };
        let text = &body[..end];
        let cdata = text.get(..6).is_some_and(|start| start.to_uppercase() == "CDATA[");
        self.tree.own_text(if cdata { &text[6..] } else { text });
        Ok(Some(3 + close))
    }

    /// `&#…`. `false` where `goahead` leaves its loop.
    fn numeric_reference(&mut self) -> Result<bool, MarkdownError> {
        let rest = self.rest();
        let body = &rest[2..];
        let hex = body.starts_with(['x', 'X']);
        let digits = &body[usize::from(hex)..];
        let is_digit = |c: char| if hex { c.is_ascii_hexdigit() } else { c.is_ascii_digit() };
        let count = digits.find(|c| !is_digit(c)).unwrap_or(digits.len());
        let next = digits[count..].chars().next();
        if count == 0 || next.is_none_or(|c| c.is_ascii_hexdigit()) {
            if rest.contains(';') {
                self.tree.data("&#");
                self.at += 2;
            }
            return Ok(false);
        }
        if !hex && count > 4300 {
            return Err(MarkdownError::Number("a character reference of more than 4300 digits"));
        }
        self.tree.data(character(&digits[..count], hex).encode_utf8(&mut [0; 4]));
        self.at += 2 + usize::from(hex) + count + usize::from(next == Some(';'));
        Ok(true)
    }

    /// `&name`. `false` where `goahead` leaves its loop.
    fn named_reference(&mut self, end: bool) -> bool {
        let rest = self.rest();
        let body = &rest[1..];
        let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        if body.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let run = body.find(|c| !inside(c));
            // Where the text ends with the run, the last `-` or `.` in it serves as the end.
            let name = run.or_else(|| body.rfind(['-', '.']));
            if let Some(name) = name {
                match entity(&body[..name]) {
                    Some(text) => self.tree.data(&text),
                    None => self.tree.data(&rest[..1 + name]),
                }
                self.at += 1 + name + usize::from(body[name..].starts_with(';'));
                return true;
            }
        }
        if body.starts_with(|c: char| c.is_ascii_alphabetic()) {
            if end && body.len() == 1 {
                self.at += 1;
            }
            return false;
        }
        if body.is_empty() {
            return false;
        }
        self.tree.data("&");
        self.at += 1;
        true
    }

    fn waste(&mut self, bytes: usize) -> Result<(), MarkdownError> {
        self.wasted += bytes;
        if self.wasted > WASTE { Err(too_long()) } else { Ok(()) }
    }
}

fn too_long() -> MarkdownError {
    MarkdownError::Rejected("too many unfinished tags")
}

/// The groups of an anchored match.
struct Found<'a> {
    groups: [&'a str; 4],
    end: usize,
}

impl<'a> std::ops::Index<usize> for Found<'a> {
    type Output = &'a str;
    fn index(&self, group: usize) -> &&'a str {
        &self.groups[group]
    }
}

fn captures<'a>(regex: &Regex, text: &'a str, at: usize) -> Result<Option<Found<'a>>, MarkdownError> {
    let found = regex.captures_from_pos(text, at).map_err(|_| too_long())?;
    Ok(found.map(|found| Found {
        groups: std::array::from_fn(|group| found.get(group).map_or("", |group| group.as_str())),
        end: found.get(0).map_or(at, |whole| whole.end()),
    }))
}

/// The length of a start tag of the usual form, `<name a="…" b="…">`, in which nothing is doubtful.
fn plain_start_tag(rest: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    let name = |from: usize| {
        let run = bytes[from..].iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'-').count();
        from + run
    };
    let mut at = name(1);
    while bytes.get(at) == Some(&b' ') {
        let end = name(at + 1);
        if end == at + 1 || !bytes[end..].starts_with(b"=\"") {
            return None;
        }
        at = end + 2 + bytes[end + 2..].iter().position(|b| *b == b'"')? + 1;
    }
    (bytes.get(at) == Some(&b'>')).then_some(at + 1)
}

/// The name in `</name>`, with spaces around it allowed (`endtagfind`).
fn whole_end_tag(tag: &str) -> Option<&str> {
    let name = tag.strip_prefix("</")?.strip_suffix('>')?.trim_matches(is_space);
    let mut characters = name.chars();
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':' | '_');
    (characters.next()?.is_ascii_alphabetic() && characters.all(inside)).then_some(name)
}

/// Where `</name>` begins, in any case and with spaces.
fn end_tag_of(text: &str, name: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(offset) = text[from..].find("</") {
        let at = from + offset;
        let after = text[at + 2..].trim_start_matches(is_space);
        let named = after.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        if named && after[name.len()..].trim_start_matches(is_space).starts_with('>') {
            return Some(at);
        }
        from = at + 2;
    }
    None
}

/// Where `mark` stands `times`, spaces between and after, and then `>`: its place, and the place
/// after the `>`.
fn closed_by(text: &str, mark: &str, times: usize) -> Option<(usize, usize)> {
    let mut from = 0;
    while let Some(offset) = text[from..].find(mark) {
        let start = from + offset;
        let mut rest = &text[start..];
        let mut count = 0;
        while count < times && rest.starts_with(mark) {
            rest = rest[mark.len()..].trim_start_matches(is_space);
            count += 1;
        }
        if count == times && rest.starts_with('>') {
            return Some((start, text.len() - rest.len() + 1));
        }
        from = start + 1;
    }
    None
}

fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inside) = value.strip_prefix(quote) {
            // A lone quote is its own end in Python's slicing: nothing is left of it.
            return inside.strip_suffix(quote).unwrap_or("");
        }
    }
    value
}

/// The character of a numeric reference (`UnicodeDammit.numeric_character_reference`, Beautiful
/// Soup 4.15).
fn character(digits: &str, hex: bool) -> char {
    let number = u32::from_str_radix(digits, if hex { 16 } else { 10 }).unwrap_or(u32::MAX);
    match number {
        0 => char::REPLACEMENT_CHARACTER,
        0x80..=0x9f => WINDOWS_1252[(number - 0x80) as usize].unwrap_or(char::from(number as u8)),
        _ => char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER),
    }
}

/// What windows-1252 has at 0x80 to 0x9f.
const WINDOWS_1252: [Option<char>; 32] = [
    Some('€'),
    None,
    Some('‚'),
    Some('ƒ'),
    Some('„'),
    Some('…'),
    Some('†'),
    Some('‡'),
    Some('ˆ'),
    Some('‰'),
    Some('Š'),
    Some('‹'),
    Some('Œ'),
    None,
    Some('Ž'),
    None,
    None,
    Some('‘'),
    Some('’'),
    Some('“'),
    Some('”'),
    Some('•'),
    Some('–'),
    Some('—'),
    Some('˜'),
    Some('™'),
    Some('š'),
    Some('›'),
    Some('œ'),
    None,
    Some('ž'),
    Some('Ÿ'),
];

/// The text of a named reference, with or without its semicolon in the standard's list.
fn entity(name: &str) -> Option<String> {
    listed(name).or_else(|| listed(&format!("{name};")))
}

/// The text of a name exactly as the standard lists it, semicolon included where it has one.
fn listed(name: &str) -> Option<String> {
    let (first, second) = *markup5ever::data::NAMED_ENTITIES.get(name)?;
    // The table also holds the beginnings of names, with nothing to stand for.
    let first = char::from_u32(first).filter(|c| *c != '\0')?;
    let second = char::from_u32(second).filter(|c| *c != '\0');
    Some(std::iter::once(first).chain(second).collect())
}

/// `html.unescape`, for the values of attributes.
pub fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let used = if rest.starts_with('#') {
            unescape_number(rest, &mut out)
        } else {
            unescape_name(rest, &mut out)
        };
        match used {
            Some(length) => rest = &rest[length..],
            None => out.push('&'),
        }
    }
    out.push_str(rest);
    out
}

fn unescape_number(rest: &str, out: &mut String) -> Option<usize> {
    let hex = rest[1..].starts_with(['x', 'X']);
    let start = 1 + usize::from(hex);
    let is_digit = |c: char| if hex { c.is_ascii_hexdigit() } else { c.is_ascii_digit() };
    let count = rest[start..].find(|c| !is_digit(c)).unwrap_or(rest.len() - start);
    if count == 0 {
        return None;
    }
    let digits = &rest[start..start + count];
    let number = u32::from_str_radix(digits, if hex { 16 } else { 10 }).unwrap_or(u32::MAX);
    let noncharacter = number & 0xfffe == 0xfffe || (0xfdd0..=0xfdef).contains(&number);
    match number {
        0x0d => out.push('\r'),
        0 | 0x80..=0x9f => out.push(match number {
            0 => char::REPLACEMENT_CHARACTER,
            _ => WINDOWS_1252[(number - 0x80) as usize].unwrap_or(char::from(number as u8)),
        }),
        0x1..=0x8 | 0xb | 0xe..=0x1f | 0x7f => {}
        _ if number <= 0x10_ffff && noncharacter => {}
        _ => out.push(char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER)),
    }
    Some(start + count + usize::from(rest[start + count..].starts_with(';')))
}

fn unescape_name(rest: &str, out: &mut String) -> Option<usize> {
    let stop = |c: char| matches!(c, '\t' | '\n' | '\x0c' | ' ' | '<' | '&' | '#' | ';');
    let end = rest.char_indices().enumerate().find(|(count, (_, c))| *count == 32 || stop(*c));
    let end = end.map_or(rest.len(), |(_, (at, _))| at);
    if end == 0 {
        return None;
    }
    let whole = end + usize::from(rest[end..].starts_with(';'));
    if let Some(text) = listed(&rest[..whole]) {
        out.push_str(&text);
        return Some(whole);
    }
    // The longest beginning of two characters or more that is a name of its own.
    let cuts: Vec<usize> = rest[..whole].char_indices().map(|(at, _)| at).filter(|at| *at > 0).collect();
    for cut in cuts.into_iter().skip(1).rev() {
        if let Some(text) = listed(&rest[..cut]) {
            out.push_str(&text);
            out.push_str(&rest[cut..whole]);
            return Some(whole);
        }
    }
    None
}
