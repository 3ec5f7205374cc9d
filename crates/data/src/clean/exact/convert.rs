//! markdownify 0.11.6 with its default options, over the tree.

use super::MarkdownError;
use super::python::{int, is_digit, rstrip, strip};
use super::tree::{Id, Kind, ROOT, Tree};

/// Elements nested deeper are refused: CPython's own limit of 1,000 calls stops FastChat near here.
const DEEPEST: usize = 900;

/// The document as Markdown.
///
/// # Errors
/// [`MarkdownError`] where markdownify raises.
pub fn convert(mut tree: Tree) -> Result<String, MarkdownError> {
    Converter { tree: &mut tree }.children_of(ROOT, false, 0)
}

struct Converter<'a> {
    tree: &'a mut Tree,
}

impl Converter<'_> {
    /// `process_tag`: an element with what is in it. `inline` holds inside headings and cells.
    fn element(&mut self, id: Id, inline: bool, depth: usize) -> Result<String, MarkdownError> {
        if depth > DEEPEST {
            return Err(MarkdownError::TooDeep);
        }
        let name = self.tree.name(id).unwrap_or("").to_owned();
        // A name only has to begin like a heading's: `h10` counts.
        let heading =
            name.strip_prefix('h').is_some_and(|level| level.starts_with(|c| ('1'..='6').contains(&c)));
        let cell = matches!(name.as_str(), "td" | "th");
        let text = self.children_of(id, inline || heading || cell, depth)?;
        self.convert(id, &name, text, inline)
    }

    fn children_of(&mut self, id: Id, inline: bool, depth: usize) -> Result<String, MarkdownError> {
        if self.tree.name(id).is_some_and(is_nested) {
            self.drop_blank_children(id);
        }
        let mut text = String::new();
        for at in 0..self.tree.children(id).len() {
            let child = self.tree.children(id)[at];
            match &self.tree.node(child).kind {
                Kind::Hidden(_) => {}
                Kind::Text(data) => text.push_str(&self.text(id, at, data)),
                Kind::Element { .. } => text.push_str(&self.element(child, inline, depth + 1)?),
            }
        }
        Ok(text)
    }

    /// Removes blank texts between the parts of lists and tables. The list is changed while it is
    /// walked, so that the one after a removed text is never looked at.
    fn drop_blank_children(&mut self, id: Id) {
        let mut at = 0;
        while at < self.tree.children(id).len() {
            let siblings = self.tree.children(id);
            let blank = match &self.tree.node(siblings[at]).kind {
                Kind::Text(data) | Kind::Hidden(data) => strip(data).is_empty(),
                Kind::Element { .. } => false,
            };
            let before = at.checked_sub(1).map(|before| siblings[before]);
            let after = siblings.get(at + 1).copied();
            let free = |sibling: Option<Id>| {
                sibling.is_none_or(|id| self.is_empty_text(id) || self.tree.name(id).is_some_and(is_nested))
            };
            if blank && (free(before) || free(after)) {
                self.tree.remove_child(id, at);
            }
            at += 1;
        }
    }

    /// `process_text`.
    fn text(&self, parent: Id, at: usize, data: &str) -> String {
        let name = self.tree.name(parent).unwrap_or("");
        let in_pre = name == "pre" || name == "code" && self.parent_name(parent) == "pre";
        let mut text = if in_pre { data.to_owned() } else { squeezed(data) };
        if name != "code" && name != "pre" {
            text = text.replace('*', r"\*").replace('_', r"\_");
        }
        let next = self.tree.children(parent).get(at + 1).copied();
        let last = next.is_none_or(|id| self.is_empty_text(id) || self.tree.name(id).is_some_and(is_list));
        if name == "li" && last { rstrip(&text).to_owned() } else { text }
    }

    /// The `convert_…` method of a name, where there is one.
    fn convert(&self, id: Id, name: &str, text: String, inline: bool) -> Result<String, MarkdownError> {
        Ok(match name {
            "a" => self.link(id, &text),
            "b" | "strong" => wrapped(&text, "**"),
            "em" | "i" => wrapped(&text, "*"),
            "del" | "s" => wrapped(&text, "~~"),
            "sub" | "sup" => wrapped(&text, ""),
            "code" | "kbd" | "samp" if self.parent_name(id) == "pre" => text,
            "code" | "kbd" | "samp" => wrapped(&text, "`"),
            "blockquote" if inline || text.is_empty() => text,
            "blockquote" => format!("\n{}\n\n", at_line_starts(&text, "> ")),
            "br" => if inline { "" } else { "  \n" }.to_owned(),
            "hr" => "\n\n---\n\n".to_owned(),
            "img" => self.image(id, inline),
            "list" | "ul" | "ol" => self.list(id, text),
            "li" => self.item(id, &text)?,
            "p" if inline || text.is_empty() => text,
            "p" => format!("{text}\n\n"),
            "pre" if text.is_empty() => text,
            "pre" => format!("\n```\n{text}\n```\n"),
            "table" => format!("\n\n{text}\n"),
            "td" | "th" => format!(" {text} |"),
            "tr" => self.row(id, &text),
            // Names that markdownify mistakes for methods of its own, and calls wrongly.
            "hn" | "soup" => return Err(MarkdownError::Method),
            _ => match heading_level(name)? {
                Some(_) if inline => text,
                Some(level) => heading(level, rstrip(&text)),
                None => text,
            },
        })
    }

    fn link(&self, id: Id, text: &str) -> String {
        let (prefix, suffix, text) = chomp(text);
        if text.is_empty() {
            return String::new();
        }
        let href = self.tree.attribute(id, "href").unwrap_or("");
        let title = self.tree.attribute(id, "title").unwrap_or("");
        let has_href = self.tree.attribute(id, "href").is_some();
        if has_href && title.is_empty() && text.replace(r"\_", "_") == href {
            return format!("<{href}>");
        }
        if href.is_empty() {
            return text.to_owned();
        }
        format!("{prefix}[{text}]({href}{}){suffix}", title_part(title))
    }

    fn image(&self, id: Id, inline: bool) -> String {
        let attribute = |name| self.tree.attribute(id, name).unwrap_or("");
        if inline {
            return attribute("alt").to_owned();
        }
        format!("![{}]({}{})", attribute("alt"), attribute("src"), title_part(attribute("title")))
    }

    fn list(&self, id: Id, text: String) -> String {
        let next = self.next_sibling(id).filter(|next| !self.is_empty_text(*next));
        let before_paragraph = next.is_some_and(|next| !self.tree.name(next).is_some_and(is_list));
        if self.ancestors(id).any(|name| name == "li") {
            return format!("\n{}", rstrip(&at_line_starts(&text, "\t")));
        }
        if before_paragraph { text + "\n" } else { text }
    }

    fn item(&self, id: Id, text: &str) -> Result<String, MarkdownError> {
        let parent = self.tree.node(id).parent;
        let bullet = if self.tree.name(parent) == Some("ol") {
            let start = match self.tree.attribute(parent, "start").filter(|start| !start.is_empty()) {
                Some(start) => int(start).ok_or(MarkdownError::Number("`start` of a list"))?,
                None => 1,
            };
            let index = self.tree.children(parent).iter().position(|child| *child == id).unwrap_or(0);
            let number =
                start.checked_add(index as i128).ok_or(MarkdownError::Number("`start` of a list"))?;
            format!("{number}.")
        } else {
            // Outside of every list the depth is −1, which in Python's remainder is the last bullet.
            let depth = self.ancestors(id).filter(|name| *name == "ul").count();
            ["-", "*", "+"][depth % 3].to_owned()
        };
        Ok(format!("{bullet} {}\n", strip(text)))
    }

    fn row(&self, id: Id, text: &str) -> String {
        let mut cells = Vec::new();
        self.cells_below(id, &mut cells);
        let head = cells.iter().all(|name| *name == "th");
        let parent = self.tree.node(id).parent;
        let first = self.is_first(id);
        let starts_table = match self.tree.name(parent) {
            Some("table") => true,
            Some("tbody") => self.is_first(parent),
            _ => false,
        };
        let columns = |cell: &str| format!("| {} |\n", vec![cell; cells.len()].join(" | "));
        if head && first {
            format!("|{text}\n{}", columns("---"))
        } else if first && starts_table {
            format!("{}{}|{text}\n", columns(""), columns("---"))
        } else {
            format!("|{text}\n")
        }
    }

    fn cells_below<'a>(&'a self, id: Id, cells: &mut Vec<&'a str>) {
        for child in self.tree.children(id) {
            if let Some(name @ ("td" | "th")) = self.tree.name(*child) {
                cells.push(name);
            }
            self.cells_below(*child, cells);
        }
    }

    fn parent_name(&self, id: Id) -> &str {
        self.tree.name(self.tree.node(id).parent).unwrap_or("")
    }

    /// Names from the element itself up.
    fn ancestors(&self, id: Id) -> impl Iterator<Item = &str> {
        let up = |id: &Id| (*id != ROOT).then(|| self.tree.node(*id).parent);
        std::iter::successors(Some(id), up).filter_map(|id| self.tree.name(id))
    }

    fn place(&self, id: Id) -> (&[Id], usize) {
        let siblings = self.tree.children(self.tree.node(id).parent);
        (siblings, siblings.iter().position(|child| *child == id).unwrap_or(0))
    }

    fn next_sibling(&self, id: Id) -> Option<Id> {
        let (siblings, at) = self.place(id);
        siblings.get(at + 1).copied()
    }

    /// Whether nothing stands before it; to Python an empty text is nothing.
    fn is_first(&self, id: Id) -> bool {
        if id == ROOT {
            return true;
        }
        let (siblings, at) = self.place(id);
        at.checked_sub(1).is_none_or(|before| self.is_empty_text(siblings[before]))
    }

    fn is_empty_text(&self, id: Id) -> bool {
        match &self.tree.node(id).kind {
            Kind::Text(data) | Kind::Hidden(data) => data.is_empty(),
            Kind::Element { .. } => false,
        }
    }
}

fn is_nested(name: &str) -> bool {
    matches!(name, "ol" | "ul" | "li" | "table" | "thead" | "tbody" | "tfoot" | "tr" | "td" | "th")
}

fn is_list(name: &str) -> bool {
    matches!(name, "ul" | "ol")
}

/// The level in a name that begins like `h2`, whatever follows: `convert_h(\d+)`.
fn heading_level(name: &str) -> Result<Option<usize>, MarkdownError> {
    let Some(rest) = name.strip_prefix('h') else { return Ok(None) };
    let digits: String = rest.chars().take_while(|c| is_digit(*c)).collect();
    if digits.is_empty() {
        return Ok(None);
    }
    let level = int(&digits).and_then(|level| usize::try_from(level).ok());
    level.filter(|level| *level <= 1 << 20).map(Some).ok_or(MarkdownError::Number("the level of a heading"))
}

fn heading(level: usize, text: &str) -> String {
    match level {
        0..=2 if text.is_empty() => String::new(),
        0..=2 => {
            let line = if level == 1 { "=" } else { "-" };
            format!("{text}\n{}\n\n", line.repeat(text.chars().count()))
        }
        _ => format!("{} {text}\n\n", "#".repeat(level)),
    }
}

/// The text without spaces around it, and one space for those before and after.
fn chomp(text: &str) -> (&str, &str, &str) {
    let prefix = if text.starts_with(' ') { " " } else { "" };
    let suffix = if text.ends_with(' ') { " " } else { "" };
    (prefix, suffix, strip(text))
}

fn wrapped(text: &str, markup: &str) -> String {
    let (prefix, suffix, text) = chomp(text);
    if text.is_empty() { String::new() } else { format!("{prefix}{markup}{text}{markup}{suffix}") }
}

fn title_part(title: &str) -> String {
    if title.is_empty() { String::new() } else { format!(" \"{}\"", title.replace('"', "\\\"")) }
}

/// Puts `mark` at the beginning of every line, the empty one after a last newline among them.
fn at_line_starts(text: &str, mark: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!("{mark}{}", text.replace('\n', &format!("\n{mark}")))
    }
}

/// Every run of spaces and tabs as one space.
fn squeezed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_run = false;
    for c in text.chars() {
        let blank = matches!(c, ' ' | '\t');
        if !blank {
            out.push(c);
        } else if !in_run {
            out.push(' ');
        }
        in_run = blank;
    }
    out
}
