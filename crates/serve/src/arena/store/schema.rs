//! The tables, and how older ones become them.

use rusqlite::{Connection, TransactionBehavior};

/// What marks a SQLite file as an arena's: "CMLD".
pub(super) const APPLICATION: i64 = 0x434d_4c44;

/// Each step leads from the version that is its place to the next.
const STEPS: [&str; 1] = ["
    CREATE TABLE conversations (
        id       TEXT PRIMARY KEY,
        model    TEXT NOT NULL,
        system   TEXT NOT NULL DEFAULT '',
        template TEXT NOT NULL DEFAULT '',
        roles    TEXT NOT NULL DEFAULT '[\"USER\",\"ASSISTANT\"]',
        opening  INTEGER NOT NULL DEFAULT 0,
        user     TEXT,
        started  REAL NOT NULL,
        finished REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE messages (
        conversation TEXT NOT NULL REFERENCES conversations (id),
        place        INTEGER NOT NULL,
        role         TEXT NOT NULL,
        content      TEXT,
        PRIMARY KEY (conversation, place)
    ) WITHOUT ROWID;
    CREATE TABLE battles (
        id             TEXT PRIMARY KEY,
        mode           TEXT NOT NULL CHECK (mode IN ('battle', 'side_by_side', 'direct')),
        left_side      TEXT NOT NULL REFERENCES conversations (id),
        right_side     TEXT REFERENCES conversations (id),
        user           TEXT,
        started        REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE votes (
        id      INTEGER PRIMARY KEY AUTOINCREMENT,
        battle  TEXT NOT NULL UNIQUE REFERENCES battles (id),
        verdict TEXT NOT NULL CHECK (verdict IN ('leftvote', 'rightvote', 'tievote', 'bothbad_vote')),
        user    TEXT,
        cast_at REAL NOT NULL,
        facts   TEXT NOT NULL,
        dropped TEXT
    );
    CREATE TABLE reports (
        id      INTEGER PRIMARY KEY AUTOINCREMENT,
        battle  TEXT NOT NULL REFERENCES battles (id),
        user    TEXT,
        made_at REAL NOT NULL,
        words   TEXT NOT NULL
    );
    CREATE TABLE history (
        day    INTEGER NOT NULL,
        model  TEXT NOT NULL,
        rating REAL NOT NULL,
        low    REAL NOT NULL,
        high   REAL NOT NULL,
        votes  INTEGER NOT NULL,
        PRIMARY KEY (day, model)
    ) WITHOUT ROWID;
"];

/// The version that the steps lead to.
pub(super) const VERSION: i64 = STEPS.len() as i64;

/// What a database is.
pub(super) enum Kind {
    /// Empty, or an arena's of this or an older version: brought up to date.
    Ours,
    /// Another program's.
    Foreign,
    /// An arena's, of this newer version.
    Newer(i64),
}

/// Makes the tables, step by step in one transaction. Where they are those of this version nothing is
/// written, and another process that writes is not waited for.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<Kind> {
    if let Some(kind) = kind_of(&*connection)? {
        return Ok(kind);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been first.
    if let Some(kind) = kind_of(&transaction)? {
        return Ok(kind);
    }
    for step in &STEPS[version(&transaction)? as usize..] {
        transaction.execute_batch(step)?;
    }
    transaction
        .execute_batch(&format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION};"))?;
    transaction.commit()?;
    Ok(Kind::Ours)
}

/// What a database is; `None` where it is to be brought up to date.
fn kind_of(connection: &Connection) -> rusqlite::Result<Option<Kind>> {
    let application: i64 = pragma(connection, "application_id")?;
    let version = version(connection)?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let is_empty = application == 0 && version == 0 && tables == 0;
    Ok(if (application != APPLICATION && !is_empty) || version < 0 {
        Some(Kind::Foreign)
    } else if version > VERSION {
        Some(Kind::Newer(version))
    } else {
        (application == APPLICATION && version == VERSION).then_some(Kind::Ours)
    })
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    pragma(connection, "user_version")
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
}
