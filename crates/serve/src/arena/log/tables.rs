//! Tables of battles, as `camelid eval ratings` reads them.

use std::io::Write;
use std::path::Path;

use camelid_files::{FileError, WholeFile, digest};
use camelid_ratings::{Cleaning, Outcome};
use serde_json::json;

use super::Imported;
use crate::arena::battle::{Battle, Mode, Verdict};
use crate::arena::board::clean;
use crate::arena::error::ArenaError;
use crate::arena::store::{Conversation, Entry, Facts, Store};

/// Reads a table of battles (JSON, JSON lines, CSV; what [`camelid_ratings::read`] knows) into the
/// store: all of it, or nothing. Its judges are the users. The same file again adds nothing.
///
/// # Errors
/// [`ArenaError::Ratings`] naming file, row and field: a row that is no battle, a table of counts.
pub fn import_battles(store: &Store, path: &Path) -> Result<Imported, ArenaError> {
    let battles = camelid_ratings::read(path)?;
    // Who voted knowing the names is told apart in the table, and has no place in blind battles.
    let (named, wrong): (Vec<_>, Vec<_>) = battles.rejected().iter().partition(|row| row.field == "anony");
    if let Some(row) = wrong.first() {
        return Err(ArenaError::Content {
            path: path.to_owned(),
            problem: format!("{} rows are no battles, the first: {row}", wrong.len()),
        });
    }
    battles.check(&path.display().to_string())?;
    battles.one_by_one("an arena")?;
    for notice in battles.notices() {
        camelid_files::say!("warning: {notice}");
    }
    let (_, sum) = digest::of_file(path)?;
    let source = &sum[..16];
    let entry = |(row, number): (&camelid_ratings::Battle, usize)| {
        let named = battles.named(row);
        let user = named.judge.map(|judge| store.key().imported(judge));
        let at = named.timestamp.unwrap_or(0.0);
        let conversation = |side: &str, model: &str| Conversation {
            id: format!("{source}-{number}-{side}"),
            model: model.to_owned(),
            system: String::new(),
            template: String::new(),
            roles: ["USER".to_owned(), "ASSISTANT".to_owned()],
            opening: 0,
            user: user.clone(),
            started: at,
            finished: at,
            messages: Vec::new(),
        };
        let conversations = [conversation("a", named.model_a), conversation("b", named.model_b)];
        let facts = Facts {
            turns: named.turn.unwrap_or(0),
            language: named.language.map(str::to_owned),
            style: named.style,
            ..Facts::default()
        };
        let verdict = match row.outcome {
            Outcome::ModelA => Verdict::Left,
            Outcome::ModelB => Verdict::Right,
            Outcome::Tie if row.both_bad => Verdict::BothBad,
            Outcome::Tie => Verdict::Tie,
        };
        let battle = Battle {
            id: format!("{source}-{number}"),
            mode: Mode::Battle,
            sides: conversations.iter().map(Conversation::side).collect(),
            user,
            started: at,
            finished: at,
            verdict: Some(verdict),
        };
        Entry { conversations: conversations.into(), battle: Some((battle, facts)) }
    };
    let entries: Vec<Entry> = battles.rows().iter().zip(1..).map(entry).collect();
    Imported::write(store, &entries, named.len() as u64)
}

/// Writes every vote as a row of a table of battles, one JSON object a line, with the reason for which
/// one does not count by these rules in `dropped`. Nothing of the store changes. Returns the votes written.
///
/// # Errors
/// [`ArenaError::Store`] and [`ArenaError::File`], and [`ArenaError::Ratings`] for rules out of range; the
/// file then is not there.
pub fn export_battles(store: &Store, path: &Path, cleaning: &Cleaning) -> Result<usize, ArenaError> {
    let votes = store.votes_after(0)?;
    let reasons = clean(&votes, cleaning)?;
    let mut file = WholeFile::create(path)?;
    for (vote, reason) in votes.iter().zip(&reasons) {
        let mut row = json!({
            "model_a": vote.models[0], "model_b": vote.models[1], "winner": vote.verdict.label(),
            "judge": vote.user, "anony": vote.mode == Mode::Battle, "language": vote.facts.language,
            "tstamp": vote.at, "dropped": reason.as_ref().map(ToString::to_string),
        });
        if let serde_json::Value::Object(fields) = &mut row {
            if vote.facts.turns > 0 {
                fields.insert("turn".to_owned(), vote.facts.turns.into());
            }
            if let Some(prompt) = vote.facts.prompt {
                fields.insert("question_id".to_owned(), prompt.into());
            }
            for (side, style) in ["a", "b"].iter().zip(vote.facts.style.iter().flatten()) {
                for (name, value) in [
                    ("length", style.length),
                    ("headers", style.headers),
                    ("lists", style.lists),
                    ("bold", style.bold),
                ] {
                    fields.insert(format!("{name}_{side}"), value.into());
                }
            }
        }
        writeln!(file, "{row}").map_err(FileError::io(path, "write"))?;
    }
    file.finish()?;
    Ok(votes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_comes_out_as_it_went_in_and_faults_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("arena.db")).unwrap();
        let table = folder.path().join("table.csv");
        let text = "model_a,model_b,winner,judge,tstamp,language\n\
                    x,y,model_a,u1,10,German\ny,z,tie (bothbad),u2,11,English\nz,x,model_b,u1,12,German\n";
        std::fs::write(&table, text).unwrap();
        assert_eq!(import_battles(&store, &table).unwrap().votes, 3);
        assert_eq!(import_battles(&store, &table).unwrap(), Imported { known: 3, ..Imported::default() });

        let out = folder.path().join("out.jsonl");
        assert_eq!(export_battles(&store, &out, &Cleaning::default()).unwrap(), 3);
        let read = |path: &Path| camelid_ratings::read(path).unwrap();
        let (before, after) = (read(&table), read(&out));
        for (one, other) in before.rows().iter().zip(after.rows()) {
            let (one, other) = (before.named(one), after.named(other));
            assert_eq!(
                (one.model_a, one.model_b, one.outcome),
                (other.model_a, other.model_b, other.outcome)
            );
            assert_eq!(
                (one.both_bad, one.language, one.timestamp),
                (other.both_bad, other.language, other.timestamp)
            );
        }
        let judge = |row: usize| after.rows()[row].judge;
        assert!(judge(0) == judge(2) && judge(0) != judge(1), "users stay apart");

        std::fs::write(&table, "model_a,model_b,winner\nx,y,model_a\nx,y,perhaps\n").unwrap();
        let message = import_battles(&store, &table).unwrap_err().to_string();
        assert!(message.contains("row 2: `winner` is") && message.contains("perhaps"), "{message}");
        std::fs::write(&table, "model_a,model_b,win_a,win_b,tie\nx,y,3,4,5\n").unwrap();
        let message = import_battles(&store, &table).unwrap_err().to_string();
        assert!(message.contains("holds no single votes"), "{message}");
        assert_eq!(store.votes_after(0).unwrap().len(), 3);
    }
}
