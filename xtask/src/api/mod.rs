//! `cargo xtask api`: what each library offers, listed in `docs/api`, so that a change of it is seen.
//!
//! The listing is made from the sources alone, without building them: items that can be reached from
//! outside by a path, under that path, with the signature as it is written. Features are taken as on.

mod listing;
mod sources;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use camelid_files::write_whole;

use crate::workspace::workspace;

/// Options of the command.
#[derive(clap::Args)]
pub struct Arguments {
    /// Write nothing; end with exit code 1 and the lines that differ where a listing is not what the sources say
    #[arg(long)]
    check: bool,
}

/// Writes the listings, or compares them.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let folder = workspace().join("docs/api");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut gone = committed(&folder)?;
    let mut differing = Vec::new();
    for (package, source) in libraries()? {
        let listed = listing::of(&sources::read(&source)?)?;
        let path = folder.join(format!("{package}.txt"));
        gone.remove(&path);
        if !arguments.check {
            write_whole(&path, listed.as_bytes())?;
            continue;
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        for (sign, lines, others) in [('-', &committed, &listed), ('+', &listed, &committed)] {
            let others: BTreeSet<&str> = others.lines().collect();
            let only = lines.lines().filter(|line| !others.contains(line));
            differing.extend(only.map(|line| format!("{package} {sign} {line}")));
        }
    }
    for path in gone {
        if arguments.check {
            differing.push(format!("{} lists a library that is gone", path.display()));
        } else {
            std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    if !differing.is_empty() {
        let lines = differing.join("\n");
        bail!("the public API is not what docs/api lists; `cargo xtask api` writes it anew:\n{lines}");
    }
    Ok(())
}

/// The listings that are there.
fn committed(folder: &Path) -> anyhow::Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "txt") {
            found.insert(path);
        }
    }
    Ok(found)
}

/// Every library of the workspace that others may use: its package and its `lib.rs`.
fn libraries() -> anyhow::Result<Vec<(String, PathBuf)>> {
    let mut folders = vec![workspace().join("kernels")];
    let crates = workspace().join("crates");
    for entry in std::fs::read_dir(&crates).with_context(|| format!("cannot read {}", crates.display()))? {
        folders.push(entry?.path());
    }
    folders.sort();
    let of = |folder: &PathBuf| {
        let name = folder.file_name()?.to_str()?;
        let source = folder.join("src/lib.rs");
        source.is_file().then(|| (format!("camelid-{name}"), source))
    };
    Ok(folders.iter().filter_map(of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_listings_are_what_the_sources_offer() {
        if let Err(error) = run(&Arguments { check: true }) {
            panic!("{error:#}");
        }
    }
}
