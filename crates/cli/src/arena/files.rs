//! An arena's votes in and out.

use std::path::{Path, PathBuf};

use anyhow::Result;
use camelid_files::program::UsageError;
use camelid_ratings::TextRules;
use camelid_serve::arena::{
    Imported, Store, export_battles, export_fastchat, import_battles, import_fastchat,
};
use clap::ValueEnum;

use super::cleaning::CleaningArgs;

pub const EXPORT: &str = "Examples:
  camelid arena export --db votes.db votes.jsonl
  camelid arena export --db votes.db --format fastchat 2026-11-29-conv.json";

pub const IMPORT: &str = "Examples:
  camelid arena import --db votes.db 2023-07-01-conv.json
  camelid arena import --db votes.db --format battles votes.csv";

pub const BACKUP: &str = "Examples:
  camelid arena backup --db votes.db votes-backup.db";

#[derive(clap::Args)]
pub struct ExportArgs {
    /// Database of the arena
    #[arg(long, default_value = "arena.db", value_name = "FILE")]
    db: PathBuf,
    /// What is written
    #[arg(long, value_enum, default_value = "battles")]
    format: FormatArg,
    #[command(flatten)]
    cleaning: CleaningArgs,
    /// The file to write
    #[arg(value_name = "FILE")]
    out: PathBuf,
}

#[derive(clap::Args)]
pub struct ImportArgs {
    /// Database of the arena; made where it is not there yet
    #[arg(long, default_value = "arena.db", value_name = "FILE")]
    db: PathBuf,
    /// What the files hold
    #[arg(long, value_enum, default_value = "fastchat")]
    format: FormatArg,
    /// The files to read
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

#[derive(clap::Args)]
pub struct BackupArgs {
    /// Database of the arena
    #[arg(long, default_value = "arena.db", value_name = "FILE")]
    db: PathBuf,
    /// The copy to write; the key of its users is written beside it
    #[arg(value_name = "FILE")]
    out: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FormatArg {
    /// A table of battles, one JSON object a line; read also from CSV
    Battles,
    /// FastChat's log of chats and votes
    Fastchat,
}

/// A store that is there: these commands do not make one.
fn existing(db: &Path) -> Result<Store> {
    if !db.is_file() {
        return Err(UsageError(format!("--db {}: there is no such database", db.display())).into());
    }
    Ok(Store::open(db)?)
}

pub fn export(args: &ExportArgs) -> Result<()> {
    if args.out == args.db {
        return Err(UsageError("the file to write is the database itself".to_owned()).into());
    }
    let store = existing(&args.db)?;
    let words = match args.format {
        FormatArg::Fastchat => {
            let (chats, votes) = export_fastchat(&store, &args.out)?;
            format!("{votes} votes and {chats} conversations")
        }
        FormatArg::Battles => {
            format!("{} votes", export_battles(&store, &args.out, &args.cleaning.cleaning()?)?)
        }
    };
    camelid_files::say!("{words} written to {}", args.out.display());
    Ok(())
}

pub fn import(args: &ImportArgs) -> Result<()> {
    let store = Store::open(&args.db)?;
    for file in &args.files {
        let imported = match args.format {
            FormatArg::Fastchat => import_fastchat(&store, file, &TextRules::default())?,
            FormatArg::Battles => import_battles(&store, file)?,
        };
        let Imported { votes, known, chats, left_out } = imported;
        let mut words = format!("{}: {votes} votes", file.display());
        for (count, what) in
            [(known, "there already"), (chats, "lines of chats"), (left_out, "lines of other kinds left out")]
        {
            if count > 0 {
                words += &format!(", {count} {what}");
            }
        }
        camelid_files::say!("{words}");
    }
    Ok(())
}

pub fn backup(args: &BackupArgs) -> Result<()> {
    if args.out == args.db {
        return Err(UsageError("the copy is the database itself".to_owned()).into());
    }
    existing(&args.db)?.backup(&args.out)?;
    camelid_files::say!("{} copied to {}", args.db.display(), args.out.display());
    Ok(())
}
