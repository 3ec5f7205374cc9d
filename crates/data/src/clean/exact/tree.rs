//! Beautiful Soup's tree (4.15), as its `html.parser` builder makes it.
//!
//! An end tag closes everything up to the nearest open tag of its name, or nothing; an element
//! without content closes at once. Where a text is cut into two nodes matters to what comes after,
//! so even an end tag that closes nothing ends the text before it.

use std::collections::HashMap;

/// An attribute and its value, empty where it has none.
pub type Attribute = (String, String);

/// A place in a [`Tree`].
pub type Id = usize;
/// The document itself.
pub const ROOT: Id = 0;

/// Elements that never have content (Beautiful Soup's HTML builders).
const EMPTY: [&str; 24] = [
    "area", "base", "br", "col", "embed", "hr", "img", "input", "keygen", "link", "menuitem", "meta",
    "param", "source", "track", "wbr", "basefont", "bgsound", "command", "frame", "image", "isindex",
    "nextid", "spacer",
];

/// An element or a text.
#[derive(Debug)]
pub struct Node {
    /// The element around it; the root is its own.
    pub parent: Id,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Debug)]
pub enum Kind {
    /// An element.
    Element {
        /// Its name in small letters.
        name: String,
        /// Its attributes; the last of a name counts.
        attributes: Vec<Attribute>,
        /// What is in it.
        children: Vec<Id>,
    },
    /// Text that is shown: character data, CDATA sections, declarations, processing instructions.
    Text(String),
    /// A comment or a document type, which is not.
    Hidden(String),
}

/// A document.
#[derive(Debug)]
pub struct Tree {
    nodes: Vec<Node>,
    /// Open elements, the root first.
    open: Vec<Id>,
    /// How many of each name are open.
    open_names: HashMap<String, usize>,
    /// How many of the open elements keep spaces as they are.
    preserving: usize,
    /// Text not yet a node; `None` where there is not even an empty one.
    pending: Option<String>,
    /// Elements without content that were closed before their end tag came.
    closed_early: HashMap<String, usize>,
}

impl Default for Tree {
    fn default() -> Self {
        let root =
            Kind::Element { name: "[document]".to_owned(), attributes: Vec::new(), children: Vec::new() };
        Self {
            nodes: vec![Node { parent: ROOT, kind: root }],
            open: vec![ROOT],
            open_names: HashMap::new(),
            preserving: 0,
            pending: None,
            closed_early: HashMap::new(),
        }
    }
}

impl Tree {
    /// Character data.
    pub fn data(&mut self, text: &str) {
        self.pending.get_or_insert_default().push_str(text);
    }

    /// A start tag.
    pub fn start(&mut self, name: String, attributes: Vec<Attribute>) {
        let empty = EMPTY.contains(&name.as_str());
        self.push(name.clone(), attributes);
        if empty {
            self.close(&name);
            *self.closed_early.entry(name).or_default() += 1;
        }
    }

    /// A tag that ends in `/>`, whatever its name.
    pub fn start_end(&mut self, name: String, attributes: Vec<Attribute>) {
        self.push(name.clone(), attributes);
        self.close(&name);
    }

    /// An end tag.
    pub fn end(&mut self, name: &str) {
        match self.closed_early.get_mut(name) {
            Some(count) if *count > 0 => *count -= 1,
            _ => self.close(name),
        }
    }

    /// A text that is a node by itself: a CDATA section, a processing instruction.
    pub fn own_text(&mut self, text: &str) {
        self.end_text(Kind::Text);
        self.data(text);
        self.end_text(Kind::Text);
    }

    /// A comment.
    pub fn comment(&mut self, text: &str) {
        self.end_text(Kind::Text);
        self.data(text);
        self.end_text(Kind::Hidden);
    }

    /// A document type.
    pub fn doctype(&mut self, text: &str) {
        self.comment(text);
    }

    /// Ends what is still open.
    pub fn finish(mut self) -> Self {
        self.end_text(Kind::Text);
        self.open.truncate(1);
        self
    }

    /// A node.
    pub fn node(&self, id: Id) -> &Node {
        &self.nodes[id]
    }

    /// The name of an element.
    pub fn name(&self, id: Id) -> Option<&str> {
        match &self.nodes[id].kind {
            Kind::Element { name, .. } => Some(name),
            _ => None,
        }
    }

    /// An attribute of an element.
    pub fn attribute(&self, id: Id, wanted: &str) -> Option<&str> {
        match &self.nodes[id].kind {
            Kind::Element { attributes, .. } => {
                attributes.iter().rev().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
            }
            _ => None,
        }
    }

    /// What is in an element.
    pub fn children(&self, id: Id) -> &[Id] {
        match &self.nodes[id].kind {
            Kind::Element { children, .. } => children,
            _ => &[],
        }
    }

    /// Takes one child out.
    pub fn remove_child(&mut self, id: Id, index: usize) {
        if let Kind::Element { children, .. } = &mut self.nodes[id].kind {
            children.remove(index);
        }
    }

    fn push(&mut self, name: String, attributes: Vec<Attribute>) {
        self.end_text(Kind::Text);
        *self.open_names.entry(name.clone()).or_default() += 1;
        self.preserving += usize::from(preserves_space(&name));
        let id = self.add(Kind::Element { name, attributes, children: Vec::new() });
        self.open.push(id);
    }

    /// Closes up to the nearest open element of that name.
    fn close(&mut self, name: &str) {
        self.end_text(Kind::Text);
        if self.open_names.get(name).is_none_or(|count| *count == 0) {
            return;
        }
        while self.open.len() > 1 {
            let Some(id) = self.open.pop() else { return };
            let Kind::Element { name: closed, .. } = &self.nodes[id].kind else { return };
            if let Some(count) = self.open_names.get_mut(closed) {
                *count -= 1;
            }
            self.preserving -= usize::from(preserves_space(closed));
            if closed == name {
                return;
            }
        }
    }

    /// Makes a node of the text so far. Text of ASCII spaces alone, even an empty one, becomes one
    /// space or one newline outside of `pre` and `textarea`.
    fn end_text(&mut self, kind: fn(String) -> Kind) {
        let Some(mut text) = self.pending.take() else { return };
        let blank = text.chars().all(|c| matches!(c, ' ' | '\n' | '\t' | '\x0c' | '\r'));
        if self.preserving == 0 && blank {
            text = if text.contains('\n') { "\n" } else { " " }.to_owned();
        }
        self.add(kind(text));
    }

    fn add(&mut self, kind: Kind) -> Id {
        let id = self.nodes.len();
        let parent = self.open.last().copied().unwrap_or(ROOT);
        self.nodes.push(Node { parent, kind });
        if let Kind::Element { children, .. } = &mut self.nodes[parent].kind {
            children.push(id);
        }
        id
    }
}

fn preserves_space(name: &str) -> bool {
    matches!(name, "pre" | "textarea")
}
