//! What answers in the arena.

use std::path::Path;
use std::sync::Arc;

use camelid_chat::TextGenerator;
use serde::{Deserialize, Serialize};

use super::error::ArenaError;

/// A model with what the leaderboard says of it.
#[derive(Clone)]
pub struct Player {
    /// Its name.
    pub name: String,
    /// What answers.
    pub generator: Arc<dyn TextGenerator>,
    /// What is known of it.
    pub card: Card,
}

impl std::fmt::Debug for Player {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Player").field("name", &self.name).field("card", &self.card).finish_non_exhaustive()
    }
}

/// What is known of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Card {
    /// Who made it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub organization: String,
    /// Its licence.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub licence: String,
    /// Where one can read more.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub link: String,
    /// How often it is drawn for battles relative to others; 0 never.
    pub weight: f64,
}

impl Default for Card {
    fn default() -> Self {
        Self { organization: String::new(), licence: String::new(), link: String::new(), weight: 1.0 }
    }
}

impl Player {
    /// A player of which nothing more is known.
    pub fn new(name: impl Into<String>, generator: Arc<dyn TextGenerator>) -> Self {
        Self { name: name.into(), generator, card: Card::default() }
    }
}

/// Reads what is known of models: a JSON object of `"NAME": {organization, licence, link, weight}`.
///
/// # Errors
/// [`ArenaError::Content`] naming the field.
pub fn read_cards(path: &Path) -> Result<std::collections::BTreeMap<String, Card>, ArenaError> {
    let text = camelid_files::Input::open(path)?.text()?;
    let wrong = |problem: String| ArenaError::Content { path: path.to_owned(), problem };
    let cards: std::collections::BTreeMap<String, Card> = serde_json::from_str(&text)
        .map_err(|error| wrong(format!("not a JSON object of models: {error}")))?;
    for (name, card) in &cards {
        if !(card.weight >= 0.0 && card.weight.is_finite()) {
            return Err(wrong(format!("`{name}.weight` is {}; expected a number from 0", card.weight)));
        }
        if !card.link.is_empty() && !card.link.starts_with("https://") && !card.link.starts_with("http://") {
            return Err(wrong(format!("`{name}.link` is {:?}; expected a web address", card.link)));
        }
    }
    Ok(cards)
}

/// Checks names: not empty, each once, and at least two of them for battles.
///
/// # Errors
/// [`ArenaError::Setting`].
pub fn check_names(players: &[Player]) -> Result<(), ArenaError> {
    for (place, player) in players.iter().enumerate() {
        if player.name.trim().is_empty() {
            return Err(ArenaError::Setting("a model has an empty name".to_owned()));
        }
        if players[..place].iter().any(|other| other.name == player.name) {
            return Err(ArenaError::Setting(format!("two models are named `{}`", player.name)));
        }
    }
    if players.len() < 2 {
        return Err(ArenaError::Setting(format!(
            "{} to choose from; a battle needs two, as `--model a=… --model b=…`",
            if players.is_empty() { "no model" } else { "one model" }
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_are_read_and_faults_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cards.json");
        std::fs::write(&path, r#"{"x": {"licence": "MIT", "weight": 2}, "y": {}}"#).unwrap();
        let cards = read_cards(&path).unwrap();
        assert_eq!((cards["x"].licence.as_str(), cards["x"].weight, cards["y"].weight), ("MIT", 2.0, 1.0));
        for (text, expected) in [
            (r#"{"x": {"license": "MIT"}}"#, "unknown field `license`"),
            (r#"{"x": {"weight": -1}}"#, "`x.weight` is -1"),
            (r#"{"x": {"link": "javascript:alert(1)"}}"#, "`x.link`"),
        ] {
            std::fs::write(&path, text).unwrap();
            let message = read_cards(&path).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
