//! `camelid data list` and `fetch`.

use anyhow::Result;
use camelid_data::catalogue::{Catalogue, FetchOptions, Source};
use camelid_files::program::{self, UsageError};

use super::reading::print_json;

pub const LIST_EXAMPLES: &str = "Examples:
  camelid data list
  camelid data list --json | jq '.[].name'";

#[derive(clap::Args)]
pub struct ListArgs {
    /// Print the catalogue as JSON
    #[arg(long)]
    json: bool,
}

pub const FETCH_EXAMPLES: &str = "Examples:
  camelid data fetch oasst1-ready-trees
  CAMELID_MIRROR=/data camelid data fetch oasst1-questions --offline";

#[derive(clap::Args)]
pub struct FetchArgs {
    /// Its name in the catalogue
    name: String,
    /// Never use the network: mirror (CAMELID_MIRROR) and cache only
    #[arg(long)]
    offline: bool,
}

pub fn list(args: &ListArgs) -> Result<()> {
    let catalogue = Catalogue::builtin()?;
    if args.json {
        return print_json(catalogue.sources());
    }
    let rows: Vec<[String; 4]> = std::iter::once(["name", "size", "licence", "about"].map(String::from))
        .chain(
            catalogue.sources().iter().map(|s| [s.name.clone(), size(s), s.licence.clone(), s.about.clone()]),
        )
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (name, size, licence) = (width(0), width(1), width(2));
    let line = |[n, s, l, about]: &[String; 4]| format!("{n:name$}  {s:>size$}  {l:licence$}  {about}\n");
    Ok(program::print(rows.iter().map(line).collect::<String>())?)
}

pub fn fetch(args: &FetchArgs) -> Result<()> {
    let catalogue = Catalogue::builtin()?;
    let source = catalogue.get(&args.name).map_err(UsageError::of)?;
    let mut options = FetchOptions::from_env()?;
    options.offline |= args.offline;
    let path = source.fetch(&options)?;
    Ok(program::print(format!("{}\n", path.display()))?)
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
