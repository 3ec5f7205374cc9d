//! Rows of the tables as what they stand for.

use camelid_chat::{Message, Role};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::de::DeserializeOwned;

use super::facts::Facts;
use crate::arena::battle::{Battle, Mode, Report, Side, Verdict};

/// One model's conversation as it is stored; FastChat's `state`.
#[derive(Debug, Clone, PartialEq)]
pub struct Conversation {
    /// Its id.
    pub id: String,
    /// The model's name.
    pub model: String,
    /// The system message.
    pub system: String,
    /// FastChat's name of the template.
    pub template: String,
    /// How user and assistant are called in `messages`.
    pub roles: [String; 2],
    /// How many messages stand before the user's own; FastChat's `offset`.
    pub opening: i64,
    /// Who asked.
    pub user: Option<String>,
    /// Seconds since the Unix epoch.
    pub started: f64,
    /// When the last answer was complete.
    pub finished: f64,
    /// Who speaks, and what; `None` where an answer never came.
    pub messages: Vec<(String, Option<String>)>,
}

/// What a line of a log or a row of a table of battles brings.
#[derive(Debug)]
pub struct Entry {
    /// A conversation so far, or both of a battle.
    pub conversations: Vec<Conversation>,
    /// The battle with its verdict, given when it was finished, and what it is to be rated by.
    pub battle: Option<(Battle, Facts)>,
}

impl Conversation {
    /// A side of a battle of this program.
    pub(super) fn of_side(side: &Side, battle: &Battle) -> Self {
        let roles = ["USER".to_owned(), "ASSISTANT".to_owned()];
        let name = |role| if role == Role::Assistant { roles[1].clone() } else { roles[0].clone() };
        let messages = side.messages.iter().map(|m| (name(m.role), Some(m.content.clone()))).collect();
        Self {
            id: side.conversation.clone(),
            model: side.model.clone(),
            system: String::new(),
            template: "camelid".to_owned(),
            roles,
            opening: 0,
            user: battle.user.clone(),
            started: battle.started,
            finished: battle.finished,
            messages,
        }
    }

    /// The same as a side of a battle: what was said by the two, without what stands before and
    /// without an answer that never came.
    pub fn side(&self) -> Side {
        let said = self.messages.iter().skip(self.opening.max(0) as usize);
        let message = |(role, content): &(String, Option<String>)| {
            let role = if *role == self.roles[1] { Role::Assistant } else { Role::User };
            content.as_ref().map(|content| Message::new(role, content.clone()))
        };
        Side {
            conversation: self.id.clone(),
            model: self.model.clone(),
            messages: said.filter_map(message).collect(),
        }
    }
}

/// A vote with its battle's models.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredVote {
    /// Its number.
    pub id: i64,
    /// The battle.
    pub battle: String,
    /// Whether the names were hidden.
    pub mode: Mode,
    /// The conversations' ids, left and right.
    pub conversations: [String; 2],
    /// The models, left and right.
    pub models: [String; 2],
    /// What it says.
    pub verdict: Verdict,
    /// Who voted.
    pub user: Option<String>,
    /// Seconds since the Unix epoch.
    pub at: f64,
    /// What is known of the conversations.
    pub facts: Facts,
    /// Why it does not count, as last found.
    pub dropped: Option<String>,
}

fn json<T: DeserializeOwned>(row: &Row, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text)
        .map_err(|cause| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(cause)))
}

/// A list or a record of plain data as JSON.
fn text_of(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|cause| rusqlite::Error::ToSqlConversionFailure(Box::new(cause)))
}

/// Adds a conversation, or what is new of one that is there: a conversation only grows.
pub(super) fn put_conversation(transaction: &Transaction, c: &Conversation) -> rusqlite::Result<()> {
    transaction
        .prepare(
            "INSERT INTO conversations VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (id) DO UPDATE SET finished = max(finished, excluded.finished),
                started = min(started, excluded.started)",
        )?
        .execute(params![
            c.id,
            c.model,
            c.system,
            c.template,
            text_of(&c.roles)?,
            c.opening,
            c.user,
            c.started,
            c.finished
        ])?;
    let mut insert = transaction.prepare(
        "INSERT INTO messages VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (conversation, place) DO UPDATE SET content = coalesce(content, excluded.content)",
    )?;
    for (place, (role, content)) in c.messages.iter().enumerate() {
        insert.execute(params![c.id, place as i64, role, content])?;
    }
    Ok(())
}

pub(super) fn put_battle(transaction: &Transaction, battle: &Battle) -> rusqlite::Result<()> {
    let right = battle.sides.get(1).map(|side| &side.conversation);
    transaction
        .prepare("INSERT INTO battles VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (id) DO NOTHING")?
        .execute(params![
        battle.id,
        battle.mode,
        battle.sides.first().map(|side| &side.conversation),
        right,
        battle.user,
        battle.started
    ])?;
    Ok(())
}

pub(super) fn put_vote(
    transaction: &Transaction,
    battle: &str,
    verdict: Verdict,
    user: Option<&str>,
    at: f64,
    facts: &Facts,
) -> rusqlite::Result<()> {
    transaction
        .prepare("INSERT INTO votes (battle, verdict, user, cast_at, facts) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![battle, verdict, user, at, text_of(facts)?])?;
    Ok(())
}

/// Adds what an import brings; whether it is a vote that is new.
pub(super) fn put_entry(transaction: &Transaction, entry: &Entry) -> rusqlite::Result<bool> {
    for conversation in &entry.conversations {
        put_conversation(transaction, conversation)?;
    }
    let Some((battle, facts)) = &entry.battle else { return Ok(false) };
    put_battle(transaction, battle)?;
    match (battle.verdict, verdict(transaction, &battle.id)?) {
        (Some(given), None) => {
            put_vote(transaction, &battle.id, given, battle.user.as_deref(), battle.finished, facts)?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// The verdict that a battle has.
pub(super) fn verdict(connection: &Connection, battle: &str) -> rusqlite::Result<Option<Verdict>> {
    let mut vote = connection.prepare("SELECT verdict FROM votes WHERE battle = ?1")?;
    vote.query_row([battle], |row| row.get(0)).optional()
}

pub(super) fn battle(connection: &Connection, id: &str) -> rusqlite::Result<Option<Battle>> {
    type Found = (Mode, String, Option<String>, Option<String>, f64, Option<Verdict>);
    let found: Option<Found> = connection
        .prepare(
            "SELECT mode, left_side, right_side, battles.user, started, verdict
             FROM battles LEFT JOIN votes ON votes.battle = battles.id WHERE battles.id = ?1",
        )?
        .query_row([id], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
        })
        .optional()?;
    let Some((mode, left, right, user, started, verdict)) = found else { return Ok(None) };
    let mut finished = started;
    let mut sides = Vec::new();
    for id in std::iter::once(left).chain(right) {
        let conversation = conversation(connection, &id)?;
        finished = conversation.finished.max(finished);
        sides.push(conversation.side());
    }
    Ok(Some(Battle { id: id.to_owned(), mode, sides, user, started, finished, verdict }))
}

const CONVERSATION: &str =
    "SELECT id, model, system, template, roles, opening, user, started, finished FROM conversations";

fn conversation(connection: &Connection, id: &str) -> rusqlite::Result<Conversation> {
    let mut head = connection.prepare(&format!("{CONVERSATION} WHERE id = ?1"))?;
    let mut found = head.query_row([id], conversation_head)?;
    found.messages = messages(connection, id)?;
    Ok(found)
}

fn conversation_head(row: &Row) -> rusqlite::Result<Conversation> {
    Ok(Conversation {
        id: row.get(0)?,
        model: row.get(1)?,
        system: row.get(2)?,
        template: row.get(3)?,
        roles: json(row, 4)?,
        opening: row.get(5)?,
        user: row.get(6)?,
        started: row.get(7)?,
        finished: row.get(8)?,
        messages: Vec::new(),
    })
}

fn messages(connection: &Connection, id: &str) -> rusqlite::Result<Vec<(String, Option<String>)>> {
    let mut said =
        connection.prepare("SELECT role, content FROM messages WHERE conversation = ?1 ORDER BY place")?;
    let rows = said.query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

pub(super) fn conversations(connection: &Connection) -> rusqlite::Result<Vec<Conversation>> {
    let mut heads = connection.prepare(&format!("{CONVERSATION} ORDER BY started, id"))?;
    let found: rusqlite::Result<Vec<Conversation>> = heads.query_map([], conversation_head)?.collect();
    let mut found = found?;
    for conversation in &mut found {
        conversation.messages = messages(connection, &conversation.id)?;
    }
    Ok(found)
}

pub(super) fn votes_after(connection: &Connection, after: i64) -> rusqlite::Result<Vec<StoredVote>> {
    let mut votes = connection.prepare(
        "SELECT votes.id, battle, mode, left_side, right_side, l.model, r.model, verdict, votes.user, cast_at, facts, dropped
         FROM votes JOIN battles ON battles.id = battle
         JOIN conversations l ON l.id = left_side JOIN conversations r ON r.id = right_side
         WHERE votes.id > ?1 ORDER BY votes.id",
    )?;
    let rows = votes.query_map([after], |row| {
        Ok(StoredVote {
            id: row.get(0)?,
            battle: row.get(1)?,
            mode: row.get(2)?,
            conversations: [row.get(3)?, row.get(4)?],
            models: [row.get(5)?, row.get(6)?],
            verdict: row.get(7)?,
            user: row.get(8)?,
            at: row.get(9)?,
            facts: json(row, 10)?,
            dropped: row.get(11)?,
        })
    })?;
    rows.collect()
}

pub(super) fn reports(connection: &Connection) -> rusqlite::Result<Vec<Report>> {
    let mut reports = connection.prepare("SELECT battle, user, made_at, words FROM reports ORDER BY id")?;
    let rows = reports.query_map([], |row| {
        Ok(Report { battle: row.get(0)?, user: row.get(1)?, at: row.get(2)?, words: row.get(3)? })
    })?;
    rows.collect()
}
