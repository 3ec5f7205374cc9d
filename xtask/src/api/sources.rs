//! The module tree of a library, read from its files.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use proc_macro2::Span;
use syn::{Attribute, Item};

/// A module with what it holds. Those inside come after what is in the file itself.
pub struct Module {
    /// Names from the crate's root on; empty for the root.
    pub path: Vec<String>,
    /// Everything but modules of files.
    pub items: Vec<Item>,
    /// Name, whether it is public, and what is in it.
    pub children: Vec<(String, bool, Module)>,
    text: std::rc::Rc<str>,
}

impl Module {
    /// The source text of a span, on one line, as rustfmt would write it there.
    pub fn text(&self, span: Span) -> String {
        let range = span.byte_range();
        one_line(self.text.get(range).unwrap_or_default())
    }

    /// The module inside of this name.
    pub fn child(&self, name: &str) -> Option<&Module> {
        self.children.iter().find(|(own, _, _)| own == name).map(|(_, _, module)| module)
    }
}

/// Reads a library from its root file on.
pub fn read(root: &Path) -> anyhow::Result<Module> {
    let folder = root.parent().unwrap_or(Path::new("")).to_path_buf();
    read_file(root, &folder, Vec::new())
}

/// `folder` is where the files of the modules inside lie.
fn read_file(file: &Path, folder: &Path, path: Vec<String>) -> anyhow::Result<Module> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let parsed = syn::parse_file(&text).with_context(|| format!("cannot parse {}", file.display()))?;
    module(parsed.items, text.into(), folder, path)
}

fn module(
    items: Vec<Item>,
    text: std::rc::Rc<str>,
    folder: &Path,
    path: Vec<String>,
) -> anyhow::Result<Module> {
    let mut module = Module { path, items: Vec::new(), children: Vec::new(), text };
    for item in items {
        let Item::Mod(inner) = item else {
            module.items.push(item);
            continue;
        };
        if is_for_tests(&inner.attrs) {
            continue;
        }
        let name = inner.ident.to_string();
        let mut below = module.path.clone();
        below.push(name.clone());
        let own_folder = folder.join(&name);
        let child = match inner.content {
            Some((_, items)) => self::module(items, module.text.clone(), &own_folder, below)?,
            None => read_file(&file_of(folder, &name)?, &own_folder, below)?,
        };
        let public = matches!(inner.vis, syn::Visibility::Public(_)) && !is_hidden(&inner.attrs);
        module.children.push((name, public, child));
    }
    Ok(module)
}

fn file_of(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let candidates = [folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs")];
    match candidates.iter().find(|candidate| candidate.is_file()) {
        Some(found) => Ok(found.clone()),
        None => bail!("there is neither {} nor {}", candidates[0].display(), candidates[1].display()),
    }
}

fn one_line(text: &str) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for (broken, joined) in
        [("( ", "("), (", )", ")"), (" )", ")"), ("< ", "<"), (", >", ">"), ("[ ", "["), (" ]", "]")]
    {
        line = line.replace(broken, joined);
    }
    line
}

/// Whether an item is there for tests alone.
pub fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).any(|attribute| {
        attribute.parse_args::<syn::Ident>().is_ok_and(|word| word == "test" || word == "doctest")
    })
}

/// Whether an item is left out of the documentation.
pub fn is_hidden(attributes: &[Attribute]) -> bool {
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("doc"))
        .any(|attribute| attribute.parse_args::<syn::Ident>().is_ok_and(|word| word == "hidden"))
}
