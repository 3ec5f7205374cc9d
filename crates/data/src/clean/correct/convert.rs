//! A page's tree as Markdown.

mod table;

use std::collections::HashSet;
use std::sync::LazyLock;

use regex::Regex;

use super::trimmed;
use crate::clean::exact::tree::{Id, Kind, ROOT, Tree};
use crate::clean::pattern::pattern;

/// Elements nested deeper are read for their text alone.
const DEEPEST: usize = 200;

/// What nobody reads on a page.
const UNSEEN: [&str; 8] = ["script", "style", "svg", "button", "template", "noscript", "head", "iframe"];

/// The page as Markdown.
pub fn convert(tree: &Tree) -> String {
    let mut blocks = Converter { tree }.blocks(ROOT, 0);
    // The counter of regenerated answers stands alone before the answer.
    static COUNTER: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\d+ / \d+$"));
    if blocks.len() > 1 && COUNTER.is_match(&blocks[0]) {
        blocks.remove(0);
    }
    trimmed(&blocks.join("\n\n")).to_owned()
}

struct Converter<'a> {
    tree: &'a Tree,
}

impl Converter<'_> {
    /// What is in an element, block by block.
    fn blocks(&self, id: Id, depth: usize) -> Vec<String> {
        let mut blocks = Vec::new();
        let mut line = String::new();
        for child in self.tree.children(id) {
            match self.tree.name(*child) {
                Some(name) if is_block(name) => {
                    paragraph(&mut line, &mut blocks);
                    self.block(*child, name, depth + 1, &mut blocks);
                }
                _ => self.inline(*child, depth, &mut line),
            }
        }
        paragraph(&mut line, &mut blocks);
        blocks
    }

    fn block(&self, id: Id, name: &str, depth: usize, blocks: &mut Vec<String>) {
        if depth > DEEPEST {
            let mut text = self.text(id);
            return paragraph(&mut text, blocks);
        }
        match name {
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                let mut text = String::new();
                self.inline_children(id, depth, &mut text);
                let level = usize::from(name.as_bytes()[1] - b'0');
                let text = trimmed(&text).replace('\n', " ");
                if !text.is_empty() {
                    blocks.push(format!("{} {text}", "#".repeat(level)));
                }
            }
            "pre" => blocks.extend(self.code(id)),
            "hr" => blocks.push("---".to_owned()),
            "ul" | "ol" => blocks.extend(self.list(id, name == "ol", depth)),
            "blockquote" => {
                let text = self.blocks(id, depth).join("\n\n");
                if !text.is_empty() {
                    let quoted = text.lines().map(|line| format!("> {line}").trim_end().to_owned());
                    blocks.push(quoted.collect::<Vec<_>>().join("\n"));
                }
            }
            "table" => table::table(self, id, depth, blocks),
            _ => blocks.extend(self.blocks(id, depth)),
        }
    }

    fn inline_children(&self, id: Id, depth: usize, out: &mut String) {
        for child in self.tree.children(id) {
            self.inline(*child, depth, out);
        }
    }

    /// A node in a line of text.
    fn inline(&self, id: Id, depth: usize, out: &mut String) {
        let name = match &self.tree.node(id).kind {
            Kind::Text(text) => return squeeze(text, out),
            Kind::Hidden(_) => return,
            Kind::Element { name, .. } => name.as_str(),
        };
        if UNSEEN.contains(&name) {
            return;
        }
        if depth > DEEPEST {
            return squeeze(&self.text(id), out);
        }
        let depth = depth + 1;
        if let Some(formula) = self.formula(id, name) {
            return out.push_str(&formula);
        }
        let mut inner = String::new();
        let mut marked = |mark: &str| {
            self.inline_children(id, depth, &mut inner);
            wrapped(&inner, mark, mark, out);
        };
        match name {
            "b" | "strong" => marked("**"),
            "i" | "em" => marked("*"),
            "del" | "s" | "strike" => marked("~~"),
            "sub" => self.kept_tag(id, "sub", depth, out),
            "sup" => self.kept_tag(id, "sup", depth, out),
            "code" | "kbd" | "samp" | "tt" => out.push_str(&code_span(&self.text(id))),
            "br" => {
                out.truncate(out.trim_end_matches(' ').len());
                out.push('\n');
            }
            "a" => self.link(id, depth, out),
            "img" => out.push_str(&self.image(id)),
            "input" if self.tree.attribute(id, "type") == Some("checkbox") => {
                out.push_str(if self.tree.attribute(id, "checked").is_some() { "[x] " } else { "[ ] " });
            }
            _ if is_block(name) => {
                let mut blocks = Vec::new();
                self.block(id, name, depth, &mut blocks);
                if !blocks.is_empty() && !out.is_empty() && !out.ends_with('\n') {
                    out.push('\n');
                }
                out.push_str(&blocks.join("\n\n"));
            }
            _ => self.inline_children(id, depth, out),
        }
    }

    fn kept_tag(&self, id: Id, name: &str, depth: usize, out: &mut String) {
        let mut inner = String::new();
        self.inline_children(id, depth, &mut inner);
        wrapped(&inner, &format!("<{name}>"), &format!("</{name}>"), out);
    }

    fn link(&self, id: Id, depth: usize, out: &mut String) {
        let mut inner = String::new();
        self.inline_children(id, depth, &mut inner);
        let target = self.tree.attribute(id, "href").unwrap_or("").trim();
        if target.is_empty() || inner.trim().is_empty() {
            out.push_str(&inner);
        } else if inner.trim() == target {
            wrapped(&inner, "<", ">", out);
        } else {
            let odd = target.contains([' ', '(', ')']);
            let target = if odd { format!("<{target}>") } else { target.to_owned() };
            wrapped(&inner, "[", &format!("]({target})"), out);
        }
    }

    fn image(&self, id: Id) -> String {
        let alt = self.tree.attribute(id, "alt").unwrap_or("");
        // A picture inside of the page's text would be kilobytes of letters.
        let source =
            self.tree.attribute(id, "src").filter(|source| !source.starts_with("data:")).unwrap_or("");
        if alt.is_empty() && source.is_empty() { String::new() } else { format!("![{alt}]({source})") }
    }

    /// KaTeX and MathML as the TeX that they carry; of KaTeX's two renderings of a formula without
    /// it, one.
    fn formula(&self, id: Id, name: &str) -> Option<String> {
        let classes = self.tree.attribute(id, "class").unwrap_or("");
        let is = |class: &str| classes.split_ascii_whitespace().any(|one| one == class);
        if is("katex-html") && self.tree.children(self.tree.node(id).parent).len() > 1 {
            return Some(String::new());
        }
        if !(name == "math" || is("katex") || is("katex-display")) {
            return None;
        }
        let tex = self.find(id, |id| self.tree.name(id) == Some("annotation")).map(|id| self.text(id))?;
        let display = is("katex-display") || self.tree.attribute(id, "display") == Some("block");
        let mark = if display { "$$" } else { "$" };
        Some(format!("{mark}{}{mark}", tex.trim()))
    }

    /// A block of code: its language, and its text as it stands.
    fn code(&self, id: Id) -> Option<String> {
        static BUTTON: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\s*([\w+#.-]*)(?:Copy code)+\n?"));
        let code = self.find(id, |id| self.tree.name(id) == Some("code"));
        let whole = self.text(id);
        let (language, text) = match code.map(|code| self.text(code)) {
            // The bar above it names the language; what stands beside the code otherwise is kept.
            Some(text) if !text.trim().is_empty() => {
                let class = code.and_then(|code| self.tree.attribute(code, "class")).unwrap_or("");
                let named = class.split_ascii_whitespace().find_map(|class| class.strip_prefix("language-"));
                let bar = whole.strip_suffix(text.as_str()).unwrap_or("").replace("Copy code", "");
                let bar = bar.trim();
                let one_word = !bar.is_empty() && !bar.contains(char::is_whitespace);
                match named {
                    Some(language) => (language.to_owned(), text),
                    None if one_word => (bar.to_owned(), text),
                    None if bar.is_empty() && whole.ends_with(text.as_str()) => (String::new(), text),
                    None => (String::new(), whole),
                }
            }
            _ => match BUTTON.captures(&whole) {
                Some(found) => (found[1].to_owned(), whole[found[0].len()..].to_owned()),
                None => (String::new(), whole),
            },
        };
        let text = text.strip_prefix('\n').unwrap_or(&text).trim_end();
        if text.trim().is_empty() {
            return None;
        }
        let fence = "`".repeat((longest_run(text) + 1).max(3));
        Some(format!("{fence}{language}\n{text}\n{fence}"))
    }

    fn list(&self, id: Id, ordered: bool, depth: usize) -> Option<String> {
        let start = self.tree.attribute(id, "start").and_then(|start| start.trim().parse::<i64>().ok());
        let mut number = start.unwrap_or(1);
        let mut items: Vec<String> = Vec::new();
        for child in self.tree.children(id) {
            let mut blocks = Vec::new();
            match self.tree.name(*child) {
                Some("li") => blocks = self.blocks(*child, depth + 1),
                // A list directly in a list goes on with the item before it.
                Some(name @ ("ul" | "ol")) => self.block(*child, name, depth + 1, &mut blocks),
                _ => {
                    let mut line = String::new();
                    self.inline(*child, depth, &mut line);
                    paragraph(&mut line, &mut blocks);
                }
            }
            if blocks.is_empty() {
                continue;
            }
            let own = !matches!(self.tree.name(*child), Some("ul" | "ol")) || items.is_empty();
            let marker = if ordered { format!("{number}. ") } else { "- ".to_owned() };
            let text = item(&blocks).replace('\n', &format!("\n{}", " ".repeat(marker.len())));
            match items.last_mut().filter(|_| !own) {
                Some(last) => last.push_str(&format!("\n{}{text}", " ".repeat(marker.len()))),
                None => {
                    items.push(format!("{marker}{text}"));
                    number = number.saturating_add(1);
                }
            }
        }
        // Indentation of empty lines is nobody's.
        let lines = items.iter().flat_map(|item| item.lines()).map(str::trim_end).collect::<Vec<_>>();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// The first of the element and what is in it, in order, of which `wanted` holds.
    fn find(&self, id: Id, wanted: impl Fn(Id) -> bool) -> Option<Id> {
        let mut rest = vec![id];
        while let Some(id) = rest.pop() {
            if wanted(id) {
                return Some(id);
            }
            rest.extend(self.tree.children(id).iter().rev());
        }
        None
    }

    /// The text of an element as it stands, without that of buttons.
    fn text(&self, id: Id) -> String {
        let mut text = String::new();
        let mut rest = vec![id];
        while let Some(id) = rest.pop() {
            match &self.tree.node(id).kind {
                Kind::Text(data) => text.push_str(data),
                Kind::Hidden(_) => {}
                Kind::Element { name, .. } if name == "br" => text.push('\n'),
                Kind::Element { name, .. } if UNSEEN.contains(&name.as_str()) => {}
                Kind::Element { children, .. } => rest.extend(children.iter().rev()),
            }
        }
        text
    }
}

/// The blocks of a list's item: a list follows its text at once, other blocks after an empty line.
fn item(blocks: &[String]) -> String {
    static LIST: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(?:- |\d+\. )"));
    let mut text = String::new();
    for block in blocks {
        if !text.is_empty() {
            text.push_str(if LIST.is_match(block) { "\n" } else { "\n\n" });
        }
        text.push_str(block);
    }
    text
}

/// Ends a paragraph.
fn paragraph(line: &mut String, blocks: &mut Vec<String>) {
    static COPIED: LazyLock<Regex> = LazyLock::new(|| pattern(r"Copy\d+ chars / \d+ words"));
    let text = COPIED.replace_all(line, "");
    let lines: Vec<&str> = text.split('\n').map(|line| line.trim_matches([' ', '\t'])).collect();
    let text = lines.join("\n");
    let text = trimmed(&text);
    if !text.is_empty() {
        blocks.push(text.to_owned());
    }
    line.clear();
}

/// Appends a text with one space for every run of spaces and tabs; line ends stay.
fn squeeze(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            ' ' | '\t' if out.is_empty() || out.ends_with([' ', '\n']) => {}
            ' ' | '\t' => out.push(' '),
            c => out.push(c),
        }
    }
}

/// Appends a text between marks, which stand at its words and not at the spaces around.
fn wrapped(text: &str, before: &str, after: &str, out: &mut String) {
    let words = text.trim();
    if words.is_empty() {
        return squeeze(text, out);
    }
    let begin = text.len() - text.trim_start().len();
    squeeze(&text[..begin], out);
    out.push_str(before);
    out.push_str(words);
    out.push_str(after);
    out.push_str(&text[begin + words.len()..]);
}

/// Code in a line of text.
fn code_span(text: &str) -> String {
    if text.trim().is_empty() {
        return text.to_owned();
    }
    let mark = "`".repeat(longest_run(text) + 1);
    let room = if mark.len() > 1 { " " } else { "" };
    format!("{mark}{room}{text}{room}{mark}")
}

/// The longest run of backticks.
fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// Whether an element begins a block of its own.
fn is_block(name: &str) -> bool {
    static BLOCKS: LazyLock<HashSet<&str>> = LazyLock::new(|| {
        "address article aside blockquote body details dd div dl dt figcaption figure footer form h1 h2 h3 h4 h5 h6 \
         header hr html li main nav ol p pre section summary table ul"
            .split_ascii_whitespace()
            .collect()
    });
    BLOCKS.contains(name)
}
