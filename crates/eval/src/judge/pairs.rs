//! Wins, ties and losses: two presentation orders make one game.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::judgment::{JudgedBy, Judgment};
use super::resample::{Estimated, Resampling};
use camelid_ratings::Outcome;

/// A model's games against one other or against all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairScore {
    /// The model.
    pub model: String,
    /// The other; `None` for all others together.
    pub opponent: Option<String>,
    /// Games won in both orders.
    pub wins: usize,
    /// Ties, those of contradicting orders among them.
    pub ties: usize,
    /// Games lost in both orders.
    pub losses: usize,
    /// Ties because the orders contradict each other.
    pub inconsistent: usize,
    /// Games of which an order has no verdict; they count nowhere.
    pub errors: usize,
    /// Share of games won.
    pub win_rate: Option<Estimated>,
    /// Share of games tied.
    pub tie_rate: Option<Estimated>,
    /// Share of games lost.
    pub loss_rate: Option<Estimated>,
    /// Share of games won, a tie as half.
    pub adjusted_win_rate: Option<Estimated>,
    /// Who judged.
    pub judged_by: JudgedBy,
}

/// A game of two models over a turn of a question.
struct Game {
    question: String,
    /// The outcome as each of the two sees it; `None` where an order has no verdict.
    outcome: Option<Outcome>,
    inconsistent: bool,
}

/// Games of a model against another, and the judgments behind them.
type Versus<'a> = (Vec<Game>, Vec<&'a Judgment>);

/// Question, turn and two models, the lesser name first.
type GameKey<'a> = (&'a str, u32, &'a str, &'a str);

/// The scores of every model in pairs, all opponents together first and the best model first; with
/// more than one opponent, each of them too.
///
/// As in MT-bench, a game is won by the model that wins in both orders; verdicts that differ are a
/// tie, and a game of which an order has no verdict is left out. An order that was judged once
/// more keeps its first verdict.
pub fn pair_scores(rows: &[Judgment], resampling: &Resampling) -> Vec<PairScore> {
    let mut games: BTreeMap<GameKey, [Option<&Judgment>; 2]> = BTreeMap::new();
    for row in rows {
        let Some(opponent) = &row.opponent else { continue };
        let swapped = row.model > *opponent;
        let (low, high) = if swapped { (opponent, &row.model) } else { (&row.model, opponent) };
        games.entry((&row.question, row.turn, low, high)).or_default()[usize::from(swapped)]
            .get_or_insert(row);
    }
    // By model and opponent.
    let mut versus: BTreeMap<(&str, &str), Versus> = BTreeMap::new();
    for ((question, _, low, high), orders) in &games {
        let verdict = |order: usize| orders[order]?.verdict?.outcome();
        let (one, other) = (verdict(0), verdict(1).map(Outcome::swapped));
        // As the model of the lesser name sees it.
        let (outcome, inconsistent) = match (one, other) {
            (Some(one), Some(other)) if one == other => (Some(one), false),
            (Some(_), Some(_)) => (Some(Outcome::Tie), true),
            _ => (None, false),
        };
        for (model, opponent, outcome) in [(low, high, outcome), (high, low, outcome.map(Outcome::swapped))] {
            let (games, judgments) = versus.entry((model, opponent)).or_default();
            games.push(Game { question: (*question).to_owned(), outcome, inconsistent });
            judgments.extend(orders.iter().flatten());
        }
    }
    let mut models: Vec<&str> = versus.keys().map(|(model, _)| *model).collect();
    models.dedup();
    let mut scores = Vec::new();
    for model in models {
        let own = || versus.iter().filter(|((name, _), _)| *name == model);
        let all: Vec<&Game> = own().flat_map(|(_, (games, _))| games).collect();
        let judgments: Vec<&Judgment> = own().flat_map(|(_, (_, rows))| rows).copied().collect();
        let total = score(model, None, &all, &judgments, resampling);
        let mut each = Vec::new();
        if own().count() > 1 {
            for ((_, opponent), (games, rows)) in own() {
                let games: Vec<&Game> = games.iter().collect();
                each.push(score(model, Some(opponent), &games, rows, resampling));
            }
        }
        scores.push((total, each));
    }
    let value = |score: &PairScore| score.adjusted_win_rate.map_or(f64::NEG_INFINITY, |rate| rate.value);
    scores.sort_by(|(a, _), (b, _)| value(b).total_cmp(&value(a)));
    let (totals, each): (Vec<PairScore>, Vec<Vec<PairScore>>) = scores.into_iter().unzip();
    totals.into_iter().chain(each.into_iter().flatten()).collect()
}

fn score(
    model: &str,
    opponent: Option<&str>,
    games: &[&Game],
    rows: &[&Judgment],
    resampling: &Resampling,
) -> PairScore {
    let count = |outcome| games.iter().filter(|game| game.outcome == Some(outcome)).count();
    let rate = |worth: &dyn Fn(Outcome) -> f64| {
        let mut questions: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        for game in games {
            if let Some(outcome) = game.outcome {
                let question = questions.entry(&game.question).or_default();
                question.0 += worth(outcome);
                question.1 += 1.0;
            }
        }
        resampling.ratio(&questions.into_values().collect::<Vec<_>>())
    };
    let is = |wanted: Outcome| move |outcome: Outcome| f64::from(u8::from(outcome == wanted));
    PairScore {
        model: model.to_owned(),
        opponent: opponent.map(str::to_owned),
        wins: count(Outcome::ModelA),
        ties: count(Outcome::Tie),
        losses: count(Outcome::ModelB),
        inconsistent: games.iter().filter(|game| game.inconsistent).count(),
        errors: games.iter().filter(|game| game.outcome.is_none()).count(),
        win_rate: rate(&is(Outcome::ModelA)),
        tie_rate: rate(&is(Outcome::Tie)),
        loss_rate: rate(&is(Outcome::ModelB)),
        adjusted_win_rate: rate(&Outcome::score),
        judged_by: JudgedBy::of(rows.iter().copied()),
    }
}
