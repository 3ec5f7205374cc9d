//! FastChat's logs and tables of battles, in and out.

mod fastchat;
mod line;
mod tables;

pub use fastchat::{export_fastchat, import_fastchat};
pub use tables::{export_battles, import_battles};

use super::error::ArenaError;
use super::store::{Entry, Store};

/// What an import brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Imported {
    /// Votes that are new.
    pub votes: u64,
    /// Votes that were there already.
    pub known: u64,
    /// Lines of chats.
    pub chats: u64,
    /// Lines of other kinds, which are left out: votes on single answers, shares, flags.
    pub left_out: u64,
}

impl Imported {
    /// Writes what was read, all of it or nothing.
    fn write(store: &Store, entries: &[Entry], left_out: u64) -> Result<Self, ArenaError> {
        let chats = entries.iter().filter(|entry| entry.battle.is_none()).count() as u64;
        let votes = store.import(entries)?;
        Ok(Self { votes, known: entries.len() as u64 - chats - votes, chats, left_out })
    }
}
