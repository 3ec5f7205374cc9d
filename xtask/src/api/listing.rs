//! What of a library can be reached from outside, a line each.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use syn::spanned::Spanned;
use syn::{Attribute, Fields, ImplItem, Item, ItemImpl, ItemUse, TraitItem, UseTree, Visibility};

use super::sources::{Module, is_for_tests, is_hidden};

/// The listing: sorted lines `path: what`.
pub fn of(root: &Module) -> anyhow::Result<String> {
    let mut listing = Listing { root, lines: BTreeSet::new(), types: BTreeMap::new() };
    listing.module(root, "", 0)?;
    listing.implementations(root);
    Ok(listing.lines.into_iter().map(|line| line + "\n").collect())
}

struct Listing<'a> {
    root: &'a Module,
    lines: BTreeSet<String>,
    /// Of the types listed: where each is defined, by name, and the paths that it is listed under.
    types: BTreeMap<String, Vec<(Vec<String>, String)>>,
}

/// Re-exports of re-exports are followed so far.
const DEEPEST: usize = 16;

impl<'a> Listing<'a> {
    /// Everything public of a module, under `prefix`.
    fn module(&mut self, module: &'a Module, prefix: &str, depth: usize) -> anyhow::Result<()> {
        if depth > DEEPEST {
            bail!("re-exports go round in a circle at `{prefix}`");
        }
        for item in &module.items {
            match item {
                Item::Use(item) if is_public(&item.vis) => self.re_export(module, item, prefix, depth)?,
                Item::Macro(item) if item.attrs.iter().any(|a| a.path().is_ident("macro_export")) => {
                    if let Some(name) = &item.ident {
                        self.lines.insert(format!("{name}!: macro"));
                    }
                }
                _ => self.item(module, item, prefix, None),
            }
        }
        for (name, public, child) in &module.children {
            if *public {
                self.lines.insert(format!("{prefix}{name}: mod"));
                self.module(child, &format!("{prefix}{name}::"), depth + 1)?;
            }
        }
        Ok(())
    }

    fn re_export(
        &mut self,
        module: &'a Module,
        item: &ItemUse,
        prefix: &str,
        depth: usize,
    ) -> anyhow::Result<()> {
        let mut leaves = Vec::new();
        flatten(&item.tree, &mut Vec::new(), &mut leaves);
        for Leaf { path, name } in leaves {
            self.leaf(module, &path, name.as_deref(), prefix, depth)?;
        }
        Ok(())
    }

    /// One name of a re-export; without a name it is all of a module.
    fn leaf(
        &mut self,
        module: &'a Module,
        path: &[String],
        name: Option<&str>,
        prefix: &str,
        depth: usize,
    ) -> anyhow::Result<()> {
        if depth > DEEPEST {
            bail!("re-exports go round in a circle at `{prefix}`");
        }
        let Some((target, rest)) = self.inside(module, path) else {
            let shown = name.map_or_else(|| "*".to_owned(), str::to_owned);
            self.lines.insert(format!("{prefix}{shown}: use {}", path.join("::")));
            return Ok(());
        };
        let ([], None) = (rest, name) else {
            let Some(name) = name else {
                bail!("`{prefix}` re-exports all of `{}`, no module", path.join("::"))
            };
            return match rest {
                [] => {
                    self.lines.insert(format!("{prefix}{name}: mod"));
                    self.module(target, &format!("{prefix}{name}::"), depth + 1)
                }
                [own] => self.named(target, own, name, prefix, depth),
                [own, variants @ ..] => {
                    self.lines.insert(format!("{prefix}{name}: use {own}::{}", variants.join("::")));
                    Ok(())
                }
            };
        };
        self.module(target, prefix, depth + 1)
    }

    /// The item `own` of `module`, listed as `name`.
    fn named(
        &mut self,
        module: &'a Module,
        own: &str,
        name: &str,
        prefix: &str,
        depth: usize,
    ) -> anyhow::Result<()> {
        for item in &module.items {
            if let Item::Use(item) = item {
                let mut leaves = Vec::new();
                flatten(&item.tree, &mut Vec::new(), &mut leaves);
                for leaf in leaves.iter().filter(|leaf| leaf.name.as_deref() == Some(own)) {
                    self.leaf(module, &leaf.path, Some(name), prefix, depth + 1)?;
                }
            } else if name_of(item).as_deref() == Some(own) {
                self.item(module, item, prefix, Some(name));
            }
        }
        Ok(())
    }

    /// The module of this library that a path begins with, and what is left of the path.
    fn inside<'p>(&self, from: &'a Module, path: &'p [String]) -> Option<(&'a Module, &'p [String])> {
        let mut at = from;
        let mut rest = path;
        let mut own = false;
        while let Some((first, others)) = rest.split_first() {
            at = match first.as_str() {
                "crate" => self.root,
                "self" => at,
                "super" => at.path[..at.path.len().saturating_sub(1)]
                    .iter()
                    .try_fold(self.root, |module, name| module.child(name))?,
                name => match at.child(name) {
                    Some(child) => child,
                    None => break,
                },
            };
            own = true;
            rest = others;
        }
        // A path of one name may be an item beside the `use`.
        let beside = rest.len() == path.len()
            && path.first().is_some_and(|first| {
                at.items.iter().any(|item| name_of(item).as_deref() == Some(first.as_str()))
            });
        (own || beside).then_some((at, rest))
    }

    /// One item, if it is public, with the fields, variants and methods that belong to it.
    fn item(&mut self, module: &Module, item: &Item, prefix: &str, renamed: Option<&str>) {
        let Some((attributes, visibility)) = attributes_and_visibility(item) else { return };
        if !is_public(visibility) || is_for_tests(attributes) || is_hidden(attributes) {
            return;
        }
        let Some(own) = name_of(item) else { return };
        let path = format!("{prefix}{}", renamed.unwrap_or(&own));
        let mut line = |text: String| {
            self.lines.insert(format!("{path}{text}"));
        };
        let marks = marks(module, attributes);
        match item {
            Item::Fn(item) => line(format!(": {}", signature(module, &item.sig))),
            Item::Const(item) => line(format!(": const {}", module.text(item.ty.span()))),
            Item::Static(item) => line(format!(": static {}", module.text(item.ty.span()))),
            Item::Type(item) => line(format!(": type {}", module.text(item.ty.span()))),
            Item::Struct(item) => {
                line(format!(": struct{}{marks}", module.text(item.generics.span())));
                for (name, field) in fields(&item.fields).filter(|(_, field)| is_public(&field.vis)) {
                    line(format!(".{name}: {}", module.text(field.ty.span())));
                }
            }
            Item::Enum(item) => {
                line(format!(": enum{}{marks}", module.text(item.generics.span())));
                for variant in &item.variants {
                    line(format!("::{}: variant", variant.ident));
                    for (name, field) in fields(&variant.fields) {
                        line(format!("::{}.{name}: {}", variant.ident, module.text(field.ty.span())));
                    }
                }
            }
            Item::Trait(item) => {
                let bounds = match item.supertraits.is_empty() {
                    true => String::new(),
                    false => format!(": {}", module.text(item.supertraits.span())),
                };
                line(format!(": trait{}{bounds}", module.text(item.generics.span())));
                for member in &item.items {
                    match member {
                        TraitItem::Fn(f) => {
                            let provided = if f.default.is_some() { " { … }" } else { "" };
                            line(format!("::{}: {}{provided}", f.sig.ident, signature(module, &f.sig)));
                        }
                        TraitItem::Const(c) => {
                            line(format!("::{}: const {}", c.ident, module.text(c.ty.span())));
                        }
                        TraitItem::Type(t) => line(format!("::{}: type", t.ident)),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        self.types.entry(own).or_default().push((module.path.clone(), path));
    }

    /// Methods and traits of the types that are listed.
    fn implementations(&mut self, module: &Module) {
        for item in &module.items {
            if let Item::Impl(item) = item
                && !is_for_tests(&item.attrs)
            {
                self.implementation(module, item);
            }
        }
        for (_, _, child) in &module.children {
            self.implementations(child);
        }
    }

    fn implementation(&mut self, module: &Module, item: &ItemImpl) {
        let syn::Type::Path(of) = &*item.self_ty else { return };
        let Some(name) = of.path.segments.last().map(|segment| segment.ident.to_string()) else { return };
        let Some(listed) = self.types.get(&name) else { return };
        // Of two types with one name, the one whose module is nearest.
        let nearness = |at: &[String]| at.iter().zip(&module.path).take_while(|(a, b)| a == b).count();
        let nearest = listed.iter().map(|(at, _)| nearness(at)).max().unwrap_or(0);
        let paths: Vec<&String> =
            listed.iter().filter(|(at, _)| nearness(at) == nearest).map(|(_, path)| path).collect();
        let mut found = Vec::new();
        if let Some((of, _)) = &item.trait_ {
            found.push(format!(": impl {}", module.text(of.span())));
        } else {
            for member in &item.items {
                match member {
                    ImplItem::Fn(f)
                        if is_public(&f.vis) && !is_hidden(&f.attrs) && !is_for_tests(&f.attrs) =>
                    {
                        found.push(format!("::{}: {}", f.sig.ident, signature(module, &f.sig)));
                    }
                    ImplItem::Const(c) if is_public(&c.vis) => {
                        found.push(format!("::{}: const {}", c.ident, module.text(c.ty.span())));
                    }
                    _ => {}
                }
            }
        }
        for path in paths {
            self.lines.extend(found.iter().map(|text| format!("{path}{text}")));
        }
    }
}

/// One name that a `use` brings: the path to it, and the name, or none for all of it.
struct Leaf {
    path: Vec<String>,
    name: Option<String>,
}

fn flatten(tree: &UseTree, before: &mut Vec<String>, leaves: &mut Vec<Leaf>) {
    let mut leaf = |before: &[String], last: String, name: String| {
        let mut path = before.to_vec();
        // `use a::{self}` is `a`.
        if last != "self" {
            path.push(last);
        }
        let name = if name == "self" { path.last().cloned() } else { Some(name) };
        leaves.push(Leaf { path, name });
    };
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            flatten(&path.tree, before, leaves);
            before.pop();
        }
        UseTree::Name(name) => leaf(before, name.ident.to_string(), name.ident.to_string()),
        UseTree::Rename(rename) => leaf(before, rename.ident.to_string(), rename.rename.to_string()),
        UseTree::Glob(_) => leaves.push(Leaf { path: before.clone(), name: None }),
        UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, before, leaves)),
    }
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// A function from its qualifiers to its last bound.
fn signature(module: &Module, signature: &syn::Signature) -> String {
    module.text(signature.span())
}

/// What is derived, and whether more may come: both are promises to users.
fn marks(module: &Module, attributes: &[Attribute]) -> String {
    attributes
        .iter()
        .filter(|attribute| {
            attribute.path().is_ident("derive") || attribute.path().is_ident("non_exhaustive")
        })
        .map(|attribute| format!(" {}", module.text(attribute.meta.span())))
        .collect()
}

/// Fields by name, or by number where they have none.
fn fields(fields: &Fields) -> impl Iterator<Item = (String, &syn::Field)> {
    fields
        .iter()
        .enumerate()
        .map(|(at, field)| (field.ident.as_ref().map_or_else(|| at.to_string(), ToString::to_string), field))
}

fn name_of(item: &Item) -> Option<String> {
    let name = match item {
        Item::Fn(item) => &item.sig.ident,
        Item::Const(item) => &item.ident,
        Item::Static(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

fn attributes_and_visibility(item: &Item) -> Option<(&[Attribute], &Visibility)> {
    Some(match item {
        Item::Fn(item) => (&item.attrs, &item.vis),
        Item::Const(item) => (&item.attrs, &item.vis),
        Item::Static(item) => (&item.attrs, &item.vis),
        Item::Type(item) => (&item.attrs, &item.vis),
        Item::Struct(item) => (&item.attrs, &item.vis),
        Item::Enum(item) => (&item.attrs, &item.vis),
        Item::Trait(item) => (&item.attrs, &item.vis),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::sources;
    use super::*;

    #[test]
    fn what_can_be_reached_is_listed_under_the_path_that_reaches_it() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write(
            "lib.rs",
            "mod inner;\npub mod open;\npub use inner::{Shown, make as build};\npub use serde::Serialize;\n\
             #[macro_export] macro_rules! say { () => {} }\n",
        );
        write(
            "inner.rs",
            "#[derive(Clone)]\npub struct Shown { pub size: usize, hidden: bool }\npub struct Unreached;\n\
             impl Shown {\n    pub fn grow(\n        &mut self,\n        by: usize,\n    ) -> Result<(), String> \
             { Ok(()) }\n    fn own(&self) {}\n}\nimpl Default for Shown { fn default() -> Self { Shown { size: 0, hidden: true } } }\n\
             pub fn make() {}\npub(crate) fn near() {}\n",
        );
        write(
            "open.rs",
            "pub enum Kind { A, B { of: u8 } }\npub trait Way { const N: usize; fn go(&self); fn stay(&self) {} }\n\
             pub use super::inner::*;\n#[cfg(test)] mod tests { pub fn no() {} }\n",
        );
        let listed = of(&sources::read(&folder.path().join("lib.rs")).unwrap()).unwrap();
        let expected = [
            "Serialize: use serde::Serialize",
            "Shown.size: usize",
            "Shown: impl Default",
            "Shown: struct derive(Clone)",
            "Shown::grow: fn grow(&mut self, by: usize) -> Result<(), String>",
            "build: fn make()",
            "open: mod",
            "open::Kind: enum",
            "open::Kind::A: variant",
            "open::Kind::B.of: u8",
            "open::Kind::B: variant",
            "open::Shown.size: usize",
            "open::Shown: impl Default",
            "open::Shown: struct derive(Clone)",
            "open::Shown::grow: fn grow(&mut self, by: usize) -> Result<(), String>",
            "open::Unreached: struct",
            "open::Way: trait",
            "open::Way::N: const usize",
            "open::Way::go: fn go(&self)",
            "open::Way::stay: fn stay(&self) { … }",
            "open::make: fn make()",
            "say!: macro",
        ];
        assert_eq!(listed.lines().collect::<Vec<_>>(), expected);
    }
}
