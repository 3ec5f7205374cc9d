//! Which `<` in a text are markup.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::LazyLock;

use camelid_chat::Role;
use regex::Regex;

use crate::clean::pattern::pattern;

/// What a turn's text turned out to be.
pub enum Told<'a> {
    /// A text, to be taken as it is.
    Text(Cow<'a, str>),
    /// A page, in which every `<` that is no markup is written `&lt;`.
    Page(String),
}

/// Elements that are closed by what follows as well as by their end tag.
const OPTIONAL_END: [&str; 12] =
    ["p", "li", "td", "th", "tr", "dt", "dd", "thead", "tbody", "tfoot", "option", "caption"];
/// Elements without content.
const VOID: [&str; 10] = ["br", "hr", "img", "input", "wbr", "col", "source", "meta", "link", "embed"];
/// All others that a page of an answer may hold: HTML, MathML of formulas, SVG of buttons.
static OTHERS: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    "a abbr annotation article aside b blockquote body button circle cite code colgroup defs del details \
     dfn div dl ellipse em figcaption figure footer form g h1 h2 h3 h4 h5 h6 head header html i iframe \
     ins kbd label line main mark math menclose merror mfenced mfrac mi mmultiscripts mn mo mover mpadded \
     mphantom mroot mrow ms mspace msqrt mstyle msub msubsup msup mtable mtd mtext mtr munder munderover \
     nav noscript ol path polygon polyline pre q rect s samp script section semantics small span strike \
     strong style sub summary sup svg table template time title tt u ul var"
        .split_ascii_whitespace()
        .collect()
});
/// What a user's text is wrapped in where it was stored as a page.
const WRAPPERS: [&str; 8] = ["div", "p", "span", "pre", "ul", "ol", "blockquote", "section"];

/// A start tag, an end tag or a comment, with the name of the tag.
static TAG: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"<(?:!--|(/?)([A-Za-z][A-Za-z0-9]*)(?:\s+[A-Za-z_:@][-\w:.@]*(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'=<>`]+))?)*\s*/?>)"#,
    )
});

/// Tells a page from a text.
///
/// A text is a page where it holds tags of HTML that are closed as HTML's are, or where it can only
/// be one with no tag in it: no `<` stands in it, and every `&` begins a character reference. A user's
/// is one only where it is wrapped in tags as a whole, or has no tags but `<br>`.
pub fn told(text: &str, role: Role) -> Told<'_> {
    let tags = Tags::of(text);
    if tags.kept.is_empty() {
        return match is_escaped(text) {
            true => Told::Text(unescaped(text)),
            false => Told::Text(Cow::Borrowed(text)),
        };
    }
    if role == Role::User && !tags.wrap(text) && !tags.kept.iter().all(|tag| tag.name == "br") {
        return Told::Text(Cow::Borrowed(text));
    }
    // A wrapper around nothing but text keeps its line ends and indentation.
    if let ([open, close], true) = (tags.kept.as_slice(), role == Role::User && tags.wrap(text))
        && open.name != "pre"
    {
        return Told::Text(unescaped(&text[open.range.end..close.range.start]));
    }
    Told::Page(tags.escape_others(text))
}

struct Tag<'a> {
    range: Range<usize>,
    name: Cow<'a, str>,
    end: bool,
}

/// The tags of a text that are markup, in order.
struct Tags<'a> {
    kept: Vec<Tag<'a>>,
}

impl<'a> Tags<'a> {
    fn of(text: &'a str) -> Self {
        let mut kept = Vec::new();
        if !text.contains('<') {
            return Self { kept };
        }
        // How many end tags of each name are still to come.
        // Where each stands, its name where it is known, and whether it is an end tag.
        type Found<'a> = (Range<usize>, Option<(Cow<'a, str>, bool)>);
        let found: Vec<Found> = TAG
            .captures_iter(text)
            .filter_map(|found| {
                let range = found.get(0)?.range();
                let Some(name) = found.get(2) else { return Some((range, None)) };
                let mut name = Cow::Borrowed(name.as_str());
                if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
                    name = Cow::Owned(name.to_ascii_lowercase());
                }
                Some((range, is_known(&name).then(|| (name, found.get(1).is_some_and(|s| !s.is_empty())))))
            })
            .collect();
        let mut ends: HashMap<&str, usize> = HashMap::new();
        for (name, end) in found.iter().filter_map(|(_, tag)| tag.as_ref()) {
            *ends.entry(name).or_default() += usize::from(*end);
        }
        let mut open: HashMap<&str, usize> = HashMap::new();
        for (range, tag) in &found {
            match tag {
                None if text[range.clone()].starts_with("<!--") => {
                    if let Some(length) = text[range.end..].find("-->") {
                        let range = range.start..range.end + length + 3;
                        kept.push(Tag { range, name: Cow::Borrowed("!--"), end: false });
                    }
                }
                None => {}
                Some((name, true)) => {
                    let key: &str = name;
                    if let Some(count) = ends.get_mut(key) {
                        *count -= 1;
                    }
                    match open.get_mut(key) {
                        Some(count) if *count > 0 => *count -= 1,
                        _ => continue,
                    }
                    kept.push(Tag { range: range.clone(), name: name.clone(), end: true });
                }
                Some((name, false)) => {
                    let key: &str = name;
                    let begun = open.entry(key).or_default();
                    let void = VOID.contains(&key) || text[range.clone()].ends_with("/>");
                    let closed = ends.get(key).is_some_and(|left| *left > *begun);
                    if !void && closed {
                        *begun += 1;
                    }
                    if void || closed || OPTIONAL_END.contains(&key) {
                        kept.push(Tag { range: range.clone(), name: name.clone(), end: false });
                    }
                }
            }
        }
        Self { kept }
    }

    /// Whether the text as a whole stands between tags of a page.
    fn wrap(&self, text: &str) -> bool {
        let (Some(first), Some(last)) = (self.kept.first(), self.kept.last()) else { return false };
        text[..first.range.start].trim().is_empty()
            && text[last.range.end..].trim().is_empty()
            && WRAPPERS.contains(&first.name.as_ref())
            && WRAPPERS.contains(&last.name.as_ref())
            && last.end
    }

    /// The text with `&lt;` for every `<` that is no markup.
    fn escape_others(&self, text: &str) -> String {
        let mut page = String::with_capacity(text.len() + 64);
        let mut at = 0;
        for tag in &self.kept {
            // A tag inside of a comment that was cut before.
            let Some(between) = text.get(at..tag.range.start) else { continue };
            page.push_str(&between.replace('<', "&lt;"));
            if tag.name != "!--" {
                page.push_str(&text[tag.range.clone()]);
            }
            at = tag.range.end;
        }
        page.push_str(&text[at..].replace('<', "&lt;"));
        page
    }
}

fn is_known(name: &str) -> bool {
    OTHERS.contains(name) || VOID.contains(&name) || OPTIONAL_END.contains(&name)
}

/// Whether a text without tags can only have been a page: it has character references, and neither a
/// `<` nor an `&` by itself.
fn is_escaped(text: &str) -> bool {
    static REFERENCE: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"^&(?:lt|gt|amp|quot|apos|nbsp|#39|#x27|#\d{2,5});"));
    let mut references = text.match_indices('&').peekable();
    references.peek().is_some()
        && !text.contains(['<', '>'])
        && references.all(|(at, _)| REFERENCE.is_match(&text[at..]))
}

/// The characters that an escaped text stands for.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let named = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        ("&nbsp;", " "),
    ];
    let plain = named.into_iter().fold(text.to_owned(), |text, (name, is)| text.replace(name, is));
    static NUMBER: LazyLock<Regex> = LazyLock::new(|| pattern(r"&#(\d{2,5});"));
    let plain = NUMBER.replace_all(&plain, |found: &regex::Captures| {
        let character = found[1].parse().ok().and_then(char::from_u32);
        character.map_or_else(|| found[0].to_owned(), String::from)
    });
    Cow::Owned(plain.replace("&amp;", "&"))
}
