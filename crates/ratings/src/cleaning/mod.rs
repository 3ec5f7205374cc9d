//! Which votes of an arena count, and why the others do not.
//!
//! The rules are those of FastChat's `clean_battle_data.py` and `deduplication.py` and of the arena
//! paper (arXiv 2403.04132, Section 5.3), with two faults of the former left out: words that give a
//! model away are looked for as whole words, in what the models wrote and in questions about who they
//! are, so that "bombard" and "palm tree" cost no vote; and a user is one user over the whole file.

mod anomalous;
mod cleaner;
mod text;
mod words;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use anomalous::AnomalyTest;
pub use cleaner::Cleaner;
pub use text::{TextFault, TextRules};
pub use words::WordSplitter;

use crate::battles::{Battles, Outcome};
use crate::error::RatingsError;

/// A vote with what cleaning has to know of it. Models and users are numbers that the caller gives out,
/// from 0 on: tables are as long as the largest.
#[derive(Debug, Clone, PartialEq)]
pub struct CastVote {
    /// The model shown first.
    pub a: u32,
    /// The model shown second.
    pub b: u32,
    /// Who won.
    pub outcome: Outcome,
    /// Who voted, where that is known.
    pub user: Option<u32>,
    /// The first prompt, where it is known; equal numbers are equal prompts.
    pub prompt: Option<u64>,
    /// Seconds since the Unix epoch.
    pub timestamp: f64,
    /// Whether the models' names were hidden.
    pub blind: bool,
    /// What [`TextRules`] found in the conversations.
    pub fault: Option<TextFault>,
}

/// Why a vote does not count.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    /// The voter knew the models' names.
    NotBlind,
    /// Something in the texts.
    Text(TextFault),
    /// The same prompt came more often than nearly every other does.
    RepeatedPrompt,
    /// The user had as many votes that day as count.
    ManyVotes,
    /// The user's votes are unlike those of others.
    AnomalousUser,
}

impl DropReason {
    /// One word for counting: `identity`, `repeated prompt`, …
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotBlind => "not blind",
            Self::Text(TextFault::Identity(_)) => "identity",
            Self::Text(TextFault::Failed(_)) => "error text",
            Self::Text(TextFault::Unfinished) => "unfinished",
            Self::RepeatedPrompt => "repeated prompt",
            Self::ManyVotes => "many votes",
            Self::AnomalousUser => "anomalous user",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(TextFault::Identity(word)) => write!(f, "identity: {word:?}"),
            Self::Text(TextFault::Failed(words)) => write!(f, "error text: {words:?}"),
            other => f.write_str(other.kind()),
        }
    }
}

/// Which rules hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cleaning {
    /// Most votes of one user in one day (UTC) that count; `None` counts all.
    pub daily_votes: Option<u32>,
    /// Prompts that come more often than this share of all different prompts do count only as often as
    /// that; `None` counts all.
    pub prompt_percentile: Option<f64>,
    /// The test of users; `None` tests nobody.
    pub anomaly: Option<AnomalyTest>,
    /// Whether votes of people who knew the names count.
    pub named: bool,
}

impl Default for Cleaning {
    /// 100 votes a day, FastChat's 99.99th percentile, the paper's test at its smaller α, blind votes only.
    fn default() -> Self {
        Self {
            daily_votes: Some(100),
            prompt_percentile: Some(0.9999),
            anomaly: Some(AnomalyTest::default()),
            named: false,
        }
    }
}

impl Cleaning {
    /// For every vote why it does not count, `None` where it does. `votes` come in the order in which
    /// they were cast.
    ///
    /// # Errors
    /// [`RatingsError::Setting`] for a percentile or a level outside 0 to 1.
    pub fn reasons(&self, votes: &[CastVote]) -> Result<Vec<Option<DropReason>>, RatingsError> {
        let mut cleaner = Cleaner::new(self.clone())?;
        cleaner.extend(votes);
        Ok(cleaner.reasons().to_vec())
    }

    /// The battles that count and, by the place of its row, why each other does not: users are the
    /// judges, prompts the questions. A table tells no texts, so that [`TextRules`] find nothing there.
    ///
    /// # Errors
    /// As [`Cleaning::reasons`]; [`RatingsError::Counted`] for a table of counts.
    pub fn battles(&self, battles: &Battles) -> Result<(Battles, Vec<(usize, DropReason)>), RatingsError> {
        battles.one_by_one("the cleaning of votes")?;
        let mut order: Vec<usize> = (0..battles.rows().len()).collect();
        let time = |row: usize| battles.rows()[row].timestamp.unwrap_or(0.0);
        order.sort_by(|&i, &j| time(i).total_cmp(&time(j)));
        let votes: Vec<CastVote> = order
            .iter()
            .map(|&place| {
                let row = &battles.rows()[place];
                CastVote {
                    a: row.a,
                    b: row.b,
                    outcome: row.outcome,
                    user: row.judge,
                    prompt: row.question.map(u64::from),
                    timestamp: time(place),
                    blind: true,
                    fault: None,
                }
            })
            .collect();
        let reasons = self.reasons(&votes)?;
        let mut dropped: Vec<(usize, DropReason)> =
            order.into_iter().zip(reasons).filter_map(|(place, reason)| Some((place, reason?))).collect();
        dropped.sort_unstable_by_key(|(place, _)| *place);
        let mut gone = dropped.iter().map(|(place, _)| *place).peekable();
        let mut kept = Battles::new();
        for (place, row) in battles.rows().iter().enumerate() {
            if gone.next_if_eq(&place).is_none() {
                let added = kept.push(&battles.named(row));
                debug_assert!(added.is_ok());
            }
        }
        for row in battles.rejected() {
            kept.reject(row.clone());
        }
        Ok((kept, dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::battles::NamedBattle;

    fn vote(user: u32, prompt: u64, timestamp: f64) -> CastVote {
        let (user, prompt) = (Some(user), Some(prompt));
        CastVote { a: 0, b: 1, outcome: Outcome::ModelA, user, prompt, timestamp, blind: true, fault: None }
    }

    fn none() -> Cleaning {
        Cleaning { daily_votes: None, prompt_percentile: None, anomaly: None, named: false }
    }

    #[test]
    fn the_first_votes_of_a_day_count_and_the_next_day_begins_anew() {
        let votes =
            [vote(0, 1, 10.0), vote(0, 2, 20.0), vote(1, 3, 25.0), vote(0, 4, 30.0), vote(0, 5, 86_400.0)];
        let cleaning = Cleaning { daily_votes: Some(2), ..none() };
        let reasons = cleaning.reasons(&votes).unwrap();
        assert_eq!(reasons, [None, None, None, Some(DropReason::ManyVotes), None]);
    }

    #[test]
    fn a_prompt_counts_as_often_as_the_percentile_allows() {
        // 99 prompts once and one thirty times: the 90th percentile is 1.
        let mut votes: Vec<CastVote> = (0..99).map(|i| vote(i as u32, i, i as f64)).collect();
        votes.extend((0..30).map(|i| vote(200 + i, 777, f64::from(1000 + i))));
        let cleaning = Cleaning { prompt_percentile: Some(0.9), ..none() };
        let reasons = cleaning.reasons(&votes).unwrap();
        let repeated = reasons.iter().filter(|r| **r == Some(DropReason::RepeatedPrompt)).count();
        assert_eq!((repeated, reasons[99].clone()), (29, None));
        // With few prompts the 99.99th percentile is the most frequent one, and nothing goes.
        let usual = Cleaning { prompt_percentile: Some(0.9999), ..none() };
        assert!(usual.reasons(&votes).unwrap().iter().all(Option::is_none));
        assert!(Cleaning { prompt_percentile: Some(1.5), ..none() }.reasons(&votes).is_err());
    }

    #[test]
    fn a_vote_of_someone_who_knew_the_names_is_dropped_with_its_reason() {
        let named = CastVote { blind: false, ..vote(0, 0, 0.0) };
        let leaked = CastVote { fault: Some(TextFault::Identity("vicuna".to_owned())), ..vote(0, 0, 0.0) };
        let reasons = none().reasons(&[named.clone(), leaked]).unwrap();
        assert_eq!(reasons[0].as_ref().unwrap().to_string(), "not blind");
        assert_eq!(reasons[1].as_ref().unwrap().to_string(), "identity: \"vicuna\"");
        assert_eq!(Cleaning { named: true, ..none() }.reasons(&[named]).unwrap(), [None]);
    }

    #[test]
    fn a_table_of_battles_is_cleaned_by_judge_and_question() {
        let mut battles = Battles::new();
        for time in [30.0, 10.0, 20.0] {
            let named = NamedBattle::new("x", "y", Outcome::ModelA);
            battles.push(&NamedBattle { judge: Some("u"), timestamp: Some(time), ..named }).unwrap();
        }
        let (kept, dropped) = Cleaning { daily_votes: Some(2), ..none() }.battles(&battles).unwrap();
        assert_eq!(kept.rows().len(), 2);
        assert_eq!(dropped, [(0, DropReason::ManyVotes)], "the latest of the day goes");
        let counted = NamedBattle { votes: 3, ..NamedBattle::new("x", "y", Outcome::Tie) };
        battles.push(&counted).unwrap();
        assert!(none().battles(&battles).unwrap_err().to_string().contains("the cleaning of votes"));
    }
}
