//! `camelid data`: the catalogue of sources.

use std::io::{self, Write};

use anyhow::Result;
use camelid_data::catalogue::{Catalogue, FetchOptions, Source};
use camelid_files::program;

#[derive(clap::Subcommand)]
pub enum Command {
    /// Print the catalogue
    List,
    /// Make a source available and print where it lies
    Fetch {
        /// Its name in the catalogue
        name: String,
        /// Never use the network: mirror (CAMELID_MIRROR) and cache only
        #[arg(long)]
        offline: bool,
    },
}

pub fn run(command: &Command) -> Result<()> {
    let catalogue = Catalogue::builtin()?;
    match command {
        Command::List => {
            let mut text = Vec::new();
            list(&catalogue, &mut text)?;
            program::print(text)?;
        }
        Command::Fetch { name, offline } => {
            let source = catalogue.get(name)?;
            let mut options = FetchOptions::from_env()?;
            options.offline |= offline;
            println!("{}", source.fetch(&options)?.display());
        }
    }
    Ok(())
}

fn list(catalogue: &Catalogue, output: &mut impl Write) -> io::Result<()> {
    let rows: Vec<[String; 4]> = std::iter::once(["name", "size", "licence", "about"].map(String::from))
        .chain(
            catalogue.sources().iter().map(|s| [s.name.clone(), size(s), s.licence.clone(), s.about.clone()]),
        )
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (name, size, licence) = (width(0), width(1), width(2));
    for [n, s, l, about] in &rows {
        writeln!(output, "{n:name$}  {s:>size$}  {l:licence$}  {about}")?;
    }
    Ok(())
}

/// The size of all files, where every one is known.
fn size(source: &Source) -> String {
    let sizes: Option<Vec<u64>> = source.files.iter().map(|file| file.size).collect();
    match sizes.map(|sizes| sizes.iter().sum::<u64>() as f64) {
        None => "unknown".into(),
        Some(bytes) if bytes < 1e6 => format!("{:.1} kB", bytes / 1e3),
        Some(bytes) => format!("{:.1} MB", bytes / 1e6),
    }
}
