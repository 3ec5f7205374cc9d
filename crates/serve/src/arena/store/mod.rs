//! Battles, conversations, votes and reports in one SQLite file.
//!
//! The file is in WAL mode with `synchronous = FULL`: what a call of this module returned from is on
//! disk, and a process that is killed loses nothing of it. A vote is one row of one transaction, unique
//! for its battle.

mod facts;
mod rows;
mod schema;
mod users;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior, params};

pub use facts::Facts;
pub use rows::{Conversation, Entry, StoredVote};
pub use users::{UserKey, random};

use super::battle::{Battle, Report, Verdict};
use super::error::ArenaError;
use schema::Kind;

/// How long a lock of another process is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// An open arena's database.
pub struct Store {
    path: PathBuf,
    connection: Mutex<Connection>,
    key: UserKey,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What became of a vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cast {
    /// It is on disk.
    Counted,
    /// The battle had this verdict already, and keeps it.
    Before(Verdict),
}

impl Store {
    /// Opens the database, or makes it; the key of its users lies beside it as `PATH.key`.
    ///
    /// # Errors
    /// [`ArenaError::Foreign`] and [`ArenaError::Newer`] for a database that is not to be touched,
    /// [`ArenaError::Store`] for one that SQLite cannot open.
    pub fn open(path: &Path) -> Result<Self, ArenaError> {
        let failed = |action| move |cause| ArenaError::Store { path: path.to_owned(), action, cause };
        let mut connection = Connection::open(path).map_err(failed("open the database"))?;
        connection.busy_timeout(PATIENCE).map_err(failed("open the database"))?;
        // One that reads first and writes then could not wait for another process that writes: it is refused.
        connection.set_transaction_behavior(TransactionBehavior::Immediate);
        match schema::migrate(&mut connection).map_err(failed("open the database"))? {
            Kind::Ours => {}
            Kind::Foreign => return Err(ArenaError::Foreign { path: path.to_owned() }),
            Kind::Newer(found) => {
                return Err(ArenaError::Newer { path: path.to_owned(), found, known: schema::VERSION });
            }
        }
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")
            .map_err(failed("set up the database"))?;
        let mut key_path = path.as_os_str().to_owned();
        key_path.push(".key");
        let key = UserKey::open(Path::new(&key_path))?;
        Ok(Self { path: path.to_owned(), connection: Mutex::new(connection), key })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The user behind an address.
    pub fn user(&self, address: IpAddr) -> String {
        self.key.user(address)
    }

    /// The key of its users.
    pub fn key(&self) -> &UserKey {
        &self.key
    }

    /// A thread that panicked with the connection left no transaction open: it was rolled back.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn failed(&self, action: &'static str) -> impl Fn(rusqlite::Error) -> ArenaError {
        let path = self.path.clone();
        move |cause| ArenaError::Store { path: path.clone(), action, cause }
    }

    /// Writes a battle as it stands after an answered turn: all of it in one transaction.
    ///
    /// # Errors
    /// [`ArenaError::Store`]; nothing of it is written then.
    pub fn save_battle(&self, battle: &Battle) -> Result<(), ArenaError> {
        self.write("write the battle", |transaction| {
            for side in &battle.sides {
                rows::put_conversation(transaction, &Conversation::of_side(side, battle))?;
            }
            rows::put_battle(transaction, battle)
        })
    }

    /// A battle with its conversations.
    ///
    /// # Errors
    /// [`ArenaError::Store`].
    pub fn battle(&self, id: &str) -> Result<Option<Battle>, ArenaError> {
        let connection = self.lock();
        rows::battle(&connection, id).map_err(self.failed("read the battle"))
    }

    /// Writes a vote; when this returns it is on disk.
    ///
    /// # Errors
    /// [`ArenaError::Store`], on a full disk for example; the vote is not there then.
    pub fn cast(
        &self,
        battle: &Battle,
        verdict: Verdict,
        user: &str,
        at: f64,
        facts: &Facts,
    ) -> Result<Cast, ArenaError> {
        self.write("write the vote", |transaction| {
            if let Some(verdict) = rows::verdict(transaction, &battle.id)? {
                return Ok(Cast::Before(verdict));
            }
            rows::put_vote(transaction, &battle.id, verdict, Some(user), at, facts)?;
            Ok(Cast::Counted)
        })
    }

    /// Writes a report.
    ///
    /// # Errors
    /// [`ArenaError::Store`].
    pub fn report(&self, report: &Report) -> Result<(), ArenaError> {
        let Report { battle, user, at, words } = report;
        self.lock()
            .execute(
                "INSERT INTO reports (battle, user, made_at, words) VALUES (?1, ?2, ?3, ?4)",
                params![battle, user, at, words],
            )
            .map(|_| ())
            .map_err(self.failed("write the report"))
    }

    /// Reports in the order in which they were made.
    ///
    /// # Errors
    /// [`ArenaError::Store`].
    pub fn reports(&self) -> Result<Vec<Report>, ArenaError> {
        let connection = self.lock();
        rows::reports(&connection).map_err(self.failed("read the reports"))
    }

    /// All votes with a number above `after`, in the order in which they were cast.
    ///
    /// # Errors
    /// [`ArenaError::Store`].
    pub fn votes_after(&self, after: i64) -> Result<Vec<StoredVote>, ArenaError> {
        let connection = self.lock();
        rows::votes_after(&connection, after).map_err(self.failed("read the votes"))
    }

    /// All conversations, in the order in which they began, and all votes, in the order in which they were
    /// cast, of one moment: every vote's conversations are there.
    ///
    /// # Errors
    /// [`ArenaError::Store`].
    pub fn log(&self) -> Result<(Vec<Conversation>, Vec<StoredVote>), ArenaError> {
        let read = || -> rusqlite::Result<_> {
            let mut connection = self.lock();
            // What another process writes meanwhile is not seen, and waits for nothing.
            let moment = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
            Ok((rows::conversations(&moment)?, rows::votes_after(&moment, 0)?))
        };
        read().map_err(self.failed("read conversations and votes"))
    }

    /// Writes what an import brings: all of it, or nothing. A vote that is there already is not counted
    /// again. Returns the votes that are new.
    ///
    /// # Errors
    /// [`ArenaError::Store`].
    pub(super) fn import(&self, entries: &[Entry]) -> Result<u64, ArenaError> {
        self.write("import", |transaction| {
            let mut new = 0;
            for entry in entries {
                new += u64::from(rows::put_entry(transaction, entry)?);
            }
            Ok(new)
        })
    }

    /// Keeps with each vote why it does not count.
    ///
    /// # Errors
    /// [`ArenaError::Store`].
    pub fn keep_reasons(&self, reasons: &[(i64, Option<String>)]) -> Result<(), ArenaError> {
        if reasons.is_empty() {
            return Ok(());
        }
        self.write("keep why votes do not count", |transaction| {
            let mut update = transaction.prepare("UPDATE votes SET dropped = ?2 WHERE id = ?1")?;
            reasons.iter().try_for_each(|(id, reason)| update.execute(params![id, reason]).map(drop))
        })
    }

    /// Keeps a day's ratings `(model, rating, low, high, votes)`, in place of what the day had.
    ///
    /// # Errors
    /// [`ArenaError::Store`].
    pub fn keep_day(&self, day: i64, ratings: &[(String, [f64; 3], u64)]) -> Result<(), ArenaError> {
        self.write("keep the day's ratings", |transaction| {
            transaction.execute("DELETE FROM history WHERE day = ?1", [day])?;
            for (model, [rating, low, high], votes) in ratings {
                transaction.execute(
                    "INSERT INTO history VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    params![day, model, rating, low, high, *votes as i64],
                )?;
            }
            Ok(())
        })
    }

    /// Ratings of each day that has some: `(day, model, rating)`.
    ///
    /// # Errors
    /// [`ArenaError::Store`].
    pub fn history(&self) -> Result<Vec<(i64, String, f64)>, ArenaError> {
        let read = || -> rusqlite::Result<Vec<(i64, String, f64)>> {
            let connection = self.lock();
            let mut days =
                connection.prepare("SELECT day, model, rating FROM history ORDER BY day, model")?;
            let rows = days.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            rows.collect()
        };
        read().map_err(self.failed("read the history"))
    }

    /// Writes a copy of the whole database while the arena goes on; the file appears whole. The key is
    /// copied beside it, without which its users cannot vote on as themselves.
    ///
    /// # Errors
    /// [`ArenaError::File`] where the folder cannot be written to, [`ArenaError::Store`] else.
    pub fn backup(&self, to: &Path) -> Result<(), ArenaError> {
        let mut file = camelid_files::WholeFile::create(to)?;
        let copy = || -> rusqlite::Result<()> {
            let connection = self.lock();
            let mut target = Connection::open(file.temporary_path())?;
            let backup = rusqlite::backup::Backup::new(&connection, &mut target)?;
            backup.run_to_completion(1024, Duration::ZERO, None)?;
            drop(backup);
            // One file, not three.
            target.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
            target.close().map_err(|(_, cause)| cause)
        };
        copy().map_err(self.failed("copy the database"))?;
        file.sync()?;
        file.finish()?;
        let mut key = to.as_os_str().to_owned();
        key.push(".key");
        self.key.save(Path::new(&key))
    }

    /// Runs `work` in one transaction that is kept only if it succeeds.
    fn write<T>(
        &self,
        action: &'static str,
        work: impl FnOnce(&rusqlite::Transaction) -> rusqlite::Result<T>,
    ) -> Result<T, ArenaError> {
        let write = || -> rusqlite::Result<T> {
            let mut connection = self.lock();
            let transaction = connection.transaction()?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        };
        write().map_err(self.failed(action))
    }
}
